"""Studies beside the main comparison: less data, worse input, other loss weights, groups of items.

Each answers one doubt about the article's claims. `study` gathers intervals under conditions,
`data_efficiency`, `robustness`, `loss_balance` and `subgroups` say which conditions are compared
and how, `facets` sorts sentences into groups, `page` writes tables and a figure.
"""
