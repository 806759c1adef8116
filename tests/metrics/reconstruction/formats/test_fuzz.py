"""Random damage to every kind of geometry file: it is read, or refused in one line."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from g2vlm.scenes.assets.objfile import read_obj
from metrics.files import InputError
from metrics.reconstruction.surface_files import READERS, read_surface
from tests.metrics.reconstruction.formats import test_gltf, test_obj, test_ply, test_text
from tests.metrics.reconstruction.formats.shapes import BOX, TRIANGLES, glb

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MTL = b"newmtl red\nKd 1 0.5 0\nd 0.5\nmap_Kd tex.png\nnewmtl blue\nKd 0 0 1\n"
OBJ = (
    b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0 0\nvt 1 1\nusemtl red\n"
    b"f 1/1 2/2 3/1\nf 1//1 2//1 3//1 4//1\nusemtl blue\nf -1 -2 -3\n"
)


def _arrays() -> list[bytes]:
    files = []
    for arrays in ({"points": BOX, "scale": 2.0, "loc": BOX[1]}, {"vertices": BOX.astype("f2")}):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays, faces=np.array(TRIANGLES))
        files.append(buffer.getvalue())
    return files


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, BOX)
    return buffer.getvalue()


# Whole files to damage, by suffix.
SEEDS: dict[str, list[bytes]] = {
    ".ply": [test_ply.ply(o, e) for o in test_ply.ORDERS for e in test_ply.ELEMENTS.values()],
    ".obj": ["\n".join(lines).encode() for lines in test_obj.SPELLINGS.values()],
    ".glb": [glb(*make()) for make in test_gltf.SAME.values()],
    ".gltf": [json.dumps(make()[0]).encode() for make in test_gltf.SAME.values()],
    ".off": [text.encode() for text in test_text.OFFS.values()],
    ".stl": [t if isinstance(t, bytes) else t.encode() for t in test_text.STLS.values()],
    ".xyz": [text.encode() for text in test_text.CLOUDS.values()],
    ".npz": _arrays(),
    ".npy": [_npy()],
}
WORDS = [b"-1", b"0", b"nan", b"1e999", b"9" * 20, b"-" + b"9" * 19, b"1e308", b"2147483647"]
WORDS += [b"\n", b" ", b"\t", b"#", b"/", b"//", b"\\\n", b",", b";", b"[", b"{", b"}", b'"']
WORDS += [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"f -1 -2 -3\n",
    b"v 1 2\n",
    b"l 1 2\n",
]
WORDS += [b"element edge 5\n", b"element face 0\n", b"3 0 1 2\n", b"vertex 1 1 1\n", b"endsolid\n"]
WORDS += [b"usemtl\n", b"mtllib\n", b"Kd\n", b"d\n", b"newmtl\n", b"null", b"true", b"Kd . 0 1\n"]


def changed(data: bytes, draw: Callable) -> bytes:
    """Return the bytes after a few changes."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "drop", "insert", "overwrite", "repeat", "flip"]))
        word = draw(st.sampled_from(WORDS))
        length = draw(st.sampled_from([1, 2, 4, 8, 40]))
        if kind == "cut":
            data = data[:place]
        elif kind == "drop":
            data = data[:place] + data[place + length :]
        elif kind == "insert":
            data = data[:place] + word + data[place:]
        elif kind == "overwrite":
            data = data[:place] + word + data[place + len(word) :]
        elif kind == "repeat":
            data = data[:place] + data[max(0, place - length) :]  # the bytes before, again
        elif place < len(data):
            turned = data[place] ^ 1 << draw(st.integers(0, 7))
            data = data[:place] + bytes([turned]) + data[place + 1 :]
    return data


@pytest.mark.parametrize("kind", sorted(READERS))
@MANY
@given(st.data())
def test_damage_is_read_or_refused_in_one_line(tmp_path, kind, data):
    path: Path = tmp_path / f"a{kind}"
    path.write_bytes(changed(data.draw(st.sampled_from(SEEDS[kind])), data.draw))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read_surface(path)
        except InputError as error:
            message = str(error)
            assert message.startswith(f"{path}: ") and message.isprintable()
            # Only NumPy's and zipfile's own faults come as they are; a reader knows its format.
            assert "cannot be read (" not in message or kind in (".npz", ".npy"), message
            return
    assert np.isfinite(found.points).all() and found.points.dtype == np.float64
    assert found.faces is None or 0 <= found.faces.min() <= found.faces.max() < len(found.points)


@MANY
@given(st.data())
def test_damaged_models_of_a_catalog_are_read_or_refused_in_one_line(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.obj", changed(OBJ, data.draw))
        archive.writestr("a.mtl", changed(MTL, data.draw))
    archive = zipfile.ZipFile(buffer)
    archive.filename = "models.sh3f"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = read_obj(archive, "a.obj")
        except InputError as error:
            assert str(error).startswith("models.sh3f:a.") and str(error).isprintable()
            return
    assert found.faces.max() < len(found.vertices) and np.isfinite(found.vertices).all()
