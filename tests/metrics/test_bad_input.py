"""Bad input in scoring: the item it touches fails, everything else is scored as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError
from metrics.registry import METRICS
from metrics.score import score_submission
from metrics.submission.writer import SubmissionWriter
from metrics.truth import Truth
from tests.metrics import toy_truth

FIRST, BAD, LAST = "toy-0000", "toy-0001", "toy-0002"
NOTHING = np.zeros((0, 3))
Fill = Callable[[SubmissionWriter, Truth, str], None]


def rows_of(
    folder: Path, truth_dir: Path, tasks: tuple[str, ...], fill: Fill, corrupt: Fill, **more: str
) -> pd.DataFrame:
    """Score a submission that is valid in two scenes and corrupted in the middle one."""
    truth = Truth(truth_dir)
    with SubmissionWriter(folder / "s", "m", 0, "toy", False, tasks, **more) as writer:
        for scene in truth.scenes:
            (corrupt if scene == BAD else fill)(writer, truth, scene)
    return scored(folder, truth_dir)


def scored(folder: Path, truth_dir: Path) -> pd.DataFrame:
    score_submission(folder / "s", truth_dir, folder / "out.parquet")
    frame = pd.read_parquet(folder / "out.parquet")
    assert np.isfinite(frame.value).all()
    assert set(frame.metric) <= set(METRICS)
    return frame


def failed_scenes(frame: pd.DataFrame) -> set[str]:
    return set(frame[~frame.succeeded].scene)


def good_points(writer: SubmissionWriter, truth: Truth, scene: str) -> None:
    points = truth.geometry(scene).surface[:3000]
    writer.points(scene, points, np.zeros(points.shape))


def points_of(change: Callable[[np.ndarray], np.ndarray]) -> Fill:
    def corrupt(writer: SubmissionWriter, truth: Truth, scene: str) -> None:
        points = change(truth.geometry(scene).surface[:3000].astype(np.float32))
        writer.points(scene, points, np.zeros(points.shape))

    return corrupt


def one_number(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(points: np.ndarray) -> np.ndarray:
        points[7, 1] = value
        return points

    return change


@pytest.mark.parametrize(
    "change",
    [lambda points: points[:0], one_number(np.nan), one_number(np.inf), one_number(-np.inf)],
    ids=["none", "nan", "infinite", "minus infinite"],
)
def test_unusable_clouds_fail_their_scene(tmp_path, truth_dir, change):
    frame = rows_of(tmp_path, truth_dir, ("points",), good_points, points_of(change))
    assert failed_scenes(frame) == {BAD}
    clip = Truth(truth_dir).geometry(BAD).clip
    for row in frame[frame.scene == BAD].itertuples():
        assert row.value == pytest.approx(METRICS[row.metric].worst_in(clip))


@pytest.mark.parametrize(
    "change",
    [
        lambda points: points[:1],
        lambda points: points[:2],
        lambda points: 1000 * points,
        lambda points: points + np.float32(3e7),
        lambda points: np.repeat(points[:3], 500, axis=0),
    ],
    ids=["one point", "two points", "millimetres", "far away", "duplicates"],
)
def test_odd_clouds_are_scored(tmp_path, truth_dir, change):
    frame = rows_of(tmp_path, truth_dir, ("points",), good_points, points_of(change))
    values = frame[frame.scene == BAD].set_index("metric").value
    others = frame[frame.scene == LAST].set_index("metric").value
    clip = Truth(truth_dir).geometry(BAD).clip
    assert others["chamfer_l1_m"] < 0.1 * values["chamfer_l1_m"] <= 0.1 * clip
    assert values["fscore@5cm"] < 0.1 < 0.5 < others["fscore@5cm"]


def box_mesh(writer: SubmissionWriter, truth: Truth, scene: str) -> None:
    writer.mesh(scene, *toy_truth.box_mesh(toy_truth.BOXES[0][1]))


@pytest.mark.parametrize(
    "mesh",
    [
        (np.eye(3), NOTHING),
        (NOTHING, NOTHING),
        (np.eye(3), [[0, 1, 3]]),
        (np.eye(3), [[0, 1, -1]]),
        (np.full((3, 3), np.nan), [[0, 1, 2]]),
        (np.zeros((3, 3)), [[0, 1, 2]]),
    ],
    ids=["no faces", "nothing", "beyond the last", "below the first", "nan", "no area"],
)
def test_unusable_meshes_fail_their_scene(tmp_path, truth_dir, mesh):
    frame = rows_of(
        tmp_path,
        truth_dir,
        ("mesh",),
        box_mesh,
        lambda writer, _, scene: writer.mesh(scene, *mesh),
        mesh_kind="solids",
    )
    assert not frame[(frame.scene == BAD) & (frame.metric == "accuracy_m")].succeeded.any()
    assert failed_scenes(frame[frame.metric.isin(["accuracy_m", "mesh_iou"])]) <= {BAD}
    assert frame[(frame.scene == BAD) & (frame.metric == "mesh_iou")].value.item() == 0


def valid_lines(truth_dir: Path, folder: Path, tasks: tuple[str, ...]) -> Path:
    """Write the truth's language as a submission and return its folder."""
    truth = Truth(truth_dir)
    with SubmissionWriter(folder / "s", "m", 0, "toy", False, tasks) as writer:
        for scene in truth.scenes:
            toy_truth.oracle_language(writer, truth.annotation(scene))
        texts = [f"{scene}/c00" for scene in truth.scenes]
        writer.retrieval(texts, truth.scenes, np.eye(3))
    return folder / "s"


def change_rows(path: Path, change: Callable[[list[dict]], list]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def in_bad(**new: object) -> Callable[[list[dict]], list]:
    return lambda rows: [row | new if row["scene"] == BAD else row for row in rows]


BED = {"box": [0, 0, 0, 1, 1, 1], "class": "bed", "score": 1.0}


@pytest.mark.parametrize(
    "new",
    [
        {"objects": [BED | {"box": [0, 0, 0, 1, -1, 1]}]},
        {"objects": [BED | {"box": [0, 0, 0, 1, 1]}]},
        {"objects": [BED | {"box": "big"}]},
        {"objects": [BED | {"score": None}]},
        {"objects": {"0": BED}},
        {"objects": [BED, BED], "triplets": [[0, "beside", 1, 1.0]]},
        {"objects": [BED, BED], "triplets": [[0, "near", 2, 1.0]]},
        {"objects": [BED, BED], "triplets": [[0, "near", 1, "sure"]]},
        {"objects": [BED, BED], "triplets": [[0, ["near"], 1, 1.0]]},
    ],
    ids=["negative size", "five numbers", "word", "no score", "mapping"]
    + ["unknown predicate", "no such object", "score of words", "list"],
)
def test_unusable_objects_fail_their_scene(tmp_path, truth_dir, new):
    folder = valid_lines(truth_dir, tmp_path, ("objects", "graph"))
    change_rows(folder / "objects.jsonl", in_bad(**new))
    frame = scored(tmp_path, truth_dir)
    assert failed_scenes(frame) == {BAD}
    pooled = frame[frame.kind == "pooled"].set_index("metric").value
    assert pooled["box_pq@0.5"] == pytest.approx(2 * 2 / (2 * 2 + 1))


def test_unknown_classes_are_false_positives(tmp_path, truth_dir):
    folder = valid_lines(truth_dir, tmp_path, ("objects", "graph"))
    odd = [BED | {"class": "unicorn"}, BED | {"box": [0, 0, 0, 1e3, 1e3, 1e3]}]
    change_rows(folder / "objects.jsonl", in_bad(objects=odd, triplets=[[0, "near", 1, 1.0]]))
    frame = scored(tmp_path, truth_dir)
    assert frame.succeeded.all()
    pooled = frame[frame.kind == "pooled"].set_index("metric").value
    assert 0.5 < pooled["box_pq@0.5"] < 1 and 0 < pooled["spq@0.5"] < 1


@pytest.mark.parametrize(
    "pairs",
    [
        [[0, 1, {"distance": "beside"}]],
        [[0, 1, {"colour": "near"}]],
        [["a", 1, {"distance": "near"}]],
        [[0, 1]],
        "all",
    ],
    ids=["unknown predicate", "unknown family", "word", "no predicates", "no list"],
)
def test_unusable_relations_fail_their_scene(tmp_path, truth_dir, pairs):
    folder = valid_lines(truth_dir, tmp_path, ("given_relations",))
    change_rows(folder / "relations.jsonl", in_bad(pairs=pairs))
    frame = scored(tmp_path, truth_dir)
    assert failed_scenes(frame) == {BAD}
    assert 0 < frame[frame.kind == "pooled"].set_index("metric").value["sg_accuracy"] < 1


def in_query(name: str, key: str, **new: object) -> Callable[[list[dict]], list]:
    def change(rows: list[dict]) -> list:
        return [row | new if row["scene"] == BAD and row[key] == name else row for row in rows]

    return change


@pytest.mark.parametrize(
    "new",
    [{"boxes": [[0, 0, 0, 1, 1, -1]]}, {"boxes": "here"}, {"pick": "first"}, {"pick": 1.5}],
    ids=["negative size", "word", "pick of words", "half a pick"],
)
def test_unusable_groundings_fail_alone(tmp_path, truth_dir, new):
    folder = valid_lines(truth_dir, tmp_path, ("grounding", "picks"))
    change_rows(folder / "grounding.jsonl", in_query("r00", "query", **new))
    frame = scored(tmp_path, truth_dir)
    wrong = frame[~frame.succeeded]
    assert set(zip(wrong.scene, wrong["query"], strict=True)) == {(BAD, "r00")}
    assert (wrong.value == 0).all() and (frame[frame.succeeded].value == 1).all()


@pytest.mark.parametrize("answer", [7, None, ["3"], {"a": 1}, ""], ids=repr)
def test_answers_of_the_wrong_type_count_as_wrong_and_unparsed(tmp_path, truth_dir, answer):
    folder = valid_lines(truth_dir, tmp_path, ("answers",))
    change_rows(folder / "answers.jsonl", in_query("q01", "question", answer=answer))
    frame = scored(tmp_path, truth_dir)
    touched = frame[(frame.scene == BAD) & (frame["query"] == "q01")]
    assert (touched[touched.metric != "answer_unparsed"].value == 0).all()
    others = frame[(frame.scene != BAD) & (frame.metric != "answer_unparsed")]
    assert (others.value == 1).all()


@pytest.mark.parametrize("name", ["objects", "relations", "grounding", "answers"])
def test_items_written_twice_fail_alone(tmp_path, truth_dir, name):
    tasks = ("objects", "graph", "given_relations", "grounding", "picks", "answers")
    folder = valid_lines(truth_dir, tmp_path, tasks)

    def twice(rows: list[dict]) -> list:
        return rows + [row for row in rows if row["scene"] == BAD]

    change_rows(folder / f"{name}.jsonl", twice)
    assert failed_scenes(scored(tmp_path, truth_dir)) == {BAD}


@pytest.mark.parametrize("name", ["objects", "relations", "grounding", "answers"])
def test_items_outside_the_split_are_ignored(tmp_path, truth_dir, name):
    tasks = ("objects", "graph", "given_relations", "grounding", "picks", "answers")
    folder = valid_lines(truth_dir, tmp_path, tasks)

    def more(rows: list[dict]) -> list:
        key = {"grounding": "query", "answers": "question"}.get(name)
        strange = rows[0] | {"scene": "elsewhere-0001"}
        return [*rows, strange, *([rows[0] | {key: "r99"}] if key else [])]

    change_rows(folder / f"{name}.jsonl", more)
    assert scored(tmp_path, truth_dir).succeeded.all()


def test_nan_scores_rank_last(tmp_path, truth_dir):
    folder = valid_lines(truth_dir, tmp_path, ("retrieval",))
    truth = Truth(truth_dir)
    table = np.eye(3)
    table[1] = np.nan
    table[2, 2] = np.nan
    with SubmissionWriter(folder, "m", 0, "toy", False, ("retrieval",)) as writer:
        writer.retrieval([f"{scene}/c00" for scene in truth.scenes], truth.scenes, table)
    frame = scored(tmp_path, truth_dir)
    mrr = frame[frame.metric == "text_to_scene_mrr"].set_index("scene")
    assert mrr.value.tolist() == pytest.approx([1, 0, 1 / 3])
    assert mrr.succeeded.tolist() == [True, False, True]


@pytest.mark.parametrize("text", ["{", "[]", '{"texts": [], "scenes": []}', '{"texts": 3}'])
def test_a_table_of_the_wrong_shape_fails_whole(tmp_path, truth_dir, text):
    folder = valid_lines(truth_dir, tmp_path, ("retrieval", "answers"))
    (folder / "retrieval.json").write_text(text)
    frame = scored(tmp_path, truth_dir)
    retrieval = frame.metric.str.contains("scene_")
    assert not frame[retrieval & (frame.scene != "")].succeeded.any()
    assert frame[~retrieval].succeeded.all()


def test_a_broken_geometry_file_fails_geometry_alone(tmp_path, truth_dir):
    folder = valid_lines(truth_dir, tmp_path, ("points", "answers"))
    (folder / "geometry.safetensors").write_bytes(b"\xff" * 100)
    frame = scored(tmp_path, truth_dir)
    geometry = frame.metric.map(lambda name: METRICS[name].task == "points")
    assert not frame[geometry].succeeded.any() and frame[~geometry].succeeded.all()


def test_another_split_is_refused_whole(tmp_path, truth_dir):
    with SubmissionWriter(tmp_path / "s", "m", 0, "other", False, ()):
        pass
    with pytest.raises(InputError, match="same split"):
        score_submission(tmp_path / "s", truth_dir, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
