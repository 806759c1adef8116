"""The score thresholds of objects and triplets that do best on validation scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.pooled import fixed_set
from metrics.scene_graph.predicates import FAMILY_OF, VIEW_DEPENDENT
from metrics.scene_graph.spq import GraphTruth, Triplet, fold, graph_truth, true_counts

LEAST_IOU = 0.5
_LEVELS = 101


@dataclass(frozen=True)
class GraphSample:
    """One validation scene, judged once with everything that was detected.

    objects: (class, score, IoU with its true object; 0 = wrong) of each detection; triplets:
    (folded predicate, score, quality; 0 = wrong) of each predicted triplet. What only touches void
    objects or pairs is left out.
    """

    truth: GraphTruth
    objects: list[tuple[str, float, float]]
    triplets: list[tuple[str, float, float]]


def judge(
    annotation: dict[str, Any],
    objects: Sequence[dict[str, Any]],
    triplets: Sequence[tuple[int, str, int, float]],
) -> GraphSample:
    """Judge a scene's detections ({"box", "class", "score"}) and triplets (best first) by SPQ.

    The steps are those of `metrics.scene_graph.spq.graph_counts`, with each triplet's score kept.
    """
    truth = graph_truth(annotation)
    boxes = np.array([item["box"] for item in objects], float).reshape(-1, 6)
    classes = [item["class"] for item in objects]
    match = match_objects(boxes, classes, truth.boxes, truth.classes, LEAST_IOU)
    excused = (box_iou(boxes, truth.void_boxes) > LEAST_IOU).any(axis=1)
    overlap = {true: iou for true, iou in match.values()}
    total = len(truth.boxes)
    node = [match[k][0] if k in match else total + k for k in range(len(objects))]
    rows, seen = [], set()
    for subject, name, other, score in triplets:
        folded = fold((node[subject], name, node[other]))
        if folded not in seen:
            seen.add(folded)
            quality = _quality(folded, truth, overlap, excused)
            if quality is not None:
                rows.append((folded[1], score, quality))
    found = [
        (item["class"], float(item["score"]), match[k][1] if k in match else 0.0)
        for k, item in enumerate(objects)
        if k in match or not excused[k]
    ]
    return GraphSample(truth, found, rows)


def _quality(
    triplet: Triplet, truth: GraphTruth, overlap: dict[int, float], excused: np.ndarray
) -> float | None:
    """Return the quality of a folded triplet, 0 if wrong and None if it is not judged."""
    subject, name, other = triplet
    loose = [end - len(truth.boxes) for end in (subject, other) if end >= len(truth.boxes)]
    if loose:
        return None if all(excused[end] for end in loose) else 0.0
    if triplet in truth.triplets:
        return float(np.sqrt(overlap[subject] * overlap[other]))
    return None if (subject, other, FAMILY_OF[name]) in truth.void else 0.0


def best_graph(samples: Sequence[GraphSample]) -> tuple[float, float]:
    """Return the object and triplet scores above which box_pq and spq@0.5 are best.

    Counts pool over the scenes; the mean runs over classes, or view-independent predicates, that
    are common enough in the split's truth. Without a detection or a triplet the score is 0.
    """
    classes = Counter(name for sample in samples for name in sample.truth.classes)
    predicates = {
        name: count
        for name, count in true_counts([sample.truth for sample in samples]).items()
        if FAMILY_OF[name] not in VIEW_DEPENDENT
    }
    objects = [row for sample in samples for row in sample.objects]
    triplets = [row for sample in samples for row in sample.triplets]
    return best_score(objects, classes), best_score(triplets, predicates)


def best_score(rows: Sequence[tuple[str, float, float]], totals: dict[str, int]) -> float:
    """Return the score from which on handing in (name, score, quality) rows is best.

    Best is the mean over names of panoptic quality, the sum of q over TP + FP/2 + FN/2; with
    `totals` true items of each name, TP + FP = handed in and TP + FN = total.
    """
    names, _ = fixed_set(totals)
    if not rows or not names:
        return 0.0
    levels = np.unique(np.quantile([row[1] for row in rows], np.linspace(0, 1, _LEVELS)))
    mean = np.zeros(len(levels))
    for name in names:
        own = sorted((row[1], row[2]) for row in rows if row[0] == name)
        scores = np.array([row[0] for row in own])
        gained = np.append(np.cumsum([row[1] for row in own][::-1])[::-1], 0.0)
        first = np.searchsorted(scores, levels, "left")
        mean += 2 * gained[first] / (len(own) - first + totals[name])
    return float(levels[int(np.argmax(mean))])
