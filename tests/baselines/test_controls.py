"""Scores of the controls, and answers of the question baselines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baselines.__main__ import run_baseline
from baselines.answers import all_whole, write_number
from baselines.chance.method import random_predicates
from baselines.majority.method import Majority
from baselines.oracle.method import _relevance, visible_pixels, voxel_mesh
from baselines.text_only.method import NumberModel, WordModel
from metrics.files import read_lines
from metrics.scene_graph.predicates import FAMILIES
from metrics.score import score_submission
from tests.baselines.toy import ROOM, SOLID_VOXEL, frame_of, render, truth_of


@pytest.fixture(scope="module")
def room() -> dict[str, np.ndarray]:
    return render(3, 48, 36)


@pytest.fixture(scope="module")
def solids(room: dict[str, np.ndarray]) -> np.ndarray:
    shape = room["solids_shape"]
    return np.unpackbits(room["solids"])[: shape.prod()].reshape(shape).astype(bool)


def test_voxel_mesh_contains_exactly_the_solids(solids: np.ndarray) -> None:
    import igl

    vertices, faces = voxel_mesh(solids, SOLID_VOXEL)
    points = np.random.default_rng(0).uniform(0, ROOM, (3000, 3))
    winding = igl.fast_winding_number(vertices.astype(float), faces.astype(np.int64), points)
    cells = tuple((points / SOLID_VOXEL).astype(int).T)
    np.testing.assert_array_equal(winding > 0.5, solids[cells])


def test_toy_frame_is_levelled_on_the_floor_below_the_first_camera() -> None:
    pose = np.eye(4)
    pose[:3, 2], pose[:3, 3] = [0.6, 0.8, 0.0], [1.0, 2.0, 1.5]
    moved = frame_of(pose) @ [1.0 + 0.6, 2.0 + 0.8, 0.0, 1.0]
    np.testing.assert_allclose(moved[:3], [1, 0, 0], atol=1e-9)


def test_oracle_pixels_are_those_at_which_points_are_visible(room: dict[str, np.ndarray]) -> None:
    truth = truth_of(room, 3, 3000)
    cameras = truth["input_depth"], truth["input_intrinsics"], truth["input_pose"]
    pixels = visible_pixels(truth["surface"], *cameras)
    seen = pixels[:, 0] >= 0
    assert 0.3 < seen.mean() < 1
    view, row, column = pixels[seen].T
    local = np.einsum(
        "nij,ni->nj",
        truth["input_pose"][view, :3, :3],
        truth["surface"][seen] - truth["input_pose"][view, :3, 3],
    )
    assert np.abs(local[:, 2] - truth["input_depth"][view, row, column]).max() < 0.05


def test_oracle_scores_rank_relevant_items_first_without_ties() -> None:
    scores = _relevance(["a/c0", "b/c0"], ["a", "b", "c"], {"a": {"c0": ["a", "c"]}, "b": {}})
    assert set(np.argsort(-scores[0])[:2]) == {0, 2}
    assert all(len(set(row)) == 3 for row in scores)
    assert all(len(set(column)) == 2 for column in scores.T)


def test_chance_samples_every_predicate_of_every_family() -> None:
    generator = np.random.default_rng(0)
    sampled = [random_predicates(generator) for _ in range(2000)]
    for family, predicates in FAMILIES.items():
        shares = Counter(row[family] for row in sampled)
        options = set(predicates) if family == "side" else {*predicates, "none"}
        assert set(shares) == options
        for count in shares.values():
            assert count / 2000 == pytest.approx(1 / len(options), abs=0.05)


def test_chance_picks_are_uniform(experiment: Path, tmp_path: Path) -> None:
    picks: Counter[int] = Counter()
    for seed in range(40):
        run_baseline("chance", experiment, ["val"], seed, tmp_path / str(seed))
        for row in read_lines(tmp_path / str(seed) / "val" / "grounding.jsonl"):
            picks[row["pick"]] += 1
    assert sum(picks.values()) == 40 * 8
    assert set(picks) == {0, 1, 2, 3}
    # 320 draws: each object 80 ± 7.7.
    assert all(abs(count - 80) < 4 * 7.75 for count in picks.values())


def test_oracle_reaches_the_ceiling_of_every_exact_metric(experiment: Path, tmp_path: Path) -> None:
    run_baseline("oracle", experiment, ["val"], 0, tmp_path)
    score_submission(tmp_path / "val", experiment / "truth" / "val", tmp_path / "val.parquet")
    table = pd.read_parquet(tmp_path / "val.parquet")
    # Normals and depth are computed from points, so both have an error of their own.
    # The toy's relations are random, so the relation rules do not agree with them.
    sampled = table.metric.str.contains("normal|novel|sim3|_rules")
    exact = table[~sampled & (table.kind != "pseudo")]
    assert set(exact.metric) >= {"mesh_iou", "occupancy_iou", "spq@0.5", "sg_accuracy"}
    lower = exact.metric.str.contains("_m$|_m2$|colour_mae|unparsed")
    np.testing.assert_allclose(exact.value, np.where(lower, 0.0, 1.0), atol=1e-6)


def question(answer: str, kind: str = "word", choices: tuple[str, ...] = ()) -> dict:
    return {"answer": answer, "answer_kind": kind, "choices": list(choices)}


def test_majority_answers_with_the_most_frequent_answer_or_the_median() -> None:
    model = Majority(
        {
            "existence": [question("no"), question("yes"), question("yes")],
            "count": [question(text, "number") for text in ("1", "2", "9")],
            "size": [question(text, "number") for text in ("1.5", "2")],
            "direction": [question(text, "choice", ("left", "right")) for text in ("left", "up")],
        }
    )
    assert model.answer("existence", "word", []) == "yes"
    assert model.answer("count", "number", []) == "2"
    assert model.answer("size", "number", []) == "1.75"
    assert model.answer("direction", "choice", ["right", "left"]) == "left"
    assert model.answer("direction", "choice", ["never", "seen"]) == "never"


def test_word_model_learns_and_answers_one_of_the_choices() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 16))
    labels = generator.integers(0, 3, 120)
    features = centres[labels] + 0.1 * generator.normal(size=(120, 16))
    names = ["left", "right", "front"]
    model = WordModel(features, [names[label] for label in labels])
    assert model.answer(centres, [[]] * 3) == names
    assert model.answer(centres[:1], [["right", "front"]])[0] in ("right", "front")
    assert model.answer(centres[:1], [["red", "blue"]]) == ["red"]


def test_word_model_with_one_label_repeats_it() -> None:
    model = WordModel(np.ones((3, 4)), ["yes"] * 3)
    assert model.answer(np.ones((2, 4)), [[], []]) == ["yes", "yes"]


def test_number_model_is_linear_in_the_log() -> None:
    features = np.random.default_rng(0).normal(size=(200, 4))
    values = np.exp(1.0 + features @ [0.5, -0.2, 0.1, 0.0])
    model = NumberModel(features, [f"{value:.6g}" for value in values])
    predicted = [float(text) for text in model.answer(features[:5], [[]] * 5)]
    np.testing.assert_allclose(predicted, values[:5], rtol=0.02)


def test_numbers_are_integers_where_their_type_has_integers() -> None:
    assert all_whole(["3", "4"]) and not all_whole(["3", "4.5"])
    assert write_number(-0.4, True) == "0"
    assert write_number(1.23456, False) == "1.235"
