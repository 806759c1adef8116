"""Detected objects over a split: average precision and panoptic quality of boxes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.pooled import FIXED_SET, PooledValue, fixed_set, jackknife
from metrics.scene_graph.boxes import box_iou
from metrics.scene_graph.spq import (
    THRESHOLDS,
    VOID_RULE,
    GraphComparison,
    GraphTruth,
    match_to_truth,
    spq,
)


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
    precision = np.cumsum(hits[order]) / np.arange(1, len(order) + 1)  # (N,)
    # The envelope makes precision monotone from the right; each hit is one step of recall.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits[order]].sum() / total)


VOC = (
    "Everingham et al. 2010 (VOC); differs from VOC in boxes of three dimensions, in that equal "
    "scores put false positives first, and in that a void object of any class excuses one"
)


@dataclass(frozen=True)
class Detections:
    """Matched predictions of one class in one scene.

    Attributes:
        scores: f64 [N].
        hits: bool [N], true or false positive.
        total: number of true objects.
    """

    scores: np.ndarray
    hits: np.ndarray
    total: int


def match_predictions(
    truth: GraphTruth, objects: Sequence[dict[str, Any]], threshold: float
) -> dict[str, Detections]:
    """Match a scene's axis-aligned boxes by class, best score first (VOC).

    A prediction whose best true box of its class overlaps by more than `threshold` is a hit,
    unless an earlier prediction was matched to that box. A false positive over a void object is
    left out.

    Args:
        truth: the scene's graph.
        objects: {"box", "class", "score"} of the predicted ones.
        threshold: IoU.
    """
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    excused = (box_iou(boxes, truth.void_boxes) > threshold).any(axis=1)
    return match_by_overlap(box_iou(boxes, truth.boxes), excused, truth.classes, objects, threshold)


def match_by_overlap(
    overlap: np.ndarray,
    excused: np.ndarray,
    classes: Sequence[str],
    objects: Sequence[dict[str, Any]],
    threshold: float,
) -> dict[str, Detections]:
    """Match predictions whose overlap with the truth is known, as `match_predictions` does.

    Args:
        overlap: f64 [N, M], IoU of predicted with true objects.
        excused: bool [N], whether a false positive is left out.
        classes: of the true objects, M.
        objects: {"class", "score"} of the predicted ones, N.
        threshold: IoU.
    """
    true_class = np.array(classes, object)
    matched = {}
    for name in sorted({*classes, *(item["class"] for item in objects)}):
        candidates = [index for index, item in enumerate(objects) if item["class"] == name]
        # Among equal scores those over void objects come first: they may take a hit from others,
        # which then are false positives, whatever the numbers of the predictions are.
        candidates.sort(key=lambda index: (-objects[index]["score"], not excused[index]))
        columns = np.flatnonzero(true_class == name)
        taken: set[int] = set()
        scores, hits = [], []
        for index in candidates:
            best = int(columns[overlap[index, columns].argmax()]) if len(columns) else -1
            hit = best >= 0 and overlap[index, best] > threshold and best not in taken
            if hit:
                taken.add(best)
            elif excused[index]:
                continue
            scores.append(objects[index]["score"])
            hits.append(hit)
        matched[name] = Detections(np.array(scores, float), np.array(hits, bool), len(columns))
    return matched


def object_map(scenes: Sequence[dict[str, Detections]]) -> PooledValue | None:
    """Return the mean over the split's true classes of `average_precision`.

    A class whose true objects are all in the scene that is left out does not count in that
    resample.

    Args:
        scenes: `match_predictions` of each scene.

    Returns:
        None without true objects.

    Source: Everingham et al. 2010 (VOC).

    Example:
        >>> bed = Detections(np.array([0.9, 0.8]), np.array([True, False]), 2)
        >>> object_map([{"bed": bed}]).theta
        0.5
    """
    classes = sorted({name for scene in scenes for name, matched in scene.items() if matched.total})
    if not classes:
        return None
    # Of each class: scores and hits of all predictions, the scene of each, true objects by scene.
    flat = {}
    for name in classes:
        rows = [scene.get(name) for scene in scenes]
        counts = [0 if row is None else len(row.scores) for row in rows]
        present = [row for row in rows if row is not None]
        flat[name] = (
            np.concatenate([row.scores for row in present]),
            np.concatenate([row.hits for row in present]),
            np.repeat(np.arange(len(scenes)), counts),
            np.array([0 if row is None else row.total for row in rows]),
        )

    def statistic(keep: np.ndarray) -> float:
        values = []
        for scores, hits, owner, totals in flat.values():
            total = int(totals[keep].sum())
            if total:
                chosen = keep[owner]
                values.append(average_precision(scores[chosen], hits[chosen], total))
        return float(np.mean(values)) if values else 0.0

    return jackknife(statistic, len(scenes))


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


def map_at(comparison: GraphComparison, threshold: float) -> PooledValue | None:
    """Return `object_map` at IoU > `threshold`."""
    return object_map(
        [match_predictions(truth, objects, threshold) for truth, objects, _ in comparison.scenes()]
    )


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
