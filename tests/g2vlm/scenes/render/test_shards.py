"""Shards: their tensors, the sentences that are dropped, and messages for broken files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from g2vlm.scenes.dataset import SceneStore, gt_masks
from g2vlm.scenes.render.shards import render_shard
from metrics.files import InputError
from metrics.geometry import lift_depth, to_frame
from tests.g2vlm.scenes.render.conftest import RENDER, make_language, make_recipe

SCENE = "test_scene-0000"


def test_tensors_have_the_documented_shapes(store):
    views = store.views(SCENE)
    assert views.rgb.shape == (8, 48, 64, 3) and views.rgb.dtype == np.uint8
    assert views.depth.shape == (8, 48, 64) and views.depth.dtype == np.float32
    assert views.normal.shape == (8, 48, 64, 3)
    assert views.boxes.shape == (2, 6) and views.pixels.shape == (2, 8)
    assert views.partial.shape == (128, 6)
    assert views.occupancy.shape == (100, 75, 63) and views.occupancy.any()
    assert views.room == pytest.approx([4.0, 3.0, 2.5])


def test_partial_points_are_those_that_the_sensor_measured_in_the_input_views(store):
    views, inputs = store.views(SCENE), store.inputs(SCENE)
    assert np.array_equal(inputs.depth, views.sensor[:4])
    points = to_frame(lift_depth(inputs.depth, inputs.intrinsics), inputs.pose)
    points = points[inputs.depth > 0]
    gaps = np.linalg.norm(views.partial[:, None, :3] - points[None], axis=2).min(axis=1)
    assert gaps.max() < 0.06  # the cloud's own noise


def test_boxes_and_poses_are_in_the_first_camera_frame(store):
    views = store.views(SCENE)
    assert views.pose[0, :3, 3] == pytest.approx([0, 0, 1.4], abs=1e-5)
    assert views.boxes[0] == pytest.approx([2.0, 0.0, 0.3, 0.5, 0.4, 0.6], abs=1e-5)
    assert views.yaw == pytest.approx([0, 0])


def test_sensor_is_close_to_the_truth_where_it_measures(store):
    views = store.views(SCENE)
    seen = views.sensor > 0
    assert 0.5 < seen.mean() < 0.999
    assert np.median(np.abs(views.sensor - views.depth)[seen]) < 0.02


def test_eligibility_follows_the_pixels_of_the_input_views(store):
    line, views = store.annotation(SCENE), store.views(SCENE)
    states = [item["state"] for item in line["objects"]]
    assert states == ["eligible", "absent"]
    assert line["objects"][0]["pixels"] == (views.instance[:4] == 10).sum()
    assert (views.instance[4:] == 11).sum() >= 0


def test_sentences_about_unseen_objects_are_dropped_and_counted(store):
    line = store.annotation(SCENE)
    assert [r["id"] for r in line["references"]] == ["r00", "r02"]
    assert [q["id"] for q in line["questions"]] == ["q00"]
    assert [c["id"] for c in line["captions"]] == ["c00"]
    assert [p["id"] for p in line["phrases"]] == ["p00"]
    assert line["relations"] == [] and line["void"] == []
    assert line["dropped"] == {"references": 1, "questions": 1, "captions": 1, "phrases": 1}


def test_inputs_hold_no_truth(store):
    inputs = store.inputs(SCENE)
    views = store.views(SCENE)
    assert inputs.rgb.shape[0] == inputs.depth.shape[0] == 4
    assert inputs.pose.shape == (4, 4, 4)
    assert np.array_equal(inputs.depth, views.sensor[:4])
    assert inputs.gt_indices == [0]
    assert np.array_equal(inputs.gt_masks == 1, views.instance[:4] == 10)
    assert not {"boxes", "room", "occupancy", "instance"} & set(vars(inputs))


def test_gt_masks_number_objects_in_index_order():
    instance = np.array([[[0, 1, 10, 13]]], np.uint8)
    assert gt_masks(instance, [3]).tolist() == [[[0, 0, 0, 1]]]
    assert gt_masks(instance, [0, 3]).tolist() == [[[0, 0, 1, 2]]]


def test_rendering_again_gives_the_same_bytes(store, catalog, tmp_path):
    recipe = make_recipe()
    language = {recipe["id"]: make_language()}
    render_shard([recipe], language, catalog, RENDER, tmp_path / "000", seed=7)
    for name in ("000.safetensors", "000.jsonl"):
        assert (tmp_path / name).read_bytes() == (store.folder / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000.jsonl", "000.safetensors"]


def test_another_seed_changes_only_the_noise(store, catalog, tmp_path):
    recipe = make_recipe()
    render_shard([recipe], {}, catalog, RENDER, tmp_path / "000", seed=8)
    other, first = SceneStore(tmp_path).views(SCENE), store.views(SCENE)
    assert np.array_equal(other.rgb, first.rgb) and np.array_equal(other.depth, first.depth)
    assert not np.array_equal(other.sensor, first.sensor)
    assert not np.array_equal(other.partial, first.partial)


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_a_truncated_shard_is_named_with_its_fix(store, tmp_path, keep):
    for path in store.folder.iterdir():
        shutil.copy(path, tmp_path)
    broken = tmp_path / "000.safetensors"
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"000\.safetensors.*delete it and run `snakemake`"):
        SceneStore(tmp_path).views(SCENE)


def test_an_empty_folder_and_an_unknown_scene_are_named(store, tmp_path):
    with pytest.raises(InputError, match="no shards"):
        SceneStore(tmp_path)
    with pytest.raises(InputError, match="nowhere-0001"):
        store.views("nowhere-0001")
