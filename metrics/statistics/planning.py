"""How many trainings and scenes does a difference need? From scores that are already there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from metrics.files import InputError
from metrics.statistics import effects, moments, pairwise_differences, table

SEEDS = (2, 3, 5, 8, 10, 20)
SCENES = (20, 40, 80, 160, 300, 600, 1000)
COLUMNS = ["seeds", "scenes", "power", "detectable", "enough"]


@dataclass(frozen=True)
class Components:
    """Variances of the difference of two methods that are each trained once on one scene.

    `seed` of the trainings (both methods' summed), `scene` of the methods' scene effects' gap,
    `cell` of what is left of a (training, scene) cell, queries included (summed).
    """

    seed: float
    scene: float
    cell: float


def components(a: moments.Cells, b: moments.Cells) -> Components:
    """Return the variance components of mean(a) - mean(b) by the method of moments.

    s2 of seed means = seed + cell / N, variance of scene gaps = scene + cell_A / S_A + cell_B / S_B
    (expected mean squares of the crossed design; Searle, Casella and McCulloch 1992), none below 0.
    A method with one training adds nothing to `seed`. Raises ValueError with fewer than two scenes.
    """
    if a.scenes != b.scenes or a.scenes < 2:
        raise ValueError("planning needs the same two scenes or more of both methods")
    seed = sum(
        max(float(m.seed_variance) - float(m.residual) / m.scenes, 0.0)
        for m in (a, b)
        if m.seeds > 1
    )
    gaps = float((a.scene_means - b.scene_means).var(ddof=1))
    inside = sum(float(m.residual) / m.seeds for m in (a, b))
    cell = float(a.residual) + float(b.residual)
    return Components(seed, max(gaps - inside, 0.0), cell)


def variance_and_df(parts: Components, seeds: int, scenes: int) -> tuple[float, float]:
    """Return the variance of a difference of such a study, and Satterthwaite's df.

    The terms are the expected ones of `metrics.statistics.moments`; both methods are taken to have
    `seeds` trainings and to share the components evenly.
    """
    inside = parts.cell / (seeds * scenes)
    terms = np.array([parts.seed / seeds + inside, parts.scene / scenes + inside, -inside])
    degrees = np.array([2 * (seeds - 1), scenes - 1, 2 * (seeds - 1) * (scenes - 1)])
    if not terms.any():
        return 0.0, float("inf")
    return float(terms.sum()), float(terms.sum() ** 2 / (np.square(terms) / degrees).sum())


def power(gap: float, parts: Components, seeds: int, scenes: int, alpha: float = 0.05) -> float:
    """Return the chance that the two-sided t test at `alpha` finds a true difference of `gap`.

    Noncentral t; both directions count. NaN where nothing varies. Where the fallback half-width is
    taken (one method carries most of the seed part), the study has somewhat less power.
    """
    variance, df = variance_and_df(parts, seeds, scenes)
    if variance == 0:
        return float("nan")
    limit, shift = stats.t.isf(alpha / 2, df), gap / np.sqrt(variance)
    return effects.upper_tail(limit, df, shift) + effects.upper_tail(limit, df, -shift)


def plan(
    gap: float,
    parts: Components,
    wanted: float = 0.8,
    tests: int = 1,
    seeds: tuple[int, ...] = SEEDS,
    scenes: tuple[int, ...] = SCENES,
) -> pd.DataFrame:
    """Return a row a design (`COLUMNS`): its power for `gap` and whether that is `wanted` or more.

    `tests` is the size of the family: power at the first, strictest step of Holm's procedure. The
    column `detectable` holds the difference that the design would find with the wanted power.
    """
    alpha, rows = 0.05 / tests, []
    for s in seeds:
        for n in scenes:
            reached = power(gap, parts, s, n, alpha)
            variance, df = variance_and_df(parts, s, n)
            found = effects.noncentrality(df, alpha, wanted) * np.sqrt(variance)
            rows.append((s, n, reached, found, bool(reached >= wanted)))
    return pd.DataFrame(rows, columns=COLUMNS)


def from_scores(
    source: str | Path | pd.DataFrame,
    metric: str,
    a: str,
    b: str,
    gap: float,
    split: str = "test_scene",
    subset: str = "all",
    wanted: float = 0.8,
    tests: int = 1,
) -> tuple[Components, pd.DataFrame]:
    """Return the variance components of a against b in scores that are there, and their `plan`.

    `source` as in `metrics.statistics.table.load`. Raises InputError where the table lacks one of
    the names, where fewer than two scenes are shared, or where neither method was trained twice and
    one of them has trainings: the largest component would be unknown.
    """
    if not gap > 0 or not 0 < wanted < 1 or tests < 1:
        raise InputError("plan: the gap must be above 0, the power between 0 and 1, the tests >= 1")
    key = (split, subset, metric)
    found = {k: blocks for k, blocks in table.blocks(table.load(source)) if k == key}
    if key not in found:
        raise InputError(f"{source}: has no {metric} on {split} ({subset}); name one that it has")
    lacking = [name for name in (a, b) if name not in found[key]]
    if lacking:
        names = ", ".join(found[key])
        raise InputError(f"{source}: {metric} has no {lacking[0]}; methods are {names}")
    first, second = (found[key][name] for name in (a, b))
    shared = pairwise_differences.shared_scenes(first, second)
    if len(shared) < 2:
        raise InputError(f"{source}: {a} and {b} share {len(shared)} scenes; planning needs two")
    cells = [block.summary(shared) for block in (first, second)]
    if any(m.has_trainings for m in cells) and all(m.seeds < 2 for m in cells):
        raise InputError(f"{source}: one training each of {a} and {b}; train one of them twice")
    parts = components(*cells)
    return parts, plan(gap, parts, wanted, tests)


def told(parts: Components, designs: pd.DataFrame, gap: float, wanted: float) -> str:
    """Return the components as standard deviations, and the power of every design, as text."""
    sizes = ", ".join(
        f"{name} {np.sqrt(getattr(parts, name)):.4f}" for name in ("seed", "scene", "cell")
    )
    grid = designs.pivot(index="seeds", columns="scenes", values="power")
    lines = [
        f"Standard deviations of the difference: {sizes}",
        f"Power to find {gap:g}, by trainings (down) and scenes (across):",
        grid.to_string(float_format=lambda value: f"{value:.2f}"),
    ]
    enough = designs[designs["enough"]]
    least = enough.sort_values(["seeds", "scenes"])
    if least.empty:
        lines.append(f"No design here reaches a power of {wanted:g}.")
    else:
        row = least.iloc[0]
        lines.append(
            f"Fewest trainings for a power of {wanted:g}: {row['seeds']:.0f}, with "
            f"{row['scenes']:.0f} scenes."
        )
    return "\n".join(lines)
