"""Furniture models, textures and object classes."""
