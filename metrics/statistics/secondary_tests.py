"""Declared differences asked the other questions too: rows that stand beside the headline's."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics import moments, pairwise_differences, secondary_estimands
from metrics.statistics.table import Block

Pair = tuple[dict[str, Any], Block, Block]

KEPT = (
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "n_seeds_a", "n_seeds_b", "n_scenes"),
)


def other_answers(declared: list[Pair]) -> list[dict[str, Any]]:
    """Return rows for (headline row, block a, block b), in order: scenes, trainings, cross-check.

    Pairs of one shape are answered together, so that they share the draws.
    """
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (_, a, b) in enumerate(declared):
        count = len(pairwise_differences.shared_scenes(a, b))
        shape = (len(a.seeds), len(b.seeds), a.stochastic, b.stochastic, count, _pooled(a, b))
        if count:
            shapes.setdefault(shape, []).append(place)
    rows: list[list[dict[str, Any]]] = [[] for _ in declared]
    for places in shapes.values():
        for answers in _answers([declared[place] for place in places]):
            for k, place in enumerate(places):
                rows[place].append(_row(declared[place][0], answers, k))
    return [row for some in rows for row in some]


def _pooled(a: Block, b: Block) -> bool:
    return a.theta is not None or b.theta is not None


def _answers(some: list[Pair]) -> list[secondary_estimands.Answers]:
    over = [pairwise_differences.shared_scenes(a, b) for _, a, b in some]
    cells = [
        pairwise_differences.stack(
            [pair[side].summary(scenes) for pair, scenes in zip(some, over, strict=True)]
        )
        for side in (1, 2)
    ]
    found = secondary_estimands.scene_answers(*cells) + secondary_estimands.training_answers(*cells)
    if moments.question_of(*cells) == moments.TRAININGS_AND_SCENES and not _pooled(*some[0][1:]):
        values = [
            np.stack([pair[side].over(scenes) for pair, scenes in zip(some, over, strict=True)])
            for side in (1, 2)
        ]
        found += secondary_estimands.crossed(*values)
    return found


def _row(headline: dict[str, Any], answers: secondary_estimands.Answers, k: int) -> dict[str, Any]:
    return {name: headline[name] for name in KEPT} | {
        "ci_low": float(answers.low[k]),
        "ci_high": float(answers.high[k]),
        "p": float(answers.p[k]),
        "question": answers.question,
        "estimator": answers.estimator,
        "note": answers.note[k],
    }
