"""Rows that answer the secondary questions for each declared difference.

A declared difference is tested for new trainings and new scenes (the headline). The rows made here
repeat it for these checkpoints on new scenes, for new trainings on these scenes, and as a
cross-check by resampling. Their estimators are in `secondary_estimands`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics import moments, pairwise_differences, secondary_estimands
from metrics.statistics.table import Block

# The headline row of a declared difference a - b, and the cells of a and of b.
DeclaredPair = tuple[dict[str, Any], Block, Block]

# Columns that a secondary row copies from its headline row.
COPIED = (
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "n_seeds_a", "n_seeds_b", "n_scenes"),
)


def secondary_rows(declared: list[DeclaredPair]) -> list[dict[str, Any]]:
    """Return the secondary rows of each declared difference, in the order of `declared`.

    Pairs of one shape are computed together, so that they share the random draws.
    """
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (_, a, b) in enumerate(declared):
        scenes = len(pairwise_differences.shared_scenes(a, b))
        shape = (len(a.seeds), len(b.seeds), a.stochastic, b.stochastic, scenes, _pooled(a, b))
        if scenes:
            shapes.setdefault(shape, []).append(place)
    rows: list[list[dict[str, Any]]] = [[] for _ in declared]
    for places in shapes.values():
        for estimand in _estimands([declared[place] for place in places]):
            for k, place in enumerate(places):
                rows[place].append(_row(declared[place][0], estimand, k))
    return [row for rows_of_pair in rows for row in rows_of_pair]


def _pooled(a: Block, b: Block) -> bool:
    return a.theta is not None or b.theta is not None


def _estimands(pairs: list[DeclaredPair]) -> list[secondary_estimands.Estimand]:
    """Return the answers to every secondary question, each for all pairs of one shape."""
    scenes = [pairwise_differences.shared_scenes(a, b) for _, a, b in pairs]
    a, b = (
        pairwise_differences.stack(
            [pair[side].summary(over) for pair, over in zip(pairs, scenes, strict=True)]
        )
        for side in (1, 2)
    )
    found = secondary_estimands.new_scenes(a, b) + secondary_estimands.new_trainings(a, b)
    if moments.question_of(a, b) == moments.TRAININGS_AND_SCENES and not _pooled(*pairs[0][1:]):
        cells_a, cells_b = (
            np.stack([pair[side].over(over) for pair, over in zip(pairs, scenes, strict=True)])
            for side in (1, 2)
        )
        found += secondary_estimands.crossed_bootstrap(cells_a, cells_b)
    return found


def _row(
    headline: dict[str, Any], estimand: secondary_estimands.Estimand, k: int
) -> dict[str, Any]:
    return {name: headline[name] for name in COPIED} | {
        "ci_low": float(estimand.low[k]),
        "ci_high": float(estimand.high[k]),
        "p": float(estimand.p[k]),
        "question": estimand.question,
        "estimator": estimand.estimator,
        "note": estimand.notes[k],
    }
