"""Referring expressions, questions, captions and phrases about a scene."""
