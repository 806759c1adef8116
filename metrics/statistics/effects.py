"""Effect sizes: d_z, probability of improvement, minimum detectable effect, tie letters."""

from functools import lru_cache
from itertools import combinations
from string import ascii_lowercase

import numpy as np
from scipy import optimize, stats
from scipy.special import stdtrit

# Level of every test.
ALPHA = 0.05
MOST_LETTERED = 40
# Above this shift the numerator's own noise (standard deviation 1) can be neglected, and SciPy's
# series for the tail of the noncentral t stops converging.
FAR = 1000.0


def cohens_dz(by_scene: np.ndarray) -> np.ndarray:
    """Return Cohen's d_z, mean / standard deviation of paired differences.

    Args:
        by_scene: f64 [..., N], difference of two methods on each scene.

    Returns:
        f64 [...], NaN with one scene or where nothing varies.

    Example:
        >>> round(float(cohens_dz(np.array([1.0, 2.0, 3.0]))), 3)
        2.0

    Source: Cohen, Statistical power analysis, 1988.
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

    Args:
        a: f64 [S_A, N], scores of A's trainings on each scene.
        b: f64 [S_B, N], of B's on the same scenes.
        higher_is_better: direction of the metric.

    Returns:
        The mean over scenes and pairs of trainings.

    Example:
        >>> probability_of_improvement(np.array([[2.0, 2.0]]), np.array([[1.0, 2.0]]))
        0.75

    Source: Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice,
        2021.
    """
    gap = np.asarray(a)[:, None, :] - np.asarray(b)[None, :, :]  # (S_A, S_B, N)
    wins = np.mean(gap > 0) if higher_is_better else np.mean(gap < 0)
    return float(wins + 0.5 * np.mean(gap == 0))


def upper_tail(limit: float, df: float, shift: float) -> float:
    """Return the probability that a noncentral t statistic exceeds `limit` > 0.

    The statistic is (z + shift) / sqrt(chi2 / df), with z standard normal.
    """
    if abs(shift) > FAR:
        # Without z the statistic exceeds the limit where chi2 < df (shift / limit)^2.
        return float(stats.chi2.cdf(df * (max(shift, 0.0) / limit) ** 2, df))
    return float(stats.nct.sf(limit, df, shift))


@lru_cache(maxsize=4096)
def noncentrality(df: float, alpha: float = ALPHA, power: float = 0.8) -> float:
    """Return the effect, in standard errors, that a two-sided t test detects with `power`.

    It solves for the shift at which the noncentral t exceeds the critical value of level `alpha`
    with that probability; the other tail is neglected.

    Source: Cohen, Statistical power analysis, 1988.
    """
    if df > 2000:
        return float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power))
    limit = stats.t.isf(alpha / 2, df)
    return float(
        optimize.brentq(lambda shift: upper_tail(limit, df, shift) - power, 0.0, 3 * limit + 10.0)
    )


@lru_cache(maxsize=16)
def _ratio_curve(alpha: float, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log df [32], and detectable effect over critical value [32] at each."""
    df = np.geomspace(1.0, 2000.0, 32)
    ratio = [noncentrality(float(d), alpha, power) / stats.t.isf(alpha / 2, d) for d in df]
    return np.log(df), np.asarray(ratio)


def detectable(
    half_width: np.ndarray, df: np.ndarray, alpha: float = ALPHA, power: float = 0.8
) -> np.ndarray:
    """Return the minimum detectable effect: the true difference that a test detects with `power`.

    The ratio of effect to half-width depends on the degrees of freedom alone. It is interpolated
    over their logarithm with an error below 0.2%, because solving for each pair of a large study
    would take minutes.

    Args:
        half_width: f64 [...], of the 95% interval.
        df: f64 [...], its degrees of freedom.
        alpha: level of the test; `ALPHA` / size at the first step of Holm's procedure.
        power: probability of detection.
    """
    half_width, df = np.asarray(half_width, np.float64), np.asarray(df, np.float64)
    logs, ratio = _ratio_curve(alpha, power)
    clipped = np.clip(df, 1.0, 2000.0)
    with np.errstate(invalid="ignore"):
        # From the critical value of the 95% interval to that of level alpha.
        stretch = stdtrit(df, alpha / 2) / stdtrit(df, 0.025)
        return half_width * stretch * np.interp(np.log(clipped), logs, ratio)


def tie_letters(order: list[str], separable: dict[tuple[str, str], bool]) -> dict[str, str]:
    """Return letters such that two methods share one exactly when they are not separable.

    Over 40 methods the number of groups can grow without bound, so only the best method's group is
    marked.

    Args:
        order: names from best to worst, so that the best method's group is "a".
        separable: each pair once, in either order; missing pairs are not separable.

    Source: Piepho, An algorithm for a letter-based representation of all-pairwise comparisons,
        2004 (insert and absorb).
    """

    def are_separable(first: str, second: str) -> bool:
        return separable.get((first, second), separable.get((second, first), False))

    if len(order) > MOST_LETTERED:
        return {name: "" if are_separable(order[0], name) else "a" for name in order}
    groups: list[set[str]] = [set(order)] if order else []
    for first, second in combinations(order, 2):
        if not are_separable(first, second):
            continue
        # Insert: a group that holds both becomes two, each without one of them.
        split: list[set[str]] = []
        for group in groups:
            both = {first, second} <= group
            split += [group - {first}, group - {second}] if both else [group]
        # Absorb: drop groups that are part of another, and all but the first of equal ones.
        groups = [
            g
            for k, g in enumerate(split)
            if not any(g < other or (g == other and j < k) for j, other in enumerate(split))
        ]
    rank = {name: place for place, name in enumerate(order)}
    groups.sort(key=lambda group: sorted(rank[name] for name in group))
    letters = [*ascii_lowercase, *(f"({index})" for index in range(26, len(groups)))]
    return {
        name: "".join(letters[k] for k, group in enumerate(groups) if name in group)
        for name in order
    }
