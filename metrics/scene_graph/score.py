"""Rows of detected objects, scene graphs and relations of given objects over a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metrics.metric import Metric
from metrics.pooled import PooledValue, over_succeeded, pooled_rows
from metrics.rows import Row, ScoredRows, item_row, usable
from metrics.scene_graph.spq import (
    THRESHOLDS,
    GraphComparison,
    RelationComparison,
    SplitComparison,
)
from metrics.scene_graph.triplet_recall import RankedScene, ranked_given_triplets, rankings
from metrics.submission.reader import Submission
from metrics.truth import Truth


def score_graphs(submission: Submission, truth: Truth, metrics: Sequence[Metric]) -> ScoredRows:
    """Score detected objects and the graph over them.

    A scene without usable objects counts as one in which no object was detected.
    """
    metrics = [m for m in metrics if m.task in submission.produces & {"objects", "graph"}]
    if not metrics:
        return ScoredRows()
    answers = [usable(submission.objects, scene) for scene in truth.scenes]
    succeeded = np.array([answer is not None for answer in answers])
    comparison = GraphComparison(
        truth.annotations, [answer if answer is not None else ([], []) for answer in answers]
    )
    rows: list[Row] = []
    of_scenes = [metric for metric in metrics if metric.input == "ranked_scene"]
    if of_scenes:
        for scene, true, best, good in zip(
            truth.scenes,
            comparison.truths,
            comparison.once(rankings),
            succeeded.tolist(),
            strict=True,
        ):
            rows += _scene_rows(of_scenes, scene, RankedScene(true, best), good)
    of_split = [metric for metric in metrics if metric.input == "graphs"]
    reasons = {m.name: m.reason for m in of_split if m.reason and not m.applies(comparison)}
    # Object metrics come before those of triplets in a score table.
    of_split.sort(key=lambda metric: metric.task == "graph")
    values = _pooled_values(of_split, comparison)
    rows += pooled_rows(truth.scenes, values, succeeded)
    notes = _predicates(comparison) if "graph" in submission.produces else {}
    return ScoredRows(rows, reasons, over_succeeded(values, succeeded), notes)


def score_relations(submission: Submission, truth: Truth, metrics: Sequence[Metric]) -> ScoredRows:
    """Score the relations of given objects; a scene without a usable answer is all wrong."""
    if "given_relations" not in submission.produces:
        return ScoredRows()
    answers = [usable(submission.relations, scene) for scene in truth.scenes]
    succeeded = np.array([answer is not None for answer in answers])
    comparison = RelationComparison(truth.annotations, [answer or {} for answer in answers])
    values = _pooled_values(
        [metric for metric in metrics if metric.input == "relations"], comparison
    )
    rows = pooled_rows(truth.scenes, values, succeeded)
    of_scenes = [metric for metric in metrics if metric.input == "ranked_given_scene"]
    scored = [usable(submission.relation_scores, scene) for scene in truth.scenes]
    reasons: dict[str, str] = {}
    if all(answer is None for answer in scored):
        reasons = {metric.name: metric.reason for metric in of_scenes}
    else:
        for line, true, answer in zip(truth.annotations, comparison.truths, scored, strict=True):
            ranked = ranked_given_triplets(true, line["given"], answer or [])
            rows += _scene_rows(
                of_scenes, line["scene"], RankedScene(true, ranked), answer is not None
            )
    return ScoredRows(rows, reasons, over_succeeded(values, succeeded))


def _scene_rows(
    metrics: Sequence[Metric], scene: str, comparison: RankedScene, succeeded: bool
) -> list[Row]:
    return [
        item_row(metric, scene, metric.compute(comparison), succeeded=succeeded)
        for metric in metrics
        if metric.applies(comparison)
    ]


def _pooled_values(
    metrics: Sequence[Metric], comparison: SplitComparison
) -> dict[str, PooledValue]:
    """Return the values of the metrics that the split defines."""
    values = {m.name: m.compute(comparison) for m in metrics if m.applies(comparison)}
    return {name: value for name, value in values.items() if value is not None}


def _predicates(comparison: GraphComparison) -> dict[str, Any]:
    """Return the predicates of each macro mean, and how many true triplets each had to have."""
    sets = comparison.predicates
    predicates: dict[str, list[str]] = {}
    for threshold in THRESHOLDS:
        predicates[f"spq@{threshold:g}"] = sets.independent
        predicates[f"spq_view@{threshold:g}"] = sets.view
        predicates[f"spq_micro@{threshold:g}"] = sets.all
    if sets.all:
        predicates["predicate_f1"] = sets.all
    return {"predicates": predicates, "fewest_triplets": sets.fewest}
