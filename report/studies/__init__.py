"""Studies beside the main comparison: less data, worse input, other loss weights, other learning
rates, groups of items.

Each answers one doubt about the article's claims. `study` gathers intervals under conditions,
`designs` says which conditions each study compares and how, `facets` sorts sentences into groups,
`page` writes tables and a figure.
"""
