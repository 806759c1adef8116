"""Differences between many pairs of methods on one metric, with their effect sizes."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from metrics.statistics import detection, effects, moments
from metrics.statistics.table import Block

Pair = tuple[str, str]
NUMBERS = (
    *("mean_a", "mean_b", "difference", "ci_low", "ci_high", "variance", "df", "p"),
    *("p_equivalent", "dz"),
)
PAIRED, UNPAIRED = "paired seeds", "unpaired seeds"


def differences(
    blocks: dict[str, Block],
    pairs: list[Pair],
    margin: float = np.nan,
    bounds: moments.Bounds | None = None,
    paired: Collection[frozenset[str]] = (),
) -> list[dict[str, Any]]:
    """Return one row for each pair of methods: means, difference, interval, p, sizes and notes.

    A row also holds the `design` (`detection.Design`), from which a minimum detectable effect is
    computed.

    Pairs of equal shape are stacked and go through the moments in one call: with 100 methods there
    are 4,950 pairs a metric.

    Args:
        blocks: the cells of each method.
        pairs: names of the two methods, (a, b) for a - b.
        margin: of the equivalence tests, NaN for none.
        bounds: smallest and largest value of the metric.
        paired: pairs of methods whose trainings of one seed share initial weights, data order and
            dropout. Their differences are analysed training by training where both have the same
            seeds.
    """
    summaries = {name: block.summary() for name, block in blocks.items()}
    prepared = [
        _prepare(blocks[a], blocks[b], summaries, frozenset((a, b)) in paired) for a, b in pairs
    ]
    rows: list[dict[str, Any]] = [{} for _ in pairs]
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (a, b, gaps, _) in enumerate(prepared):
        shape = (a.seeds, a.stochastic, b.seeds, b.stochastic, a.scenes, gaps is None)
        shapes.setdefault(shape, []).append(place)
    for (*_, unpaired), places in shapes.items():
        sides = [stack([prepared[p][side] for p in places]) for side in (0, 1)]
        gaps = None if unpaired else stack([prepared[p][2] for p in places])
        for place, row in zip(places, _rows(*sides, gaps, margin, bounds), strict=True):
            rows[place] = row
    for (name_a, name_b), row, (*_, note) in zip(pairs, rows, prepared, strict=True):
        row |= {"method_a": name_a, "method_b": name_b}
        row["note"] = "; ".join(part for part in (row["note"], note) if part)
    return rows


def shared_scenes(a: Block, b: Block) -> tuple[str, ...]:
    """Return the scenes that both methods were scored on, in the order of the first."""
    of_b = set(b.scenes)
    return tuple(scene for scene in a.scenes if scene in of_b)


def _prepare(
    a: Block, b: Block, summaries: dict[str, moments.Cells], paired: bool
) -> tuple[moments.Cells, moments.Cells, moments.Cells | None, str]:
    """Return both methods' sums over their shared scenes, those of their gaps, and a note.

    The gaps are None where trainings are not paired; the note says what was left out.
    """
    note = "; ".join(dict.fromkeys(n for n in (a.note, b.note) if n))
    shared = shared_scenes(a, b)
    if a.scenes == b.scenes:
        cells = summaries[a.method], summaries[b.method]
    else:
        lost = len(set(a.scenes) | set(b.scenes)) - len(shared)
        extra = f"{lost} scenes left out: only one of the two was scored there"
        note = "; ".join(n for n in (note, extra) if n)
        cells = a.summary(shared), b.summary(shared)
    if not (paired and a.stochastic and b.stochastic and len(a.seeds) > 1 and a.seeds == b.seeds):
        return *cells, None, note
    theta = None if a.theta is None or b.theta is None else a.theta - b.theta
    first, second = a.over(shared), b.over(shared)
    gaps = first - second
    # Cells that agree but for rounding would count as varying.
    gaps[np.abs(gaps) <= 1e-12 * np.maximum(np.abs(first), np.abs(second))] = 0.0
    return *cells, moments.summarise(gaps, theta), note


def stack(cells: list[moments.Cells]) -> moments.Cells:
    """Return the sums of tables of one shape as one object, with a leading axis M."""
    arrays = {
        name: np.stack([getattr(c, name) for c in cells])
        for name in ("trainings", "scene_means", "seed_variance", "residual", "estimate")
    }
    return replace(cells[0], **arrays)


def _rows(
    a: moments.Cells,
    b: moments.Cells,
    gaps: moments.Cells | None,
    margin: float,
    bounds: moments.Bounds | None,
) -> list[dict[str, Any]]:
    """Return the rows of M pairs of one shape; `gaps` where their trainings are paired."""
    fixed = {
        "question": moments.question_of(a, b),
        "pairing": UNPAIRED if gaps is None else PAIRED,
        "n_seeds_a": a.n_trainings,
        "n_seeds_b": b.n_trainings,
        "n_scenes": a.scenes,
    }
    if a.scenes == 0:
        fixed |= {"estimator": "none", "note": "no interval: no scene in common"}
        return [dict.fromkeys(NUMBERS, np.nan) | fixed for _ in a.estimate]
    if gaps is None:
        result, parts = moments.difference_interval(a, b, margin=margin, bounds=bounds), (a, b)
    else:
        result, parts = moments.paired_interval(gaps, margin=margin, bounds=bounds), (gaps,)
    by_scene = a.scene_means - b.scene_means  # (M, N)
    arrays = (
        *(a.estimate, b.estimate, result.estimate, result.low, result.high, result.variance),
        *(result.df, result.p, result.p_equivalent, effects.cohens_dz(by_scene)),
    )
    numbers = dict(zip(NUMBERS, arrays, strict=True))
    return [
        {name: float(values[k]) for name, values in numbers.items()}
        | fixed
        | {"estimator": estimator_name(bool(result.fallback[k])), "design": design}
        | {"note": limits_note(a.scenes, float(result.variance[k]), a, b)}
        for k, design in enumerate(detection.designs_of(*parts, by_scene=by_scene))
    ]


def mean_row(block: Block, bounds: moments.Bounds | None = None) -> dict[str, Any]:
    """Return the mean of one method, its interval, numbers of trainings and scenes, and a note.

    The limits lie within `bounds`, the smallest and largest value of the metric.
    """
    cells = block.summary()
    result = moments.mean_interval(cells, bounds=bounds)
    return {
        "mean": float(result.estimate),
        "ci_low": float(result.low),
        "ci_high": float(result.high),
        "df": float(result.df),
        "n_seeds": cells.n_trainings,
        "n_scenes": cells.scenes,
        "question": moments.question_of(cells),
        "estimator": estimator_name(bool(result.fallback)),
        "note": limits_note(cells.scenes, float(result.variance), cells),
    }


def estimator_name(fallback: bool) -> str:
    """Return the interval's name in the column `estimator`."""
    return "two-way moments, fallback" if fallback else "two-way moments"


def limits_note(scenes: int, variance: float, *methods: moments.Cells) -> str:
    """Return why there is no interval, or what it leaves out; "" for a full interval."""
    if scenes == 0:
        return "no scene was scored for every seed"
    if scenes == 1:
        return "no interval: one scene"
    if not variance > 0:
        return "no interval: nothing varies"
    if moments.question_of(*methods) == moments.SCENES:
        return "one seed: scenes only"
    return ""


def improvement(a: Block, b: Block, higher_is_better: bool) -> float:
    """Return the probability of improvement of method a over method b, NaN without shared scenes.

    For a metric pooled over scenes, trainings are compared by their pooled values.
    """
    if a.theta is not None and b.theta is not None:
        return effects.probability_of_improvement(
            a.theta[:, None], b.theta[:, None], higher_is_better
        )
    shared = shared_scenes(a, b)
    if not shared:
        return float("nan")
    return effects.probability_of_improvement(a.over(shared), b.over(shared), higher_is_better)
