"""Recall of ranked triplets, of detected and of given objects, and SPQ of given objects.

Among equal scores false triplets are ahead of true ones, so recall does not depend on how a
submission numbers its objects. True ones follow in the order of the truth's own objects.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.metric import Comparison, Metric
from metrics.pooled import FEWEST_ITEMS, FIXED_SET, PooledValue, jackknife, macro
from metrics.scene_graph.predicates import FAMILY_OF, MUTUAL, NONE
from metrics.scene_graph.spq import (
    OWN,
    GraphComparison,
    GraphCounts,
    GraphTruth,
    RelationComparison,
    Triplet,
    fold,
    graph_counts,
    match_to_truth,
    pooled_spq,
    predicate_sets,
)

RANKS = (20, 50)
GIVEN_RANKS = (50, 100)


def given_counts(
    truth: GraphTruth, gt_objects: Sequence[int], pairs: dict[tuple[int, int], dict[str, str]]
) -> GraphCounts:
    """Count a scene's given-object relations as SPQ does; every quality is 1.

    Args:
        truth: the scene's graph, its nodes in the order of `gt_objects`.
        gt_objects: indices of the given objects.
        pairs: {(i, j): {family: predicate or "none"}} over given objects.
    """
    place = {index: position for position, index in enumerate(gt_objects)}
    triplets = [
        (place[i], name, place[j])
        for (i, j), families in pairs.items()
        for name in families.values()
        if name != NONE and i in place and j in place
    ]
    # Each true box is its own prediction and the only object of its class, so it matches itself.
    objects = [
        {"box": box, "class": f"object {position}"} for position, box in enumerate(truth.boxes)
    ]
    names = [item["class"] for item in objects]
    return graph_counts(
        GraphTruth(truth.boxes, names, truth.void_boxes, truth.triplets, truth.void),
        objects,
        triplets,
        0.5,
    )


def ranked_triplets(
    truth: GraphTruth,
    objects: Sequence[dict[str, Any]],
    triplets: Iterable[tuple[int, str, int, float]],
) -> list[Triplet]:
    """Return predicted triplets best first, over the true objects that theirs were matched to.

    One predicate counts for a pair and family (the graph constraint of Xu et al. 2017), among equal
    scores a false one. Void pairs and objects over void ones take no place in the ranking. Ends
    without a match get numbers from
    `len(truth.boxes)` on, so that no true triplet equals theirs.

    Args:
        truth: the scene's graph.
        objects: {"box", "class"} of the predicted objects, matched at IoU > 0.5.
        triplets: (subject, predicate, object, score) over `objects`.
    """
    matching = match_to_truth(truth, objects, 0.5)
    node, total = matching.nodes, len(truth.boxes)
    folds = ((fold((node[row[0]], row[1], node[row[2]])), row[3]) for row in triplets)
    ranked: list[Triplet] = []
    taken: set[tuple[int, int, str]] = set()
    for _, _, (first, folded, second) in sorted(_rank_key(truth, *item) for item in folds):
        family = FAMILY_OF[folded]
        # Both orders of a pair are one choice, unless they are two separate facts.
        pair = (first, second) if family in MUTUAL else (min(first, second), max(first, second))
        slot = (*pair, family)
        unmatched = [end - total for end in (first, second) if end >= total]
        excused = unmatched and all(matching.excused[end] for end in unmatched)
        if slot in taken or excused or (first, second, family) in truth.void:
            continue
        taken.add(slot)
        ranked.append((first, folded, second))
    return ranked


def _rank_key(truth: GraphTruth, triplet: Triplet, score: float) -> tuple[float, bool, Triplet]:
    """Return the sort key of a folded triplet: by falling score, then false before true."""
    return -score, triplet in truth.triplets, triplet


def triplet_recall(truth: GraphTruth, ranked: Sequence[Triplet], k: int) -> float | None:
    """Return the share of true triplets among the first `k`, of min(k, true triplets).

    Args:
        truth: the scene's graph.
        ranked: what `ranked_triplets` or `ranked_given_triplets` returns.
        k: rank.

    Returns:
        None for a scene without true triplets.

    Source: Recall@K (Lu et al. 2016), which differs in dividing by all true triplets.

    Example:
        >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
        ...                    frozenset({(0, "near", 1), (0, "left", 1)}), frozenset())
        >>> triplet_recall(truth, [(0, "near", 1), (1, "larger", 0)], 20)
        0.5
    """
    if not truth.triplets:
        return None
    return len(truth.triplets & set(ranked[:k])) / min(k, len(truth.triplets))


def mean_triplet_recall(
    scenes: Sequence[Sequence[Triplet]], truths: Sequence[GraphTruth], k: int
) -> PooledValue | None:
    """Return the recall among the first `k` of a scene, by predicate, then the mean over them.

    A frequent predicate cannot dominate it. Hits, and min(k, true triplets) of each scene, are
    pooled over the split. One ranking serves all predicates, so a perfect answer scores 1 only
    where scenes have at most `k` true triplets.

    Args:
        scenes: `ranked_triplets` of each scene.
        truths: the graph of each scene.
        k: rank.

    Returns:
        None without predicates (`predicate_sets`).

    Source: mean Recall@K (Tang et al. 2019; Chen et al. 2019), which differs in averaging a
        predicate's recall over scenes and in dividing by all true triplets.

    Example:
        >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
        ...                    frozenset({(0, "near", 1), (0, "left", 1)}), frozenset())
        >>> mean_triplet_recall([[(0, "near", 1)]], [truth], 20).theta
        0.5
    """
    names = predicate_sets(truths).all
    if not names:
        return None
    table = np.zeros((len(scenes), len(names), 2))  # hits, and what could be hit
    for row, ranked, truth in zip(table, scenes, truths, strict=True):
        hits = Counter(name for _, name, _ in truth.triplets & set(ranked[:k]))
        true = Counter(name for _, name, _ in truth.triplets)
        row[:] = [(hits[name], min(k, true[name])) for name in names]
    total = table.sum(axis=0)

    def statistic(keep: np.ndarray) -> float:
        return macro(*table[keep].sum(axis=0).T)

    # Counts are whole numbers, so a difference of sums is the sum of the rest to the bit.
    return jackknife(statistic, len(scenes), lambda scene: macro(*(total - table[scene]).T))


def ranked_given_triplets(
    truth: GraphTruth,
    gt_objects: Sequence[int],
    scored: Iterable[tuple[int, str, int, float]],
) -> list[Triplet]:
    """Return scored triplets of given objects best first, over positions in `truth.boxes`.

    There is no graph constraint, so a pair may take a place with every predicate. Void pairs take
    no place; inverses and repeats count once, with their best score. Equal scores put false
    triplets first.

    Args:
        truth: the scene's graph, its nodes in the order of `gt_objects`.
        gt_objects: indices of the given objects.
        scored: (i, predicate, j, score) over given objects; others are left out.

    Source: this project; differs from Wald et al. 2020 (3DSSG), who rank the triplets of each
        pair of objects by themselves.

    Example:
        >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
        ...                    frozenset(), frozenset())
        >>> ranked_given_triplets(truth, [4, 7], [(4, "right", 7, 0.9), (7, "left", 4, 0.8)])
        [(1, 'left', 0)]
    """
    place = {index: position for position, index in enumerate(gt_objects)}
    best: dict[Triplet, float] = {}
    for i, name, j, score in scored:
        if i in place and j in place and i != j:
            triplet = fold((place[i], name, place[j]))
            if (triplet[0], triplet[2], FAMILY_OF[triplet[1]]) not in truth.void:
                best[triplet] = max(score, best.get(triplet, score))
    return sorted(best, key=lambda triplet: _rank_key(truth, triplet, best[triplet]))


@dataclass(frozen=True)
class RankedScene(Comparison):
    """Ranked triplets of one scene, of detected or of given objects, next to its true graph."""

    truth: GraphTruth
    ranked: Sequence[Triplet]


def _has_triplets(comparison: RankedScene) -> bool:
    return bool(comparison.truth.triplets)


def rankings(comparison: GraphComparison) -> list[list[Triplet]]:
    """Return `ranked_triplets` of each scene."""
    return [ranked_triplets(*scene) for scene in comparison.scenes()]


def given_counts_of(comparison: RelationComparison) -> list[GraphCounts]:
    """Return `given_counts` of each scene."""
    return [
        given_counts(truth, line["given"], answer)
        for truth, line, answer in zip(
            comparison.truths, comparison.annotations, comparison.answers, strict=True
        )
    ]


def spq_given(comparison: RelationComparison, predicates: str) -> PooledValue | None:
    """Return SPQ with objects given, so that every quality is 1, as `spq_at` does."""
    names = comparison.predicates.counted(predicates)
    return pooled_spq(comparison.once(given_counts_of), names)


METRICS = (
    *(
        Metric(
            name=f"triplet_recall@{k}",
            family="graph",
            task="graph",
            input="ranked_scene",
            compute=lambda scene, k=k: triplet_recall(scene.truth, scene.ranked, k),
            description=f"share of true triplets among the {k} best, of min({k}, true), IoU > 0.5, "
            "one predicate a pair and family, equal scores put false triplets first",
            source="Lu et al. 2016 (Recall@K); differs from it in dividing by min(K, true), not by "
            "all true triplets, and in the graph constraint, one predicate for each family",
            applies=_has_triplets,
            optional=True,
            place=60,
        )
        for k in RANKS
    ),
    *(
        Metric(
            name=f"triplet_mean_recall@{k}",
            family="graph",
            task="graph",
            input="graphs",
            compute=lambda c, k=k: mean_triplet_recall(c.once(rankings), c.truths, k),
            description=f"the same by predicate, hits and min({k}, true) pooled, mean over "
            f"predicates with at least {FEWEST_ITEMS} true ones in the split",
            source="Tang et al. 2019 (mean Recall@K); differs from it in pooling over scenes "
            "before the mean over predicates and in dividing by min(K, true)",
            pooled=True,
            computed_ceiling=True,
            optional=True,
            place=62,
        )
        for k in RANKS
    ),
    *(
        Metric(
            name=name,
            family="graph",
            task="given_relations",
            input="relations",
            compute=lambda comparison, predicates=predicates: spq_given(comparison, predicates),
            description=f"sum of hits over TP + FP/2 + FN/2 with objects given, mean over {text} "
            f"{FIXED_SET}",
            source=OWN,
            pooled=True,
            optional=True,
            place=50,
        )
        for name, predicates, text in (
            ("spq_given", "independent", "view-independent predicates"),
            ("spq_given_view", "view", "predicates of the side family"),
        )
    ),
    *(
        Metric(
            name=f"triplet_recall_given@{k}",
            family="graph",
            task="given_relations",
            input="ranked_given_scene",
            compute=lambda scene, k=k: triplet_recall(scene.truth, scene.ranked, k),
            description=f"share of true triplets among the {k} best of given objects, of "
            f"min({k}, true), no graph constraint, equal scores put false triplets first",
            source="this project; differs from Wald et al. 2020 (3DSSG), who rank predicates "
            "within a pair of objects: here all pairs of a scene share one ranking",
            applies=_has_triplets,
            reason="given relations carry no scores, so nothing to rank",
            optional=True,
            place=61,
        )
        for k in GIVEN_RANKS
    ),
)
