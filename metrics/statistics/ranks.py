"""Ranks and medians of methods over scenes. They describe these checkpoints, not new trainings."""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from metrics.statistics import resampling
from metrics.statistics.effects import ALPHA
from metrics.statistics.moments import SCENES
from metrics.statistics.table import Block

COLUMNS = [
    *("split", "subset", "metric", "method", "mean_rank", "critical_difference", "friedman_chi2"),
    *("friedman_p", "rank", "rank_low", "rank_high", "share_best", "median", "median_low"),
    *("median_high", "n_methods", "n_scenes", "question", "note"),
]


def friedman(scores: np.ndarray, higher_is_better: bool = True) -> dict[str, Any]:
    """Return Friedman's test of whether methods differ in rank over scenes.

    chi2 = 12 N / (k (k + 1)) (sum of squared mean ranks - k (k + 1)^2 / 4), divided by the share of
    rank variance that ties leave; F = (N - 1) chi2 / (N (k - 1) - chi2).

    Args:
        scores: f64 [N, k], N scenes and k >= 3 methods.
        higher_is_better: direction of the metric.

    Returns:
        `mean_rank` f64 [k] (1 is best), `friedman_chi2`, and `friedman_p`, which is that of F; both
        are NaN where every scene ties all methods.

    Raises:
        ValueError: there are fewer than two scenes or three methods.

    Source: Friedman, The use of ranks to avoid the assumption of normality, 1937; Conover,
        Practical nonparametric statistics, 1999 (ties); Iman and Davenport, Approximations of the
        critical region of the Friedman statistic, 1980 (F).
    """
    scenes, methods = scores.shape
    if scenes < 2 or methods < 3:
        raise ValueError(f"Friedman's test needs 2 scenes and 3 methods, not {scenes}, {methods}")
    ranks = stats.rankdata(-scores if higher_is_better else scores, axis=1)  # (N, k)
    mean = ranks.mean(0)  # (k,)
    # Variance of one rank without ties: (k^2 - 1) / 12 = constant * (k - 1) / k.
    constant = methods * (methods + 1) / 12
    chi2 = scenes / constant * (np.square(mean).sum() - methods * (methods + 1) ** 2 / 4)
    left = np.square(ranks - (methods + 1) / 2).sum() / (scenes * (methods - 1) * constant)
    chi2 = chi2 / left if left > 0 else np.nan
    df = methods - 1
    rest = scenes * df - chi2
    f = (scenes - 1) * chi2 / rest if rest > 0 else np.inf if rest <= 0 else np.nan
    return {
        "mean_rank": mean,
        "friedman_chi2": float(chi2),
        "friedman_p": float(stats.f.sf(f, df, df * (scenes - 1))),
    }


def critical_difference(methods: int, scenes: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of mean ranks: q sqrt(k (k + 1) / (6 N)).

    q is the upper quantile of the studentized range of k means, over sqrt(2).

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25

    Source: Demsar, Statistical comparisons of classifiers over multiple data sets, 2006.
    """
    return float(_nemenyi_q(methods, alpha) * np.sqrt(methods * (methods + 1) / (6 * scenes)))


@lru_cache
def _nemenyi_q(methods: int, alpha: float) -> float:
    """Return the upper quantile of the studentized range of k means, over sqrt(2)."""
    # A root of a numerical integral: too slow to be found again for each metric.
    return stats.studentized_range.isf(alpha, methods, np.inf) / np.sqrt(2)


def bootstrap_ranks(
    scene_means: np.ndarray, higher_is_better: bool = True, draws: int = resampling.DRAWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bootstrap limits of each method's rank by its mean over scenes.

    Scenes are resampled jointly for all methods.

    Args:
        scene_means: f64 [k, N].
        higher_is_better: direction of the metric.
        draws: number of bootstrap draws.

    Returns:
        low, high: f64 [k], 95% percentile limits of the rank; share of the draws f64 [k] in which
        the method is best, ties shared evenly.
    """
    scenes = scene_means.shape[-1]
    # One unit for all methods, so that equal means tie exactly.
    integers, _ = resampling.to_integers(scene_means.ravel(), scenes)
    totals = resampling.counts(scenes, draws) @ integers.reshape(scene_means.shape).T  # (draws, k)
    ranks = stats.rankdata(-totals if higher_is_better else totals, axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0)
    best = ranks == ranks.min(1, keepdims=True)
    return low, high, (best / best.sum(1, keepdims=True)).mean(0)


def rank_rows(
    key: tuple[str, str, str],
    blocks: dict[str, Block],
    higher_is_better: bool,
    descriptive: bool = False,
) -> list[dict[str, Any]]:
    """Return a row (`COLUMNS`) for each method of one metric: ranks, Friedman's test, the median.

    Only scenes on which every method was scored for every seed count. Friedman's test needs three
    methods and two scenes. A pooled metric is ranked by its pseudo-values and has no median.

    Args:
        key: split, subset and metric.
        blocks: cells of each method, all with scenes.
        higher_is_better: direction of the metric.
        descriptive: True leaves out tests and limits, for a split with too few scenes.
    """
    if not blocks:
        return []
    shared = sorted(set.intersection(*(set(b.scenes) for b in blocks.values())))
    cells = [block.summary(tuple(shared)) for block in blocks.values()]
    means = np.stack([c.scene_means for c in cells])  # (k, N)
    known = len(shared) >= 2 and not descriptive
    pooled = any(c.pooled for c in cells)
    columns: dict[str, Any] = {}
    why_not = "descriptive: no test" if descriptive else "no interval: one scene"
    if known and len(blocks) >= 3:
        columns = friedman(means.T, higher_is_better)
        columns["critical_difference"] = critical_difference(*means.shape)
    if known:
        low, high, best = bootstrap_ranks(means, higher_is_better)
        columns |= {"rank_low": low, "rank_high": high, "share_best": best}
    if shared:
        level = np.array([c.estimate for c in cells]) if pooled else means.mean(-1)
        columns["rank"] = stats.rankdata(-level if higher_is_better else level)
    if shared and not pooled:
        columns["median"] = np.median(means, axis=-1)
        if known:
            columns["median_low"], columns["median_high"] = resampling.median_limits(means)
    table = {name: np.broadcast_to(values, len(blocks)) for name, values in columns.items()}
    fixed = dict(zip(("split", "subset", "metric"), key, strict=True)) | {
        "n_methods": len(blocks),
        "n_scenes": len(shared),
        "question": SCENES,
        "note": "" if known else why_not,
    }
    return [
        fixed | {"method": name} | {column: float(table[column][k]) for column in table}
        for k, name in enumerate(blocks)
    ]
