"""Scene graphs: Spatial Panoptic Quality, predicate F1, and relations of given objects.

SPQ is this project's own definition: panoptic quality (Kirillov et al. 2019) with triplets in
place of segments. It is not comparable with PQ or with panoptic scene-graph scores.

Two rules hold for SPQ and for the panoptic quality of boxes. Macro means run over a fixed set of
names, those with at least 20 true items in the split, and over the hallucinated ones, which have
none and are predicted all the same. A false positive is left out only where its box (each of its
unmatched boxes) has an IoU above the threshold with a void object.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from metrics.chance import ChanceValue
from metrics.metric import Comparison, Metric
from metrics.pooled import FIXED_SET, PooledValue, fixed_set, jackknife, macro
from metrics.scene_graph.boxes import box_iou, match_objects
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

# (subject, predicate, object), the ends being positions of objects.
Triplet = tuple[int, str, int]
# Objects and triplets (subject, predicate, object, score) of a scene.
Answer = tuple[list[dict[str, Any]], list[tuple]]
OWN = "this project"
SPQ = "this project, after Kirillov et al. 2019; differs from PQ in triplets in place of segments"
# The void rule in the words of the list of metrics.
VOID_RULE = "a false positive is left out if each unmatched box has such an IoU with a void one"
# IoU that a match must exceed.
THRESHOLDS = (0.25, 0.5)
# Boxes of a scene that rules relate. Rooms hold a fifth of this; pairs grow with its square.
MOST_RULED = 128

# Of two predicates that are each other's inverse the first in the table is kept.
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
        boxes: f64 [N, 6] of the eligible objects, metres.
        classes: of the eligible objects, N.
        void_boxes: f64 [K, 6] of objects of which too little is visible to evaluate them.
        triplets: folded true triplets over positions in `boxes`.
        void: (i, j, family) that are not evaluated, positions in `boxes`.
    """

    boxes: np.ndarray
    classes: list[str]
    void_boxes: np.ndarray
    triplets: frozenset[Triplet]
    void: frozenset[tuple[int, int, str]]


# Entries of the counts of one predicate: sum over hits of sqrt(IoU of subjects * IoU of objects),
# true positives, false positives, false negatives.
QUALITY, HITS, FALSE, MISSED = range(4)


@dataclass(frozen=True)
class GraphCounts:
    """Counts f64 [4] of a scene by predicate.

    Attributes:
        all: over all triplets.
        matched: over those between matched objects, which leaves out errors of detection.
    """

    all: dict[str, np.ndarray]
    matched: dict[str, np.ndarray]


def fold(triplet: Triplet) -> Triplet:
    """Return the canonical form of a triplet: one of two inverses, symmetric pairs ordered.

    Example:
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
        for i, j, family in void_pairs_of(annotation)
        if i in place and j in place
    }
    return GraphTruth(
        np.array([item["box"] for item in nodes], float).reshape(-1, 6),
        [item["class"] for item in nodes],
        np.array(void, float).reshape(-1, 6),
        frozenset(triplets),
        frozenset(void_pairs),
    )


def void_pairs_of(annotation: dict[str, Any]) -> set[tuple[int, int, str]]:
    """Return (i, j, family) of ordered pairs that are not evaluated.

    Where a family's predicates fold into each other, a pair is void in both orders.
    """
    void = set()
    for i, j, family in annotation["void"]:
        void.add((i, j, family))
        if any(name in INVERSE or name in SYMMETRIC for name in FAMILIES[family]):
            void.add((j, i, family))
    return void


@dataclass(frozen=True)
class Matching:
    """Predicted objects of a scene matched to true ones.

    Attributes:
        nodes: of each predicted object, the position of its true one. Unmatched objects get
            numbers behind the true ones, so that folding works on all alike.
        overlap: {position of a matched true object: IoU}.
        excused: bool [N], whether a predicted object overlaps a void one: it is no false positive.
    """

    nodes: list[int]
    overlap: dict[int, float]
    excused: np.ndarray


def match_to_truth(
    truth: GraphTruth, objects: Sequence[dict[str, Any]], threshold: float
) -> Matching:
    """Match predicted objects to true ones of their class, one to one.

    Args:
        truth: the scene's graph.
        objects: {"box", "class"} of the predicted objects, N.
        threshold: IoU that a match must exceed.
    """
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    match = match_objects(
        boxes, [item["class"] for item in objects], truth.boxes, truth.classes, threshold
    )
    excused = (box_iou(boxes, truth.void_boxes) > threshold).any(axis=1)
    total = len(truth.boxes)
    nodes = [match[i][0] if i in match else total + i for i in range(len(objects))]
    return Matching(nodes, {true: iou for true, iou in match.values()}, excused)


def graph_counts(
    truth: GraphTruth,
    objects: Sequence[dict[str, Any]],
    triplets: Iterable[tuple],
    threshold: float,
) -> GraphCounts:
    """Count a scene's triplets by predicate as hits, false and missed ones.

    Args:
        truth: the scene's graph.
        objects: {"box", "class"} of the predicted objects.
        triplets: (subject, predicate, object, ...) over `objects`.
        threshold: IoU that a match must exceed.
    """
    matching = match_to_truth(truth, objects, threshold)
    node, matched = matching.nodes, matching.overlap
    predicted = {fold((node[row[0]], row[1], node[row[2]])) for row in triplets}
    counts = GraphCounts(*({name: np.zeros(4) for name in FOLDED} for _ in range(2)))
    # In order: qualities are summed, and a set of strings has another order in every process.
    for triplet in sorted(predicted):
        _count_prediction(triplet, truth, matching, counts)
    for subject, name, other in truth.triplets - predicted:
        counts.all[name][MISSED] += 1
        counts.matched[name][MISSED] += subject in matched and other in matched
    return counts


def _count_prediction(
    triplet: Triplet, truth: GraphTruth, matching: Matching, counts: GraphCounts
) -> None:
    """Add a folded predicted triplet to the counts."""
    subject, name, other = triplet
    overlap = matching.overlap
    total = len(truth.boxes)
    unmatched = [end - total for end in (subject, other) if end >= total]
    if unmatched:
        counts.all[name][FALSE] += not all(matching.excused[end] for end in unmatched)
    elif triplet in truth.triplets:
        for side in (counts.all, counts.matched):
            side[name][HITS] += 1
            side[name][QUALITY] += np.sqrt(overlap[subject] * overlap[other])
    elif (subject, other, FAMILY_OF[name]) not in truth.void:
        counts.all[name][FALSE] += 1
        counts.matched[name][FALSE] += 1


def true_counts(truths: Sequence[GraphTruth]) -> dict[str, int]:
    """Return how many true triplets of each folded predicate a split has."""
    found = Counter(name for truth in truths for _, name, _ in truth.triplets)
    return {name: found[name] for name in FOLDED}


def spq(quality: np.ndarray, hits: np.ndarray, false: np.ndarray, missed: np.ndarray) -> float:
    """Return the mean over predicates of the summed quality over TP + FP/2 + FN/2.

    Args:
        quality: f64 [K], summed quality of the matches of K predicates over a split.
        hits: f64 [K], the numbers of matches.
        false: f64 [K], the numbers of predictions without a match.
        missed: f64 [K], the numbers of true triplets without a match.

    Source: this project; Kirillov et al. 2019 for segments.

    Example:
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
        independent: those whose truth does not depend on the view.
        view: the others.
        fewest: how many true triplets were enough.
        never_true: predicates without a true triplet, which can only be hallucinated.
    """

    all: list[str]
    independent: list[str]
    view: list[str]
    fewest: int
    never_true: list[str]

    def counted(self, group: str) -> list[str]:
        """Return what "all", "independent" or "view" counts: its set, and what is never true.

        A predicate that is neither true nor predicted has no counts, so it leaves a mean as it is.
        [] where the set is empty.
        """
        names: list[str] = getattr(self, group)
        never = [
            name
            for name in self.never_true
            if group == "all" or (FAMILY_OF[name] in VIEW_DEPENDENT) == (group == "view")
        ]
        return [*names, *never] if names else []


def predicate_sets(truths: Sequence[GraphTruth]) -> PredicateSets:
    """Return the predicates that the macro means of a split run over."""
    counts = true_counts(truths)
    names, fewest = fixed_set(counts)
    view = [name for name in names if FAMILY_OF[name] in VIEW_DEPENDENT]
    independent = [name for name in names if name not in view]
    never = [name for name, count in counts.items() if not count]
    return PredicateSets(names, independent, view, fewest, never)


def pooled_spq(
    scenes: Sequence[GraphCounts], names: list[str], micro: bool = False
) -> PooledValue | None:
    """Return `spq` over the named predicates; None without any.

    Args:
        scenes: counts of each scene.
        names: the predicates; each weighs the same, unless `micro` adds up their counts.
    """
    if not names:
        return None
    # (scenes, predicates, 4)
    table = np.array([[scene.all[name] for name in names] for scene in scenes])

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
    # (scenes, predicates, 4)
    table = np.array([[scene.matched[name] for name in names] for scene in scenes])

    def statistic(keep: np.ndarray) -> float:
        _, hits, false, missed = table[keep].sum(axis=0).T
        return macro(2 * hits, 2 * hits + false + missed)

    return jackknife(statistic, len(scenes))


def relation_confusion(
    annotation: dict[str, Any], predicted: dict[tuple[int, int], dict[str, str]]
) -> dict[str, np.ndarray]:
    """Count given-object relations: {family: i64 [K, K + 1]}, true label by predicted label.

    The last column counts missing and impossible answers, which are wrong. Pairs are all ordered
    pairs of given objects whose family is not void.

    Args:
        annotation: line of the scene.
        predicted: {(i, j): {family: predicate or "none"}}.
    """
    gt_objects = annotation["given"]
    positives = {(i, j, FAMILY_OF[name]): name for i, j, name in annotation["relations"]}
    for i, j, name in annotation["relations"]:
        if name in INVERSE or name in SYMMETRIC:
            positives.setdefault((j, i, FAMILY_OF[name]), INVERSE.get(name, name))
    void = void_pairs_of(annotation)
    counts = {}
    for family, labels in LABELS.items():
        table = np.zeros((len(labels), len(labels) + 1), np.int64)
        for i in gt_objects:
            for j in gt_objects:
                true = positives.get((i, j, family), NONE)
                if i == j or (i, j, family) in void or true not in labels:
                    continue
                answer = predicted.get((i, j), {}).get(family)
                column = labels.index(answer) if answer in labels else len(labels)
                table[labels.index(true), column] += 1
        counts[family] = table
    return counts


def balanced_accuracy(confusion: np.ndarray) -> float | None:
    """Return the mean recall over the true labels that occur, or None without any.

    Args:
        confusion: [K, >= K] counts, true label by predicted label.

    Source: Brodersen et al. 2010.

    Example:
        >>> balanced_accuracy(np.array([[3, 1], [0, 2]]))
        0.875
    """
    totals = confusion.sum(axis=1)  # (K,)
    occurs = totals > 0
    if not occurs.any():
        return None
    return float((np.diagonal(confusion)[occurs] / totals[occurs]).mean())


def sg_accuracy(scenes: Sequence[dict[str, np.ndarray]]) -> PooledValue | None:
    """Return the balanced accuracy of given-object relations, mean over families.

    Counts are pooled over the split. In each family every label, "none" included, weighs the same,
    so answering "none" everywhere earns one label's share.

    Args:
        scenes: `relation_confusion` of each scene.

    Returns:
        None where no pair is evaluated.

    Source: Brodersen et al. 2010.

    Example:
        >>> nothing = {family: np.zeros((2, 3)) for family in FAMILIES}
        >>> sg_accuracy([nothing | {"size": np.array([[1, 1, 0], [0, 4, 0]])}]).theta
        0.75
    """
    tables = {family: np.stack([scene[family] for scene in scenes]) for family in FAMILIES}

    def statistic(keep: np.ndarray) -> float:
        each = [balanced_accuracy(table[keep].sum(axis=0)) for table in tables.values()]
        defined = [value for value in each if value is not None]
        return float(np.mean(defined)) if defined else 0.0

    if not any(table.sum() for table in tables.values()):
        return None
    return jackknife(statistic, len(scenes))


class SplitComparison(Comparison):
    """Answers of a split next to its true graphs.

    Args:
        annotations: annotation lines of the scenes, N.
        answers: of each scene, N; an empty one where it failed.
    """

    def __init__(self, annotations: Sequence[dict[str, Any]], answers: Sequence[Any]) -> None:
        self.annotations, self.answers = annotations, answers

    @cached_property
    def truths(self) -> list[GraphTruth]:
        """The true graph of each scene."""
        return [graph_truth(line) for line in self.annotations]

    @cached_property
    def predicates(self) -> PredicateSets:
        """The predicates that macro means run over."""
        return predicate_sets(self.truths)


class GraphComparison(SplitComparison):
    """Predicted objects and triplets next to the truth; each answer is an `Answer`."""

    def scenes(self) -> Iterable[tuple[GraphTruth, list[dict[str, Any]], list[tuple]]]:
        """Return (truth, objects, triplets) of each scene."""
        return [(truth, *answer) for truth, answer in zip(self.truths, self.answers, strict=True)]


class RelationComparison(SplitComparison):
    """Predicted relations of given objects next to the truth.

    Each answer is {(i, j): {family: predicate or "none"}}.
    """


def counts_at(comparison: GraphComparison, threshold: float) -> list[GraphCounts]:
    """Return `graph_counts` of each scene."""
    return [graph_counts(*scene, threshold) for scene in comparison.scenes()]


def by_rules(comparison: GraphComparison) -> GraphComparison:
    """Return the comparison with the triplets that rules derive from the predicted boxes.

    Only the `MOST_RULED` best-scored boxes of a scene are related.
    """
    answers: list[Answer] = []
    for objects, _ in comparison.answers:
        # Equal scores are ordered by class and box, so that the cut does not depend on numbers.
        best = sorted(objects, key=lambda item: (-item["score"], item["class"], item["box"]))
        best = best[:MOST_RULED]
        answers.append((best, relations_of_boxes(np.array([item["box"] for item in best]))))
    return GraphComparison(comparison.annotations, answers)


def spq_at(
    comparison: GraphComparison, threshold: float, predicates: str, micro: bool = False
) -> PooledValue | None:
    """Return SPQ at an IoU over one of the `PredicateSets`: "all", "independent" or "view"."""
    names = comparison.predicates.counted(predicates)
    return pooled_spq(comparison.once(counts_at, threshold), names, micro)


def f1_of(comparison: GraphComparison) -> PooledValue | None:
    """Return `predicate_f1` at IoU > 0.5."""
    return predicate_f1(comparison.once(counts_at, 0.5), comparison.predicates.counted("all"))


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


# Predicates can be too rare on a split, so valid truth can leave these without rows.
_graph_metric = partial(
    Metric, family="graph", input="graphs", source=OWN, pooled=True, optional=True
)


def _at(threshold: float, place: int) -> Iterator[Metric]:
    """Yield the variants of SPQ at one threshold."""
    for name, predicates, micro, text in (
        (
            "spq",
            "independent",
            False,
            f"sum of sqrt(IoU_s IoU_o) over TP + FP/2 + FN/2 at IoU > {threshold:g}, mean over "
            f"view-independent predicates {FIXED_SET}; {VOID_RULE}",
        ),
        ("spq_view", "view", False, "the same over the side family"),
        ("spq_micro", "all", True, "the same, predicates pooled"),
    ):
        yield _graph_metric(
            name=f"{name}@{threshold:g}",
            task="graph",
            source=SPQ,
            compute=lambda comparison, predicates=predicates, micro=micro: spq_at(
                comparison, threshold, predicates, micro
            ),
            description=text,
            place=place,
        )


def _ruled(
    name: str, plain: str, compute: Callable[[GraphComparison], PooledValue | None]
) -> Metric:
    """Return a metric of the graph that rules derive from the predicted boxes."""
    return _graph_metric(
        name=name,
        task="objects",
        compute=lambda comparison: compute(comparison.once(by_rules)),
        description=f"{plain} of relation rules read off the method's own boxes",
        computed_ceiling=True,
        place=32,
    )


METRICS = (
    _ruled("spq_rules@0.5", "spq@0.5", partial(spq_at, threshold=0.5, predicates="independent")),
    _ruled("spq_view_rules@0.5", "spq_view@0.5", partial(spq_at, threshold=0.5, predicates="view")),
    _ruled("predicate_f1_rules", "predicate_f1", f1_of),
    *_at(0.25, place=10),
    *_at(0.5, place=12),
    _graph_metric(
        name="predicate_f1",
        task="graph",
        compute=f1_of,
        description="F1 of triplets between matched objects (IoU > 0.5), mean over predicates "
        f"{FIXED_SET}",
        place=31,
    ),
    Metric(
        name="sg_accuracy",
        family="graph",
        task="given_relations",
        input="relations",
        compute=accuracy_of,
        description='balanced accuracy of given-object relations with "none" as a label, mean over '
        "families",
        source="Brodersen et al. 2010 within a family; the mean over families is this project's",
        pooled=True,
        chance=accuracy_by_chance,
        place=40,
    ),
)
