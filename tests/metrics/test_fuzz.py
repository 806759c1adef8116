"""Random damage to every file of a submission: faults are listed, nothing is ever raised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.files import InputError
from metrics.reconstruction.surface_files import read_surface
from metrics.submission.parsing import LIMITS, Invalid
from metrics.submission.reader import Contents, Submission
from metrics.submission.validate import validate
from metrics.submission.writer import SubmissionWriter

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Bytes that mean something to one of the formats, so that damage gets past the first check.
TOKENS = st.sampled_from(
    [b"NaN", b"1e999", b"-1", b"null", b'"', b"{", b"[", b"]}", b"\n", b"\0", b"\xff", b"\\ud800"]
    + [b"9" * 30, b"BF16", b'"shape":[0,3]', b"[" * 3000, b"true", b"../", b"nan", b"0"]
)


@st.composite
def damage(draw):
    """Draw a change of bytes: (kind, where as a share, what)."""
    kind = draw(st.sampled_from(["cut", "insert", "overwrite", "replace"]))
    what = draw(st.one_of(TOKENS, st.binary(min_size=1, max_size=12)))
    return kind, draw(st.floats(0, 1)), what


def damaged(data: bytes, change: tuple[str, float, bytes]) -> bytes:
    kind, share, what = change
    place = int(share * len(data))
    if kind == "cut":
        return data[:place]
    if kind == "insert":
        return data[:place] + what + data[place:]
    if kind == "overwrite":
        return data[:place] + what + data[place + len(what) :]
    return what


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A submission that holds every kind of file, in a few kilobytes."""
    folder = tmp_path_factory.mktemp("small") / "s"
    with SubmissionWriter(folder, "m", 0, "toy", True, ["mesh"], mesh_kind="solids") as out:
        out.points("a", np.eye(3), np.zeros((3, 3)), np.zeros((3, 3)), np.ones(3))
        out.mesh("a", np.eye(3), [[0, 1, 2]], np.zeros((3, 3)))
        out.occupancy("a", np.ones((2, 2, 2)), [0, 0, 0], 0.1)
        box = {"box": [0, 0, 0, 1, 1, 1], "class": "bed", "score": 1.0}
        out.objects("a", [box, box], [[0, "near", 1, 0.5]])
        out.relations("a", [[0, 1, {"side": "left"}]])
        out.grounding("a", "r00", [[0, 0, 0, 1, 1, 1]], 1)
        out.answer("a", "q00", "3")
        out.caption("a", "a bed")
        out.retrieval(["a/c00"], ["a"], [[1]])
        out.grounding_retrieval(["a/p00"], ["a:0"], [[1]])
    return folder


@MANY
@given(st.sampled_from(sorted(LIMITS)), damage())
def test_damaged_submissions(small, tmp_path, name, change):
    folder = tmp_path / "s"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(small, folder)
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(damaged(before, change))
    report = validate(folder)
    if name != "manifest.json" and (folder / name).read_bytes() != before:
        assert any(fault.file == name for fault in report.faults)
    for fault in report.faults + report.warnings:
        assert str(fault).isascii() and str(fault).isprintable() and len(str(fault)) < 1000
    json.dumps(report.as_dict(), allow_nan=False)
    # The scorer opens what the validator finds no fault in, and can write all of it.
    try:
        facts = Submission(folder).manifest
    except InputError as error:
        assert any(str(fault) in str(error) for fault in report.faults)
    else:
        assert [f for f in report.faults if f.file == "manifest.json"] == []
        json.dumps(facts, allow_nan=False, ensure_ascii=False).encode("utf-8")
    contents = Contents(folder)
    for getter in (
        *(lambda of=of: of("a") for of in (contents.points, contents.mesh, contents.occupancy)),
        *(lambda of=of: of("a") for of in (contents.objects, contents.relations, contents.caption)),
        lambda: contents.grounding("a", "r00"),
        lambda: contents.answer("a", "q00"),
        lambda: contents.table("retrieval"),
        lambda: contents.table("grounding_retrieval"),
    ):
        try:
            getter()
        except Invalid as error:
            assert "\n" not in str(error)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> dict[str, bytes]:
    """A box or a cloud in every kind of file."""
    folder, box = tmp_path_factory.mktemp("shapes"), trimesh.creation.box((1, 1, 1))
    for kind in ("ply", "obj", "glb", "stl", "off"):
        box.export(folder / f"a.{kind}")
    trimesh.PointCloud(box.vertices).export(folder / "a.xyz")
    np.savez(folder / "a.npz", points=box.vertices)
    np.save(folder / "a.npy", box.vertices)
    return {path.suffix: path.read_bytes() for path in sorted(folder.iterdir())}


@MANY
@given(st.sampled_from([".ply", ".obj", ".glb", ".stl", ".off", ".xyz", ".npz", ".npy"]), damage())
def test_damaged_surfaces(shapes, tmp_path, kind, change):
    path = tmp_path / f"a{kind}"
    path.write_bytes(damaged(shapes[kind], change))
    try:
        found = read_surface(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert len(found.points) and np.isfinite(found.points).all()
