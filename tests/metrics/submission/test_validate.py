"""The validator names every fault of an untrusted submission, with its file, row and fix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from metrics.files import InputError
from metrics.score import score_submission
from metrics.submission import items, parsing
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from metrics.submission.writer import SubmissionWriter
from metrics.truth import Truth
from tests.metrics.submission.corrupted import (
    SCENE,
    corrupt_row,
    corrupt_tensor,
    exchange_row,
    faults,
    manifest,
    only_fault,
    sealed,
)


def test_a_valid_submission_has_no_faults(oracle_dir, truth_dir):
    report = validate(oracle_dir, Truth(truth_dir))
    assert report.faults == [] and report.warnings == []
    assert report.as_dict() == {"sound": True, "faults": [], "warnings": []}


@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        ("points", np.zeros((0, 3), np.float32), "points is empty"),
        ("points", np.full((20_000, 3), np.nan, np.float32), "20000 of 20000 rows are not finite"),
        ("points", np.full((20_000, 3), np.inf, np.float32), "not finite or beyond"),
        ("points", np.ones((20_000, 2), np.float32), "points are float32 [20000, 2]"),
        ("points", np.ones((20_000, 3), np.int32), "give floats"),
        ("colours", np.zeros((5, 3), np.uint8), "colours are uint8 [5, 3]; give [20000, 3]"),
        ("colours", np.zeros((20_000, 3), np.float32), "give uint8"),
        ("pixels", np.zeros((20_000, 3), np.float32), "give whole numbers"),
        ("confidence", np.zeros((20_000, 1), np.float32), "give floats or uint8 [20000]"),
        ("faces", np.zeros((0, 3), np.int32), "faces is empty"),
        ("faces", None, "the mesh has no faces"),
        ("vertices", None, "the mesh has no vertices"),
        ("faces", np.array([[0, 1, 32]], np.int32), "faces name vertices 0 to 32 of 32"),
        ("faces", np.array([[-1, 1, 2]], np.int32), "faces name vertices -1 to 2"),
        ("faces", np.zeros((1, 3), np.float32), "give whole numbers"),
        ("vertices", np.full((32, 3), 1e30, np.float32), "beyond 1e+09 m"),
        ("occupancy_voxel", np.zeros(1, np.float32), "not a length"),
        ("occupancy_origin", np.full(3, np.nan, np.float32), "or not finite"),
        ("occupancy_shape", np.array([90, 64], np.int32), "give three whole numbers"),
        ("occupancy_shape", np.array([90, 64, -1], np.int32), "give three whole numbers"),
        ("occupancy_shape", np.full(3, 2_000_000, np.int32), "voxels; give at most"),
        ("occupancy_shape", np.array([90, 64, 51], np.int32), "pack all voxels"),
        ("occupancy_origin", None, "lacks occupancy_origin"),
    ],
)
def test_bad_geometry(folder, truth_dir, part, value, expected):
    corrupt_tensor(folder, f"{SCENE}/{part}", value)
    found = only_fault(folder, truth_dir)
    assert found.startswith(f"geometry.safetensors: scene {SCENE}: ") and expected in found


def test_more_than_can_be_scored_is_refused(monkeypatch):
    monkeypatch.setattr(items, "MOST_POINTS", 4)
    monkeypatch.setattr(items, "MOST_FACES", 2)
    points = np.arange(15, dtype=np.float32).reshape(5, 3)
    faces = np.array([[0, 1, 2]] * 3)
    assert list(items.point_problems({"points": points[:4]})) == []
    assert list(items.point_problems({"points": points})) == [
        ("points has 5 rows", "give at most 4")
    ]
    assert list(items.mesh_problems({"vertices": points[:4], "faces": faces[:2]})) == []
    assert list(items.mesh_problems({"vertices": points, "faces": faces})) == [
        ("vertices has 5 rows", "give at most 4"),
        ("faces has 3 rows", "give at most 2"),
    ]


def test_huge_triangles_that_overlap_are_refused():
    def problems(count: int, side: float) -> list[items.Problem]:
        corners = np.random.default_rng(0).uniform(0, side, (3 * count, 3)).astype(np.float32)
        faces = np.arange(3 * count).reshape(count, 3)
        return list(items.mesh_problems({"vertices": corners, "faces": faces}))

    assert problems(30_000, 1.0) == []  # as many that are a metre large
    assert problems(2, 1e8) == []  # a few that are larger than any room
    ((what, fix),) = problems(30_000, 30.0)
    assert "the triangles are too large" in what and "the limit is 100000" in what
    assert fix == "give metres, and surfaces that do not overlap"


def test_missing_points_are_declared_and_missing(folder, truth_dir):
    for part in ("points", "colours"):
        corrupt_tensor(folder, f"{SCENE}/{part}", None)
    assert "points declared and missing" in only_fault(folder, truth_dir)
    assert faults(folder) == []


def test_a_mesh_is_left_out_where_the_grid_is_all_free(folder, truth_dir):
    for part in ("vertices", "faces"):
        corrupt_tensor(folder, f"{SCENE}/{part}", None)
    assert "mesh declared and missing" in only_fault(folder, truth_dir)
    grid = load_file(folder / "geometry.safetensors")[f"{SCENE}/occupancy"]
    corrupt_tensor(folder, f"{SCENE}/occupancy", np.zeros_like(grid))
    assert faults(folder, truth_dir) == []


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("objects.jsonl", lambda row: row["objects"][0].update(box=[0, 0, 0, 1, 1]), "[0].box"),
        ("objects.jsonl", lambda row: row["objects"][0]["box"].__setitem__(5, -1), "0 or more"),
        (
            "objects.jsonl",
            lambda row: row["objects"][0]["box"].__setitem__(2, float("nan")),
            "objects[0].box[2]: NaN is not of type 'number'; give metres",
        ),
        ("objects.jsonl", lambda row: row["objects"][0]["box"].__setitem__(0, 1e999), "Infinity"),
        ("objects.jsonl", lambda row: row["objects"][0].pop("class"), "'class' is a required"),
        ("objects.jsonl", lambda row: row["objects"][0].update(score="high"), "[0].score"),
        ("objects.jsonl", lambda row: row["objects"][0].update(colour="red"), "'colour' was"),
        ("objects.jsonl", lambda row: row["triplets"].append([0, "beside", 1]), "'beside' is not"),
        ("objects.jsonl", lambda row: row["triplets"].append([0, "on", 9]), "names no object"),
        ("objects.jsonl", lambda row: row["triplets"].append([0, "on", True]), "integer"),
        ("objects.jsonl", lambda row: row.update(objects="none"), "is not of type 'array'"),
        ("relations.jsonl", lambda row: row["pairs"].append([0, 1]), "is too short"),
        ("relations.jsonl", lambda row: row["pairs"].append([0, 1, {"side": "on"}]), "'on' is not"),
        ("relations.jsonl", lambda row: row["pairs"].append([0, 1, {"mood": "x"}]), "'mood' was"),
        (
            "relations.jsonl",
            lambda row: row["pairs"].append([0, 99, {}]),
            "[99] are not given objects",
        ),
        ("relations.jsonl", lambda row: row.update(scores=[[98, "on", 0, 1]]), "[98] are not"),
        ("relations.jsonl", lambda row: row.update(scores=[[0, "on", 1]]), "is too short"),
        ("objects.jsonl", lambda row: row["objects"][0].update(oriented=[0] * 6), "is too short"),
        ("grounding.jsonl", lambda row: row.update(pick="bed"), "pick: 'bed' is not of type"),
        ("grounding.jsonl", lambda row: row.update(pick=77), "pick 77 is not a given object"),
        ("grounding.jsonl", lambda row: row.update(boxes=[[1] * 6, [1] * 7]), "boxes[1]"),
        ("answers.jsonl", lambda row: row.update(answer=3), "3 is not of type 'string'; give a"),
        ("answers.jsonl", lambda row: row.update(answer="x" * 20_000), "is too long"),
    ],
)
def test_bad_rows(folder, truth_dir, name, change, expected):
    corrupt_row(folder, name, change)
    found = only_fault(folder, truth_dir)
    assert found.startswith(f"{name}: row 1, scene {SCENE}") and expected in found


@pytest.mark.parametrize("row", [[], 3, {}, {"scene": 3}, {"scene": "a/b"}, {"scene": "\ud800"}])
def test_rows_that_identify_no_item(folder, row):
    exchange_row(folder, "objects.jsonl", row)
    assert faults(folder) and all(f.startswith("objects.jsonl: row 1") for f in faults(folder))
    assert all(f.isprintable() and f.isascii() for f in faults(folder))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 10_000, "\x00", "nul", '{"a":1}{'])
def test_lines_that_are_not_json(folder, text):
    with (folder / "answers.jsonl").open("a") as out:
        out.write(text + "\n")
    sealed(folder)
    assert only_fault(folder).startswith("answers.jsonl: row 10: ")


def test_bytes_that_are_not_text(folder):
    with (folder / "answers.jsonl").open("ab") as out:
        out.write(b"\xff\xfe\n\n")
    sealed(folder)
    assert "row 10: not valid JSON" in only_fault(folder)


def test_a_long_line_is_not_parsed(folder, monkeypatch):
    monkeypatch.setattr(parsing, "LONGEST_ROW", 1000)
    with (folder / "answers.jsonl").open("a") as out:
        out.write(json.dumps({"scene": SCENE, "question": "x", "answer": "y" * 5000}) + "\n")
        out.write(json.dumps({"scene": SCENE, "question": "q00", "answer": "3"}) + "\n")
    sealed(folder)
    first, second = (fault for fault in faults(folder) if fault.startswith("answers"))
    assert first.startswith("answers.jsonl: row 10: longer than")
    assert second.startswith("answers.jsonl: row 11, scene toy-0000, question q00: is written twi")


def test_repeated_unknown_and_missing_items(folder, truth_dir):
    path = folder / "grounding.jsonl"
    first, second, *others = path.read_text().splitlines()
    unknown = json.dumps({"scene": "nowhere", "query": "r00", "boxes": [], "pick": None})
    path.write_text("\n".join([first, first, *others, unknown]) + "\n")
    sealed(folder)
    assert faults(folder, truth_dir) == [
        "grounding.jsonl: row 2, scene toy-0000, query r00: is written twice; write each item once",
        "grounding.jsonl: row 13, scene nowhere, query r00: not in the split; remove it",
        "grounding.jsonl: scene toy-0000, query r01: references declared and missing; "
        "write it or do not declare the task",
    ]


def test_unknown_tensors(folder, truth_dir):
    corrupt_tensor(folder, "elsewhere/points", np.ones((3, 3), np.float32))
    assert "scene elsewhere: not in the split" in only_fault(folder, truth_dir)
    corrupt_tensor(folder, "elsewhere/points", None)
    corrupt_tensor(folder, f"{SCENE}/normals", np.ones((3, 3), np.float32))
    assert "'toy-0000/normals': not a tensor of the format" in only_fault(folder, truth_dir)


def test_tables(tmp_path, truth_dir):
    names = [f"toy-000{i}" for i in range(3)]
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, ["retrieval"]) as out:
        texts = [f"{SCENE}/c00", f"{SCENE}/c00", "toy-0001/c00", "nowhere/c00"]
        scores = np.ones((4, 3))
        scores[2] = np.nan
        out.retrieval(texts, names, scores)
    assert faults(tmp_path / "s", truth_dir) == [
        "retrieval.json: texts: 'toy-0000/c00' twice; name each once",
        "retrieval.json: texts: 'toy-0000/c00' twice; name each once",
        "retrieval.json: texts: 'nowhere/c00' not in the split; remove it",
        "retrieval.json: texts: 'toy-0002/c00' missing; score it too",
        "retrieval.safetensors: text_to_scene, 'toy-0001/c00': no score is a number; "
        "give finite scores",
    ]
    (tmp_path / "s" / "retrieval.json").write_text('{"texts": 3}')
    sealed(tmp_path / "s")
    assert "texts: 3 is not of type 'array'" in only_fault(tmp_path / "s", truth_dir)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "version: 1 was expected; write 1, the version this reader knows"),
        ({"units": "millimetre"}, "give metres"),
        ({"pose_convention": "opengl"}, "opencv_camera_to_world"),
        ({"produces": ["points", "dreams"]}, "produces[1]: 'dreams' is not one of"),
        ({"produces": "points"}, "is not of type 'array'"),
        ({"seed": 10**30}, "is greater than the maximum"),
        ({"seed": True}, "is not of type 'integer'"),
        ({"method": "../../etc"}, "give 1 to 200 characters, no slash"),
        ({"method": "a\x1b[31m"}, "no control characters"),
        ({"mesh_kind": None}, "give mesh_kind"),
        ({"reasons": ["none"]}, "reasons"),
        ({"cost": {"parameters": -1}}, "cost.parameters"),
        ({"surprise": 1}, "'surprise' was unexpected"),
    ],
)
def test_bad_manifests(folder, changes, expected):
    manifest(folder, **changes)
    found = only_fault(folder)
    assert found.startswith("manifest.json: ") and expected in found and found.isprintable()


def test_every_fault_of_a_manifest_at_once(folder):
    (folder / "manifest.json").write_text('{"method": 3, "produces": ["mesh"]}')
    found = [fault for fault in faults(folder) if fault.startswith("manifest.json")]
    assert len(found) == 11  # nine keys are missing, mesh_kind too, and method is no string


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000, '{"method": NaN}'])
def test_files_without_a_manifest_object(folder, text):
    (folder / "manifest.json").write_text(text)
    assert faults(folder)[0].startswith("manifest.json: ")
    with pytest.raises(InputError, match="manifest.json"):
        Submission(folder)


def test_wrong_split(folder, truth_dir):
    manifest(folder, split="test")
    assert "split is 'test', not 'toy'" in only_fault(folder, truth_dir)
    assert len(validate(folder, split="toy").faults) == 1


def warnings(folder: Path, truth_dir: Path | None = None) -> list[str]:
    report = validate(folder, None if truth_dir is None else Truth(truth_dir))
    assert report.faults == []
    return [str(warning) for warning in report.warnings]


def test_likely_mistakes_are_warnings(folder, truth_dir):
    points = load_file(folder / "geometry.safetensors")[f"{SCENE}/points"]
    corrupt_tensor(folder, f"{SCENE}/points", points * 1000)
    for truth in (None, truth_dir):
        [found] = warnings(folder, truth)
        assert "more than any room; give metres; divide millimetres by 1000" in found
    corrupt_tensor(folder, f"{SCENE}/points", points / 1000)
    assert "m in a room of" in warnings(folder, truth_dir)[0]
    corrupt_tensor(folder, f"{SCENE}/points", points)
    corrupt_row(folder, "objects.jsonl", lambda row: row["objects"][0].update({"class": "bedd"}))
    assert "class 'bedd' (1) is in no room" in warnings(folder, truth_dir)[0]
    corrupt_row(folder, "answers.jsonl", lambda row: row.update(answer="several"))
    assert "1 of 3 numbers asked for are answered without one" in warnings(folder, truth_dir)[1]


def test_triplets_of_one_score_are_a_warning(folder):
    def tie(row):
        row["triplets"] = [[0, "near", 1, 0.5], [0, "larger", 1, 0.5]]

    corrupt_row(folder, "objects.jsonl", tie)
    [found] = warnings(folder)
    assert found.startswith("objects.jsonl: row 1") and "1 of 3 scenes have one score" in found
    assert "false triplets first" in found
    # Without scores, all are 1.
    corrupt_row(folder, "objects.jsonl", lambda row: [t.pop() for t in row["triplets"]])
    assert "one score" in warnings(folder)[0]
    corrupt_row(folder, "objects.jsonl", lambda row: row["triplets"][0].append(0.3))
    assert warnings(folder) == []


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_refused_in_every_width(folder, kind, value):
    points = load_file(folder / "geometry.safetensors")[f"{SCENE}/points"].astype(kind)
    corrupt_tensor(folder, f"{SCENE}/points", points)
    assert not [fault for fault in faults(folder) if "not finite" in fault]
    points[0, 1] = value
    corrupt_tensor(folder, f"{SCENE}/points", points)
    assert any("1 of" in fault and "not finite" in fault for fault in faults(folder))


def test_one_point_is_a_warning(tmp_path):
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, ["points"]) as out:
        out.points("a", np.ones((1, 3)), np.zeros((1, 3)))
    assert "points has a single row" in warnings(tmp_path / "s")[0]


def test_a_long_list_of_faults_is_cut(tmp_path):
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, []):
        pass
    (tmp_path / "s" / "answers.jsonl").write_text("{\n" * 5000)
    found = faults(tmp_path / "s")
    assert len(found) == 1001
    assert found[-1] == "answers.jsonl: 4001 faults more; fix those listed first"


def test_invalid_items_fail_alone_in_scoring(folder, truth_dir, tmp_path):
    """Items with faults are scored as failures, and every metric is still scored."""
    import pandas as pd

    corrupt_row(folder, "answers.jsonl", lambda row: row.update(answer=3))
    corrupt_row(folder, "objects.jsonl", lambda row: row["objects"][0]["box"].__setitem__(5, -1))
    corrupt_row(folder, "relations.jsonl", lambda row: row["pairs"].append([0, 1, {"side": "on"}]))
    corrupt_row(folder, "grounding.jsonl", lambda row: row.update(pick="bed"))
    corrupt_tensor(folder, f"{SCENE}/faces", np.zeros((0, 3), np.int32))
    corrupt_tensor(folder, f"{SCENE}/points", np.zeros((0, 3), np.float32))
    (folder / "retrieval.json").write_text("{")
    assert len({fault.split(":")[0] for fault in faults(folder, truth_dir)}) == 6
    score_submission(folder, truth_dir, tmp_path / "out.parquet")
    rows = pd.read_parquet(tmp_path / "out.parquet")
    failed = rows[~rows.succeeded]
    assert set(failed[failed.metric == "accuracy_m"].scene) == {SCENE}
    assert set(failed[failed.metric == "mesh_iou"].scene) == {SCENE}
    assert set(failed[failed.metric == "ref_pick"]["query"]) == {"r00"}
    assert set(failed[failed.metric == "text_to_scene_mrr"].scene) == set(rows.scene) - {""}
    whole = rows[(rows.metric == "accuracy_m") & rows.succeeded]
    assert len(whole) == 2 and whole.value.max() < 1e-6
