"""Sizes beside the p-values: d_z, probability of improvement, detectable effect, tie letters."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import optimize, stats
from scipy.special import stdtrit

MOST_LETTERED = 40
# Beside shifts from here on the numerator's own noise is nothing; and far out, with few degrees of
# freedom in a large family, SciPy's series for the noncentral tail no longer converges.
FAR = 1000.0


def cohens_dz(by_scene: np.ndarray) -> np.ndarray:
    """Return mean / standard deviation of paired scene differences [..., N] (Cohen 1988).

    >>> round(float(cohens_dz(np.array([1.0, 2.0, 3.0]))), 3)
    2.0
    """
    by_scene = np.asarray(by_scene, dtype=np.float64)
    if by_scene.shape[-1] < 2:
        return np.full(by_scene.shape[:-1], np.nan)
    spread = by_scene.std(-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, by_scene.mean(-1) / spread, np.nan)


def probability_of_improvement(
    a: np.ndarray, b: np.ndarray, higher_is_better: bool = True
) -> float:
    """Return how often a training of A beats one of B on the same scene, ties counted half.

    `a` [S_A, N], `b` [S_B, N]; the mean over scenes and pairs of trainings (Agarwal et al. 2021).

    >>> probability_of_improvement(np.array([[2.0, 2.0]]), np.array([[1.0, 2.0]]))
    0.75
    """
    gap = np.asarray(a)[:, None, :] - np.asarray(b)[None, :, :]
    wins = np.mean(gap > 0) if higher_is_better else np.mean(gap < 0)
    return float(wins + 0.5 * np.mean(gap == 0))


def upper_tail(limit: float, df: float, shift: float) -> float:
    """Return the chance that a t statistic whose numerator is shifted lies above `limit` > 0."""
    if abs(shift) > FAR:
        return float(stats.chi2.cdf(df * (max(shift, 0.0) / limit) ** 2, df))
    return float(stats.nct.sf(limit, df, shift))


@lru_cache(maxsize=4096)
def noncentrality(df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the effect, in standard errors, that a two-sided t test at `alpha` finds with `power`.

    Root of the noncentral t's upper tail beyond the critical value (Cohen 1988).
    """
    if df > 2000:
        return float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power))
    limit = stats.t.isf(alpha / 2, df)

    def lack(shift: float) -> float:
        return upper_tail(limit, df, shift) - power

    return float(optimize.brentq(lack, 0.0, 3 * limit + 10.0))


@lru_cache(maxsize=16)
def _ratio_curve(alpha: float, power: float) -> tuple[np.ndarray, np.ndarray]:
    df = np.geomspace(1.0, 2000.0, 32)
    ratio = [noncentrality(float(d), alpha, power) / stats.t.isf(alpha / 2, d) for d in df]
    return np.log(df), np.asarray(ratio)


def detectable(
    half_width: np.ndarray, df: np.ndarray, alpha: float = 0.05, power: float = 0.8
) -> np.ndarray:
    """Return the smallest true difference that a test at `alpha` finds with `power`.

    `half_width` is that of the 95% interval, `df` its degrees of freedom; noncentral t. The ratio
    of effect to half-width is interpolated over log df (error below .2%).
    """
    half_width, df = np.asarray(half_width, np.float64), np.asarray(df, np.float64)
    logs, ratio = _ratio_curve(alpha, power)
    clipped = np.clip(df, 1.0, 2000.0)
    with np.errstate(invalid="ignore"):
        stretch = stdtrit(df, alpha / 2) / stdtrit(df, 0.025)
        return half_width * stretch * np.interp(np.log(clipped), logs, ratio)


def tie_letters(order: list[str], separable: dict[tuple[str, str], bool]) -> dict[str, str]:
    """Return letters such that two methods share one exactly when they are not separable.

    `order` runs from best to worst, so that the best method's group is "a"; `separable` holds each
    pair once, in either order. Insert and absorb (Piepho 2004); over 40 methods, where the groups
    can grow without bound, only the best method's group is marked.
    """

    def apart(first: str, second: str) -> bool:
        return separable.get((first, second), separable.get((second, first), False))

    if len(order) > MOST_LETTERED:
        return {name: "" if apart(order[0], name) else "a" for name in order}
    groups: list[set[str]] = [set(order)] if order else []
    for first, second in combinations(order, 2):
        if not apart(first, second):
            continue
        split: list[set[str]] = []
        for group in groups:
            if first in group and second in group:
                split += [group - {first}, group - {second}]
            else:
                split.append(group)
        groups = [
            g
            for k, g in enumerate(split)
            if not any(g < other or (g == other and j < k) for j, other in enumerate(split))
        ]
    rank = {name: place for place, name in enumerate(order)}
    groups.sort(key=lambda group: sorted(rank[name] for name in group))
    return {
        name: "".join(_letter(k) for k, group in enumerate(groups) if name in group)
        for name in order
    }


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"({index})"
