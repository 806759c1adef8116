"""Methods the model is compared with: one folder each, found by itself."""
