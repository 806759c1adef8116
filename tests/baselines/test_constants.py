"""Controls that predict the same in every scene, and those that read one input alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from baselines.__main__ import run_baseline
from baselines.constant_depth.method import BIN, above_floor, commonest_depth
from baselines.constant_pointmap.method import median_pointmap
from baselines.floor_plane.method import SPACING, floor_points
from baselines.mean_layout.method import CELL, LOW, fit_layout
from baselines.random_of_class.method import of_class
from baselines.raw_depth.method import best_smoothing, filtered_depth
from g2vlm.scenes.dataset import SceneStore
from metrics.constants import FLOOR
from metrics.files import read_lines
from metrics.geometry import lift_depth, to_frame
from metrics.submission.reader import Submission
from metrics.truth import Truth


@pytest.fixture(scope="module")
def train(experiment):
    return SceneStore(experiment / "scenes" / "train")


def test_the_constant_pointmap_is_the_median_over_training_scenes(train):
    points, colours = median_pointmap(train)
    each = []
    for scene in train.ids:
        views = train.views(scene)
        each.append(to_frame(lift_depth(views.depth, views.intrinsics), views.pose)[:4])
    np.testing.assert_allclose(points, np.median(each, axis=0), atol=1e-4)
    assert points.shape == (4, 36, 48, 3) and colours.dtype == np.uint8


def test_the_commonest_depth_is_that_of_most_training_scenes(train):
    depth = commonest_depth(train)
    true = np.stack([train.views(scene).depth[:4] for scene in train.ids])  # (S, V, H, W)
    close = (np.abs(true - depth) < 1.5 * BIN).sum(0)
    # No other depth of a training scene is common to more scenes, but for rounding to bins.
    most = np.max([(np.abs(true - one) < BIN / 2).sum(0) for one in true], axis=0)
    assert depth.shape == (4, 36, 48) and (close >= most).all()


def test_constant_depth_ends_at_the_floor_and_changes_no_ray(train):
    views = train.views(train.ids[0])
    cameras = views.intrinsics[:4], views.pose[:4]
    far = np.full((4, 36, 48), 9.0, np.float32)
    points = to_frame(lift_depth(above_floor(far, *cameras), cameras[0]), cameras[1])
    floor = views.instance[:4] == FLOOR
    np.testing.assert_allclose(points[floor][:, 2], 0, atol=1e-4)
    assert points[..., 2].min() > -1e-4
    np.testing.assert_array_equal(above_floor(far / 90, *cameras), far / 90)


@pytest.mark.parametrize("name", ["constant_pointmap", "floor_plane", "mean_layout"])
def test_constants_are_the_same_in_every_scene(name, experiment, tmp_path):
    run_baseline(name, experiment, ["val"], 0, tmp_path)
    submission = Submission(tmp_path / "val")
    first, second = Truth(experiment / "truth" / "val").scenes
    if name == "mean_layout":
        one, other = read_lines(tmp_path / "val" / "objects.jsonl")
        assert one["objects"] == other["objects"] != []
    else:
        one, other = (submission.points(scene) for scene in (first, second))
        np.testing.assert_array_equal(one.points, other.points)


def test_the_floor_covers_the_median_room(train):
    points = floor_points(train)
    assert (points[:, 2] == 0).all()
    size = np.ptp(points[:, :2], axis=0)
    # The toy rooms are 4 by 3 m, seen from a corner, so their extent along the view is larger.
    assert (size > 3 - 2 * SPACING).all() and (size < 5.1).all()


def test_the_layout_matches_the_boxes_that_repeat(train):
    annotations = [train.annotation(scene) for scene in train.ids]
    layout = fit_layout(annotations)
    # The toy rooms differ by 10 cm, so each of the four boxes has a constant that always matches.
    best = [item for item in layout.objects if item["score"] == 1.0]
    assert Counter(item["class"] for item in best) == {"table": 1, "chair": 2, "lamp": 1}
    assert {name for _, name, _, _ in layout.triplets} >= {"on", "under"}
    assert layout.labels["support"] == "none"
    table = next(item["box"] for item in best if item["class"] == "table")
    cell = tuple(((np.array(table[:3]) - LOW) / CELL).astype(int))
    assert layout.solid[cell] and not layout.solid[..., -1].any()


def test_a_random_object_is_of_the_class_that_the_sentence_names(train):
    line = train.annotation(train.ids[0])
    options = [of_class(line, reference, [0, 1, 2, 3]) for reference in line["references"]]
    assert options == [[0], [1, 2], [1, 2], []]
    assert of_class(line, line["references"][1], [0, 2]) == [2]
    absent = {"text": "the grey chair near the table", "targets": []}
    assert of_class(line, absent, [0, 1, 2, 3]) == [1, 2]


def test_picks_of_one_class_are_uniform(experiment, tmp_path):
    picks: Counter[int] = Counter()
    for seed in range(60):
        run_baseline("random_of_class", experiment, ["val"], seed, tmp_path / str(seed))
        rows = read_lines(tmp_path / str(seed) / "val" / "grounding.jsonl")
        picks.update(row["pick"] for row in rows if row["query"] == "r01")
    assert set(picks) == {1, 2}
    assert abs(picks[1] - 60) < 4 * 5.5


def test_the_filter_without_smoothing_keeps_the_sensor(train):
    sensor = train.inputs(train.ids[0]).depth
    np.testing.assert_allclose(filtered_depth(sensor, 0.0), sensor, atol=1e-6)


def test_the_filter_lowers_the_noise_of_a_plane_and_fills_no_hole():
    noise = np.random.default_rng(0).normal(0, 0.01, (1, 48, 64)).astype(np.float32)
    sensor = 2 + noise
    sensor[0, 10:20, 10:20] = 0
    smooth = filtered_depth(sensor, 1.0)
    assert (smooth[sensor == 0] == 0).all()
    kept = sensor > 0
    assert np.abs(smooth - 2)[kept].mean() < 0.7 * np.abs(sensor - 2)[kept].mean()


def test_exact_depth_needs_no_smoothing(train):
    assert best_smoothing(train) == 0.0
