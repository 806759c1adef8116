"""What must hold of the metrics whatever the input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from metrics.language import grounding
from metrics.prepare import measured_floors, open_truth, scene_floors
from metrics.reconstruction import distances
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.surfaces import Surface, SurfaceComparison, TruthClouds
from metrics.registry import FLOORS, METRICS
from metrics.scene_graph.boxes import assign, box_iou

SEEDS = st.integers(0, 2**31)
Values = Callable[[np.ndarray], dict[str, float]]


@pytest.fixture(scope="module")
def clouds(truth_dir: Path) -> TruthClouds:
    """The true surface of one small room."""
    truth = open_truth(truth_dir)
    prepared = truth.prepared(truth.scenes[0])
    return TruthClouds(prepared.ordered(truth.geometry(truth.scenes[0])), prepared)


def values_of(clouds: TruthClouds, points: np.ndarray) -> dict[str, float]:
    grey = np.full(points.shape, 100, np.uint8)
    return surface_values(Surface.ordered(points, None, grey), clouds)


def surface_values(surface: Surface, clouds: TruthClouds) -> dict[str, float]:
    """Return every metric of a surface without pixels that the scene defines."""
    comparison = SurfaceComparison(surface, clouds)
    return {
        metric.name: metric.compute(comparison)
        for metric in METRICS.values()
        if metric.input == "surface" and metric.applies(comparison)
    }


def guess(clouds: TruthClouds, seed: int, count: int = 1500) -> np.ndarray:
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(clouds.true.surface), count)
    return clouds.true.surface[chosen] + generator.normal(0, 0.03, (count, 3)).astype(np.float32)


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_order_and_duplicates_change_nothing(clouds, seed):
    points = guess(clouds, seed)
    wanted = values_of(clouds, points)
    generator = np.random.default_rng(seed)
    again = np.concatenate([points, points[:400], points[:400]])
    found = values_of(clouds, again[generator.permutation(len(again))])
    assert found == pytest.approx(wanted, abs=1e-9)


def test_the_truth_is_perfect_and_every_value_has_its_metric(clouds):
    true = clouds.true
    found = surface_values(Surface.ordered(true.surface, None, true.surface_colour), clouds)
    assert None not in found.values()
    assert found["accuracy_m"] == found["colour_mae"] == 0
    # Another sample can represent a cell among the observed ones than among all.
    assert found["completeness_m"] == pytest.approx(0, abs=1e-4)
    assert found["chamfer_l2sq_m2"] == pytest.approx(0, abs=1e-6)
    for threshold in ("2.5cm", "5cm", "10cm"):
        assert found[f"fscore@{threshold}"] == 1
    assert found["voxel_iou@5cm"] == found["voxel_iou@10cm"] == 1


def test_floors_lie_between_the_truth_itself_and_a_guess(clouds, truth_dir):
    truth = open_truth(truth_dir)
    floors = measured_floors(truth)
    assert list(floors) == [name for name in FLOORS if name in floors]
    assert set(values_of(clouds, guess(clouds, 0))) <= set(floors)
    assert scene_floors(truth.geometry(truth.scenes[0])).keys() == floors.keys()
    guessed = values_of(clouds, guess(clouds, 0))
    for name, floor in floors.items():
        metric = METRICS[name]
        assert metric.floor == "measured on each split"
        if metric.higher_is_better:
            assert guessed[name] <= floor <= metric.best + 1e-9, name
        else:
            assert metric.best <= floor <= guessed[name], name
    # Independent points of density d lie 1 / (2 sqrt(d)) from each other; here on 71.5 m2.
    assert floors["accuracy_m"] == pytest.approx(0.5 / np.sqrt(20_000 / 71.5), rel=0.1)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_moving_both_clouds_rigidly_changes_no_distance(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.uniform(-1, 1, (60, 3)), generator.uniform(-1, 1, (50, 3))
    turn, shift = Rotation.random(rng=generator), generator.uniform(-2, 2, 3)

    def chamfer(a: np.ndarray, b: np.ndarray) -> float:
        return distances.chamfer_l1(
            geo.Cloud(b).nearest(a).distance, geo.Cloud(a).nearest(b).distance
        )

    moved = (turn.apply(cloud) + shift for cloud in (first, second))
    assert chamfer(*moved) == pytest.approx(chamfer(first, second), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5))
def test_shares_and_hits_are_monotone_in_their_thresholds(seed, thresholds):
    generator, rising = np.random.default_rng(seed), sorted(thresholds)
    distance = generator.uniform(0, 1, 50)
    shares = [distances.share_within(distance, threshold) for threshold in rising]
    assert shares == sorted(shares)
    boxes, targets = (
        np.c_[generator.uniform(-0.3, 0.3, (4, 3)), generator.uniform(0.5, 1, (4, 3))]
        for _ in range(2)
    )
    for metric, target in ((grounding.ref_acc, targets[0]), (grounding.ref_f1, targets)):
        scores = [metric(boxes, target, threshold) for threshold in rising]
        assert scores == sorted(scores, reverse=True)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 6))
def test_matching_is_the_best_of_all_assignments(seed, rows, columns):
    import itertools

    weights = np.random.default_rng(seed).uniform(-0.3, 1, (rows, columns))
    clipped = np.maximum(weights, 0)
    if rows > columns:
        clipped = clipped.T
    best = max(
        sum(clipped[row, column] for row, column in enumerate(order))
        for order in itertools.permutations(range(clipped.shape[1]), clipped.shape[0])
    )
    found = assign(weights.copy())
    assert sum(weights[pair] for pair in found) == pytest.approx(best)
    assert len({row for row, _ in found}) == len({column for _, column in found}) == len(found)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_box_overlap_is_symmetric_and_moves_with_the_world(seed):
    generator = np.random.default_rng(seed)
    boxes = np.c_[generator.uniform(-1, 1, (5, 3)), generator.uniform(0.2, 2, (5, 3))]
    overlap = box_iou(boxes, boxes)
    np.testing.assert_allclose(overlap, overlap.T)
    assert np.diagonal(overlap) == pytest.approx(np.ones(5))
    shift = np.r_[generator.uniform(-5, 5, 3), 0, 0, 0]
    np.testing.assert_allclose(box_iou(boxes + shift, boxes + shift), overlap, atol=1e-9)
