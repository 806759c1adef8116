"""Metrics that pool counts over a split, and their jackknife pseudo-values by scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FEWEST_TRIPLETS = 20


@dataclass(frozen=True)
class PooledValue:
    """theta over the whole split, and one pseudo-value a scene f64 [N]: N theta - (N-1) theta(-j).

    The mean of pseudo-values is the bias-corrected estimate; their spread gives the interval
    (Tukey 1958; Miller 1974). `over` is the statistic itself, of bool [N]: which scenes take part.
    """

    theta: float
    pseudo: np.ndarray
    over: Callable[[np.ndarray], float]


def jackknife(statistic: Callable[[np.ndarray], float], scenes: int) -> PooledValue:
    """Return theta and pseudo-values of a statistic of which scenes take part.

    Args:
        statistic: takes bool [scenes] and returns a finite number.
        scenes: N; with one scene the pseudo-value is theta itself.

    >>> jackknife(lambda keep: float(np.array([1.0, 2.0, 6.0])[keep].mean()), 3).pseudo
    array([1., 2., 6.])
    """
    everything = np.ones(scenes, bool)
    theta = statistic(everything)
    if scenes == 1:
        return PooledValue(theta, np.array([theta]), statistic)
    without = np.empty(scenes)
    for scene in range(scenes):
        keep = everything.copy()
        keep[scene] = False
        without[scene] = statistic(keep)
    return PooledValue(theta, scenes * theta - (scenes - 1) * without, statistic)


def fixed_set(counts: dict[str, int], fewest: int = FEWEST_TRIPLETS) -> tuple[list[str], int]:
    """Return the names a split's macro mean runs over, sorted, and the least count that was asked.

    Names with at least `fewest` true items; where a split is so small that none has, those with
    at least one.

    >>> fixed_set({"on": 30, "near": 3})
    (['on'], 20)
    """
    often = sorted(name for name, count in counts.items() if count >= fewest)
    if often:
        return often, fewest
    return sorted(name for name, count in counts.items() if count > 0), 1


def macro(values: np.ndarray, weights: np.ndarray) -> float:
    """Mean of values / weights over the last axis where weights > 0; 0 when there are none.

    Args:
        values, weights: f64 [K], such as the sums of q and TP + FP/2 + FN/2 of K predicates.
    """
    there = weights > 0
    return float((values[there] / weights[there]).mean()) if there.any() else 0.0
