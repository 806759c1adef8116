"""Scene graphs: Spatial Panoptic Quality, predicate F1, and relations of given objects.

SPQ is this project's own definition: panoptic quality (Kirillov et al. 2019) with triplets in
place of segments. It is not comparable with PQ or with panoptic scene-graph scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from metrics.chance import ChanceValue
from metrics.metric import Comparison, Metric
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
from metrics.scene_graph.rule_baseline import relations_of_boxes

Triplet = tuple[int, str, int]
# Objects and triplets (subject, predicate, object, score) of a scene.
Answer = tuple[list[dict[str, Any]], list[tuple]]
OWN = "this project"
# Rooms hold a fifth of this; pairs grow with the square of the number of boxes.
MOST_RULED = 128

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


def spq(quality: np.ndarray, hits: np.ndarray, false: np.ndarray, missed: np.ndarray) -> float:
    """Mean over predicates of the sum of q over TP + FP/2 + FN/2: SPQ, this project's own.

    Arguments: f64 [K], pooled over the split: summed qualities, counts of true positives, of false
    positives and of misses. Higher is better, in [0, 1], worst 0; a perfect answer scores 1.

    >>> spq(np.array([1.6]), np.array([2]), np.array([1]), np.array([1])).__round__(4)
    0.5333
    """
    return macro(quality, hits + (false + missed) / 2)


@dataclass(frozen=True)
class PredicateSets:
    """Predicates that the macro means of a split run over.

    The truth of the split alone fixes them (see `fixed_set`), so they are the same for every
    method and every resample.

    Attributes:
        all: every predicate with enough true triplets.
        independent: those whose truth does not depend on the view; view: the others.
        fewest: how many true triplets were asked for.
    """

    all: list[str]
    independent: list[str]
    view: list[str]
    fewest: int


def predicate_sets(truths: Sequence[GraphTruth]) -> PredicateSets:
    """Return the predicates that the macro means of a split run over."""
    names, fewest = fixed_set(true_counts(truths))
    view = [name for name in names if FAMILY_OF[name] in VIEW_DEPENDENT]
    independent = [name for name in names if name not in view]
    return PredicateSets(names, independent, view, fewest)


def pooled_spq(
    scenes: Sequence[GraphCounts], names: list[str], micro: bool = False
) -> PooledValue | None:
    """Return `spq` over the named predicates; None without any.

    Args:
        scenes: counts of each scene.
        names: predicates, each of which weighs the same unless `micro` adds up their counts.
    """
    if not names:
        return None
    table = _table(scenes, names, "all")  # (scenes, predicates, 4)

    def statistic(keep: np.ndarray) -> float:
        pooled = table[keep].sum(axis=0)
        if micro:
            pooled = pooled.sum(axis=0, keepdims=True)
        return spq(*pooled.T)

    return jackknife(statistic, len(scenes))


def predicate_f1(scenes: Sequence[GraphCounts], names: list[str]) -> PooledValue | None:
    """Return F1 of triplets between matched objects, mean over the named predicates."""
    if not names:
        return None
    table = _table(scenes, names, "matched")  # (scenes, predicates, 4)

    def statistic(keep: np.ndarray) -> float:
        _, hits, false, missed = table[keep].sum(axis=0).T
        return macro(2 * hits, 2 * hits + false + missed)

    return jackknife(statistic, len(scenes))


def _table(scenes: Sequence[GraphCounts], names: list[str], which: str) -> np.ndarray:
    """Return f64 [scenes, names, 4] of quality, hits, false, missed."""
    rows = []
    for scene in scenes:
        items = [getattr(scene, which)[name] for name in names]
        rows.append([[item.quality, item.hits, item.false, item.missed] for item in items])
    return np.array(rows, float).reshape(len(scenes), len(names), 4)


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


class GraphComparison(Comparison):
    """Predicted objects and triplets of a split next to its truth.

    Args:
        annotations: annotation lines of the scenes, N.
        answers: (objects, triplets) of each scene, both empty where it failed.
    """

    def __init__(self, annotations: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> None:
        self.annotations, self.answers = annotations, answers

    @cached_property
    def truths(self) -> list[GraphTruth]:
        """The true graph of each scene."""
        return [graph_truth(line) for line in self.annotations]

    @cached_property
    def predicates(self) -> PredicateSets:
        """What the macro means run over."""
        return predicate_sets(self.truths)

    def scenes(self) -> Iterable[tuple[GraphTruth, list[dict[str, Any]], list[tuple]]]:
        """Return (truth, objects, triplets) of each scene."""
        return [(truth, *answer) for truth, answer in zip(self.truths, self.answers, strict=True)]


def counts_at(comparison: GraphComparison, threshold: float) -> list[GraphCounts]:
    """Return `graph_counts` of each scene."""
    return [graph_counts(*scene, threshold) for scene in comparison.scenes()]


def by_rules(comparison: GraphComparison) -> GraphComparison:
    """Return the comparison with the triplets that rules read off the predicted boxes.

    Of very many boxes in a scene only the `MOST_RULED` best-scored ones are related.
    """
    answers: list[Answer] = []
    for objects, _ in comparison.answers:
        best = sorted(objects, key=lambda item: -item["score"])[:MOST_RULED]
        answers.append((best, relations_of_boxes(np.array([item["box"] for item in best]))))
    return GraphComparison(comparison.annotations, answers)


def macro_spq(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return SPQ over predicates that do not depend on the view."""
    counts = comparison.once(counts_at, threshold)
    return pooled_spq(counts, comparison.predicates.independent)


def view_spq(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return SPQ over the predicates that depend on the view."""
    return pooled_spq(comparison.once(counts_at, threshold), comparison.predicates.view)


def micro_spq(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return SPQ of the counts of all predicates added up."""
    return pooled_spq(comparison.once(counts_at, threshold), comparison.predicates.all, True)


def f1_of(comparison: GraphComparison) -> PooledValue | None:
    """Return `predicate_f1` at IoU > 0.5."""
    return predicate_f1(comparison.once(counts_at, 0.5), comparison.predicates.all)


class RelationComparison(Comparison):
    """Predicted relations of given objects of a split next to its truth.

    Args:
        annotations: annotation lines of the scenes, N.
        answers: {(i, j): {family: predicate or "none"}} of each scene, empty where it failed.
    """

    def __init__(
        self,
        annotations: Sequence[dict[str, Any]],
        answers: Sequence[dict[tuple[int, int], dict[str, str]]],
    ) -> None:
        self.annotations, self.answers = annotations, answers

    @cached_property
    def truths(self) -> list[GraphTruth]:
        """The true graph of each scene."""
        return [graph_truth(line) for line in self.annotations]


def accuracy_of(comparison: RelationComparison) -> PooledValue | None:
    """Return `sg_accuracy` of a split."""
    return sg_accuracy(
        [
            relation_confusion(line, answer)
            for line, answer in zip(comparison.annotations, comparison.answers, strict=True)
        ]
    )


def accuracy_by_chance(annotations: Sequence[dict[str, Any]]) -> dict[str, ChanceValue]:
    """Return `sg_accuracy` of uniform labels: whatever is true, each of K labels is 1 in K."""
    tables = [relation_confusion(line, {}) for line in annotations]
    means, variances = [], []
    for family in FAMILIES:
        totals = sum(table[family].sum(axis=1) for table in tables)  # (K,) true labels
        share, present = 1.0 / len(totals), totals[totals > 0]
        if len(present):
            means.append(share)
            variances.append(float((share * (1 - share) / present).sum()) / len(present) ** 2)
    if not means:
        return {}
    spread = math.sqrt(sum(variances)) / len(means)
    return {"all": ChanceValue(sum(means) / len(means), spread)}


def _pooled(
    name: str, compute: Callable[[GraphComparison], PooledValue | None], place: int, **more: Any
) -> Metric:
    facts = {"task": "graph", "input": "graphs", "source": OWN, "pooled": True} | more
    return Metric(name=name, family="graph", compute=compute, place=place, optional=True, **facts)


def _at(threshold: float, place: int) -> list[Metric]:
    """Return the variants of SPQ at one threshold of IoU."""
    variants = (
        (
            "spq",
            macro_spq,
            f"sum of sqrt(IoU_s IoU_o) over TP + FP/2 + FN/2 at IoU > {threshold:g}, mean over "
            "view-independent predicates",
        ),
        ("spq_view", view_spq, "the same over the side family"),
        ("spq_micro", micro_spq, "the same, predicates pooled"),
    )
    return [
        _pooled(
            f"{name}@{threshold:g}",
            lambda comparison, function=function: function(comparison, threshold),
            place,
            description=text,
        )
        for name, function, text in variants
    ]


def _ruled(
    name: str, plain: str, compute: Callable[[GraphComparison], PooledValue | None]
) -> Metric:
    return _pooled(
        name,
        lambda comparison: compute(comparison.once(by_rules)),
        32,
        task="objects",
        computed_ceiling=True,
        description=f"{plain} of relation rules read off the method's own boxes",
    )


METRICS = (
    _ruled("spq_rules@0.5", "spq@0.5", lambda comparison: macro_spq(comparison, 0.5)),
    _ruled("spq_view_rules@0.5", "spq_view@0.5", lambda comparison: view_spq(comparison, 0.5)),
    _ruled("predicate_f1_rules", "predicate_f1", f1_of),
    *_at(0.25, 10),
    *_at(0.5, 12),
    _pooled(
        "predicate_f1",
        f1_of,
        31,
        description="F1 of triplets between matched objects (IoU > .5), mean over predicates",
    ),
    Metric(
        name="sg_accuracy",
        family="graph",
        task="given_relations",
        input="relations",
        compute=accuracy_of,
        description='balanced accuracy of given-object relations with "none" as a label, mean over '
        "families",
        source="Brodersen et al. 2010",
        pooled=True,
        chance=accuracy_by_chance,
        place=40,
    ),
)
