"""Ranks and medians of methods over scenes: a question about these checkpoints, not trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from metrics.statistics import resampling
from metrics.statistics.moments import SCENES
from metrics.statistics.table import Block

COLUMNS = [
    *("split", "subset", "metric", "method", "mean_rank", "critical_difference", "friedman_chi2"),
    *("friedman_p", "rank", "rank_low", "rank_high", "share_best", "median", "median_low"),
    *("median_high", "n_methods", "n_scenes", "question", "note"),
]


@dataclass(frozen=True)
class Friedman:
    """Mean ranks [k] (1 is best), Friedman's chi-square, Iman and Davenport's F, and both p."""

    mean_ranks: np.ndarray
    chi_square: float
    p: float
    f: float
    f_p: float


def friedman(
    scores: np.ndarray, higher_is_better: bool = True, correct_ties: bool = True
) -> Friedman:
    """Return Friedman's test of scores [N, k]: N scenes (blocks), k >= 3 methods on each.

    chi2 = 12 N / (k (k + 1)) (sum of squared mean ranks - k (k + 1)^2 / 4), divided by the share
    of rank variance that ties leave (Friedman 1937; Conover 1999); without `correct_ties` as
    written by Demsar (2006). F = (N - 1) chi2 / (N (k - 1) - chi2) (Iman and Davenport 1980). NaN
    where every scene ties all methods. Raises ValueError under two scenes or three methods.
    """
    scenes, methods = scores.shape
    if scenes < 2 or methods < 3:
        raise ValueError(f"Friedman's test needs 2 scenes and 3 methods, not {scenes}, {methods}")
    ranks = stats.rankdata(-scores if higher_is_better else scores, axis=1)
    mean = ranks.mean(0)
    constant = methods * (methods + 1) / 12
    chi2 = scenes / constant * (np.square(mean).sum() - methods * (methods + 1) ** 2 / 4)
    if correct_ties:
        left = np.square(ranks - (methods + 1) / 2).sum() / (scenes * (methods - 1) * constant)
        chi2 = chi2 / left if left > 0 else np.nan
    df = methods - 1
    rest = scenes * df - chi2
    f = (scenes - 1) * chi2 / rest if rest > 0 else np.inf if rest <= 0 else np.nan
    f_p = stats.f.sf(f, df, df * (scenes - 1))
    return Friedman(mean, float(chi2), float(stats.chi2.sf(chi2, df)), float(f), float(f_p))


def critical_difference(methods: int, scenes: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks: q sqrt(k (k + 1) / (6 N)).

    q is the studentized range's upper quantile over sqrt(2) (Nemenyi 1963; Demsar 2006).

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    q = stats.studentized_range.isf(alpha, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * scenes)))


def bootstrap_ranks(
    scene_means: np.ndarray, higher_is_better: bool = True, draws: int = resampling.DRAWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return low [k], high [k] of each method's rank by its mean over scenes, and share best [k].

    `scene_means` [k, N]; scenes are resampled jointly for all methods, limits are percentiles.
    """
    scenes = scene_means.shape[-1]
    # One unit for all methods, so that equal means tie exactly.
    held, _ = resampling.whole(scene_means.ravel(), scenes)
    totals = resampling.counts(scenes, draws) @ held.reshape(scene_means.shape).T
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
    """Return a row a method of one metric: ranks, Friedman's test, the median; see `COLUMNS`.

    Over the scenes on which every method was scored for every seed. Friedman's test needs three
    methods and two scenes; a pooled metric has ranks by its pseudo-values and no median.
    """
    blocks = {name: block for name, block in blocks.items() if block.scenes}
    if not blocks:
        return []
    shared = sorted(set.intersection(*(set(b.scenes) for b in blocks.values())))
    cells = [block.summary(tuple(shared)) for block in blocks.values()]
    means = np.stack([c.scene_means for c in cells])
    known = len(shared) >= 2 and not descriptive
    pooled = any(c.pooled for c in cells)
    columns: dict[str, Any] = {}
    note = "" if known else "descriptive: no test" if descriptive else "no interval: one scene"
    if known and len(blocks) >= 3:
        found = friedman(means.T, higher_is_better)
        columns["mean_rank"] = found.mean_ranks
        columns["critical_difference"] = critical_difference(*means.shape)
        columns |= {"friedman_chi2": found.chi_square, "friedman_p": found.f_p}
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
        "note": note,
    }
    return [
        fixed | {"method": name} | {column: float(table[column][k]) for column in table}
        for k, name in enumerate(blocks)
    ]
