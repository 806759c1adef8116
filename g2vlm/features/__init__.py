"""Frozen encoders, run once and cached, and light readers of what they wrote."""

from g2vlm.features.readers import ImageFeatures, SceneFeatures, TextFeatures, TextStates

__all__ = ["ImageFeatures", "SceneFeatures", "TextFeatures", "TextStates"]
