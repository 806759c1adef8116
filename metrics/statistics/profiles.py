"""Performance profiles: the share of scenes on which a method reaches each score."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.statistics import moments
from metrics.statistics.table import Block

COLUMNS = [
    *("split", "metric", "method", "threshold", "share", "ci_low", "ci_high", "n_seeds"),
    *("n_scenes", "question"),
]
STEPS = 41


def thresholds(values: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Return up to `steps` increasing thresholds for scores [n]: 0 to 1, else their quantiles."""
    if values.min() >= 0 and values.max() <= 1:
        return np.linspace(0, 1, steps)
    return np.unique(np.quantile(values, np.linspace(0, 1, steps)))


def profile(
    cells: np.ndarray, at: np.ndarray, higher_is_better: bool = True, stochastic: bool = True
) -> moments.Interval:
    """Return the share [T] of cells [S, N] at least (at most, where lower is better) `at` [T].

    Score distributions of Dolan and More (2002) as Agarwal et al. (2021) use them; limits are the
    two-way moments of the indicator, pointwise, cut to [0, 1].
    """
    cells, at = np.asarray(cells), np.asarray(at)[:, None, None]
    reached = (cells >= at if higher_is_better else cells <= at).astype(np.float64)
    return moments.one(moments.summarise(reached, stochastic=stochastic))


def profile_rows(
    key: tuple[str, str, str], blocks: dict[str, Block], higher_is_better: bool
) -> list[dict[str, Any]]:
    """Return a row a method and threshold; see `COLUMNS`. Pooled metrics have no profile."""
    blocks = {n: b for n, b in blocks.items() if b.scenes and b.theta is None}
    if not blocks:
        return []
    at = thresholds(np.concatenate([b.values.ravel() for b in blocks.values()]))
    rows = []
    for name, block in blocks.items():
        found = profile(block.values, at, higher_is_better, block.stochastic)
        low, high = np.clip(found.low, 0, 1), np.clip(found.high, 0, 1)
        fixed = {
            "split": key[0],
            "metric": key[2],
            "method": name,
            "n_seeds": len(block.seeds) if block.stochastic else 0,
            "n_scenes": len(block.scenes),
            "question": moments.question_of(block.summary()),
        }
        rows += [
            fixed
            | {"threshold": float(at[k]), "share": float(found.estimate[k])}
            | {"ci_low": float(low[k]), "ci_high": float(high[k])}
            for k in range(len(at))
        ]
    return rows
