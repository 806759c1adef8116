"""A condition corrupts what it names by the stated amount, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from g2vlm.features.readers import SceneFeatures
from g2vlm.inference.corrupt import Condition, CorruptedStore, add_holes, add_noise, conditions
from metrics.files import InputError
from metrics.geometry import lift_depth, to_frame
from tests.g2vlm.inference.synthetic import views

SENSOR = {"axial_base_m": 0.0012, "axial_slope": 0.0019, "axial_near_m": 0.4}


class Rooms:
    """One room of eight views: the four of the tests' room, twice."""

    ids = ["room-0"]

    def __init__(self):
        true, intrinsics, pose = views()
        eight = [0, 1, 2, 3] * 2
        self.true = SimpleNamespace(
            rgb=np.arange(8 * 48 * 64 * 3, dtype=np.int64).reshape(8, 48, 64, 3).astype(np.uint8),
            depth=true.depth[eight],
            sensor=true.depth[eight],
            instance=true.instance[eight],
            intrinsics=intrinsics[eight],
            pose=pose[eight],
        )

    def views(self, scene):
        """The truth."""
        return self.true

    def inputs(self, scene):
        """The four input views."""
        from g2vlm.scenes.dataset import SceneInputs

        seen = {k: getattr(self.true, k)[:4] for k in ("rgb", "depth", "intrinsics", "pose")}
        nothing = {"partial": np.zeros((64, 6))}
        empty = {k: [] for k in ("references", "questions", "captions", "phrases")}
        masks = {"gt_masks": np.zeros((4, 48, 64), np.uint8), "gt_indices": [0, 1]}
        return SceneInputs(scene=scene, **seen, **nothing, **empty, **masks)

    def __getitem__(self, scene):
        """Features that name their view."""
        return SceneFeatures(*(np.repeat(np.arange(4), 6).reshape(4, 6, 1),) * 2)


def encode(rgb):
    """Features of views that are not cached."""
    return SceneFeatures(*(np.full((len(rgb), 6, 1), 9),) * 2)


def corrupted(kind, size, seed=0):
    rooms = Rooms()
    return CorruptedStore(rooms, rooms, Condition(kind, size), SENSOR, seed, encode)


def test_noise_has_the_stated_size():
    depth = np.full((4, 200, 200), 2.4, np.float32)
    sigma = SENSOR["axial_base_m"] + SENSOR["axial_slope"] * 4.0
    for times in (1, 4):
        found = add_noise(depth, depth, times, SENSOR, np.random.default_rng(0))
        assert (found - 2.4).std() == pytest.approx(times * sigma, rel=0.02)
    lost = depth.copy()
    lost[0, :10] = 0
    found = add_noise(lost, depth, 0, SENSOR, np.random.default_rng(0))
    assert (found[0, :10] == 0).all() and (found[1] == depth[1]).all()


def test_holes_cover_their_share_in_patches():
    depth = np.ones((4, 480, 640), np.float32)
    lost = add_holes(depth, 0.5, np.random.default_rng(0)) == 0
    assert lost.mean() == pytest.approx(0.5, abs=0.03)
    assert (lost[:, :8, :8].all((1, 2)) | ~lost[:, :8, :8].any((1, 2))).all()


def test_a_wrong_focal_length_changes_nothing_else():
    plain, wrong = Rooms().inputs("room-0"), corrupted("focal", 1.05).inputs("room-0")
    np.testing.assert_allclose(wrong.intrinsics[:, 0, 0], 1.05 * plain.intrinsics[:, 0, 0])
    assert np.array_equal(wrong.intrinsics[:, :2, 2], plain.intrinsics[:, :2, 2])
    assert wrong.depth is plain.depth or np.array_equal(wrong.depth, plain.depth)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_views_and_features_have_the_same_number(count):
    store = corrupted("views", count)
    inputs, features = store.inputs("room-0"), store["room-0"]
    for value in (inputs.rgb, inputs.depth, inputs.intrinsics, inputs.pose, inputs.gt_masks):
        assert len(value) == count
    assert features.tokens[:, 0, 0].tolist() == ([0, 1, 2, 3] + [9] * 4)[:count]
    assert set(np.unique(inputs.gt_masks)) <= {0, 1, 2}


def test_more_views_than_rendered_raise():
    with pytest.raises(InputError, match="room-0: 8 views were rendered; ask for fewer"):
        corrupted("views", 9).inputs("room-0")


@pytest.mark.parametrize(
    ("kind", "size"), [("noise", 4), ("holes", 0.5), ("views", 1), ("views", 8), ("focal", 1.05)]
)
def test_the_partial_cloud_comes_from_the_corrupted_depth_alone(kind, size):
    inputs = corrupted(kind, size).inputs("room-0")
    points = to_frame(lift_depth(inputs.depth, inputs.intrinsics), inputs.pose)
    points = points[inputs.depth > 0]
    assert inputs.partial.shape == (64, 6)
    gaps = np.linalg.norm(inputs.partial[:, None, :3] - points[None], axis=2).min(axis=1)
    assert gaps.max() < 0.06  # the cloud's own noise


def test_a_sensor_that_lost_everything_leaves_no_partial_cloud():
    inputs = corrupted("holes", 1.0).inputs("room-0")
    assert not inputs.depth.any() and inputs.partial.shape == (0, 6)


def test_a_seed_fixes_a_condition():
    first, again = (corrupted("holes", 0.5, seed).inputs("room-0").depth for seed in (0, 0))
    other = corrupted("holes", 0.5, 1).inputs("room-0").depth
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_labels_and_files_of_conditions():
    config = {"methods": ["full"], "noise": [0, 2], "holes": [0.5], "views": [1], "focal": [0.95]}
    made = conditions(config)
    assert [condition.name for condition in made] == [
        "noise_0",
        "noise_2",
        "holes_0_5",
        "views_1",
        "focal_0_95",
    ]
    assert [condition.label for condition in made] == [
        "depth noise ×0",
        "depth noise ×2",
        "50% of the depth lost",
        "1 view",
        "focal length -5%",
    ]
