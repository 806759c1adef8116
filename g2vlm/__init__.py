"""The method: scenes, models, training and inference of G2VLM."""
