"""A data folder with three tiny models and one room, and that room rendered."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm.scenes.assets.catalog import Catalog
from g2vlm.scenes.dataset import SceneStore
from g2vlm.scenes.render.shards import render_shard
from tests.configs import SENSOR

RENDER = {
    "width": 64,
    "height": 48,
    "partial_points": 128,
    "sensor": SENSOR | {"hole_rate": 0.02},
}

CUBE = """mtllib cube.mtl
v -1 0 -1\nv 1 0 -1\nv 1 0 1\nv -1 0 1\nv -1 2 -1\nv 1 2 -1\nv 1 2 1\nv -1 2 1
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl paint
f 1/1 2/2 3/3 4/4\nf 5/1 6/2 7/3 8/4\nf 1/1 2/2 6/3 5/4
f 2/1 3/2 7/3 6/4\nf 4/1 1/2 5/3 8/4
usemtl front
f 3/1 4/2 8/3 7/4
"""
CUBE_MTL = "newmtl paint\nKd 0.8 0.1 0.1\nd 1.0\nnewmtl front\nKd 0.1 0.1 0.9\n"
# A sheet across the view whose left half is clear. Its texture is named by an absolute path.
SHEET = """mtllib sheet.mtl
v -1 0 0\nv 1 0 0\nv 1 1 0\nv -1 1 0\nv 0 0 0.1
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl leaf
f 1/1 2/2 3/3 4/4
usemtl none
f 1 2 5
"""
SHEET_MTL = "newmtl leaf\nKd 1 1 1\nmap_Kd C:\\Documents\\Leaf.PNG\nnewmtl none\nd 0.0\n"
MODELS = (
    ("Tiny#cube", "cube/cube.obj", "box", "red", (500, 400, 600)),
    ("Tiny#turned", "cube/cube.obj", "chair", "red", (500, 400, 600)),
    ("Tiny#sheet", "sheet/sheet.obj", "plant", "green", (1000, 100, 1000)),
)
PROPERTIES = """id=Tiny
id#1=Tiny#cube
id#2=Tiny#turned
modelRotation#2=0 0 1 0 1 0 -1 0 0
id#3=Tiny#sheet
"""


def _png(left_alpha: int) -> bytes:
    image = np.full((8, 8, 4), (40, 160, 40, 255), np.uint8)
    image[:, :4, 3] = left_alpha
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_archive(path: Path) -> None:
    """Write the tiny catalog."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES)
        archive.writestr("cube/cube.obj", CUBE)
        archive.writestr("cube/cube.mtl", CUBE_MTL)
        archive.writestr("sheet/sheet.obj", SHEET)
        archive.writestr("sheet/sheet.mtl", SHEET_MTL)
        archive.writestr("sheet/leaf.png", _png(0))


def thing(index: int, model: str, cls: str, centre: list[int], **changes: object) -> dict:
    """Return one object of a recipe."""
    item = {
        "index": index,
        "model": model,
        "class": cls,
        "colour": "red",
        "centre_mm": centre,
        "base_mm": 0,
        "yaw_deg": 0,
        "size_mm": [500, 400, 600],
        "support": -1,
    }
    return item | changes


def camera(x: int, y: int, yaw: int, role: str, pitch: int = -20, z: int = 1400) -> dict:
    """Return one camera of a recipe."""
    return {
        "position_mm": [x, y, z],
        "yaw_deg": yaw,
        "pitch_deg": pitch,
        "hfov_deg": 70,
        "role": role,
    }


def make_recipe(name: str = "test_scene-0000") -> dict:
    """Return a room of 4 x 3 x 2.5 m with a cube before the first camera and one out of sight."""
    cameras = [camera(500, 1500, 0, "input") for _ in range(4)]
    cameras += [camera(3800, 1500 + 50 * k, 180, "held_out") for k in range(4)]
    return {
        "id": name,
        "split": "test_scene",
        "pair": None,
        "kind": "living",
        "room": {
            "size_mm": [4000, 3000, 2500],
            "floor": "woodenFloor",
            "wall_rgb": [220, 210, 200],
        },
        "light": {
            "sun_azimuth_deg": 90,
            "sun_elevation_deg": 40,
            "lamps_mm": [[2000, 1500, 2400]],
        },
        "objects": [
            thing(0, "Tiny#cube", "box", [2500, 1500]),
            thing(1, "Tiny#cube", "box", [250, 200], size_mm=[300, 300, 300]),
        ],
        "openings": [
            {"kind": "door", "wall": 1, "offset_mm": 300, "width_mm": 900, "base_mm": 0}
            | {"height_mm": 2000},
            {"kind": "window", "wall": 2, "offset_mm": 1000, "width_mm": 1200, "base_mm": 900}
            | {"height_mm": 1000},
        ],
        "cameras": cameras,
    }


def make_language(name: str = "test_scene-0000") -> dict:
    """Return language of which some needs the cube that no input camera sees."""
    reference = {"kind": "unique", "form": "near", "tags": []}
    question = {"answer_kind": "number", "choices": []}
    box = {"type": "exists", "class": "box", "colour": None}
    return {
        "scene": name,
        "relations": [[0, 1, "larger"]],
        "void": [[1, 0, "size"]],
        "references": [
            reference | {"id": "r00", "text": "the box", "targets": [0], "anchors": []},
            reference | {"id": "r01", "text": "by a box", "targets": [0], "anchors": [1]},
            reference | {"id": "r02", "text": "the bed", "targets": [], "anchors": []},
        ],
        "questions": [
            question
            | {"id": "q00", "type": "object_size", "text": "how long?", "answer": "60"}
            | {"objects": [0]},
            question
            | {"id": "q01", "type": "count", "text": "how many boxes?", "answer": "2"}
            | {"objects": [0, 1]},
        ],
        "captions": [
            {"id": "c00", "text": "a box", "facts": [box | {"count": None}]},
            {"id": "c01", "text": "two boxes", "facts": [box | {"count": 2}]},
        ],
        "phrases": [
            {"id": "p00", "text": "a box", "class": "box", "colour": None, "size": None},
            {"id": "p01", "text": "a bed", "class": "bed", "colour": None, "size": None},
        ],
    }


def write_data(folder: Path) -> Path:
    """Write the data folder of the tiny models and the room."""
    write_archive(folder / "sources" / "furniture" / "Tiny.sh3f")
    textures = folder / "sources" / "textures"
    textures.mkdir(parents=True)
    Image.new("RGB", (16, 16), (150, 110, 70)).save(textures / "woodenFloor.jpg")
    head = (
        "model,catalog,path_in_zip,class,name,colour,material,size_mm_w,size_mm_d,size_mm_h,group,"
    )
    head += "split_side,stands,carries_mm,front,faces,licence,creator"
    rows = [
        f"{model},Tiny,{path},{cls},x,{colour},,{w},{d},{h},g,train,floor,-1,1,12,CC0,me"
        for model, path, cls, colour, (w, d, h) in MODELS
    ]
    (folder / "models.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / "scenes.jsonl").write_text(json.dumps(make_recipe()) + "\n")
    return folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data folder."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def catalog(data_dir: Path) -> Catalog:
    """The tiny catalog."""
    return Catalog(data_dir)


@pytest.fixture(scope="session")
def store(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> SceneStore:
    """The room, rendered into one shard."""
    recipe, base = make_recipe(), tmp_path_factory.mktemp("scenes") / "000"
    render_shard([recipe], {recipe["id"]: make_language()}, catalog, RENDER, base, seed=7)
    return SceneStore(base.parent)
