"""Cross-modal retrieval with several relevant items a query; ties count against the method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RANKS = (1, 5, 10)


def first_rank(scores: np.ndarray, relevant: np.ndarray) -> int:
    """Return the rank (from 1) of the best relevant item, behind every irrelevant equal.

    Args:
        scores: [N] larger is better; relevant: bool [N] with at least one True.

    >>> first_rank(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]))
    2
    """
    return 1 + int((scores[~relevant] >= scores[relevant].max()).sum())


def recall_at(rank: int, k: int) -> float:
    """1 if the best relevant item is among the first k, else 0: its mean over queries is R@k.

    Higher is better, worst 0; a perfect answer scores 1 (Karpathy et al. 2015).

    >>> recall_at(5, 5), recall_at(6, 5)
    (1.0, 0.0)
    """
    return float(rank <= k)


def reciprocal_rank(rank: int) -> float:
    """1 / rank of the best relevant item: its mean over queries is MRR (Voorhees 1999).

    Higher is better, in (0, 1], 0 for a query that was not answered; a perfect answer scores 1.

    >>> reciprocal_rank(4)
    0.25
    """
    return 1.0 / rank


def median_rank(ranks: Sequence[int]) -> float:
    """Median of the ranks of the best relevant items, one a query. Lower is better, from 1.

    The worst is the size of the gallery; a perfect answer has 1 (Karpathy et al. 2015).

    >>> median_rank([1, 4, 2, 30])
    3.0
    """
    return float(np.median(ranks))


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Mean over relevant items of precision at their rank, equals behind (Manning et al. 2008).

    Higher is better, in (0, 1], 0 for a query that was not answered; a perfect answer scores 1.
    Without ties between relevant and irrelevant items it is scikit-learn's
    `average_precision_score`.

    Args:
        scores: [N]; relevant: bool [N] with at least one True.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])).__round__(4)
    0.8333
    """
    mine = np.sort(scores[relevant])[::-1]
    others = np.sort(scores[~relevant])
    ahead = len(others) - np.searchsorted(others, mine, side="left")
    place = np.arange(1, len(mine) + 1)
    return float((place / (place + ahead)).mean())


def ranks_reported(gallery: int) -> list[int]:
    """Return the k for which R@k is reported: the gallery must hold at least 10 k items.

    >>> ranks_reported(60)
    [1, 5]
    """
    return [k for k in RANKS if gallery >= 10 * k]
