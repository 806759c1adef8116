"""What every drawn scene must satisfy, checked on the recipes alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from g2vlm.scenes.build import draw_scenes
from g2vlm.scenes.layout.cameras import SEEN_PIXELS, pixel_estimate
from g2vlm.scenes.layout.recipes import cameras_of, items_of, load_recipes
from metrics.files import InputError, write_lines
from tests.g2vlm.scenes.conftest import COUNTS


def turned(box, yaw):
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return box @ np.array([[c, s], [-s, c]])


def ring(obj):
    w, d, _ = obj["size_mm"]
    box = np.array([(-w, -d), (w, -d), (w, d), (-w, d)]) / 2
    return turned(box, obj["yaw_deg"]) + obj["centre_mm"]


def opening_foot(recipe, kind):
    """The floor line under the only door or window, as a flat box."""
    (cut,) = (o for o in recipe["openings"] if o["kind"] == kind)
    sx, sy, _ = recipe["room"]["size_mm"]
    along = cut["offset_mm"] + cut["width_mm"] / 2
    middle = ((along, 0), (sx, along), (sx - along, sy), (0, sy - along))[cut["wall"]]
    size = [cut["width_mm"], 0, 1]
    return {"centre_mm": middle, "size_mm": size, "yaw_deg": 90 * (cut["wall"] % 2)}


def overlap(a, b):
    """Depth (mm) to which two footprints interpenetrate, in floating point."""
    ra, rb = ring(a), ring(b)
    depths = []
    for yaw in (a["yaw_deg"], b["yaw_deg"]):
        pa, pb = turned(ra, -yaw), turned(rb, -yaw)
        for axis in (0, 1):
            high = min(pa[:, axis].max(), pb[:, axis].max())
            depths.append(high - max(pa[:, axis].min(), pb[:, axis].min()))
    return min(depths)


def test_counts_and_ids(drawn):
    assert [r["id"] for r in drawn.split("val")] == ["val-0000", "val-0001"]
    assert len(drawn.recipes) == sum(COUNTS.values())
    for recipe in drawn.recipes:
        assert 8 <= len(recipe["objects"]) <= 22
        assert [o["index"] for o in recipe["objects"]] == list(range(len(recipe["objects"])))
        assert [c["role"] for c in recipe["cameras"]] == ["input"] * 4 + ["held_out"] * 4


def test_nothing_interpenetrates_by_more_than_a_centimetre(drawn):
    for recipe in drawn.recipes:
        for a, b in combinations(recipe["objects"], 2):
            tops = (a["base_mm"] + a["size_mm"][2], b["base_mm"] + b["size_mm"][2])
            shared = min(tops) - max(a["base_mm"], b["base_mm"])
            assert min(shared, overlap(a, b)) <= 10, (recipe["id"], a["model"], b["model"])


def test_everything_is_inside_and_stands_on_something(drawn):
    for recipe in drawn.recipes:
        sx, sy, height = recipe["room"]["size_mm"]
        for obj in recipe["objects"]:
            x, y = ring(obj).T
            assert x.min() > -10 and y.min() > -10 and x.max() < sx + 10 and y.max() < sy + 10
            assert obj["base_mm"] + obj["size_mm"][2] <= height
            if obj["support"] >= 0:
                below = recipe["objects"][obj["support"]]
                top = below["base_mm"] + below["size_mm"][2]
                assert 0 <= top - obj["base_mm"] <= 15
            elif drawn.models[obj["model"]].placement == "floor":
                assert obj["base_mm"] == 0


def test_cameras_see_enough(drawn):
    for pixels in drawn.pixels:
        assert ((pixels >= SEEN_PIXELS).sum(1) >= 3).all()
        assert (pixels[:4] >= SEEN_PIXELS).any(0).mean() >= 0.85
        assert (pixels >= SEEN_PIXELS).any(0).mean() >= 0.9


def test_cameras_stand_in_free_places(drawn):
    for recipe in drawn.recipes:
        for camera in recipe["cameras"]:
            x, y, z = camera["position_mm"]
            assert 1100 <= z <= 1800 and 60 <= camera["hfov_deg"] <= 75
            eye = {"centre_mm": [x, y], "yaw_deg": 0, "size_mm": [2, 2, 2]}
            for obj in recipe["objects"]:
                if obj["base_mm"] <= z <= obj["base_mm"] + obj["size_mm"][2]:
                    assert overlap(eye, obj) <= 0, recipe["id"]


def test_training_models_and_held_models_never_meet(drawn):
    for recipe in drawn.recipes:
        wanted = "held" if recipe["split"] == "test_asset" else "train"
        assert {drawn.models[o["model"]].side for o in recipe["objects"]} == {wanted}


def test_twins_pair_up(drawn):
    scenes = {r["id"]: r for r in drawn.split("test_scene")}
    for twin in drawn.split("test_asset"):
        scene = scenes[twin["pair"]]
        assert twin["cameras"] == scene["cameras"] and twin["room"] == scene["room"]
        for a, b in zip(twin["objects"], scene["objects"], strict=True):
            assert a["class"] == b["class"] and a["support"] == b["support"]
            assert a["model"] != b["model"]


def test_a_box_behind_a_wardrobe_is_not_seen(drawn):
    recipe = next(r for r in drawn.recipes if any(o["class"] == "cabinet" for o in r["objects"]))
    items = items_of(recipe, drawn.models)
    blocker = next(i for i in items if i.row.cls == "cabinet")
    cameras = cameras_of(recipe).take([0])
    x, y, z = (int(v) for v in cameras.position[0])
    from dataclasses import replace

    yaw = int(cameras.yaw[0])
    ahead = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw))])
    near, far = (tuple(int(v) for v in np.array([x, y]) + d * ahead) for d in (1000, 2500))
    wall = replace(blocker, centre=near, base=0, yaw=yaw + 90, size=(4000, 100, 3000), support=-1)
    thing = replace(blocker, centre=far, base=0, yaw=0, size=(500, 500, 900), support=-1)
    assert pixel_estimate(cameras, [thing])[0, 0] > SEEN_PIXELS
    assert pixel_estimate(cameras, [wall, thing])[0, 1] == 0


def test_scenes_do_not_depend_on_how_many_are_drawn(drawn):
    few = [recipe for recipe, _ in draw_scenes(drawn.models, {"train": 1, "test_scene": 1})]
    assert few[0] == drawn.recipes[0] and few[1] == drawn.split("test_scene")[0]


def test_loading_more_than_there_are_is_an_error(drawn, tmp_path):
    write_lines(tmp_path / "scenes.jsonl", drawn.recipes)
    assert load_recipes(tmp_path, "val", 1) == drawn.split("val")[:1]
    with pytest.raises(InputError, match="2 scenes of split val, 3 requested"):
        load_recipes(tmp_path, "val", 3)
    with pytest.raises(InputError, match="no scenes of split test_b"):
        load_recipes(tmp_path, "test_b")
