"""Readers of geometry formats: each takes a file's bytes, and none opens another file."""
