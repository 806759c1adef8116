"""Both summaries, the source's own means, the relation rules and the registry's words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metrics.registry import METRICS
from metrics.rows import Row, summarise
from metrics.scene_graph.rule_baseline import relations_of_boxes
from metrics.submission.writer import TASKS


def test_failures_count_in_the_mean_but_not_in_mean_succeeded():
    rows = [
        Row("a", "", "all", "accuracy_m", 0.1),
        Row("b", "", "all", "accuracy_m", 0.3),
        Row("c", "", "all", "accuracy_m", 5.0, "item", False),
    ]
    cell = summarise(rows)["accuracy_m"]["all"]
    assert cell["mean"] == pytest.approx(1.8)
    assert cell["mean_succeeded"] == pytest.approx(0.2)
    assert cell["succeeded"] == pytest.approx(2 / 3) and cell["items"] == 3
    assert cell["query_mean"] is None


def test_mean_weighs_scenes_and_query_mean_weighs_queries():
    rows = [Row("a", f"q{k}", "unique", "ref_acc@0.5", 1.0) for k in range(3)]
    rows.append(Row("b", "q0", "unique", "ref_acc@0.5", 0.0))
    cell = summarise(rows)["ref_acc@0.5"]["unique"]
    assert (cell["mean"], cell["query_mean"]) == (0.5, 0.75)


def test_mean_succeeded_is_none_without_a_success():
    cell = summarise([Row("a", "", "all", "mesh_iou", 0.0, "item", False)])["mesh_iou"]["all"]
    assert cell["mean_succeeded"] is None and cell["succeeded"] == 0


def test_every_metric_of_a_score_table_is_summarised(oracle_scores):
    summary = json.loads(oracle_scores.with_suffix(".json").read_text())["summary"]
    assert set(summary) <= set(METRICS)
    for name, subsets in summary.items():
        for cell in subsets.values():
            assert cell["succeeded"] == 1
            assert np.isfinite(cell["mean"])
            # Without failures both summaries are the same, pooled metrics included.
            assert cell["mean_succeeded"] == pytest.approx(cell["mean"]), name


def test_registry_entries_are_complete():
    for name, metric in METRICS.items():
        assert name == metric.name and metric.task in TASKS
        assert metric.description and metric.source
        assert metric.worst_text and metric.floor
        worst = metric.worst_in(7.0)
        assert (worst < metric.best) if metric.higher_is_better else (worst > metric.best)


def test_box_rules_by_hand():
    table, lamp = [2, 0, 0.4, 1, 1, 0.8], [2.1, 0.1, 1.0, 0.2, 0.2, 0.4]
    sofa = [4, -3, 0.4, 2, 1, 0.8]
    triplets = relations_of_boxes(np.array([table, lamp, sofa]))
    assert (1, "on", 0) in triplets and (0, "under", 1) in triplets
    assert (0, "near", 1) in triplets and (1, "near", 0) in triplets
    assert (0, "near", 2) not in triplets
    assert (
        (2, "larger", 0) in triplets
        and (0, "larger", 1) in triplets
        and (0, "larger", 2) not in triplets
    )
    # The sofa is farther to the right of the table than behind it.
    assert (2, "right", 0) in triplets and (0, "left", 2) in triplets
    sides = [row for row in triplets if row[1] in ("left", "right", "front", "behind")]
    assert len(sides) == 6
    assert relations_of_boxes(np.zeros((0, 6))) == []


def test_an_object_next_to_a_support_is_not_on_it():
    table, adjacent = [0, 0, 0.4, 1, 1, 0.8], [0.7, 0, 1.0, 0.2, 0.2, 0.4]
    floating = [0, 0, 1.2, 0.2, 0.2, 0.4]
    for other in (adjacent, floating):
        assert not any(row[1] == "on" for row in relations_of_boxes(np.array([table, other])))
