"""Captured rooms: reading, recipes and rendering, of small captures and of the real ones."""

from __future__ import annotations

import copy
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.language.question_templates import floor_area
from g2vlm.scenes.layout.recipes import cameras_of, items_of, load_recipes
from g2vlm.scenes.real import FOLDER, source
from g2vlm.scenes.real.capture import read_room, without_repeats
from g2vlm.scenes.real.layout import behind_walls, captured_recipe, inside_outline
from g2vlm.scenes.real.mesh import captured_mesh, captured_occupancy, reachable_cells
from g2vlm.scenes.render.shards import render_scene
from g2vlm.scenes.truth import annotate, scene_truth
from metrics.constants import CEILING, FIRST_OBJECT, FLOOR, OPENING, VOID, WALL
from metrics.files import InputError
from tests.configs import SENSOR
from tests.g2vlm.scenes.real import captures
from tests.paths import REPOSITORY

RENDER = {"width": 64, "height": 48, "partial_points": 64, "sensor": SENSOR}
DATA = REPOSITORY / "data"


class Library:
    """What rendering asks of a model library for a captured room: where the data is."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("rooms")
    captures.write(made, "plain", captures.capture())
    return made


@pytest.fixture(scope="module")
def captured(folder):
    return captured_recipe(folder / "sources/rooms/plain.json", "real_rooms-0000", "living", 7)


def test_a_capture_is_read_in_millimetres(folder):
    room = read_room(folder / "sources/rooms/plain.json")
    assert room.size == (4000, 3000, 2600)
    assert sorted(room.outline) == [(0, 0), (0, 3000), (4000, 0), (4000, 3000)]
    assert [b.cls for b in room.boxes] == ["table", "lamp", "sofa", "cabinet"]
    table, lamp = room.boxes[:2]
    assert table.size == (1200, 800, 750) and table.centre == (2000, 600) and table.base == 0
    assert (lamp.base, lamp.size[2]) == (750, 400)
    door, window = room.openings
    assert (door["kind"], door["base_mm"], door["height_mm"]) == ("door", 0, 2000)
    assert (window["kind"], window["base_mm"], window["height_mm"]) == ("window", 900, 1200)
    assert {y for _, y in window["ends_mm"]} == {3000}
    assert room.vertices.min(0).tolist() == [0, 0, 0]
    assert room.vertices.max(0).tolist() == [4000, 3000, 2600]


def test_a_turned_capture_is_the_same_room(folder, tmp_path):
    """A headset's axes are those of where it was switched on."""
    turned = captures.capture()
    step = captures.about_y(23)
    for row in turned["spatialEntities"]:
        pose = row["locatable_META"]
        pose["orientation"] = captures.multiply(
            step, np.array([pose["orientation"][k] for k in "xyzw"])
        )
        x, z = pose["position"]["x"], pose["position"]["z"]
        c, s = np.cos(np.deg2rad(23)), np.sin(np.deg2rad(23))
        pose["position"] |= {"x": x * c + z * s + 5.0, "z": z * c - x * s}
    room = read_room(captures.write(tmp_path, "turned", turned))
    plain = read_room(folder / "sources/rooms/plain.json")
    assert np.abs(np.array(room.size) - plain.size).max() <= 2
    for box, expected in zip(room.boxes, plain.boxes, strict=True):
        assert np.abs(np.array(box.centre) - expected.centre).max() <= 3
        assert box.size == expected.size and box.yaw % 360 == expected.yaw % 360


def test_repeated_boxes_count_once(folder):
    table = read_room(folder / "sources/rooms/plain.json").boxes[0]
    small = copy.copy(table)
    object.__setattr__(small, "size", (1000, 700, 700))
    assert without_repeats([small, table]) == [table]
    other = copy.copy(small)
    object.__setattr__(other, "cls", "sofa")
    assert without_repeats([other, table]) == [other, table]


def test_the_recipe_is_complete_and_names_its_capture(captured):
    recipe, pixels = captured
    assert recipe["capture"] == "plain" and recipe["split"] == "real_rooms"
    assert [o["support"] for o in recipe["objects"]] == [-1, 0, -1, -1]
    assert {o["colour"] for o in recipe["objects"]} == {None}
    assert [c["role"] for c in recipe["cameras"]] == ["input"] * 4 + ["held_out"] * 4
    assert ((pixels >= 60).sum(1) >= 3).all()
    places = cameras_of(recipe).position
    assert (places[:, 2] >= 1100).all() and (places[:, 2] <= 1800).all()
    assert (places[:, :2] >= 250).all() and (places[:, :2] <= (3750, 2750)).all()
    assert floor_area(recipe["room"]) == 12_000_000
    assert json.loads(json.dumps(recipe)) == recipe


def test_no_sentence_names_a_colour_or_a_facing_side(captured):
    recipe, pixels = captured
    line = generate_language(recipe, {}, pixels)
    texts = [row["text"] for part in ("references", "questions", "captions") for row in line[part]]
    assert texts and not any("  " in text or "None" in text for text in texts)
    assert all(p["colour"] is None for p in line["phrases"])
    assert all(f.get("colour") is None for c in line["captions"] for f in c["facts"])
    assert {r["form"] for r in line["references"]}.isdisjoint({"attribute", "facing"})
    predicates = {name for _, _, name in line["relations"]}
    assert {"on", "under", "larger"} <= predicates and "facing" not in predicates
    assert [2, 0, "facing"] in line["void"]  # which way the sofa faces is not known


def test_rendered_views_show_the_boxes(folder, captured):
    recipe, _ = captured
    fields = render_scene(recipe, Library(folder), RENDER, 3)
    assert fields["rgb"].std(axis=-1).max() == 0  # grey
    assert (fields["depth"] > 0.2).all() and (fields["pixels"][:, :4].sum(1) > 0).all()
    assert {FLOOR, WALL} <= set(np.unique(fields["instance"]))
    heights = np.sort(fields["boxes"][:, 5])
    assert np.allclose(heights, [0.4, 0.75, 0.8, 1.4], atol=0.002)
    line = annotate(recipe, {}, fields)
    assert line["objects"][1]["class"] == "lamp" and line["objects"][1]["colour"] is None


def test_faces_and_cells_belong_to_their_boxes(folder, captured):
    recipe, _ = captured
    mesh = captured_mesh(recipe, folder)
    assert {FLOOR, WALL, CEILING, OPENING} <= set(mesh.instance.tolist())
    for k, item in enumerate(recipe["objects"]):
        faces = mesh.object_triangles(k)
        assert (mesh.instance[mesh.objects[k][1]] == FIRST_OBJECT + k).all()
        low = faces.reshape(-1, 3).min(0)[:2] * 1000 + np.array(item["size_mm"][:2]) / 2
        assert np.abs(low - item["centre_mm"]).max() < 5
    solid, free = captured_occupancy(recipe, mesh), reachable_cells(recipe, mesh)
    volume = sum(np.prod(item["size_mm"]) for item in recipe["objects"]) / 1e9
    assert solid.sum() * 0.04**3 == pytest.approx(volume, rel=0.15)
    assert not (solid & free).any() and free.mean() > 0.7


def test_the_truth_of_a_captured_room(folder, captured):
    """Space that the mesh closes without a label is void: it is unknown what it is."""
    recipe, _ = captured
    bare = {**recipe, "objects": recipe["objects"][:2]}
    from g2vlm.scenes.dataset import SceneViews

    fields = render_scene(bare, Library(folder), RENDER, 3)
    shape = tuple(fields.pop("solids_shape"))
    bits = np.unpackbits(fields.pop("solids"), count=np.prod(shape))
    fields["occupancy"] = bits.reshape(shape) > 0
    fields["exposure"] = float(fields["exposure"][0])
    views = SceneViews(**fields)
    truth = scene_truth(bare, views, Library(folder), (2000, 4000), 3)
    back = np.linalg.inv(views.frame_from_room.astype(float))
    points = truth["occupancy_points"] @ back[:3, :3].T + back[:3, 3]
    in_sofa = (np.abs(points - (0.6, 1.6, 0.4)) < (0.35, 0.8, 0.3)).all(axis=1)
    assert in_sofa.sum() > 30 and (truth["occupancy"][in_sofa] == VOID).all()
    assert set(np.unique(truth["occupancy"])) == {0, 1, 2}
    assert set(np.unique(truth["surface_flag"])) == {0, 1, 2}


def test_an_outline_encloses_points_and_hides_objects():
    corner = [(0, 0), (4000, 0), (4000, 1000), (1000, 1000), (1000, 4000), (0, 4000)]
    x, y = np.array([500, 3500, 3500, 500]), np.array([500, 500, 3500, 3500])
    assert inside_outline(corner, x, y).tolist() == [True, True, False, True]
    recipe = {
        "capture": "x",
        "objects": [
            {
                "model": "x#0",
                "class": "table",
                "centre_mm": [500, 3500],
                "base_mm": 0,
                "yaw_deg": 0,
                "size_mm": [400, 400, 700],
                "support": -1,
            }
        ],
        "cameras": [
            {"position_mm": [x, 500, 1500], "yaw_deg": 0, "pitch_deg": 0, "hfov_deg": 60}
            for x in (500, 3500)
        ],
    }
    hidden = behind_walls(corner, cameras_of(recipe), items_of(recipe, {}))
    assert hidden.tolist() == [[False], [True]]


def test_a_truncated_capture_is_named(tmp_path):
    path = captures.write(tmp_path, "cut", captures.capture())
    path.write_text(path.read_text()[:2000])
    with pytest.raises(InputError, match=r"cut\.json"):
        read_room(path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder like the unpacked package, whose files replace the pinned ones."""
    import hashlib

    root = tmp_path / "package" / "captures"
    root.mkdir(parents=True)
    pins = {}
    for name in source.CAPTURES:
        (root / f"{name}.json").write_text(json.dumps({"room": name}))
        pins[name] = hashlib.sha256((root / f"{name}.json").read_bytes()).hexdigest()
    monkeypatch.setattr(source, "CAPTURES", pins)
    # Other files of the package have the same name.
    (tmp_path / "package" / "lib").mkdir()
    (tmp_path / "package" / "lib" / "music_room.json").write_text("{}")
    return tmp_path / "package"


def test_captures_come_from_a_folder_or_an_archive(package, tmp_path):
    packed = tmp_path / "sem.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(package, "package")
    for number, origin in enumerate((package, packed)):
        target = tmp_path / f"in{number}"
        source.fetch_rooms(target, str(origin))
        assert sorted(p.stem for p in target.iterdir()) == sorted(source.CAPTURES)


def test_missing_captures_name_three_ways(package, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="nowhere: missing, .* There are three ways"):
        source.fetch_rooms(tmp_path / "in", str(tmp_path / "nowhere"))
    (package / "captures" / "music_room.json").write_text("changed")
    with pytest.raises(InputError, match=r"music_room\.json: corrupt or another version"):
        source.fetch_rooms(tmp_path / "in", str(package))
    (package / "captures" / "music_room.json").unlink()
    (package / "lib" / "music_room.json").unlink()
    with pytest.raises(InputError, match=r"without music_room\.json. There are three ways"):
        source.fetch_rooms(tmp_path / "in", str(package))
    (tmp_path / "cut.tgz").write_bytes(b"\x1f\x8b\x08 no archive")
    with pytest.raises(InputError, match=r"not a whole \.tgz"):
        source.fetch_rooms(tmp_path / "in", str(tmp_path / "cut.tgz"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="npm: not on this machine. There are three ways"):
        source.fetch_rooms(tmp_path / "in")


@pytest.mark.skipif(not (DATA / "real_rooms").is_dir(), reason="data/ lacks the captured rooms")
def test_recipes_of_the_real_rooms_equal_those_in_data():
    kept = load_recipes(DATA, "real_rooms")
    assert [r["capture"] for r in kept] == list(source.CAPTURES)
    path = DATA / FOLDER / "office_small.json"
    assert captured_recipe(path, kept[3]["id"], kept[3]["kind"], 20260401)[0] == kept[3]
    mesh = captured_mesh(kept[3], DATA)
    free = reachable_cells(kept[3], mesh)
    assert 0.5 < free.mean() < 0.95  # the mesh is closed, so no walk leads out of the room
