"""Differences of many pairs of methods at once, with the sizes that stand beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics import effects, moments
from metrics.statistics.table import Block

Pair = tuple[str, str]


def differences(
    blocks: dict[str, Block], pairs: list[Pair], higher_is_better: bool = True
) -> list[dict[str, Any]]:
    """Return one row a pair, in order: means, difference, interval, p, sizes and notes.

    Pairs of equal shape are stacked and go through the moments in one call.
    """
    whole = {name: blocks[name].summary() for name in {name for pair in pairs for name in pair}}
    ready = [_prepare(blocks[a], blocks[b], whole) for a, b in pairs]
    rows: list[dict[str, Any]] = [{} for _ in pairs]
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (a, b, _) in enumerate(ready):
        shape = (a.seeds, a.has_trainings, b.seeds, b.has_trainings, a.scenes)
        shapes.setdefault(shape, []).append(place)
    for places in shapes.values():
        left, right = (_stack([ready[p][side] for p in places]) for side in (0, 1))
        for place, row in zip(places, _rows(left, right), strict=True):
            rows[place] = row
    for (name_a, name_b), row, (_, _, note) in zip(pairs, rows, ready, strict=True):
        a, b = blocks[name_a], blocks[name_b]
        row |= {"method_a": name_a, "method_b": name_b}
        row["note"] = "; ".join(part for part in (row["note"], note) if part)
        row["prob_improvement"] = _improvement(a, b, higher_is_better)
    return rows


def _prepare(
    a: Block, b: Block, whole: dict[str, moments.Cells]
) -> tuple[moments.Cells, moments.Cells, str]:
    note = "; ".join(dict.fromkeys(n for n in (a.note, b.note) if n))
    if a.scenes == b.scenes:
        return whole[a.method], whole[b.method], note
    there = set(b.scenes)
    shared = tuple(scene for scene in a.scenes if scene in there)
    lost = len(set(a.scenes) | there) - len(shared)
    extra = f"{lost} scenes left out: only one of the two was scored there"
    return a.summary(shared), b.summary(shared), "; ".join(n for n in (note, extra) if n)


def _stack(cells: list[moments.Cells]) -> moments.Cells:
    first = cells[0]
    arrays = {
        name: np.stack([getattr(c, name) for c in cells])
        for name in ("seed_means", "scene_means", "seed_variance", "residual", "estimate")
    }
    return moments.Cells(
        **arrays, seeds=first.seeds, scenes=first.scenes, has_trainings=first.has_trainings
    )


def _rows(a: moments.Cells, b: moments.Cells) -> list[dict[str, Any]]:
    if a.scenes == 0:
        return [_empty(a, b) for _ in a.estimate]
    result = moments.difference(a, b)
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
        return "no interval: one scene"
    if not variance > 0:
        return "no interval: nothing varies"
    if any(m.has_trainings and m.seeds == 1 for m in methods):
        return "one seed: scenes only"
    return ""


def _empty(a: moments.Cells, b: moments.Cells) -> dict[str, Any]:
    numbers = ("mean_a", "mean_b", "difference", "ci_low", "ci_high", "variance", "df", "p")
    row: dict[str, Any] = dict.fromkeys((*numbers, "dz", "mde"), np.nan)
    return row | {
        "question": moments.question_of(a, b),
        "estimator": "none",
        "n_seeds_a": a.seeds if a.has_trainings else 0,
        "n_seeds_b": b.seeds if b.has_trainings else 0,
        "n_scenes": 0,
        "note": "no interval: no scene in common",
    }


def _improvement(a: Block, b: Block, higher_is_better: bool) -> float:
    """Probability of improvement over scenes; over trainings alone where a metric is pooled."""
    if a.theta is not None and b.theta is not None:
        return effects.probability_of_improvement(
            a.theta[:, None], b.theta[:, None], higher_is_better
        )
    if a.scenes != b.scenes or not a.scenes:
        return float("nan")
    return effects.probability_of_improvement(a.values, b.values, higher_is_better)
