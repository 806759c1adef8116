"""Effect sizes: d_z, probability of improvement, and tie letters."""

from itertools import combinations
from string import ascii_lowercase

import numpy as np

# Level of every test.
ALPHA = 0.05
MOST_LETTERED = 40


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
