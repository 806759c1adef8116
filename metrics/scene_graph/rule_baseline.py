"""Spatial relations read off axis-aligned boxes by fixed rules: a reference answerer.

The rules are those of the data's annotation as far as axis-aligned boxes in the first camera's
levelled frame (x ahead, y to the left, z up, metres) can say them. They need no learning, so what
they score on true boxes (`rules_gt`) and on a method's own boxes (`rules_pred`) says how much of
its graph a method owes to its boxes alone. Boxes have no front: "facing" is never said.
"""

from __future__ import annotations

import numpy as np

NEAR_M = 0.5
LARGER_RATIO = 1.5
# How far the underside of what stands on a thing may lie from that thing's top.
CONTACT_M = 0.05
# Metrics that a method's own boxes score by these rules, by the metric they stand beside.
RULES = {
    "spq@0.5": "spq_rules@0.5",
    "spq_view@0.5": "spq_view_rules@0.5",
    "predicate_f1": "predicate_f1_rules",
}


def relations_of_boxes(boxes: np.ndarray) -> list[tuple[int, str, int]]:
    """Return every triplet (i, predicate, j) that the rules read off boxes f64 [N, 6].

    on: the underside of i lies within 5 cm of the top of j and i's centre above j's footprint,
    with under as its inverse; near: closest points under 0.5 m apart; larger: volume over 1.5
    times; side: the dominant horizontal axis of i's centre as seen from j's (one of behind,
    front, left, right always holds). Rows are ordered by i, then j.

    >>> relations_of_boxes(np.array([[1, 0, 0.4, 1, 1, 0.8], [1.1, 0, 0.9, 0.2, 0.2, 0.2]]))[:3]
    [(0, 'under', 1), (0, 'near', 1), (0, 'larger', 1)]
    """
    tables = _tables(np.asarray(boxes, np.float64).reshape(-1, 6))
    names = list(tables)
    held = np.stack([tables[name] for name in names], axis=-1)
    held[np.arange(len(held)), np.arange(len(held))] = False
    return [(i, names[k], j) for i, j, k in np.argwhere(held).tolist()]


def _tables(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Return bool [N, N] by predicate: whether it holds for (row, column)."""
    centre, half = boxes[:, :3], boxes[:, 3:] / 2
    offset = centre[:, None] - centre[None]
    gap = np.maximum(np.abs(offset) - half[:, None] - half[None], 0.0)
    above = np.abs((centre - half)[:, None, 2] - (centre + half)[None, :, 2]) < CONTACT_M
    on = above & (np.abs(offset[..., :2]) < half[None, :, :2]).all(axis=-1)
    volume = boxes[:, 3:].prod(axis=1)
    ahead, left = offset[..., 0], offset[..., 1]
    lengthwise = np.abs(ahead) > np.abs(left)
    return {
        "on": on & ~on.T,
        "under": on.T & ~on,
        "near": np.linalg.norm(gap, axis=-1) < NEAR_M,
        "larger": volume[:, None] > LARGER_RATIO * volume[None],
        "behind": lengthwise & (ahead > 0),
        "front": lengthwise & (ahead <= 0),
        "left": ~lengthwise & (left > 0),
        "right": ~lengthwise & (left <= 0),
    }
