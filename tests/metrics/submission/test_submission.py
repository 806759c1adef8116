"""Writing and reading submissions: round trip, unusable items, folders that appear whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from metrics.files import InputError
from metrics.submission.parsing import Invalid
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from metrics.submission.writer import SubmissionWriter

BED = {"box": [0, 0, 0, 1, 1, 1], "class": "bed", "score": 0.5}


def writer(folder: Path, *produces: str, **more) -> SubmissionWriter:
    return SubmissionWriter(folder, "m", 1, "toy", True, produces, **more)


def test_round_trip(tmp_path):
    generator = np.random.default_rng(0)
    points, grid = generator.random((7, 3), np.float32), generator.random((3, 5, 7)) < 0.5
    colours = generator.integers(0, 256, (7, 3), np.uint8)
    with writer(tmp_path / "s", "points", "mesh", mesh_kind="solids") as out:
        out.points("a", points, colours, pixels=np.arange(21).reshape(7, 3), confidence=np.ones(7))
        out.mesh("a", points, [[0, 1, 2]], colours)
        out.occupancy("a", grid, [1, 2, 3], 0.04)
        out.objects("a", [BED | {"score": np.float32(0.5)}], [[0, "on", 0, np.float64(1)]])
        out.objects("b", [BED | {"oriented": [0, 0, 0, 1, 1, 1, 0.5]}])
        out.relations("a", [[0, 1, {"support": "on", "side": "left"}]], [[0, "on", 1, 0.5]])
        out.grounding("a", "r00", np.zeros((1, 6)), np.int64(3))
        out.answer("a", "q00", "3")
        out.caption("a", "a bed")
        out.retrieval(["a/c00"], ["a", "b"], [[0.5, 1]])
        out.grounding_retrieval(["a/p00"], ["a:0"], [[2]])
        out.cost["parameters"] = np.int64(5)
        out.thresholds["graph"] = 0.3
    found = Submission(tmp_path / "s")
    cloud, mesh, solid = found.points("a"), found.mesh("a"), found.occupancy("a")
    assert np.array_equal(cloud.points, points) and np.array_equal(cloud.colours, colours)
    assert cloud.pixels.dtype == np.int16 and cloud.confidence.dtype == np.float16
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert np.array_equal(solid.grid, grid) and solid.voxel == pytest.approx(0.04)
    assert found.objects("a") == ([BED | {"oriented": None}], [(0, "on", 0, 1.0)])
    assert found.objects("b")[0][0]["oriented"] == [0, 0, 0, 1, 1, 1, 0.5]
    assert found.relation_scores("a") == [(0, "on", 1, 0.5)]
    assert found.relations("a") == {(0, 1): {"support": "on", "side": "left"}}
    assert found.grounding("a", "r00").pick == 3
    assert found.answer("a", "q00") == "3" and found.caption("a") == "a bed"
    assert found.table("retrieval").scores.tolist() == [[0.5, 1.0]]
    assert found.table("grounding_retrieval").columns == ["a:0"]
    assert found.cost == {"parameters": 5} and found.thresholds == {"graph": 0.3}
    assert validate(tmp_path / "s").faults == []
    assert load_file(tmp_path / "s" / "geometry.safetensors")["a/points"].shape == (7, 3)


def test_missing_is_none(tmp_path):
    with writer(tmp_path / "s"):
        pass
    found = Submission(tmp_path / "s")
    getters = (found.points, found.mesh, found.occupancy, found.objects, found.relations)
    assert [getter("a") for getter in getters] == [None] * 5
    assert found.grounding("a", "r") is None and found.table("retrieval") is None


def test_a_failed_writer_leaves_what_was_there(tmp_path):
    with writer(tmp_path / "s", "captions") as out:
        out.caption("a", "first")
    with pytest.raises(RuntimeError), writer(tmp_path / "s", "captions") as out:
        out.caption("a", "second")
        raise RuntimeError
    assert Submission(tmp_path / "s").caption("a") == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_two_runs_write_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with writer(tmp_path / name, "points") as out:
            out.points("x", np.ones((4, 3)), np.zeros((4, 3)))
    first, second = ((tmp_path / name / "manifest.json").read_bytes() for name in "ab")
    assert first == second


def test_writer_refuses_invalid_calls(tmp_path):
    with pytest.raises(InputError, match="unknown tasks"):
        writer(tmp_path / "s", "pionts")
    with pytest.raises(InputError, match="mesh_kind"):
        writer(tmp_path / "s", "mesh")
    for call in (
        lambda out: out.points("a", np.ones((4, 2)), np.zeros((4, 3))),
        lambda out: out.points("a", np.ones((4, 3)), np.zeros((3, 3))),
        lambda out: out.retrieval(["t"], ["a", "b"], np.ones((1, 1))),
        lambda out: [out.caption("a", "x"), out.occupancy("a", np.ones(3), [0, 0, 0], 1)],
    ):
        with pytest.raises(InputError), writer(tmp_path / "s") as out:
            call(out)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_valid_manifest_cannot_be_scored(tmp_path):
    with pytest.raises(InputError, match="manifest.json: no such file"):
        Submission(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        Submission(tmp_path / "nowhere")
    with writer(tmp_path / "s"):
        pass
    path = tmp_path / "s" / "manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in (("units", "inch"), ("frame", "world"), ("seed", "x"), ("produces", ["x"])):
        path.write_text(json.dumps(manifest | {key: value}))
        with pytest.raises(InputError, match=f"manifest.json: {key}"):
            Submission(tmp_path / "s")


def test_an_unusable_item_fails_alone(tmp_path):
    bad = np.ones((4, 3))
    bad[0, 0] = np.nan
    with writer(tmp_path / "s") as out:
        out.points("a", bad, np.zeros((4, 3)))
        out.points("b", np.ones((4, 3)), np.zeros((4, 3)))
        out.mesh("a", np.ones((4, 3)), [[0, 1, 4]])
        out.objects("a", [BED], [[0, "on", 1, 1.0]])
        out.objects("b", [BED])
        out.caption("a", "x")
        out.caption("a", "y")
        out.caption("b", "z")
    lines = tmp_path / "s" / "captions.jsonl"
    lines.write_text(lines.read_text() + "{\n")
    found = Submission(tmp_path / "s")
    for getter in (found.points, found.mesh, found.objects, found.caption):
        with pytest.raises(Invalid, match="scene a"):
            getter("a")
    assert len(found.points("b").points) == 4 and len(found.objects("b")[0]) == 1
    assert found.caption("b") == "z"


def test_a_broken_file_fails_its_items_alone(tmp_path):
    with writer(tmp_path / "s") as out:
        out.points("a", np.ones((4, 3)), np.zeros((4, 3)))
        out.retrieval(["a/c00", "a/c01"], ["a"], [[1], [2]])
        out.caption("a", "x")
    whole = (tmp_path / "s" / "geometry.safetensors").read_bytes()
    (tmp_path / "s" / "geometry.safetensors").write_bytes(whole[:-5])
    found = Submission(tmp_path / "s")
    for _ in range(2):
        with pytest.raises(Invalid, match="geometry.safetensors: not a safetensors file"):
            found.points("a")
    assert found.caption("a") == "x"
    (tmp_path / "s" / "retrieval.json").write_text('{"texts": ["a/c00"], "scenes": ["a"]}')
    with pytest.raises(Invalid, match="for 1 texts and 1 scenes"):
        Submission(tmp_path / "s").table("retrieval")


def write_header(path: Path, entry: dict) -> None:
    """Write a safetensors file with one tensor of one number, as its header describes it."""
    header = json.dumps({"a/points": {"data_offsets": [0, 4]} | entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"dtype": "F32", "shape": [1] * 1002}, "'a/points' has 1002 axes; write tensors of"),
        ({"dtype": "F32", "shape": [1] * 9}, "'a/points' has 9 axes; write tensors of"),
        ({"dtype": "\x1b[2J", "shape": [1]}, r"not a safetensors file .*\\x1b\[2J"),
        ({"dtype": "\u202e", "shape": [1]}, r"not a safetensors file .*\\u202e"),
    ],
)
def test_hostile_headers_are_one_readable_line(tmp_path, entry, words):
    with writer(tmp_path / "s") as out:
        out.points("a", np.ones((4, 3)), np.zeros((4, 3)))
    write_header(tmp_path / "s" / "geometry.safetensors", entry)
    with pytest.raises(Invalid, match=words) as caught:
        Submission(tmp_path / "s").points("a")
    assert str(caught.value.fault).isprintable()
    lines = [str(fault) for fault in validate(tmp_path / "s").faults]
    assert lines and all(line.isprintable() and line.isascii() for line in lines)


def test_names_repeated_in_a_table_have_no_scores(tmp_path):
    with writer(tmp_path / "s") as out:
        out.retrieval(["a/c00", "a/c01", "a/c00"], ["a", "b"], np.ones((3, 2)))
    scores = Submission(tmp_path / "s").table("retrieval").scores
    assert np.isnan(scores[[0, 2]]).all() and (scores[1] == 1).all()
