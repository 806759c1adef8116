"""Calibration finds the best thresholds of validation data, and their file is checked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from g2vlm.inference.calibrate import (
    FILTERS,
    Thresholds,
    best_confidence,
    best_filter,
    best_graph,
    best_grounding,
    best_occupancy,
    best_score,
    match_predictions,
    occupancy_sample,
    prefix_f1,
    read_thresholds,
    surface_fscore,
)
from g2vlm.inference.scene import Ranked
from metrics.files import InputError, write_json
from metrics.geometry import lift_depth, to_frame
from metrics.reconstruction.compare_files import cell_values
from metrics.reconstruction.radius_counts import Samples
from metrics.reconstruction.surfaces import Surface
from metrics.scene_graph.spq import graph_counts, graph_truth, pooled_spq, predicate_sets
from tests.g2vlm.inference.synthetic import BOXES, CLASSES, annotation, views


def test_best_occupancy_separates_solid_from_free() -> None:
    random = np.random.default_rng(0)
    solid = random.random(4000) < 0.1
    logits = np.where(solid, 1.5, 0.0) + random.normal(0, 0.2, 4000)
    assert 0.4 < best_occupancy([(logits, solid)]) < 1.2
    assert best_occupancy([]) == 0.0


def test_best_occupancy_is_found_beyond_any_fixed_range() -> None:
    solid = np.arange(1000) < 200
    logits = np.where(solid, -30.0, -40.0)
    assert -40 <= best_occupancy([(logits, solid)]) < -30


def test_the_best_filter_has_the_least_error() -> None:
    errors = np.full((len(FILTERS), 1000), 0.04)
    errors[3] = 0.01
    assert best_filter([errors]) == FILTERS[3]


def test_unsure_points_are_dropped_if_the_score_rises() -> None:
    confidence = np.linspace(0, 1, 1001)
    tried: list[float] = []

    def score(level: float) -> float:
        tried.append(level)
        return -abs(level - 0.2)

    assert best_confidence(confidence, score) == pytest.approx(0.2)
    assert max(tried) == pytest.approx(0.45)
    assert best_confidence(confidence, lambda level: -level) == 0
    # The best share may be the largest of the grid, but never all points.
    assert best_confidence(confidence, lambda level: level) == pytest.approx(0.9)


def test_the_score_of_points_is_the_metric() -> None:
    """Against the surfaces of all views, `fscore@5cm` gives the same value."""
    true, _, _ = views()
    surfaces = to_frame(lift_depth(true.depth, true.intrinsics), true.pose)[true.depth > 0]
    points = surfaces[::3] + np.float32(0.03)
    value = surface_fscore(Samples(points), Samples(surfaces), Samples(surfaces))
    metric = cell_values(Surface.ordered(points), Surface.ordered(surfaces), [0.05])
    assert value == pytest.approx(metric["fscore@5cm"], abs=1e-6)
    assert 0.2 < value < 1


def test_grounding_thresholds_separate_zero_and_multi() -> None:
    queries = []
    for k in range(60):
        zero, multi = k % 3 == 0, k % 3 == 1
        targets = BOXES[:0] if zero else BOXES[: 2 if multi else 1]
        logits = np.array([2.0, 1.8 if multi else -2.0, -3.0])
        queries.append((Ranked(BOXES, logits), 3.0 if zero else -3.0, targets))
    zero, multi = best_grounding(queries)
    assert -3 <= zero < 3 and -2 <= multi < 1.8
    wrong = [(Ranked(BOXES + 9, q[0].logits), q[1], q[2]) for q in queries]
    assert -3 <= best_grounding(wrong)[0] < 3
    assert best_grounding([]) == (math.inf, math.inf)
    assert prefix_f1(Ranked(BOXES, np.zeros(3)), BOXES[:2])[:4].tolist() == [0, 2 / 3, 1, 0.8]
    assert prefix_f1(Ranked(BOXES, np.zeros(3)), BOXES[:0])[:2].tolist() == [1, 0]


def test_best_score_weighs_missed_and_false_items() -> None:
    rows = [("a", 0.9, 1.0), ("a", 0.8, 0.9), ("a", 0.3, 0.0), ("a", 0.2, 0.0)]
    assert 0.3 < best_score(rows, {"a": 2}) <= 0.8
    assert best_score([], {"a": 2}) == 0.0


def test_matching_agrees_with_the_metric() -> None:
    random = np.random.default_rng(0)
    line = annotation("s")
    objects = [
        {"box": box + random.normal(0, 0.02, 6), "class": name, "score": 0.8}
        for box, name in zip(BOXES, CLASSES, strict=True)
    ]
    rows = [(2, "on", 1, 0.9), (1, "under", 2, 0.8), (1, "larger", 0, 0.4), (0, "on", 1, 0.2)]
    sample = match_predictions(line, objects, rows)
    assert [row[0] for row in sample.triplets] == ["on", "larger", "on"]
    cut = best_graph([sample])[1]
    truth = graph_truth(line)

    def spq_at(level: float) -> float:
        counts = graph_counts(truth, objects, [r for r in rows if r[3] >= level], 0.5)
        return pooled_spq([counts], predicate_sets([truth]).independent).theta

    assert spq_at(cut) == pytest.approx(max(spq_at(level) for level in (0.9, 0.8, 0.4, 0.2)))
    assert spq_at(cut) > spq_at(0.0)


def test_occupancy_samples_agree_with_the_boxes() -> None:
    xyz, solid = occupancy_sample(views()[0], 3000, np.random.default_rng(0))
    inside = np.zeros(len(xyz), bool)
    for box in BOXES:
        inside |= (np.abs(xyz - box[:3]) < box[3:] / 2).all(1)
    assert (inside == solid).mean() > 0.995
    assert 0.005 < solid.mean() < 0.1


def test_thresholds_round_trip_and_wrong_names_raise(tmp_path) -> None:
    path = tmp_path / "thresholds.json"
    chosen = Thresholds(occupancy_logit=0.5, zero_logit=math.inf, triplet_score=0.1)
    write_json(path, chosen.to_json())
    assert read_thresholds(path) == chosen
    write_json(path, {"occupancy_logit": 1})
    with pytest.raises(InputError, match="thresholds.json.*missing or unknown"):
        read_thresholds(path)
