"""Performance profiles: the share of scenes on which a method reaches each score."""

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
    """Return up to `steps` increasing thresholds for scores f64 [n].

    They are evenly spaced from 0 to 1 where all scores lie there, otherwise the scores' quantiles.
    """
    if values.min() >= 0 and values.max() <= 1:
        return np.linspace(0, 1, steps)
    return np.unique(np.quantile(values, np.linspace(0, 1, steps)))


def profile(
    cells: np.ndarray, at: np.ndarray, higher_is_better: bool = True, stochastic: bool = True
) -> moments.Interval:
    """Return the share of a method's cells that reach each threshold, with pointwise limits.

    Args:
        cells: f64 [S, N].
        at: f64 [T], thresholds; a cell reaches one from above, or from below where lower is better.
        higher_is_better: direction of the metric.
        stochastic: False for a method without randomness.

    Returns:
        The interval [T] of the indicator by two-way moments; the limits may leave [0, 1].

    Source: Dolan and More, Benchmarking optimization software with performance profiles, 2002;
        Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, 2021.
    """
    cells, at = np.asarray(cells), np.asarray(at)[:, None, None]
    reached = (cells >= at if higher_is_better else cells <= at).astype(np.float64)  # (T, S, N)
    return moments.mean_interval(moments.summarise(reached, stochastic=stochastic))


def profile_rows(
    key: tuple[str, str, str], blocks: dict[str, Block], higher_is_better: bool
) -> list[dict[str, Any]]:
    """Return a row (`COLUMNS`) for each method and threshold of one metric.

    Pooled metrics have no score a scene, hence no profile.

    Args:
        key: split, subset and metric.
        blocks: cells of each method, all with scenes.
        higher_is_better: direction of the metric.
    """
    blocks = {name: block for name, block in blocks.items() if block.theta is None}
    if not blocks:
        return []
    at = thresholds(np.concatenate([b.values.ravel() for b in blocks.values()]))
    rows = []
    for name, block in blocks.items():
        share = profile(block.values, at, higher_is_better, block.stochastic)
        low, high = np.clip(share.low, 0, 1), np.clip(share.high, 0, 1)
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
            | {"threshold": float(at[k]), "share": float(share.estimate[k])}
            | {"ci_low": float(low[k]), "ci_high": float(high[k])}
            for k in range(len(at))
        ]
    return rows
