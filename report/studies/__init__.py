"""Studies beside the main comparison: less data, worse input, other loss weights, other learning
rates, groups of items.

Each answers one doubt about the article's claims. `study` gathers intervals under conditions,
`designs` says which conditions each study compares and how, `facets` sorts sentences into groups,
`page` writes tables and a figure.
"""

# What a study looks at unless its design names others; of reconstruction nothing else is scored.
METRICS = (
    *("fscore@5cm", "mesh_iou", "spq@0.5", "sg_accuracy", "ref_pick", "ref_acc@0.25"),
    *("probed_text_to_scene_mrr", "grounding_retrieval_map", "answer_score"),
)
