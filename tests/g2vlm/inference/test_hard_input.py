"""Extreme input gives a finite prediction or a clear error, never a NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from g2vlm.features.readers import SceneFeatures
from g2vlm.inference.calibrate import calibrate_thresholds
from g2vlm.inference.network import Network
from g2vlm.inference.predict import predict
from g2vlm.inference.scene import rank_boxes
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from tests.g2vlm.inference.conftest import Case, write_model
from tests.g2vlm.inference.synthetic import views

CONFIG = {"seed": 1, "predict": {"mesh_voxel_m": 0.2}}
FAR_M = 40.0


def one_view(inputs):
    kept = {name: getattr(inputs, name)[:1] for name in ("rgb", "depth", "intrinsics", "pose")}
    return replace(inputs, **kept, gt_masks=inputs.gt_masks[:1])


def no_depth(inputs):
    return replace(inputs, depth=np.zeros_like(inputs.depth), partial=np.zeros((0, 6), np.float32))


def half_depth(inputs):
    depth = inputs.depth.copy()
    depth[:2] = 0
    return replace(inputs, depth=depth)


def nothing_named(inputs):
    empty = {"references": [], "questions": [], "phrases": [], "gt_indices": []}
    return replace(inputs, **empty, gt_masks=np.zeros_like(inputs.gt_masks))


def wide_room(inputs):
    """Two of the cameras are 40 m away and measure ten times the depth."""
    pose = inputs.pose.copy()
    pose[2:, 0, 3] += FAR_M
    depth = inputs.depth.copy()
    depth[2:] *= FAR_M / 4
    return replace(inputs, pose=pose, depth=depth)


class Hard:
    """A split whose second scene is hard, and its image features."""

    def __init__(self, case: Case, change) -> None:
        self._case, self._change, self.ids = case, change, case.store.ids

    def inputs(self, scene):
        """The scene's inputs, changed in the second scene."""
        inputs = self._case.store.inputs(scene)
        return self._change(inputs) if scene == self.ids[1] else inputs

    def __getitem__(self, scene):
        """Features of as many views as the inputs have."""
        count = len(self.inputs(scene).rgb)
        found = self._case.images[scene]
        return SceneFeatures(found.tokens[:count], found.points[:count])


@pytest.mark.parametrize("method", [{}, {"depth": False, "normals": False, "partial": False}])
@pytest.mark.parametrize("change", [one_view, no_depth, half_depth, nothing_named, wide_room])
def test_every_predicted_number_is_finite(case: Case, tmp_path, change, method) -> None:
    network = Network(write_model(tmp_path / "model", **method), case.texts)
    calibrate_thresholds(network, case.store, case.images, CONFIG)
    hard = Hard(case, change)
    predict(network, hard, hard, tmp_path / "out", "val", CONFIG)
    found, scene = Submission(tmp_path / "out"), hard.ids[1]
    assert validate(found.folder).faults == []
    mesh = found.mesh(scene)
    values = [found.points(scene).points, mesh.vertices if mesh else np.zeros(3)]
    values += [item["box"] for item in found.objects(scene)[0]]
    values += [found.table("retrieval").scores, found.table("probed_retrieval").scores]
    for value in values:
        assert np.isfinite(np.asarray(value, float)).all()


def test_a_scene_without_objects_gives_empty_predictions(case: Case) -> None:
    network = Network(case.model_dir, case.texts)
    inputs = nothing_named(case.store.inputs("room-0"))
    scene = network.encode(inputs, case.images["room-0"])
    assert scene.boxes(scene.masks).shape == (0, 6)
    assert scene.relations(scene.masks, scene.gt_object_boxes)["support"].shape[:2] == (0, 0)
    query = case.store.inputs("room-0").references[0][1]
    nothing = np.zeros((0, 6), np.float32)
    assert scene.answers([], [], scene.masks, nothing) == []
    assert [part.shape for part in scene.refer([], scene.masks, nothing)] == [(0, 0), (0,)]
    logits, zero = scene.refer([query], scene.masks, nothing)
    assert logits.shape == (1, 0) and np.isfinite(zero).all()
    (ranked, _), *_ = rank_boxes(scene, [], [query])
    assert ranked.boxes.shape == (1, 6) and np.isfinite(ranked.boxes).all()


def test_points_of_a_wide_room_are_in_place(case: Case) -> None:
    network = Network(case.model_dir, case.texts)
    inputs = wide_room(case.store.inputs("room-0"))
    points = network.encode(inputs, case.images["room-0"]).cells().points
    assert np.abs(points[:2]).max() < 2 * np.abs(views()[0].room).max()
    assert points[2:, ..., 0].max() > FAR_M / 2
