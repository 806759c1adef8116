"""Relations of given objects, and triplets among detected ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from g2vlm.models.detection import Detection
from metrics.scene_graph.predicates import FAMILIES, LABELS

LEAST_TRIPLET = 0.02


def given_pairs(given: list[int], probabilities: dict[str, np.ndarray]) -> list[Any]:
    """Return [i, j, {family: predicate}] for all ordered pairs of given object indices.

    `probabilities`: each family's [N, N, K] over the objects in the order of `given`.
    """
    best = {family: values.argmax(-1) for family, values in probabilities.items()}
    return [
        [i, j, {family: LABELS[family][best[family][a, b]] for family in best}]
        for a, i in enumerate(given)
        for b, j in enumerate(given)
        if a != b
    ]


def triplets(
    found: list[Detection], probabilities: dict[str, np.ndarray], least: float
) -> list[tuple[int, str, int, float]]:
    """Return (subject, predicate, object, score) with score ≥ `least`, best first.

    A pair has one predicate a family, the likeliest, and none where "none" is likelier. The score
    is the product of both detections' scores and the predicate's probability.
    """
    scores = np.array([item.score for item in found])
    rows: list[tuple[int, str, int, float]] = []
    for family, values in probabilities.items():
        best = values.argmax(-1)
        total = values.max(-1) * scores[:, None] * scores[None]
        keep = (total >= max(least, LEAST_TRIPLET)) & (best < len(FAMILIES[family]))
        np.fill_diagonal(keep, False)
        rows += [
            (int(i), LABELS[family][best[i, j]], int(j), float(total[i, j]))
            for i, j in np.argwhere(keep)
        ]
    return sorted(rows, key=lambda row: -row[3])
