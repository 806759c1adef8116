"""Triplets without the burden of detection, and ranked triplets with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.pooled import PooledValue, fixed_set, jackknife, macro
from metrics.scene_graph.predicates import FAMILY_OF, MUTUAL
from metrics.scene_graph.spq import (
    GraphCounts,
    GraphTruth,
    Triplet,
    fold,
    graph_counts,
    graph_scores,
    true_counts,
)

RANKS = (20, 50)
GIVEN_RANKS = (50, 100)


def given_counts(
    truth: GraphTruth, given: Sequence[int], pairs: dict[tuple[int, int], dict[str, str]]
) -> GraphCounts:
    """Count a scene's given-object relations as SPQ does; every quality is 1.

    Args:
        truth: the scene's graph, its nodes in the order of `given`.
        given: object indices.
        pairs: {(i, j): {family: predicate or "none"}} over given objects.
    """
    place = {index: position for position, index in enumerate(given)}
    triplets = [
        (place[i], name, place[j])
        for (i, j), families in pairs.items()
        for name in families.values()
        if name != "none" and i in place and j in place
    ]
    objects = [
        {"box": box, "class": f"object {position}"} for position, box in enumerate(truth.boxes)
    ]
    names = [item["class"] for item in objects]
    named = GraphTruth(truth.boxes, names, truth.void_boxes, truth.triplets, truth.void)
    return graph_counts(named, objects, triplets, 0.5)


def spq_given(
    scenes: Sequence[GraphCounts], truths: Sequence[GraphTruth]
) -> dict[str, PooledValue]:
    """Return spq_given and spq_given_view: SPQ with objects given, so that q is 1."""
    values = graph_scores(scenes, truths, 0.5).values
    names = {"spq@0.5": "spq_given", "spq_view@0.5": "spq_given_view"}
    return {names[name]: value for name, value in values.items() if name in names}


def ranked_triplets(
    truth: GraphTruth,
    objects: Sequence[dict[str, Any]],
    triplets: Iterable[tuple[int, str, int, float]],
) -> list[Triplet]:
    """Return predicted triplets best first, over the true objects that theirs were matched to.

    One predicate a pair and family counts (the graph constraint of Xu et al. 2017); matching at
    IoU > .5; unjudged pairs and void objects take no place. Ends without a match get numbers from
    `len(truth.boxes)` on, so that no true triplet equals theirs.
    """
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    classes = [item["class"] for item in objects]
    match = match_objects(boxes, classes, truth.boxes, truth.classes, 0.5)
    excused = (box_iou(boxes, truth.void_boxes) > 0.5).any(axis=1)
    total = len(truth.boxes)
    node = {i: match[i][0] if i in match else total + i for i in range(len(objects))}
    ranked: list[Triplet] = []
    taken: set[tuple[int, int, str]] = set()
    for subject, name, other, _ in sorted(triplets, key=lambda row: (-row[3], row[:3])):
        first, folded, second = fold((node[subject], name, node[other]))
        family = FAMILY_OF[folded]
        pair = (first, second) if family in MUTUAL else (min(first, second), max(first, second))
        slot = (*pair, family)
        loose = [end - total for end in (first, second) if end >= total]
        unjudged = (first, second, family) in truth.void
        if slot in taken or unjudged or (loose and all(excused[end] for end in loose)):
            continue
        taken.add(slot)
        ranked.append((first, folded, second))
    return ranked


def triplet_recall(truth: GraphTruth, ranked: Sequence[Triplet], k: int) -> float | None:
    """Share of true triplets among the first `k` of `ranked_triplets`, of min(k, true triplets).

    Recall@K of scene-graph work (Lu et al. 2016; Xu et al. 2020 for 3D). None for a scene without
    true triplets. Higher is better, in [0, 1], worst 0; a perfect answer scores 1.

    >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
    ...                    frozenset({(0, "near", 1), (0, "left", 1)}), frozenset())
    >>> triplet_recall(truth, [(0, "near", 1), (1, "larger", 0)], 20)
    0.5
    """
    if not truth.triplets:
        return None
    hits = len(truth.triplets & set(ranked[:k]))
    return hits / min(k, len(truth.triplets))


def mean_triplet_recall(
    scenes: Sequence[Sequence[Triplet]], truths: Sequence[GraphTruth], k: int
) -> PooledValue | None:
    """Recall among the first `k` of a scene, by predicate, then the mean over predicates.

    Mean recall@K (Tang et al. 2019; Chen et al. 2019), which a frequent predicate cannot carry.
    Hits, and min(k, true triplets) of each scene, pool over the split; the predicates are those of
    `fixed_set`. None without any. Higher is better, in [0, 1], worst 0; the ranking being one for
    all predicates, a perfect answer scores 1 only where scenes have at most `k` true triplets.

    >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
    ...                    frozenset({(0, "near", 1), (0, "left", 1)}), frozenset())
    >>> mean_triplet_recall([[(0, "near", 1)]], [truth], 20).theta
    0.5
    """
    names, _ = fixed_set(true_counts(truths))
    if not names:
        return None
    table = np.zeros((len(scenes), len(names), 2))
    for row, ranked, truth in zip(table, scenes, truths, strict=True):
        best = set(ranked[:k])
        for number, name in enumerate(names):
            true = {triplet for triplet in truth.triplets if triplet[1] == name}
            row[number] = len(true & best), min(k, len(true))

    def statistic(keep: np.ndarray) -> float:
        return macro(*table[keep].sum(axis=0).T)

    return jackknife(statistic, len(scenes))


def given_recall(
    truth: GraphTruth,
    given: Sequence[int],
    scored: Iterable[tuple[int, str, int, float]],
    k: int,
) -> float | None:
    """Share of true triplets among the `k` best-scored ones of given objects.

    In the style of 3DSSG (Wald et al. 2020): objects are given and there is no graph constraint,
    so a pair may take a place with every predicate. Divided by min(k, true triplets); unjudged
    pairs take no place; inverses and repeats count once, with their best score. None for a scene
    without true triplets. Higher is better, in [0, 1], worst 0; a perfect answer scores 1.

    Args:
        truth: the scene's graph, its nodes in the order of `given`.
        given: object indices; scored: (i, predicate, j, score) over them, others are left out.

    >>> truth = GraphTruth(np.zeros((2, 6)), ["bed", "lamp"], np.zeros((0, 6)),
    ...                    frozenset({(0, "near", 1), (0, "left", 1)}), frozenset())
    >>> given_recall(truth, [4, 7], [(4, "right", 7, 0.9), (7, "right", 4, 0.8)], 50)
    0.5
    """
    if not truth.triplets:
        return None
    place = {index: position for position, index in enumerate(given)}
    best: dict[Triplet, float] = {}
    for i, name, j, score in scored:
        if i in place and j in place and i != j:
            triplet = fold((place[i], name, place[j]))
            if (triplet[0], triplet[2], FAMILY_OF[triplet[1]]) not in truth.void:
                best[triplet] = max(score, best.get(triplet, score))
    ranked = sorted(best, key=lambda triplet: (-best[triplet], triplet))
    hits = len(truth.triplets & set(ranked[:k]))
    return hits / min(k, len(truth.triplets))
