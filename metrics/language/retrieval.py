"""Cross-modal retrieval with several relevant items a query; ties count against the method."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from metrics.chance import Annotation, ChanceFunction, ChanceValue, scene_mean
from metrics.metric import Comparison, Metric
from metrics.pooled import PooledValue, jackknife

# k of R@k.
RANKS = (1, 5, 10)
KARPATHY = (
    "Karpathy et al. 2015; differs from it in that several items may be relevant and that "
    "irrelevant ones of the same score are ahead"
)


def first_rank(scores: np.ndarray, relevant: np.ndarray) -> int:
    """Return the rank, from 1, of the best relevant item; irrelevant ones of its score are ahead.

    Args:
        scores: [N], larger is better; NaN is an item without a score, which comes last.
        relevant: bool [N] with at least one True.

    Example:
        >>> first_rank(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]))
        2
        >>> first_rank(np.array([np.nan, 1.0, 0.0]), np.array([True, False, False]))
        3
    """
    scores = _unscored_last(scores)
    return 1 + int((scores[~relevant] >= scores[relevant].max()).sum())


def _unscored_last(scores: np.ndarray) -> np.ndarray:
    """Return the scores with -inf for NaN, which no comparison would order."""
    return np.where(np.isnan(scores), -np.inf, scores)


def recall_at(rank: int, k: int) -> float:
    """Return 1 if the best relevant item is among the first k, else 0: R@k of one query.

    Source: Karpathy et al. 2015.

    Example:
        >>> recall_at(5, 5), recall_at(6, 5)
        (1.0, 0.0)
    """
    return float(rank <= k)


def reciprocal_rank(rank: int) -> float:
    """Return 1 / rank of the best relevant item, whose mean over queries is MRR.

    Source: Voorhees 1999.

    Example:
        >>> reciprocal_rank(4)
        0.25
    """
    return 1.0 / rank


def pooled_rank(
    ranks: Sequence[Sequence[int]], average: Callable[[np.ndarray], float]
) -> PooledValue:
    """Return an average over all queries of a split of the rank of the best relevant item.

    Args:
        ranks: of the queries of each scene; every scene has at least one.
        average: `np.mean` for MeanR, `np.median` for MedR.

    Source: Karpathy et al. 2015 (MedR).

    Example:
        >>> pooled_rank([[1, 4, 2], [30, 8]], np.median).theta
        4.0
    """
    owner = np.repeat(np.arange(len(ranks)), [len(of_scene) for of_scene in ranks])  # (Q,)
    flat = np.concatenate([np.asarray(of_scene, float) for of_scene in ranks])  # (Q,)
    return jackknife(lambda keep: float(average(flat[keep[owner]])), len(ranks))


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Return the mean over relevant items of the precision at their rank.

    Irrelevant items of the same score are ahead. Without such ties it is scikit-learn's
    `average_precision_score`.

    Args:
        scores: [N], larger is better; NaN is an item without a score, which comes last.
        relevant: bool [N] with at least one True.

    Source: Manning et al. 2008.

    Example:
        >>> scores, relevant = np.array([3.0, 2.0, 1.0]), np.array([True, False, True])
        >>> average_precision(scores, relevant).__round__(4)
        0.8333
    """
    scores = _unscored_last(scores)
    right = np.sort(scores[relevant])[::-1]  # (R,) best first
    wrong = np.sort(scores[~relevant])
    ahead = len(wrong) - np.searchsorted(wrong, right, side="left")  # (R,) irrelevant ones ahead
    place = np.arange(1, len(right) + 1)
    return float((place / (place + ahead)).mean())


def ranks_reported(gallery: int) -> list[int]:
    """Return the k for which R@k is reported: the gallery must hold at least 10 k items.

    Example:
        >>> ranks_reported(60)
        [1, 5]
    """
    return [k for k in RANKS if gallery >= 10 * k]


class QueryRanking(Comparison):
    """Scores of the items of a gallery for one query next to which of them are relevant.

    Args:
        scores: f32 [N], larger is better; NaN for an item without a score.
        relevant: bool [N] with at least one True.
    """

    def __init__(self, scores: np.ndarray, relevant: np.ndarray) -> None:
        self.scores, self.relevant = scores, relevant

    @cached_property
    def rank(self) -> int:
        """Rank of the best relevant item."""
        return first_rank(self.scores, self.relevant)


class SplitRanks(Comparison):
    """Ranks of the best relevant items of a split's queries.

    Args:
        ranks: of the queries of each scene that has any; a query that failed has the size of the
            gallery.
    """

    def __init__(self, ranks: Sequence[Sequence[int]]) -> None:
        self.ranks = ranks


def first_rank_distribution(gallery: int, relevant: int) -> np.ndarray:
    """Return the probability that the best relevant item of a random order has rank 1, 2, ...

    Negative hypergeometric: P(first > k) = C(gallery - relevant, k) / C(gallery, k).
    Returns f64 [gallery - relevant + 1].
    """
    ranks = np.arange(gallery - relevant + 1)
    later = np.cumprod((gallery - relevant - ranks) / (gallery - ranks))
    return -np.diff(np.concatenate([[1.0], later]))


def chance_of_recall(gallery: int, relevant: int, k: int) -> ChanceValue:
    """Return the expected `recall_at` k of a random order.

    Example:
        >>> chance_of_recall(10, 1, 5).mean
        0.5
    """
    share = float(first_rank_distribution(gallery, relevant)[:k].sum())
    return ChanceValue(share, math.sqrt(max(share * (1.0 - share), 0.0)))


def chance_of_reciprocal_rank(gallery: int, relevant: int) -> ChanceValue:
    """Return the expected `reciprocal_rank` of a random order.

    Example:
        >>> round(chance_of_reciprocal_rank(2, 1).mean, 3)
        0.75
    """
    probabilities = first_rank_distribution(gallery, relevant)
    values = 1.0 / np.arange(1, len(probabilities) + 1)
    mean = float(probabilities @ values)
    return ChanceValue(mean, math.sqrt(max(float(probabilities @ values**2) - mean**2, 0.0)))


def chance_of_average_precision(gallery: int, relevant: int) -> ChanceValue:
    """Return the expected `average_precision` of a random order.

    E[AP] = (H_n + (r - 1) / (n - 1) (n - H_n)) / n for r relevant items among n. The spread is
    the largest that a value in [0, 1] of this mean can have (Bhatia and Davis 2000).

    Source: Bestgen 2015, eq. 4.

    Example:
        >>> chance_of_average_precision(1, 1).mean
        1.0
    """
    harmonic = float(np.sum(1.0 / np.arange(1, gallery + 1)))
    further = (relevant - 1) / (gallery - 1) if gallery > 1 else 0.0
    mean = (harmonic + further * (gallery - harmonic)) / gallery
    return ChanceValue(mean, math.sqrt(max(mean * (1.0 - mean), 0.0)))


# Size of the gallery, and how many of its items are relevant to each query, scene by scene.
Relevance = tuple[int, list[list[int]]]


def _texts_to_scenes(annotations: Sequence[Annotation]) -> Relevance:
    return len(annotations), [
        [len(names) for names in line["relevance"].values()] for line in annotations
    ]


def _scenes_to_texts(annotations: Sequence[Annotation]) -> Relevance:
    texts = [names for line in annotations for names in line["relevance"].values()]
    of_scene = Counter(name for names in texts for name in set(names))
    return len(texts), [[of_scene[line["scene"]]] for line in annotations]


def _phrases_to_objects(annotations: Sequence[Annotation]) -> Relevance:
    objects = sum(len(line["given"]) for line in annotations)
    return objects, [
        [len(names) for names in line["phrase_relevance"].values()] for line in annotations
    ]


def _chance(
    count: Callable[[Sequence[Annotation]], Relevance],
    of_query: Callable[[int, int], ChanceValue],
    smallest: int = 0,
) -> ChanceFunction:
    """Return the expected score of a random order; {} for a gallery below `smallest`."""

    def chance(annotations: Sequence[Annotation]) -> dict[str, ChanceValue]:
        gallery, relevant = count(annotations)
        if gallery < smallest:
            return {}
        mean = scene_mean(
            [of_query(gallery, right) for right in line if right] for line in relevant
        )
        return {} if mean is None else {"all": mean}

    return chance


def _direction(
    name: str, task: str, count: Callable[[Sequence[Annotation]], Relevance]
) -> Iterable[Metric]:
    """Yield the metrics of one kind of query against one kind of gallery.

    Those of queries read a `QueryRanking`; MedR and MeanR read the `SplitRanks`.
    """
    facts: dict[str, Any] = {"family": "retrieval", "task": task, "gallery": True}
    yield Metric(
        name=f"{name}_mrr",
        input=name,
        compute=lambda query: reciprocal_rank(query.rank),
        description="1 / rank of the first relevant item, ties behind",
        source="Voorhees 1999; differs from TREC-8 in that ranks beyond 5 count and that "
        "irrelevant items of the same score are ahead",
        query_mean=True,
        chance=_chance(count, chance_of_reciprocal_rank),
        **facts,
    )
    for tag, average, word in (("medr", np.median, "median"), ("meanr", np.mean, "mean")):
        yield Metric(
            name=f"{name}_{tag}",
            input=f"{name}_ranks",
            compute=lambda split, average=average: pooled_rank(split.ranks, average),
            description=f"{word} over all queries of the split of the rank of the first relevant "
            "item, ties behind",
            source=KARPATHY if tag == "medr" else f"MedR with the mean in its place: {KARPATHY}",
            unit="rank",
            higher_is_better=False,
            low=1.0,
            high=None,
            pooled=True,
            smooth=tag != "medr",
            **facts,
        )
    for k in RANKS:
        yield Metric(
            name=f"{name}_r@{k}",
            input=name,
            compute=lambda query, k=k: recall_at(query.rank, k),
            description=f"a relevant item among the first {k}, ties behind",
            source=KARPATHY,
            query_mean=True,
            applies=lambda query, k=k: k in ranks_reported(len(query.scores)),
            optional=True,
            chance=_chance(
                count,
                lambda gallery, right, k=k: chance_of_recall(gallery, right, k),
                smallest=10 * k,
            ),
            **facts,
        )


METRICS = (
    *_direction("text_to_scene", "retrieval", _texts_to_scenes),
    *_direction("scene_to_text", "retrieval", _scenes_to_texts),
    *_direction("probed_text_to_scene", "probed_retrieval", _texts_to_scenes),
    *_direction("grounding_retrieval", "grounding_retrieval", _phrases_to_objects),
    Metric(
        name="grounding_retrieval_map",
        family="retrieval",
        task="grounding_retrieval",
        input="grounding_retrieval",
        compute=lambda query: average_precision(query.scores, query.relevant),
        description="mean over relevant objects of precision at their rank, ties behind",
        source="Manning et al. 2008; differs from it in that irrelevant objects of the same score "
        "are ahead",
        query_mean=True,
        gallery=True,
        chance=_chance(_phrases_to_objects, chance_of_average_precision),
    ),
)
