"""The submission format: round trip, faults, and folders that appear whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from metrics.files import InputError
from metrics.submission import Invalid, Submission, SubmissionWriter
from metrics.truth import Truth

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
        out.relations("a", [[0, 1, {"support": "on", "side": "left"}]])
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
    assert found.objects("a") == ([BED], [(0, "on", 0, 1.0)])
    assert found.relations("a") == {(0, 1): {"support": "on", "side": "left"}}
    assert found.grounding("a", "r00").pick == 3
    assert found.answer("a", "q00") == "3" and found.caption("a") == "a bed"
    assert found.retrieval().scores.tolist() == [[0.5, 1.0]]
    assert found.grounding_retrieval().columns == ["a:0"]
    assert found.cost == {"parameters": 5} and found.thresholds == {"graph": 0.3}
    assert found.validate() == []
    assert load_file(tmp_path / "s" / "geometry.safetensors")["a/points"].shape == (7, 3)


def test_missing_is_none(tmp_path):
    with writer(tmp_path / "s"):
        pass
    found = Submission(tmp_path / "s")
    getters = (found.points, found.mesh, found.occupancy, found.objects, found.relations)
    assert [getter("a") for getter in getters] == [None] * 5
    assert found.grounding("a", "r") is None and found.retrieval() is None


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


def test_writer_refuses_what_makes_no_sense(tmp_path):
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


def test_manifest_faults_name_the_file_and_the_mend(tmp_path):
    with pytest.raises(InputError, match="manifest.json: no such file"):
        Submission(tmp_path)
    with writer(tmp_path / "s"):
        pass
    path = tmp_path / "s" / "manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in (("units", "inch"), ("frame", "world"), ("seed", "x"), ("produces", ["x"])):
        path.write_text(json.dumps(manifest | {key: value}))
        with pytest.raises(InputError, match="manifest.json"):
            Submission(tmp_path / "s")


@pytest.mark.parametrize(
    "row",
    [
        {"objects": [{"box": [0, 0, 0, 1, 1], "class": "bed"}]},
        {"objects": [{"box": [0, 0, 0, 1, 1, float("nan")], "class": "bed"}]},
        {"objects": [{"box": [0, 0, 0, 1, 1, -1], "class": "bed"}]},
        {"objects": [{"box": [0, 0, 0, 1, 1, 1]}]},
        {"objects": [BED], "triplets": [[0, "beside", 0]]},
        {"objects": [BED], "triplets": [[0, "on", 1]]},
        {"objects": "none"},
    ],
)
def test_invalid_objects(tmp_path, row):
    with writer(tmp_path / "s"):
        pass
    text = json.dumps({"scene": "a"} | row)
    (tmp_path / "s" / "objects.jsonl").write_text(text + "\n")
    with pytest.raises(Invalid, match="objects.jsonl: scene a"):
        Submission(tmp_path / "s").objects("a")
    assert len(Submission(tmp_path / "s").validate()) == 1


def test_invalid_geometry(tmp_path):
    bad = np.ones((4, 3))
    bad[0, 0] = np.nan
    with writer(tmp_path / "s") as out:
        out.points("a", bad, np.zeros((4, 3)))
        out.mesh("a", np.ones((4, 3)), [[0, 1, 4]])
    found = Submission(tmp_path / "s")
    for getter in (found.points, found.mesh):
        with pytest.raises(Invalid, match="scene a"):
            getter("a")


def test_repeated_and_broken_lines_stop_the_reading(tmp_path):
    with writer(tmp_path / "s") as out:
        out.caption("a", "x")
        out.caption("a", "y")
    with pytest.raises(InputError, match="row 2 repeats a"):
        Submission(tmp_path / "s").caption("a")
    (tmp_path / "s" / "captions.jsonl").write_text("{\n")
    with pytest.raises(InputError, match="row 1 is not valid JSON"):
        Submission(tmp_path / "s").caption("a")


def test_changed_files_and_missing_items_are_faults(tmp_path, truth_dir):
    with writer(tmp_path / "s", "captions", "answers", "retrieval", "picks") as out:
        out.caption("toy-0000", "x")
    faults = Submission(tmp_path / "s").validate(Truth(truth_dir))
    assert len(faults) == 2 + 3 * 3 + 3 * 4 + 1
    assert all("declared and missing" in fault for fault in faults)
    (tmp_path / "s" / "captions.jsonl").write_text("")
    assert "sha256" in Submission(tmp_path / "s").validate()[0]
