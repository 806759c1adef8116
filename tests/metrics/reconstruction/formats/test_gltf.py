"""GLB and glTF: accessors of every kind, node transforms, and what is refused as a whole."""

import base64
import copy
import json
import re
import warnings

import numpy as np
import pytest

from metrics.files import InputError
from metrics.reconstruction.surface_files import read_surface
from tests.metrics.reconstruction.formats.shapes import (
    BOX,
    BOX_AREA,
    TRIANGLES,
    area,
    box_document,
    glb,
    written,
)


def changed(**places: object) -> tuple[dict, bytes]:
    """Return the box's document with values put at paths such as nodes__0__scale."""
    document, binary = box_document()
    for path, value in places.items():
        *keys, last = (int(key) if key.isdecimal() else key for key in path.split("__"))
        owner = document
        for key in keys:
            owner = owner[key]
        owner[last] = value
    return document, binary


def sparse_box(based: bool) -> tuple[dict, bytes]:
    """Return the box with its upper vertices in a sparse accessor, over zeros or stored points."""
    document, binary = box_document()
    upper = np.flatnonzero(BOX[:, 2] == 1).astype("<u2")
    flat = BOX.copy()
    if based:
        flat[upper] = 7.0
        chosen = upper
    else:
        chosen = np.flatnonzero(BOX.any(axis=1)).astype("<u2")
    binary = flat.astype("<f4").tobytes() + binary[96:]
    values = BOX[chosen].astype("<f4").tobytes()
    document["bufferViews"] += [
        {"buffer": 0, "byteOffset": len(binary), "byteLength": 2 * len(chosen)},
        {"buffer": 0, "byteOffset": len(binary) + 2 * len(chosen), "byteLength": len(values)},
    ]
    document["accessors"][0]["sparse"] = {
        "count": len(chosen),
        "indices": {"bufferView": 2, "componentType": 5123},
        "values": {"bufferView": 3},
    }
    if not based:
        del document["accessors"][0]["bufferView"]
    binary += chosen.tobytes() + values
    document["buffers"][0]["byteLength"] = len(binary)
    return document, binary


def quantized(dtype: str, component: int) -> tuple[dict, bytes]:
    """Return the box as normalised integers, which a node scales back to its size."""
    most = np.iinfo(dtype).max
    document, binary = box_document((BOX * [0.5, 1, 1] * most).astype(dtype), component)
    document["accessors"][0]["normalized"] = True
    document["extensionsUsed"] = document["extensionsRequired"] = ["KHR_mesh_quantization"]
    document["nodes"][0]["scale"] = [2, 1, 1]
    return document, binary


def strided() -> tuple[dict, bytes]:
    rows = np.full((8, 5), 9.0, "<f4")
    rows[:, 1:4] = BOX
    document, binary = box_document()
    document["bufferViews"][0] |= {"byteLength": rows.nbytes, "byteStride": 20}
    document["accessors"][0]["byteOffset"] = 4
    document["bufferViews"][1]["byteOffset"] = rows.nbytes
    document["buffers"][0]["byteLength"] = rows.nbytes + 72
    return document, rows.tobytes() + binary[96:]


def moded(mode: int) -> tuple[dict, bytes]:
    """Return the box as one primitive for each side, a strip or a fan."""
    sides = [TRIANGLES[k][:3] + (TRIANGLES[k + 1][2],) for k in range(0, 12, 2)]
    corners = [(a, b, d, c) if mode == 5 else (a, b, c, d) for a, b, c, d in sides]
    document, binary = box_document()
    document["accessors"] = document["accessors"][:1] + [
        {
            "bufferView": 1,
            "byteOffset": 4 * k,
            "componentType": 5121,
            "count": 4,
            "type": "SCALAR",
        }
        for k in range(6)
    ]
    document["bufferViews"][1]["byteLength"] = 24
    document["buffers"][0]["byteLength"] = 96 + 24
    document["meshes"][0]["primitives"] = [
        {"attributes": {"POSITION": 0}, "indices": k + 1, "mode": mode} for k in range(6)
    ]
    return document, binary[:96] + np.array(corners, "u1").tobytes()


def unindexed() -> tuple[dict, bytes]:
    points = BOX[np.array(TRIANGLES).reshape(-1)].astype("<f4").tobytes()
    document, _ = box_document()
    document["accessors"] = [{"bufferView": 0, "componentType": 5126, "count": 36, "type": "VEC3"}]
    document["bufferViews"] = [{"buffer": 0, "byteLength": len(points)}]
    document["buffers"] = [{"byteLength": len(points)}]
    del document["meshes"][0]["primitives"][0]["indices"]
    return document, points


SAME = {
    "plain": box_document,
    "sparse over points": lambda: sparse_box(True),
    "sparse over zeros": lambda: sparse_box(False),
    "normalised u8": lambda: quantized("<u1", 5121),
    "normalised i16": lambda: quantized("<i2", 5122),
    "normalised u16": lambda: quantized("<u2", 5123),
    "integers": lambda: box_document(BOX.astype("<i2"), 5122),
    "stride": strided,
    "strips": lambda: moded(5),
    "fans": lambda: moded(6),
    "no indices": unindexed,
    "no scenes": lambda: _without("scene", "scenes"),
    "appearance": lambda: changed(
        extensionsUsed=["KHR_materials_unlit", "KHR_texture_transform"],
        materials=[{"extensions": {"KHR_materials_unlit": {}}}],
        images=[{"uri": "colour.png"}],
    ),
    "morph target at rest": lambda: changed(
        meshes__0__primitives__0__targets=[{"POSITION": 0}], meshes__0__weights=[0.0]
    ),
}


def _without(*keys: str) -> tuple[dict, bytes]:
    document, binary = box_document()
    for key in keys:
        del document[key]
    return document, binary


@pytest.mark.parametrize("name", SAME)
def test_every_kind_of_accessor_is_the_same_box(tmp_path, name):
    path = written(tmp_path / "a.glb", glb(*SAME[name]()))
    assert area(path) == pytest.approx(BOX_AREA)
    assert read_surface(path).points.max(axis=0) == pytest.approx([2, 1, 1])


def test_nodes_place_meshes_in_float64(tmp_path):
    document, binary = box_document()
    half = np.sqrt(0.5)
    document["nodes"] = [
        {"children": [1, 2], "translation": [399000.125, 5820000.25, 35.5]},
        {"mesh": 0, "rotation": [0, 0, half, half], "scale": [1, 2, 3]},
        {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0.001, 10, 0, 1]},
    ]
    points = read_surface(written(tmp_path / "a.glb", glb(document, binary))).points
    points = points - [399000.125, 5820000.25, 35.5]
    # Node 2 comes first: the last child is placed first.
    moved = BOX + [0.001, 10, 0]
    turned = BOX * [1, 2, 3] @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    found = {tuple(np.round(row, 6)) for row in points}
    assert found == {tuple(np.round(row, 6)) for row in [*moved, *turned]}


def test_data_uris_are_read_and_other_files_are_not_opened(tmp_path):
    document, binary = box_document()
    document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + (
        base64.b64encode(binary).decode()
    )
    assert area(written(tmp_path / "a.gltf", json.dumps(document))) == pytest.approx(BOX_AREA)
    written(tmp_path / "data.bin", binary)
    document["buffers"][0]["uri"] = "data.bin"
    for name, content in (("b.gltf", json.dumps(document)), ("b.glb", glb(document))):
        with pytest.raises(InputError, match="data.bin is another file, which is not opened"):
            read_surface(written(tmp_path / name, content))


def _draco_part() -> tuple[dict, bytes]:
    document, binary = box_document()
    other = copy.deepcopy(document["meshes"][0])
    other["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    document["meshes"].append(other)
    document["nodes"].append({"mesh": 1})
    document["scenes"][0]["nodes"] = [0, 1]
    return document, binary


REFUSED = {
    "draco in one part": (_draco_part, "its extension KHR_draco_mesh_compression is not read"),
    "meshopt": (
        lambda: changed(bufferViews__0__extensions={"EXT_meshopt_compression": {"buffer": 0}}),
        "its extension EXT_meshopt_compression is not read",
    ),
    "instancing": (
        lambda: changed(nodes__0__extensions={"EXT_mesh_gpu_instancing": {}}),
        "its extension EXT_mesh_gpu_instancing is not read",
    ),
    "an unknown extension": (
        lambda: changed(extensionsUsed=["ACME_surface"]),
        "its extension ACME_surface is not read",
    ),
    "a skin": (lambda: changed(nodes__0__skin=0), "a skin moves its vertices"),
    "an active morph target": (
        lambda: changed(
            meshes__0__primitives__0__targets=[{"POSITION": 0}], nodes__0__weights=[0.5]
        ),
        "a morph target moves its vertices",
    ),
    "no buffer view": (
        lambda: changed(
            accessors__0={"componentType": 5126, "count": 8, "type": "VEC3"},
        ),
        "an accessor holds no data",
    ),
    "a huge accessor": (
        lambda: changed(
            accessors__0={"componentType": 5126, "count": 1 << 40, "type": "VEC3"},
        ),
        "holds 1099511627776 points, more than 10000000",
    ),
    "many instances": (
        lambda: changed(
            nodes=[{"mesh": 0}] * 20_000,
            scenes=[{"nodes": list(range(20_000))}],
            accessors__0__count=8_000,
        ),
        "holds 160000000 points, more than 10000000",
    ),
    "many instances of many faces": (
        lambda: changed(
            nodes=[{"mesh": 0}] * 20_000,
            scenes=[{"nodes": list(range(20_000))}],
            accessors__1__count=30_000,
        ),
        "holds 200000000 faces, more than 20000000",
    ),
    "an accessor over its view": (
        lambda: changed(accessors__0__count=9),
        "an accessor is longer than its buffer view",
    ),
    "a view over its buffer": (
        lambda: changed(bufferViews__1__byteLength=1000),
        "a buffer view is longer than its buffer",
    ),
    "a missing vertex": (
        lambda: changed(accessors__0__count=7),
        "faces refer to vertex 7 of 7",
    ),
    "a node twice": (lambda: changed(nodes__0__children=[0]), "node 0 is placed twice"),
    "infinite scale": (lambda: changed(nodes__0__scale=[1, 1, 1e999]), "scale is not 3 finite"),
    "no rotation": (lambda: changed(nodes__0__rotation=[0, 0, 0, 0]), "is not a quaternion"),
    "two scenes": (
        lambda: _two_scenes(),
        "has several scenes and names none",
    ),
    "lines": (lambda: changed(meshes__0__primitives__0__mode=1), "holds lines and no faces"),
    "points and faces": (
        lambda: changed(
            meshes__0__primitives=[
                {"attributes": {"POSITION": 0}, "indices": 1},
                {"attributes": {"POSITION": 0}, "mode": 0},
            ]
        ),
        "holds both points and triangles",
    ),
    "a node for its nodes": (lambda: changed(nodes={}), "its nodes are not a list"),
    "a number for a scene's nodes": (
        lambda: changed(scenes__0__nodes=0),
        "a scene's nodes are not a list",
    ),
    "a node for its children": (
        lambda: changed(nodes__0__children={"0": 0}),
        "node 0's children are not a list",
    ),
    "true for a mesh's primitives": (
        lambda: changed(meshes__0__primitives=True),
        "a mesh's primitives are not a list",
    ),
    "a number for morph targets": (
        lambda: changed(meshes__0__primitives__0__targets=2),
        "a mesh's targets are not a list",
    ),
    "nothing": (lambda: ({}, b""), "its scene shows no mesh"),
}


def _two_scenes() -> tuple[dict, bytes]:
    document, binary = changed(scenes=[{"nodes": [0]}, {"nodes": []}])
    del document["scene"]
    return document, binary


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_as_a_whole(tmp_path, name):
    make, message = REFUSED[name]
    path = written(tmp_path / "a.glb", glb(*make()))
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*" + message):
        read_surface(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"scene": 0, "scene": 1}', "key 'scene' occurs twice"),
        ("{", "Expecting property name"),
        ('{"extras": ' + "[" * 90 + "]" * 90 + "}", "nested too deeply"),
        ('{"scene": ' + "9" * 60 + "}", "an integer of 60 characters"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_that_is_not_read_in_one_way_is_refused(text, words, encoding, tmp_path):
    path = written(tmp_path / "a.gltf", text.encode(encoding))
    words = words if encoding == "utf-8" else "is UTF-16 text"
    with pytest.raises(InputError, match=rf"a\.gltf: its JSON is not valid \(.*{words}.*; export"):
        read_surface(path)


def test_infinite_points_are_refused_without_a_warning(tmp_path):
    points = BOX.astype("<f4")
    points[7] = np.inf
    path = written(tmp_path / "a.glb", glb(*box_document(points)))
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(InputError, match="1 of 8 points are not finite"),
    ):
        read_surface(path)


def test_a_file_cut_short_is_refused_wherever_it_ends(tmp_path):
    whole = glb(*box_document())
    for cut in range(0, len(whole), 7):
        with pytest.raises(InputError):
            read_surface(written(tmp_path / "a.glb", whole[:cut]))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "[1]", "{"])
def test_json_that_cannot_be_parsed_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(InputError, match="its JSON") as error:
        read_surface(written(tmp_path / "a.gltf", text))
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)
