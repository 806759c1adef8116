"""Baselines and controls: one folder each, which the workflow finds by itself."""
