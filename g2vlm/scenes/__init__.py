"""Scenes: furniture sources, room layouts, cameras, language, rendering and truth."""
