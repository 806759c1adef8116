"""Scores of detected objects, scene graphs and relations of given objects over a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metrics.rows import Row, usable
from metrics.scene_graph import detection, spq, triplet_recall
from metrics.scene_graph.oriented import oriented_iou, true_boxes
from metrics.scene_graph.pooled import PooledValue
from metrics.scene_graph.rule_baseline import RULES, relations_of_boxes
from metrics.scene_graph.spq import GraphTruth
from metrics.submission.reader import Submission
from metrics.truth import Truth

BOX_THRESHOLDS = (0.25, 0.5)
# Rooms hold a fifth of this; pairs grow with the square of the number of boxes.
MOST_RULED = 128
NO_HEADING = "objects carry no oriented boxes"
NO_SCORES = "given relations carry no scores, so nothing to rank"
Answer = tuple[list[dict[str, Any]], list[tuple]]


@dataclass(frozen=True)
class GraphRows:
    """Rows of a split's graphs, notes on the predicates used, and pooled values by metric.

    `succeeded` says of which scenes a pooled metric could use the answer; `reasons` why a metric
    of a declared task has no rows.
    """

    rows: list[Row]
    notes: dict[str, Any]
    pooled: dict[str, PooledValue]
    succeeded: np.ndarray
    reasons: dict[str, str] = field(default_factory=dict)


def score_graph(submission: Submission, truth: Truth) -> GraphRows:
    """Score detected objects and the graph over them.

    A scene without usable objects counts as one with no object found.
    """
    if not submission.produces & {"objects", "graph"}:
        return GraphRows([], {}, {}, np.zeros(0, bool))
    answers = [usable(lambda s=scene: submission.objects(s)) for scene in truth.scenes]
    succeeded = np.array([answer is not None for answer in answers])
    found = [answer if answer is not None else ([], []) for answer in answers]
    truths = [spq.graph_truth(line) for line in truth.annotations]
    values: dict[str, PooledValue | None] = {}
    notes: dict[str, Any] = {}
    rows: list[Row] = []
    reasons: dict[str, str] = {}
    if "objects" in submission.produces:
        values |= object_values(truths, found) | rule_values(truths, found)
        oriented = oriented_values(truth.annotations, found)
        values |= oriented
        if not oriented:
            names = [f"oriented_map@{threshold:g}" for threshold in BOX_THRESHOLDS]
            reasons = dict.fromkeys(names, NO_HEADING)
    if "graph" in submission.produces:
        pooled, notes = triplet_values(truths, found)
        ranked = [
            triplet_recall.ranked_triplets(true, *answer)
            for true, answer in zip(truths, found, strict=True)
        ]
        values |= pooled | ranked_values(truths, ranked)
        rows = _recall_rows(truth.scenes, truths, ranked, succeeded)
    kept = {name: value for name, value in values.items() if value is not None}
    rows += _pooled_rows(truth.scenes, kept, succeeded)
    return GraphRows(rows, notes, kept, succeeded, reasons)


def score_relations(submission: Submission, truth: Truth) -> GraphRows:
    """Score the relations of given objects; a scene without a usable answer is all wrong."""
    if "given_relations" not in submission.produces:
        return GraphRows([], {}, {}, np.zeros(0, bool))
    answers = [usable(lambda s=scene: submission.relations(s)) for scene in truth.scenes]
    confusion = [
        spq.relation_confusion(line, answer or {})
        for line, answer in zip(truth.annotations, answers, strict=True)
    ]
    truths = [spq.graph_truth(line) for line in truth.annotations]
    counts = [
        triplet_recall.given_counts(true, line["given"], answer or {})
        for true, line, answer in zip(truths, truth.annotations, answers, strict=True)
    ]
    values = {"sg_accuracy": spq.sg_accuracy(confusion), **triplet_recall.spq_given(counts, truths)}
    kept = {name: value for name, value in values.items() if value is not None}
    succeeded = np.array([answer is not None for answer in answers])
    ranked, reasons = _given_recall_rows(submission, truth, truths)
    rows = _pooled_rows(truth.scenes, kept, succeeded) + ranked
    return GraphRows(rows, {}, kept, succeeded, reasons)


def _given_recall_rows(
    submission: Submission, truth: Truth, truths: Sequence[GraphTruth]
) -> tuple[list[Row], dict[str, str]]:
    """Return rows of ranked relations, or why there are none."""
    names = {k: f"triplet_recall_given@{k}" for k in triplet_recall.GIVEN_RANKS}
    scored = [usable(lambda s=scene: submission.relation_scores(s)) for scene in truth.scenes]
    if all(answer is None for answer in scored):
        return [], dict.fromkeys(names.values(), NO_SCORES)
    rows = []
    for line, true, answer in zip(truth.annotations, truths, scored, strict=True):
        for k, name in names.items():
            recall = triplet_recall.given_recall(true, line["given"], answer or [], k)
            if recall is not None:
                good = answer is not None
                rows.append(Row(line["scene"], "", "all", name, recall, "item", good))
    return rows, {}


def object_values(
    truths: Sequence[GraphTruth], found: Sequence[Answer]
) -> dict[str, PooledValue | None]:
    """Return object_map at both thresholds and box_pq of the objects of each scene."""
    values: dict[str, PooledValue | None] = {}
    for threshold in BOX_THRESHOLDS:
        judged = [
            detection.judge_detections(true, objects, threshold)
            for true, (objects, _) in zip(truths, found, strict=True)
        ]
        values[f"object_map@{threshold:g}"] = detection.object_map(judged)
    boxes = [
        detection.box_quality_counts(true, objects, 0.5)
        for true, (objects, _) in zip(truths, found, strict=True)
    ]
    return values | {"box_pq@0.5": detection.box_pq(boxes, truths)}


def oriented_values(
    lines: Sequence[dict[str, Any]], found: Sequence[Answer]
) -> dict[str, PooledValue | None]:
    """Return object mAP of boxes with a heading; {} where the truth or every prediction lacks it.

    A predicted object without one counts with its axis-aligned box.
    """
    if not any(item.get("oriented") for objects, _ in found for item in objects):
        return {}
    judged: dict[float, list[dict[str, detection.Detections]]] = {}
    for line, (objects, _) in zip(lines, found, strict=True):
        states = ("eligible", "void")
        nodes, void = ([o for o in line["objects"] if o["state"] == state] for state in states)
        true, unseen = true_boxes(nodes), true_boxes(void)
        if true is None or unseen is None:
            return {}
        boxes = np.array([item.get("oriented") or [*item["box"], 0.0] for item in objects])
        overlap, beside = oriented_iou(boxes, true), oriented_iou(boxes, unseen)
        classes = [item["class"] for item in nodes]
        for threshold in BOX_THRESHOLDS:
            excused = (beside > threshold).any(axis=1)
            scene = detection.judge_overlaps(overlap, excused, classes, objects, threshold)
            judged.setdefault(threshold, []).append(scene)
    return {
        f"oriented_map@{threshold:g}": detection.object_map(scenes)
        for threshold, scenes in judged.items()
    }


def triplet_values(
    truths: Sequence[GraphTruth], found: Sequence[Answer]
) -> tuple[dict[str, PooledValue], dict[str, Any]]:
    """Return SPQ at both thresholds and predicate F1, and which predicates they run over."""
    values: dict[str, PooledValue] = {}
    predicates: dict[str, list[str]] = {}
    fewest = 0
    for threshold in BOX_THRESHOLDS:
        scores = _graph_scores(truths, found, threshold)
        values |= scores.values
        predicates |= scores.predicates
        fewest = scores.fewest
    return values, {"predicates": predicates, "fewest_triplets": fewest}


def rule_values(truths: Sequence[GraphTruth], found: Sequence[Answer]) -> dict[str, PooledValue]:
    """Return what `rules.relations_of_boxes` scores on the found boxes (rules_pred).

    Of very many boxes in a scene the `MOST_RULED` best-scored ones are related.
    """
    ruled = []
    for objects, _ in found:
        best = sorted(objects, key=lambda item: -item["score"])[:MOST_RULED]
        ruled.append((best, relations_of_boxes(np.array([item["box"] for item in best]))))
    scores = _graph_scores(truths, ruled, 0.5).values
    return {name: scores[source] for source, name in RULES.items() if source in scores}


def ranked_values(
    truths: Sequence[GraphTruth], ranked: Sequence[Sequence[spq.Triplet]]
) -> dict[str, PooledValue | None]:
    """Return mean triplet recall at each rank of `triplet_recall.ranked_triplets` of each scene."""
    return {
        f"triplet_mean_recall@{k}": triplet_recall.mean_triplet_recall(ranked, truths, k)
        for k in triplet_recall.RANKS
    }


def _graph_scores(
    truths: Sequence[GraphTruth], found: Sequence[Answer], threshold: float
) -> spq.GraphScores:
    counts = [
        spq.graph_counts(true, objects, triplets, threshold)
        for true, (objects, triplets) in zip(truths, found, strict=True)
    ]
    return spq.graph_scores(counts, truths, threshold)


def _recall_rows(
    scenes: list[str],
    truths: Sequence[GraphTruth],
    ranked: Sequence[Sequence[spq.Triplet]],
    succeeded: np.ndarray,
) -> list[Row]:
    rows = []
    for scene, true, best, good in zip(scenes, truths, ranked, succeeded.tolist(), strict=True):
        for k in triplet_recall.RANKS:
            recall = triplet_recall.triplet_recall(true, best, k)
            if recall is not None:
                rows.append(Row(scene, "", "all", f"triplet_recall@{k}", recall, "item", good))
    return rows


def _pooled_rows(
    scenes: list[str], values: dict[str, PooledValue], succeeded: np.ndarray
) -> list[Row]:
    rows = []
    for name, value in values.items():
        rows.append(Row("", "", "all", name, value.theta, "pooled"))
        for scene, pseudo, good in zip(
            scenes, value.pseudo.tolist(), succeeded.tolist(), strict=True
        ):
            rows.append(Row(scene, "", "all", name, pseudo, "pseudo", good))
    return rows
