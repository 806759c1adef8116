"""Detected objects over a split: average precision and panoptic quality of boxes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.pooled import FIXED_SET, PooledValue, fixed_set, jackknife
from metrics.ranges import blocks, spread
from metrics.scene_graph.boxes import paired_iou
from metrics.scene_graph.spq import (
    THRESHOLDS,
    VOID_RULE,
    GraphComparison,
    GraphTruth,
    match_to_truth,
    spq,
)

# Pairs of boxes that are compared at once: bounds the memory.
_PAIRS = 1 << 16


def average_precision(scores: np.ndarray, hits: np.ndarray, total: int) -> float:
    """Return the all-point average precision.

    Args:
        scores: [N] confidence.
        hits: bool [N], true or false positive.
        total: number of true objects.

    Source: Everingham et al. 2010 (PASCAL VOC 2010 and later).

    Example:
        >>> scores, hits = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
        >>> average_precision(scores, hits, 2).__round__(4)
        0.8333
    """
    if total == 0 or len(scores) == 0:
        return 0.0
    # Among equal scores false positives come first, so ties never help.
    order = np.lexsort((hits, -scores))
    return float(_summed_precision(np.flatnonzero(hits[order]) + 1.0) / total)


def _summed_precision(ranks: np.ndarray) -> np.float64:
    """Return the sum over hits of the best precision there or farther down the ranking.

    Args:
        ranks: f64 [H], of the hits among all predictions, from 1.
    """
    best = np.arange(1.0, len(ranks) + 1.0)
    best /= ranks  # (H,) precision at each hit
    # Between two hits precision falls, so its maximum from the right is one of these. Each hit is
    # one step of recall.
    np.maximum.accumulate(best[::-1], out=best[::-1])
    return best.sum()


VOC = (
    "Everingham et al. 2010 (VOC); differs from VOC in boxes of three dimensions, in that equal "
    "scores put false positives first, and in that a void object of any class excuses one"
)


@dataclass(frozen=True)
class Overlaps:
    """The largest overlaps of a split's predicted objects with objects of their scene.

    Attributes:
        names: of the C classes that are predicted or true, sorted.
        totals: i64 [C, S], true objects of each class in each scene.
        classes: i64 [P], of the predicted objects, places in `names`.
        scenes: i64 [P], the scene of each.
        scores: f64 [P].
        iou: f64 [P], the largest with a true object of the class, 0 without any.
        true: i64 [P], the number of that object in the split; the first among equal ones.
        void: f64 [P], the largest with a void object, 0 without any.
    """

    names: list[str]
    totals: np.ndarray
    classes: np.ndarray
    scenes: np.ndarray
    scores: np.ndarray
    iou: np.ndarray
    true: np.ndarray
    void: np.ndarray


@dataclass(frozen=True)
class TrueBoxes:
    """True boxes of a scene.

    Attributes:
        boxes: f64 [M, D] of the eligible objects.
        classes: M.
        void: f64 [K, D] of the void objects.
    """

    boxes: np.ndarray
    classes: list[str]
    void: np.ndarray


def split_overlaps(
    boxes: np.ndarray,
    objects: Sequence[Sequence[dict[str, Any]]],
    truths: Sequence[TrueBoxes],
    iou: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Overlaps:
    """Compare the predicted objects of a split with the truth of their scenes.

    Args:
        boxes: f64 [P, D], one for each of `objects`.
        objects: {"class", "score"} of the predicted objects of each scene, P in all.
        truths: of each scene.
        iou: takes two arrays f64 [K, D] and returns the overlaps f64 [K] of their rows.
    """
    flat = [item for scene in objects for item in scene]
    true_names = [name for truth in truths for name in truth.classes]
    predicted_names = [item["class"] for item in flat]
    names = sorted({*true_names, *predicted_names})
    number = {name: place for place, name in enumerate(names)}
    numbers = np.arange(len(truths))
    scenes = np.repeat(numbers, [len(scene) for scene in objects])
    classes = np.array([number[name] for name in predicted_names], np.int64)
    true_scenes = np.repeat(numbers, [len(truth.classes) for truth in truths])
    true_classes = np.array([number[name] for name in true_names], np.int64)
    void_scenes = np.repeat(numbers, [len(truth.void) for truth in truths])
    keys, true_keys = classes + scenes * len(names), true_classes + true_scenes * len(names)
    largest, true = _largest(
        iou, boxes, keys, np.concatenate([truth.boxes for truth in truths]), true_keys
    )
    void, _ = _largest(
        iou, boxes, scenes, np.concatenate([truth.void for truth in truths]), void_scenes
    )
    totals = np.bincount(true_keys, minlength=len(names) * len(truths))
    return Overlaps(
        names=names,
        totals=totals.reshape(len(truths), len(names)).T,
        classes=classes,
        scenes=scenes,
        scores=np.array([item["score"] for item in flat], np.float64),
        iou=largest,
        true=true,
        void=void,
    )


def _largest(
    iou: Callable[[np.ndarray, np.ndarray], np.ndarray],
    boxes: np.ndarray,
    keys: np.ndarray,
    others: np.ndarray,
    other_keys: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest overlap f64 [P] of boxes with others of the same key, and which it is.

    Args:
        boxes: f64 [P, D]; keys: i64 [P].
        others: f64 [M, D]; other_keys: i64 [M].

    Returns:
        0 and -1 where no other has the key; the first among equal overlaps.
    """
    order = np.argsort(other_keys, kind="stable")
    begin, end = (np.searchsorted(other_keys[order], keys, side) for side in ("left", "right"))
    largest, which = np.zeros(len(boxes)), np.full(len(boxes), -1)
    some = np.flatnonzero(end > begin)
    counts = (end - begin)[some]
    for part in blocks(counts, _PAIRS):
        index, count = some[part], counts[part]
        owner, place = spread(begin[index], count)
        overlap = iou(boxes[index[owner]], others[order[place]])  # (K,) pairs
        most = np.maximum.reduceat(overlap, np.cumsum(count) - count)
        # Written from the last to the first, so that the first of equal ones stays.
        equal = np.flatnonzero(overlap == most[owner])[::-1]
        largest[index], which[index[owner[equal]]] = most, order[place[equal]]
    return largest, which


@dataclass(frozen=True)
class Detections:
    """Matched predictions of one class in a split, best score first.

    Attributes:
        scores: f64 [N].
        hits: bool [N], true or false positive; among equal scores false ones come first.
        scenes: i64 [N], the scene of each.
        totals: i64 [S], true objects of each scene.
    """

    scores: np.ndarray
    hits: np.ndarray
    scenes: np.ndarray
    totals: np.ndarray

    def ap(self, keep: np.ndarray) -> float | None:
        """Return the average precision over scenes bool [S]; None without true objects there."""
        total = int(self.totals[keep].sum())
        if not total:
            return None
        hits = self.hits[keep[self.scenes]]
        return float(_summed_precision(np.flatnonzero(hits) + 1.0) / total)


def match_predictions(overlaps: Overlaps, threshold: float) -> dict[str, Detections]:
    """Match the predicted boxes of a split within scenes and classes, best score first (VOC).

    A prediction whose best true box of its class overlaps by more than `threshold` is a hit,
    unless an earlier prediction was matched to that box. A false positive over a void object is
    left out.

    Args:
        overlaps: of the split.
        threshold: IoU.

    Returns:
        The predictions of each class.
    """
    excused = overlaps.void > threshold
    # Among equal scores those over void objects come first: they may take a hit from others,
    # which then are false positives, whatever the numbers of the predictions are.
    order = np.lexsort((~excused, -overlaps.scores))
    claims = order[overlaps.iou[order] > threshold]
    _, first = np.unique(overlaps.true[claims], return_index=True)
    hits = np.zeros(len(order), bool)
    hits[claims[first]] = True
    kept = np.flatnonzero(hits | ~excused)
    kept = kept[np.lexsort((hits[kept], -overlaps.scores[kept], overlaps.classes[kept]))]
    limits = np.searchsorted(overlaps.classes[kept], np.arange(len(overlaps.names) + 1))
    return {
        name: Detections(overlaps.scores[some], hits[some], overlaps.scenes[some], totals)
        for name, totals, start, end in zip(
            overlaps.names, overlaps.totals, limits[:-1], limits[1:], strict=True
        )
        for some in [kept[start:end]]
    }


class _LeaveOneOut:
    """Average precision of a class without the predictions and true objects of one scene.

    It costs time in proportion to the hits, not to the predictions.
    """

    def __init__(self, matched: Detections) -> None:
        self.totals, self.hits = matched.totals, matched.hits
        self.total = int(matched.totals.sum())
        self.ranks = np.flatnonzero(matched.hits) + 1.0  # (H,) of the hits
        self.rest = np.empty_like(self.ranks)
        self.sum = _summed_precision(self.ranks)
        self.order = np.argsort(matched.scenes, kind="stable")  # scene by scene, in rank order
        self.start = np.searchsorted(matched.scenes[self.order], np.arange(len(self.totals) + 1))

    def concerns(self) -> np.ndarray:
        """Return bool [S], the scenes with predictions or true objects of the class."""
        return (self.totals > 0) | (np.diff(self.start) > 0)

    def ap(self, scene: int) -> float | None:
        """Return the value without a scene; None if no true object is left."""
        total = self.total - int(self.totals[scene])
        if not total:
            return None
        removed = self.order[self.start[scene] : self.start[scene + 1]]  # places in the ranking
        hits_before = np.searchsorted(self.ranks, removed + 1.0)
        if not len(removed) or hits_before[0] == len(self.ranks):
            return float(self.sum / total)  # what is removed has no hit behind it
        # Each one that is removed moves the hits behind it up by a rank.
        start = count = 0
        ends = [*hits_before.tolist(), len(self.ranks)]
        gone = [*self.hits[removed].tolist(), False]
        for ahead, (end, is_hit) in enumerate(zip(ends, gone, strict=True)):
            np.subtract(self.ranks[start:end], ahead, out=self.rest[count : count + end - start])
            count += end - start
            start = end + is_hit
        return float(_summed_precision(self.rest[:count]) / total)


def object_map(detections: dict[str, Detections]) -> PooledValue | None:
    """Return the mean over the split's true classes of `average_precision`.

    A class whose true objects are all in the scene that is left out does not count in that
    resample.

    Args:
        detections: of each class, what `match_predictions` returns.

    Returns:
        None without true objects.

    Source: Everingham et al. 2010 (VOC).

    Example:
        >>> scores, hits = np.array([0.9, 0.8]), np.array([True, False])
        >>> bed = Detections(scores, hits, scenes=np.array([0, 0]), totals=np.array([2]))
        >>> object_map({"bed": bed}).theta
        0.5
    """
    counted = [matched for _, matched in sorted(detections.items()) if matched.totals.any()]
    if not counted:
        return None

    def statistic(keep: np.ndarray) -> float:
        return _mean([matched.ap(keep) for matched in counted])

    scenes = len(counted[0].totals)
    reduced = [_LeaveOneOut(matched) for matched in counted]
    concerned = np.array([matched.concerns() for matched in reduced])  # (classes, S)
    whole = [matched.ap(np.ones(scenes, bool)) for matched in counted]

    def without(scene: int) -> float:
        values = whole.copy()
        for place in np.flatnonzero(concerned[:, scene]).tolist():
            values[place] = reduced[place].ap(scene)
        return _mean(values)

    return jackknife(statistic, scenes, without)


def _mean(values: list[float | None]) -> float:
    """Return the mean of the values that are not None; 0 without any."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 0.0


def box_quality_counts(
    truth: GraphTruth, objects: Sequence[dict[str, Any]], threshold: float
) -> dict[str, np.ndarray]:
    """Return {class: f64 [4]} of summed IoU, hits, false and missed boxes of a scene."""
    matching = match_to_truth(truth, objects, threshold)
    classes = [item["class"] for item in objects]
    counts = {name: np.zeros(4) for name in {*classes, *truth.classes}}
    for name, node, excused in zip(classes, matching.nodes, matching.excused, strict=True):
        if node in matching.overlap:
            counts[name] += [matching.overlap[node], 1, 0, 0]
        elif not excused:
            counts[name] += [0, 0, 1, 0]
    for index, name in enumerate(truth.classes):
        counts[name][3] += index not in matching.overlap
    return counts


def box_pq(
    scenes: Sequence[dict[str, np.ndarray]], truths: Sequence[GraphTruth]
) -> PooledValue | None:
    """Return the panoptic quality of boxes: summed IoU over TP + FP/2 + FN/2, mean over classes.

    Counts are pooled over the split. The classes are those of `fixed_set`, and hallucinated ones,
    which have false positives and no true object: their quality is 0.

    Args:
        scenes: `box_quality_counts` of each scene.
        truths: the graph of each scene.

    Returns:
        None without true objects.

    Source: Kirillov et al. 2019; differs from panopticapi, which averages over every class that is
        true or predicted, and leaves out a prediction of which more than half is void.

    Example:
        >>> nothing = frozenset()
        >>> truth = GraphTruth(np.zeros((1, 6)), ["bed"], np.zeros((0, 6)), nothing, nothing)
        >>> box_pq([{"bed": np.array([0.8, 1, 1, 0])}], [truth]).theta.__round__(4)
        0.5333
    """
    true = Counter(name for truth in truths for name in truth.classes)
    names, _ = fixed_set(true)
    if not names:
        return None
    names += sorted({name for scene in scenes for name in scene if name not in true})
    nothing = np.zeros(4)
    # (scenes, classes, 4)
    table = np.array([[scene.get(name, nothing) for name in names] for scene in scenes])

    def statistic(keep: np.ndarray) -> float:
        return spq(*table[keep].sum(axis=0).T)

    return jackknife(statistic, len(scenes))


def axis_aligned_overlaps(comparison: GraphComparison) -> Overlaps:
    """Return the overlaps of a split's axis-aligned boxes."""
    objects = [predicted for predicted, _ in comparison.answers]
    boxes = np.array([item["box"] for scene in objects for item in scene], np.float64)
    truths = [TrueBoxes(t.boxes, t.classes, t.void_boxes) for t in comparison.truths]
    return split_overlaps(boxes.reshape(-1, 6), objects, truths, paired_iou)


def map_at(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return `object_map` at IoU > `threshold`."""
    return object_map(match_predictions(comparison.once(axis_aligned_overlaps), threshold))


def pq_of(comparison: GraphComparison) -> PooledValue | None:
    """Return `box_pq` at IoU > 0.5."""
    return box_pq(
        [box_quality_counts(truth, objects, 0.5) for truth, objects, _ in comparison.scenes()],
        comparison.truths,
    )


METRICS = (
    *(
        Metric(
            name=f"object_map@{threshold:g}",
            family="graph",
            task="objects",
            input="graphs",
            compute=lambda comparison, threshold=threshold: map_at(comparison, threshold),
            description=f"mean over classes of all-point average precision, IoU > {threshold:g}",
            source=VOC,
            pooled=True,
            place=place,
        )
        for threshold, place in zip(THRESHOLDS, (11, 13), strict=True)
    ),
    Metric(
        name="box_pq@0.5",
        family="graph",
        task="objects",
        input="graphs",
        compute=pq_of,
        description="sum of IoU over TP + FP/2 + FN/2 at IoU > 0.5, mean over classes "
        f"{FIXED_SET}; {VOID_RULE}",
        source="Kirillov et al. 2019; differs from panopticapi, which averages over every class "
        "that is true or predicted and leaves out what is more than half void",
        pooled=True,
        place=30,
    ),
)
