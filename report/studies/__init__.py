"""Separate studies: fewer training scenes, worse input, other loss weights or learning rates, and
groups of items.

Each study answers one doubt about the main comparison. `designs` holds the studies, `study` the
intervals and differences that they share, `facets` the groups of references and phrases, `page`
the tables and the figure.
"""
