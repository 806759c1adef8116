"""How many trainings and scenes does a difference need? From scores that are already there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from metrics.statistics import effects, moments

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

    Both methods are taken to share the components evenly.
    """
    terms = np.array([parts.seed / seeds, parts.scene / scenes, parts.cell / (seeds * scenes)])
    degrees = np.array([2 * (seeds - 1), scenes - 1, 2 * (seeds - 1) * (scenes - 1)])
    if not terms.any():
        return 0.0, float("inf")
    return float(terms.sum()), float(terms.sum() ** 2 / (np.square(terms) / degrees).sum())


def power(gap: float, parts: Components, seeds: int, scenes: int, alpha: float = 0.05) -> float:
    """Return the chance that the two-sided t test at `alpha` finds a true difference of `gap`.

    Noncentral t; both directions count. NaN where nothing varies.
    """
    variance, df = variance_and_df(parts, seeds, scenes)
    if variance == 0:
        return float("nan")
    limit, shift = stats.t.isf(alpha / 2, df), gap / np.sqrt(variance)
    return float(stats.nct.sf(limit, df, shift) + stats.nct.cdf(-limit, df, shift))


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
