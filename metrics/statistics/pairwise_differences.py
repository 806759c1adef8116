"""Differences of many pairs of methods at once, with the sizes that stand beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from metrics.statistics import effects, moments
from metrics.statistics.table import Block

Pair = tuple[str, str]


def differences(
    blocks: dict[str, Block], pairs: list[Pair], margin: float = np.nan
) -> list[dict[str, Any]]:
    """Return one row a pair, in order: means, difference, interval, p, sizes and notes.

    Pairs of equal shape are stacked and go through the moments in one call. `margin` is that of the
    equivalence tests, NaN for none.
    """
    whole = {name: block.summary() for name, block in blocks.items()}
    ready = [_prepare(blocks[a], blocks[b], whole) for a, b in pairs]
    rows: list[dict[str, Any]] = [{} for _ in pairs]
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (a, b, _) in enumerate(ready):
        shape = (a.seeds, a.has_trainings, b.seeds, b.has_trainings, a.scenes)
        shapes.setdefault(shape, []).append(place)
    for places in shapes.values():
        left, right = (stack([ready[p][side] for p in places]) for side in (0, 1))
        for place, row in zip(places, _rows(left, right, margin), strict=True):
            rows[place] = row
    for (name_a, name_b), row, (_, _, note) in zip(pairs, rows, ready, strict=True):
        row |= {"method_a": name_a, "method_b": name_b}
        row["note"] = "; ".join(part for part in (row["note"], note) if part)
    return rows


def shared_scenes(a: Block, b: Block) -> tuple[str, ...]:
    """Return the scenes that both were scored on, in the first one's order."""
    there = set(b.scenes)
    return tuple(scene for scene in a.scenes if scene in there)


def _prepare(
    a: Block, b: Block, whole: dict[str, moments.Cells]
) -> tuple[moments.Cells, moments.Cells, str]:
    note = "; ".join(dict.fromkeys(n for n in (a.note, b.note) if n))
    if a.scenes == b.scenes:
        return whole[a.method], whole[b.method], note
    shared, there = shared_scenes(a, b), set(b.scenes)
    lost = len(set(a.scenes) | there) - len(shared)
    extra = f"{lost} scenes left out: only one of the two was scored there"
    return a.summary(shared), b.summary(shared), "; ".join(n for n in (note, extra) if n)


def stack(cells: list[moments.Cells]) -> moments.Cells:
    """Return summaries of one shape as one, with a leading axis."""
    first = cells[0]
    arrays = {
        name: np.stack([getattr(c, name) for c in cells])
        for name in ("trainings", "scene_means", "seed_variance", "residual", "estimate")
    }
    return replace(first, **arrays)


def _rows(a: moments.Cells, b: moments.Cells, margin: float) -> list[dict[str, Any]]:
    if a.scenes == 0:
        return [_empty(a, b) for _ in a.estimate]
    result = moments.difference(a, b, margin=margin)
    half = (result.high - result.low) / 2
    columns = {
        "mean_a": a.estimate,
        "mean_b": b.estimate,
        "difference": result.estimate,
        "ci_low": result.low,
        "ci_high": result.high,
        "variance": result.variance,
        "df": result.df,
        "p": result.p,
        "p_equivalent": result.p_equivalent,
        "dz": effects.cohens_dz(a.scene_means - b.scene_means),
        "mde": effects.detectable(half, result.df),
    }
    fixed = {
        "question": moments.question_of(a, b),
        "n_seeds_a": a.seeds if a.has_trainings else 0,
        "n_seeds_b": b.seeds if b.has_trainings else 0,
        "n_scenes": a.scenes,
    }
    return [
        {name: float(values[k]) for name, values in columns.items()}
        | fixed
        | {"estimator": estimator_name(bool(result.fallback[k]))}
        | {"note": limits_note(a.scenes, float(result.variance[k]), a, b)}
        for k in range(len(result.estimate))
    ]


def estimator_name(fallback: bool) -> str:
    """Return the printed name of the interval."""
    return "two-way moments, fallback" if fallback else "two-way moments"


def limits_note(scenes: int, variance: float, *methods: moments.Cells) -> str:
    """Say why there is no interval, or what it leaves out; empty when nothing is to be said."""
    if scenes < 2:
        return "no interval: one scene" if scenes else "no scene was scored for every seed"
    if not variance > 0:
        return "no interval: nothing varies"
    if any(m.has_trainings and m.seeds == 1 for m in methods):
        return "one seed: scenes only"
    return ""


def _empty(a: moments.Cells, b: moments.Cells) -> dict[str, Any]:
    numbers = ("mean_a", "mean_b", "difference", "ci_low", "ci_high", "variance", "df", "p")
    row: dict[str, Any] = dict.fromkeys((*numbers, "p_equivalent", "dz", "mde"), np.nan)
    return row | {
        "question": moments.question_of(a, b),
        "estimator": "none",
        "n_seeds_a": a.seeds if a.has_trainings else 0,
        "n_seeds_b": b.seeds if b.has_trainings else 0,
        "n_scenes": 0,
        "note": "no interval: no scene in common",
    }


def improvement(a: Block, b: Block, higher_is_better: bool) -> float:
    """Return the probability of improvement over scenes; over trainings where a metric is pooled.

    NaN without a scene in common.
    """
    if a.theta is not None and b.theta is not None:
        return effects.probability_of_improvement(
            a.theta[:, None], b.theta[:, None], higher_is_better
        )
    shared = shared_scenes(a, b)
    if not shared:
        return float("nan")
    return effects.probability_of_improvement(a.over(shared), b.over(shared), higher_is_better)
