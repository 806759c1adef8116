"""Spatial relations from axis-aligned boxes by fixed rules: a reference that needs no learning.

The rules are those of the data's annotation as far as axis-aligned boxes can express them; each is
the `box_rule` of a row of `metrics.scene_graph.predicates.RELATIONS`. The score of the rules on
true boxes and on a method's own boxes shows how much of a method's graph follows from its boxes
alone. Boxes have no front, so "facing" has no rule.
"""

import numpy as np

from metrics.scene_graph.predicates import RELATIONS

# View-dependent relations come last among those of a pair, as in every earlier submission.
_ROWS = sorted((row for row in RELATIONS if row.box_rule), key=lambda row: row.view_dependent)


def relations_of_boxes(boxes: np.ndarray) -> list[tuple[int, str, int]]:
    """Return every triplet (i, predicate, j) that the rules find among boxes, by i, then j.

    Args:
        boxes: f64 [N, 6], centre xyz and size xyz in metres, in the levelled frame of the first
            camera (x ahead, y to the left, z up).

    Example:
        >>> relations_of_boxes(np.array([[1, 0, 0.4, 1, 1, 0.8], [1.1, 0, 0.9, 0.2, 0.2, 0.2]]))[:3]
        [(0, 'under', 1), (0, 'near', 1), (0, 'larger', 1)]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 6)
    holds = np.stack([row.box_rule(boxes) for row in _ROWS], axis=-1)  # (N, N, rows)
    itself = np.arange(len(holds))
    holds[itself, itself] = False
    return [(i, _ROWS[k].predicate, j) for i, j, k in np.argwhere(holds).tolist()]
