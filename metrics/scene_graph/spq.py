"""Scene graphs: Spatial Panoptic Quality, predicate F1, and relations of given objects.

SPQ is this project's own definition: panoptic quality (Kirillov et al. 2019) with triplets in
place of segments. It is not comparable with PQ or with panoptic scene-graph scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.pooled import PooledValue, fixed_set, jackknife, macro
from metrics.scene_graph.predicates import (
    FAMILIES,
    FAMILY_OF,
    INVERSE,
    LABELS,
    NONE,
    SYMMETRIC,
    VIEW_DEPENDENT,
)

Triplet = tuple[int, str, int]

# Of two predicates that are each other's inverse the first named is kept.
_FOLDED_AWAY = frozenset(
    inverse
    for names in FAMILIES.values()
    for place, name in enumerate(names)
    if (inverse := INVERSE.get(name)) in names[place:]
)
FOLDED = tuple(name for name in FAMILY_OF if name not in _FOLDED_AWAY)


@dataclass(frozen=True)
class GraphTruth:
    """True objects and relations of a scene.

    Attributes:
        boxes: f64 [N, 6] of the eligible objects; classes: their classes.
        void_boxes: f64 [K, 6] of objects too little seen to be judged.
        triplets: folded true triplets over positions in `boxes`.
        void: (i, j, family) that are not judged, positions in `boxes`.
    """

    boxes: np.ndarray
    classes: list[str]
    void_boxes: np.ndarray
    triplets: frozenset[Triplet]
    void: frozenset[tuple[int, int, str]]


@dataclass
class Counts:
    """Sum of qualities and counts of one predicate in one scene."""

    quality: float = 0.0
    hits: int = 0
    false: int = 0
    missed: int = 0


@dataclass(frozen=True)
class GraphCounts:
    """Per-predicate counts of a scene: over all triplets, and on matched objects alone."""

    all: dict[str, Counts] = field(default_factory=dict)
    matched: dict[str, Counts] = field(default_factory=dict)


def fold(triplet: Triplet) -> Triplet:
    """Return the canonical form of a triplet: inverses turned round, symmetric pairs ordered.

    >>> fold((4, "right", 1)), fold((4, "near", 1)), fold((4, "larger", 1))
    ((1, 'left', 4), (1, 'near', 4), (4, 'larger', 1))
    """
    subject, predicate, other = triplet
    if predicate in _FOLDED_AWAY:
        return other, INVERSE[predicate], subject
    if predicate in SYMMETRIC and subject > other:
        return other, predicate, subject
    return triplet


def graph_truth(annotation: dict[str, Any]) -> GraphTruth:
    """Return the graph of an annotation line; nodes are the eligible objects."""
    nodes = [item for item in annotation["objects"] if item["state"] == "eligible"]
    void = [item["box"] for item in annotation["objects"] if item["state"] == "void"]
    place = {item["index"]: position for position, item in enumerate(nodes)}
    triplets = {
        fold((place[i], predicate, place[j]))
        for i, j, predicate in annotation["relations"]
        if i in place and j in place
    }
    void_pairs = {
        (place[i], place[j], family)
        for i, j, family in unjudged_pairs(annotation)
        if i in place and j in place
    }
    return GraphTruth(
        np.array([item["box"] for item in nodes], float).reshape(-1, 6),
        [item["class"] for item in nodes],
        np.array(void, float).reshape(-1, 6),
        frozenset(triplets),
        frozenset(void_pairs),
    )


def unjudged_pairs(annotation: dict[str, Any]) -> set[tuple[int, int, str]]:
    """Return (i, j, family) of ordered pairs that are not judged.

    Where a family's predicates fold into each other, a pair is unjudged in both orders.
    """
    found = set()
    for i, j, family in annotation["void"]:
        found.add((i, j, family))
        if any(name in INVERSE or name in SYMMETRIC for name in FAMILIES[family]):
            found.add((j, i, family))
    return found


def graph_counts(
    truth: GraphTruth,
    objects: Sequence[dict[str, Any]],
    triplets: Iterable[tuple],
    threshold: float,
) -> GraphCounts:
    """Count a scene's triplets by steps 1 to 3 of the SPQ protocol.

    Args:
        truth: the scene's graph.
        objects: {"box", "class"} of the predicted objects.
        triplets: (subject, predicate, object, ...) over `objects`.
        threshold: IoU a match must exceed.
    """
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    classes = [item["class"] for item in objects]
    match = match_objects(boxes, classes, truth.boxes, truth.classes, threshold)
    excused = (box_iou(boxes, truth.void_boxes) > threshold).any(axis=1)
    # Unmatched objects get numbers behind the true ones, so that folding works on all alike.
    node = {
        index: match[index][0] if index in match else len(truth.boxes) + index
        for index in range(len(objects))
    }
    overlap = {true: iou for true, iou in match.values()}
    predicted = {fold((node[row[0]], row[1], node[row[2]])) for row in triplets}
    counts = GraphCounts()
    for name in FOLDED:
        counts.all[name], counts.matched[name] = Counts(), Counts()
    # In order: qualities are summed, and a set of strings has another order in every process.
    for triplet in sorted(predicted):
        _count_prediction(triplet, truth, overlap, excused, counts)
    for subject, name, other in truth.triplets - predicted:
        counts.all[name].missed += 1
        counts.matched[name].missed += subject in overlap and other in overlap
    return counts


def _count_prediction(
    triplet: Triplet,
    truth: GraphTruth,
    overlap: dict[int, float],
    excused: np.ndarray,
    counts: GraphCounts,
) -> None:
    subject, name, other = triplet
    total = len(truth.boxes)
    loose = [end - total for end in (subject, other) if end >= total]
    if loose:
        counts.all[name].false += not all(excused[end] for end in loose)
    elif triplet in truth.triplets:
        for side in (counts.all, counts.matched):
            side[name].hits += 1
            side[name].quality += float(np.sqrt(overlap[subject] * overlap[other]))
    elif (subject, other, FAMILY_OF[name]) not in truth.void:
        counts.all[name].false += 1
        counts.matched[name].false += 1


def true_counts(truths: Sequence[GraphTruth]) -> dict[str, int]:
    """Return how many true triplets of each folded predicate a split has."""
    totals = dict.fromkeys(FOLDED, 0)
    for truth in truths:
        for _, name, _ in truth.triplets:
            totals[name] += 1
    return totals


@dataclass(frozen=True)
class GraphScores:
    """Pooled scores of a split by name, and the predicates the macro means run over."""

    values: dict[str, PooledValue]
    predicates: dict[str, list[str]]
    fewest: int


def spq(quality: np.ndarray, hits: np.ndarray, false: np.ndarray, missed: np.ndarray) -> float:
    """Mean over predicates of the sum of q over TP + FP/2 + FN/2: SPQ, this project's own.

    Arguments: f64 [K], pooled over the split: summed qualities, counts of true positives, of false
    positives and of misses. Higher is better, in [0, 1], worst 0; a perfect answer scores 1.

    >>> spq(np.array([1.6]), np.array([2]), np.array([1]), np.array([1])).__round__(4)
    0.5333
    """
    return macro(quality, hits + (false + missed) / 2)


def graph_scores(
    scenes: Sequence[GraphCounts], truths: Sequence[GraphTruth], threshold: float
) -> GraphScores:
    """Return spq, spq_view, spq_micro and, at .5, predicate_f1 with their pseudo-values.

    The predicate set is fixed by the split's truth alone (at least 20 true triplets; at least 1
    where none has 20), so it is the same for every method and every resample.
    """
    names, fewest = fixed_set(true_counts(truths))
    view = [name for name in names if FAMILY_OF[name] in VIEW_DEPENDENT]
    plain = [name for name in names if name not in view]
    predicates = {
        f"spq@{threshold:g}": plain,
        f"spq_view@{threshold:g}": view,
        f"spq_micro@{threshold:g}": names,
    }
    values = {
        name: jackknife(_spq_over(scenes, chosen, "micro" in name), len(scenes))
        for name, chosen in predicates.items()
        if chosen
    }
    if threshold == 0.5 and names:
        predicates["predicate_f1"] = names
        values["predicate_f1"] = jackknife(_f1_over(scenes, names), len(scenes))
    return GraphScores(values, predicates, fewest)


def _table(scenes: Sequence[GraphCounts], names: list[str], which: str) -> np.ndarray:
    """Return f64 [scenes, names, 4] of quality, hits, false, missed."""
    rows = []
    for scene in scenes:
        items = [getattr(scene, which)[name] for name in names]
        rows.append([[item.quality, item.hits, item.false, item.missed] for item in items])
    return np.array(rows, float).reshape(len(scenes), len(names), 4)


def _spq_over(scenes: Sequence[GraphCounts], names: list[str], micro: bool) -> Any:
    table = _table(scenes, names, "all")

    def statistic(keep: np.ndarray) -> float:
        pooled = table[keep].sum(axis=0)
        if micro:
            pooled = pooled.sum(axis=0, keepdims=True)
        return spq(*pooled.T)

    return statistic


def _f1_over(scenes: Sequence[GraphCounts], names: list[str]) -> Any:
    table = _table(scenes, names, "matched")

    def statistic(keep: np.ndarray) -> float:
        _, hits, false, missed = table[keep].sum(axis=0).T
        return macro(2 * hits, 2 * hits + false + missed)

    return statistic


def relation_confusion(
    annotation: dict[str, Any], predicted: dict[tuple[int, int], dict[str, str]]
) -> dict[str, np.ndarray]:
    """Count given-object relations: {family: i64 [K, K + 1]}, true label by predicted label.

    Labels are the family's predicates, then "none" unless one of them always holds. The last
    column is a missing or impossible answer, which is wrong. Pairs run over all ordered pairs of
    given objects whose family is judged.
    """
    given = annotation["given"]
    positives = {(i, j, FAMILY_OF[name]): name for i, j, name in annotation["relations"]}
    for i, j, name in annotation["relations"]:
        if name in INVERSE or name in SYMMETRIC:
            positives.setdefault((j, i, FAMILY_OF[name]), INVERSE.get(name, name))
    void = unjudged_pairs(annotation)
    counts = {}
    for family, labels in LABELS.items():
        table = np.zeros((len(labels), len(labels) + 1), np.int64)
        for i in given:
            for j in given:
                true = positives.get((i, j, family), NONE)
                if i == j or (i, j, family) in void or true not in labels:
                    continue
                answer = predicted.get((i, j), {}).get(family)
                column = labels.index(answer) if answer in labels else len(labels)
                table[labels.index(true), column] += 1
        counts[family] = table
    return counts


def balanced_accuracy(confusion: np.ndarray) -> float | None:
    """Mean recall over the true labels present, or None without any.

    Args:
        confusion: [K, >= K] counts, true label by predicted label.

    Higher is better, in [0, 1], worst 0; a perfect answer scores 1 (Brodersen et al. 2010).

    >>> balanced_accuracy(np.array([[3, 1], [0, 2]]))
    0.875
    """
    totals = confusion.sum(axis=1)
    there = totals > 0
    if not there.any():
        return None
    return float((np.diagonal(confusion)[there] / totals[there]).mean())


def sg_accuracy(scenes: Sequence[dict[str, np.ndarray]]) -> PooledValue | None:
    """Balanced accuracy of given-object relations, mean over families.

    Args:
        scenes: `relation_confusion` of each scene.

    Higher is better, in [0, 1], worst 0; a perfect answer scores 1. None where nothing is judged.
    Counts pool over the split; in each family every label, "none" included, weighs the same
    (Brodersen et al. 2010), so answering "none" everywhere earns one label's share.

    >>> nothing = {family: np.zeros((2, 3)) for family in FAMILIES}
    >>> sg_accuracy([nothing | {"size": np.array([[1, 1, 0], [0, 4, 0]])}]).theta
    0.75
    """
    tables = {family: np.stack([scene[family] for scene in scenes]) for family in FAMILIES}

    def statistic(keep: np.ndarray) -> float:
        each = [balanced_accuracy(table[keep].sum(axis=0)) for table in tables.values()]
        there = [value for value in each if value is not None]
        return float(np.mean(there)) if there else 0.0

    if not any(table.sum() for table in tables.values()):
        return None
    return jackknife(statistic, len(scenes))
