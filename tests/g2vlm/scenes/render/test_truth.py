"""The truth folder: surface flags, occupancy labels and relevance."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.scenes.truth import with_relevance, write_truth
from metrics.truth import Truth

SCENE = "test_scene-0000"
SAMPLES, POINTS = 30_000, 20_000


@pytest.fixture(scope="module")
def truth(store, data_dir, tmp_path_factory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    write_truth(store, data_dir, folder, SAMPLES, POINTS, seed=5)
    return Truth(folder)


def test_surface_lies_on_the_room_and_the_cubes(truth):
    surface = truth.geometry(SCENE).surface
    room = np.array([[-0.5, -1.5, 0.0], [3.5, 1.5, 2.5]])
    on_room = (np.abs(surface[:, None] - room[None]) < 1e-4).any(axis=(1, 2))
    low, high = np.array([1.75, -0.2, 0.0]), np.array([2.25, 0.2, 0.6])
    in_cube = ((surface > low - 1e-4) & (surface < high + 1e-4)).all(axis=1)
    small = ((surface > [-0.41, -1.46, -0.01]) & (surface < [-0.09, -1.14, 0.31])).all(axis=1)
    assert (on_room | in_cube | small).all()
    cube_area, small_area = 2 * (0.5 * 0.4 + 0.6 * 0.5 + 0.6 * 0.4), 6 * 0.09
    total = 2 * 12 + 14 * 2.5 + cube_area + small_area
    assert in_cube.mean() == pytest.approx((cube_area + 0.2) / total, rel=0.15)


def test_observed_samples_agree_with_the_true_depth(truth):
    scene = truth.geometry(SCENE)
    points = scene.surface[scene.surface_flag == 1]
    pose, matrix = scene.input_pose[0], scene.input_intrinsics[0]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixel = (local @ matrix.T)[:, :2] / local[:, 2:]
    column, row = np.floor(pixel).astype(int).T
    assert (column >= 0).all() and (column < 64).all() and (row >= 0).all() and (row < 48).all()
    gap = np.abs(scene.input_depth[0][row, column] - local[:, 2])
    assert (gap < 0.02 + 0.05 * local[:, 2]).mean() > 0.97


def test_flags_separate_seen_from_hidden_surfaces(truth):
    scene = truth.geometry(SCENE)
    surface, flag = scene.surface, scene.surface_flag
    near_side = np.abs(surface[:, 0] - 1.75) < 1e-4
    near_side &= (np.abs(surface[:, 1]) < 0.19) & (np.abs(surface[:, 2] - 0.3) < 0.29)
    far_side = (np.abs(surface[:, 0] - 2.25) < 1e-4) & (np.abs(surface[:, 1]) < 0.19)
    # Lower parts of the far side are below the held-out cameras' images.
    far_side &= np.abs(surface[:, 2] - 0.45) < 0.14
    under = (surface[:, 2] < 1e-4) & (np.abs(surface[:, :2] - [2, 0]) < 0.19).all(axis=1)
    assert set(flag[near_side]) == {1} and set(flag[far_side]) == {2} and set(flag[under]) == {0}
    normals = scene.surface_normal.astype(float) / 127
    assert normals[near_side][:, 0] == pytest.approx(-1) and normals[far_side][
        :, 0
    ] == pytest.approx(1)


def test_occupancy_labels_the_cube_and_a_void_shell(truth):
    scene = truth.geometry(SCENE)
    gap = np.abs(scene.occupancy_points - [2.0, 0.0, 0.3]) - [0.25, 0.2, 0.3]
    outside = np.linalg.norm(np.maximum(gap, 0), axis=1)
    inside = gap.max(axis=1)
    label = scene.occupancy
    assert set(label[inside < -0.03]) == {1}
    assert set(label[(inside < -0.001) & (inside > -0.019)]) == {2}
    assert set(label[(outside > 0) & (outside < 0.018)]) == {2}
    away = (outside > 0.03) & (scene.occupancy_points[:, 0] > 0.1)
    assert set(label[away]) == {0}


def test_room_corners_and_diagonal(truth):
    scene = truth.geometry(SCENE)
    assert scene.room_corners.min(axis=0) == pytest.approx([-0.5, -1.5, 0.0], abs=1e-5)
    assert scene.room_corners.max(axis=0) == pytest.approx([3.5, 1.5, 2.5], abs=1e-5)
    assert scene.clip == pytest.approx(np.sqrt(16 + 9 + 6.25), rel=1e-6)


def test_surface_colour_looks_like_the_pixels(truth, store):
    scene, views = truth.geometry(SCENE), store.views(SCENE)
    near = np.abs(scene.surface[:, 0] - 1.75) < 1e-4
    near &= (np.abs(scene.surface[:, 1]) < 0.15) & (scene.surface[:, 2] < 0.55)
    facing = (views.instance[0] == 10) & (views.normal[0][..., 0] < -0.9)
    gap = scene.surface_colour[near].mean(axis=0) - views.rgb[0][facing].mean(axis=0)
    assert np.abs(gap).max() < 12


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        (("eligible", "eligible"), "multiple"),
        # The only other chair is hidden, or shows a few pixels.
        (("eligible", "absent"), "unique"),
        (("eligible", "void"), "unique"),
        (("eligible", "void", "eligible"), "multiple"),
        (("eligible",), "unique"),
    ],
)
def test_a_reference_is_multiple_where_another_of_its_class_is_visible(states, kind):
    objects = [{"index": 3 + k, "class": "chair", "state": state} for k, state in enumerate(states)]
    objects.append({"index": 1, "class": "table", "state": "eligible"})
    reference = {"id": "r00", "kind": "multiple", "targets": [3]}
    several = {"id": "r01", "kind": "multi", "targets": [3, 1]}
    none = {"id": "r02", "kind": "zero", "targets": []}
    line = {"scene": "s", "objects": objects, "references": [reference, several, none]}
    [found] = with_relevance([line | {"captions": [], "phrases": []}])
    assert [item["kind"] for item in found["references"]] == [kind, "multi", "zero"]
    # Rendered annotations keep the generator's word.
    assert reference["kind"] == "multiple"


def test_annotations_hold_the_relevant_scenes_and_objects(truth):
    line = truth.annotation(SCENE)
    assert line["given"] == [0]
    assert line["relevance"] == {"c00": [SCENE]}
    assert line["phrase_relevance"] == {"p00": [f"{SCENE}:0"]}
