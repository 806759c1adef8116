"""Features of frozen image and text encoders: encoded once, cached, read without torch."""

from g2vlm.features.readers import ImageFeatures, SceneFeatures, TextFeatures, TextStates

__all__ = ["ImageFeatures", "SceneFeatures", "TextFeatures", "TextStates"]
