"""Features of frozen image and text encoders: encoded once, cached, read without torch."""
