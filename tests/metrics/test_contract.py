"""What must hold of every registered metric; a new metric is covered without an edit here.

Four submissions are scored: the truth itself, a perturbed truth, random answers, and one that
declares every task and answers none. There are two splits: a few rooms with geometry, and a gallery
of rooms that is large enough for every rank of retrieval.
"""

from __future__ import annotations

import doctest
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.controls import ceilings, chance_values, split_means
from metrics.files import rng
from metrics.geometry import to_camera
from metrics.metric import Metric
from metrics.prepare import measured_floors, open_truth
from metrics.registry import METRICS
from metrics.scene_graph.predicates import LABELS
from metrics.score import score_submission
from metrics.submission.writer import SubmissionWriter
from metrics.truth import SceneTruth, Truth
from tests.metrics import toy_truth

GEOMETRY = ("points", "mesh", "occupancy")
CHANCE_RUNS = 3
Means = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def room_split(tmp_path_factory: pytest.TempPathFactory, truth_dir: Path) -> Path:
    """A few rooms that are scored on every task."""
    return Path(shutil.copytree(truth_dir, tmp_path_factory.mktemp("rooms") / "truth"))


@pytest.fixture(scope="module")
def gallery_split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms without useful geometry; R@10 is reported from 100 of them on."""
    folder = tmp_path_factory.mktemp("gallery") / "truth"
    return toy_truth.write_truth(folder, 100, samples=100, points=10)


@pytest.fixture(scope="module")
def splits(room_split: Path, gallery_split: Path) -> list[Path]:
    """Both splits: a metric is tested on the first that has it."""
    return [room_split, gallery_split]


@pytest.fixture(scope="module")
def truth(room_split: Path) -> Truth:
    return open_truth(room_split)


def score(
    splits: list[Path],
    name: str,
    write: Callable[[SubmissionWriter, Truth, bool], None],
    geometry: bool = True,
) -> list[Path]:
    """Write a submission for each split and return the score tables.

    Args:
        write: writes the answers; its last argument says whether geometry is declared.
        geometry: the first split is answered with geometry.
    """
    tables = []
    for number, split in enumerate(splits):
        folder, has_geometry = split.parent / name, geometry and number == 0
        tasks = [task for task in toy_truth.TASKS if has_geometry or task not in GEOMETRY]
        kind = "solids" if has_geometry else None
        with SubmissionWriter(folder, name, 0, "toy", True, tasks, mesh_kind=kind) as writer:
            write(writer, Truth(split), has_geometry)
        score_submission(folder, split, folder.with_suffix(".parquet"))
        tables.append(folder.with_suffix(".parquet"))
    return tables


@pytest.fixture(scope="module")
def perfect(splits: list[Path]) -> list[Path]:
    """Score tables of the truth itself, with the pixels that see its points."""

    def write(writer: SubmissionWriter, truth: Truth, geometry: bool) -> None:
        for scene in truth.scenes:
            if geometry:
                true = truth.geometry(scene)
                toy_truth.oracle_solids(writer, scene)
                writer.points(scene, true.surface, true.surface_colour, pixels=pixels_of(true))
            toy_truth.oracle_language(writer, truth.annotation(scene))
        toy_truth.oracle_tables(writer, truth)

    return score(splits, "perfect", write)


def pixels_of(true: SceneTruth) -> np.ndarray:
    """Return i16 [S, 3] (view, row, column) of an input view that sees each sample, else -1."""
    pixels = np.full((len(true.surface), 3), -1, np.int16)
    for view in range(len(true.input_depth)):
        depth, intrinsics = true.input_depth[view], true.input_intrinsics[view]
        z = to_camera(true.surface, true.input_pose[view])[:, 2]
        seen = toy_truth.seen_by(
            true.surface, depth[None], intrinsics, true.input_pose[view : view + 1]
        )
        image = to_camera(true.surface, true.input_pose[view]) @ intrinsics.T
        column, row = np.floor(image[:, :2] / np.where(seen, z, 1)[:, None]).astype(int).T
        pixels[seen] = np.stack([np.full(len(row), view), row, column], axis=1)[seen]
    return pixels


@pytest.fixture(scope="module")
def perturbed(splits: list[Path]) -> list[Path]:
    """Score tables of the truth after noise: every kind of answer is off somewhere."""

    def write(writer: SubmissionWriter, truth: Truth, geometry: bool) -> None:
        random = np.random.default_rng(0)
        for scene in truth.scenes:
            if geometry:
                perturbed_geometry(writer, truth, scene, random)
            toy_truth.oracle_language(PerturbedWriter(writer, random), truth.annotation(scene))
        toy_truth.oracle_tables(PerturbedWriter(writer, random), truth)

    return score(splits, "perturbed", write)


def perturbed_geometry(
    writer: SubmissionWriter, truth: Truth, scene: str, random: np.random.Generator
) -> None:
    true = truth.geometry(scene)
    noise = random.normal(0, 0.04, true.surface.shape)
    colours = random.integers(0, 256, true.surface.shape).astype(np.uint8)
    writer.points(scene, true.surface + noise, colours, pixels=pixels_of(true))
    writer.mesh(scene, *toy_truth.box_mesh([2.4, 0.5, 0.4, 1.5, 1.2, 0.9]))
    writer.occupancy(scene, random.random((90, 64, 52)) < 0.1, [-0.5, -1.6, 0], 0.05)


class PerturbedWriter:
    """Pass true answers on to a writer with noise."""

    def __init__(self, writer: SubmissionWriter, random: np.random.Generator) -> None:
        self.writer, self.random = writer, random

    def objects(self, scene: str, objects: list[dict], triplets: list[list]) -> None:
        shift = np.concatenate([self.random.normal(0, 0.1, 3), np.zeros(4)])
        moved = [
            item
            | {
                "box": (np.array(item["box"]) + shift[:6]).tolist(),
                "oriented": (np.array(item["oriented"]) + shift).tolist(),
                "score": float(self.random.random()),
            }
            for item in objects[1:]
        ]
        extra = objects[0] | {"box": [0, 0, 0, 1, 1, 1], "oriented": [0, 0, 0, 1, 1, 1, 0.5]}
        self.writer.objects(scene, [extra, *moved], [[0, "near", 1, 0.9], *triplets[1:]])

    def relations(self, scene: str, pairs: list[list], scores: list[list]) -> None:
        wrong = [[i, j, labels | {"side": "right"}] for i, j, labels in pairs]
        self.writer.relations(scene, wrong, [[0, "near", 3, 2.0], *scores[1:]])

    def grounding(self, scene: str, query: str, boxes: list, pick: int | None) -> None:
        moved = [(np.array(box) + [0.3, 0, 0, 0, 0, 0]).tolist() for box in boxes]
        self.writer.grounding(scene, query, moved, 0 if pick is None else 3 - pick)

    def answer(self, scene: str, question: str, answer: str) -> None:
        self.writer.answer(scene, question, "" if self.random.random() < 0.5 else answer)

    def retrieval(self, texts: list, scenes: list, scores: np.ndarray) -> None:
        self.writer.retrieval(texts, scenes, scores + self.random.normal(0, 1, scores.shape))

    def probed_retrieval(self, texts: list, scenes: list, scores: np.ndarray) -> None:
        noise = self.random.normal(0, 1, scores.shape)
        self.writer.probed_retrieval(texts, scenes, scores + noise)

    def grounding_retrieval(self, phrases: list, objects: list, scores: np.ndarray) -> None:
        noise = self.random.normal(0, 1, scores.shape)
        self.writer.grounding_retrieval(phrases, objects, scores + noise)


@pytest.fixture(scope="module")
def empty(splits: list[Path]) -> list[Path]:
    """Score tables of a submission without a single answer."""
    return score(splits, "empty", lambda writer, truth, geometry: None)


@pytest.fixture(scope="module")
def chance_runs(gallery_split: Path) -> list[Means]:
    """Means of submissions that choose uniformly, one a seed."""
    return [split_means(chance_table(gallery_split, seed)) for seed in range(CHANCE_RUNS)]


def chance_table(split: Path, seed: int) -> Path:
    """Score uniform choices on the split of many rooms."""

    def write(writer: SubmissionWriter, truth: Truth, geometry: bool) -> None:
        random = rng(seed, "contract chance")
        for line in truth.annotations:
            scene, given = line["scene"], line["given"]
            pairs = [
                [i, j, {family: str(random.choice(labels)) for family, labels in LABELS.items()}]
                for i in given
                for j in given
                if i != j
            ]
            writer.relations(scene, pairs)
            box_of = {item["index"]: item["box"] for item in line["objects"]}
            for reference in line["references"]:
                pick = int(random.choice(given))
                writer.grounding(scene, reference["id"], [box_of[pick]], pick)
            for question in line["questions"]:
                if question["choices"]:
                    choice = str(random.choice(question["choices"]))
                    writer.answer(scene, question["id"], choice)
        texts = [f"{scene}/c00" for scene in truth.scenes]
        objects = [f"{line['scene']}:{i}" for line in truth.annotations for i in line["given"]]
        phrases = [f"{scene}/p00" for scene in truth.scenes]
        for table in (writer.retrieval, writer.probed_retrieval):
            table(texts, truth.scenes, random.random((len(texts), len(truth.scenes))))
        scores = random.random((len(phrases), len(objects)))
        writer.grounding_retrieval(phrases, objects, scores)

    return score([split], f"chance-{seed}", write, geometry=False)[0]


@cache
def frame_of(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


@cache
def means_of(path: Path) -> Means:
    return split_means(path)


def rows_of(metric: Metric, tables: list[Path]) -> pd.DataFrame:
    """Return the rows of a metric in the first table that has any, without pseudo-values.

    Pseudo-values of the jackknife leave the range of values by design.
    """
    for path in tables:
        frame = frame_of(path)
        rows = frame[(frame.metric == metric.name) & (frame.kind != "pseudo")]
        if len(rows):
            return rows
    return rows


def mean_of(metric: Metric, tables: list[Path]) -> float:
    """Return the mean of a metric on the first split that has it."""
    means = [means_of(path) for path in tables]
    return next(found[metric.name, "all"] for found in means if (metric.name, "all") in found)


def each(keep: Callable[[Metric], bool] = lambda metric: True) -> pytest.MarkDecorator:
    """Run a test once for each metric that `keep` accepts."""
    metrics = [metric for metric in METRICS.values() if keep(metric)]
    return pytest.mark.parametrize("metric", metrics, ids=[metric.name for metric in metrics])


@pytest.fixture(scope="module")
def all_ceilings(truth: Truth) -> dict[str, float]:
    return ceilings(truth)


@each()
def test_the_truth_reaches_the_ceiling(
    metric: Metric, all_ceilings: dict[str, float], perfect: list[Path]
):
    value = mean_of(metric, perfect)
    if metric.perfect_bound is None:
        assert value == pytest.approx(all_ceilings[metric.name], abs=1e-6)
    elif metric.higher_is_better:
        assert value >= metric.perfect_bound
    else:
        assert value <= metric.perfect_bound


@each()
def test_a_perturbed_answer_is_not_better_than_the_truth(
    metric: Metric, perfect: list[Path], perturbed: list[Path]
):
    best, worse = mean_of(metric, perfect), mean_of(metric, perturbed)
    assert worse <= best if metric.higher_is_better else worse >= best


@each()
def test_values_lie_in_the_range(
    metric: Metric, truth: Truth, perfect: list[Path], perturbed: list[Path], empty: list[Path]
):
    high = metric.worst_in(largest_size(metric, truth)) if metric.high is None else metric.high
    for tables in (perfect, perturbed, empty):
        values = rows_of(metric, tables).value
        assert values.between(metric.low, high * (1 + 1e-6)).all()
        assert len(values) or (tables is empty and metric.reason)


def largest_size(metric: Metric, truth: Truth) -> float:
    """Return what bounds a value without an upper end: a diagonal, or the size of a gallery."""
    if metric.unit != "rank":
        return max(truth.geometry(scene).clip for scene in truth.scenes)
    objects = sum(len(line["given"]) for line in truth.annotations)
    return objects if metric.task == "grounding_retrieval" else len(truth.scenes)


@each(lambda metric: not metric.reason)
def test_a_missing_answer_has_the_worst_value(metric: Metric, truth: Truth, empty: list[Path]):
    rows = rows_of(metric, empty)
    worst = metric.worst_in(largest_size(metric, truth))
    assert rows.value.to_numpy() == pytest.approx(np.full(len(rows), worst), rel=1e-6)
    assert len(rows) and (metric.pooled or not rows.succeeded.any())


@each(lambda metric: metric.chance is not None)
def test_random_answers_score_what_the_closed_form_says(
    metric: Metric, gallery_split: Path, chance_runs: list[Means]
):
    expected = {
        key: value
        for key, value in chance_values(Truth(gallery_split).annotations).items()
        if key[0] == metric.name
    }
    assert expected
    for key, value in expected.items():
        assert metric.low <= value.mean <= metric.best
        runs = [means[key] for means in chance_runs]
        assert value.z_score(float(np.mean(runs)), len(runs)) < 4, key


@each(lambda metric: bool(metric.floor_of))
def test_a_measured_floor_lies_in_the_range(metric: Metric, truth: Truth):
    floor = measured_floors(truth)[metric.floor_of]
    ends = metric.best, metric.worst_in(largest_size(metric, truth))
    assert min(ends) <= floor <= max(ends)


@each()
def test_facts_are_complete_and_the_worst_end_is_the_worst(metric: Metric):
    assert metric.description and metric.source and metric.task in toy_truth.TASKS
    worst = metric.worst_in(7.0)
    assert worst < metric.best if metric.higher_is_better else worst > metric.best


@each()
def test_the_module_of_a_metric_has_a_passing_example(metric: Metric):
    module = sys.modules[metric.compute.__module__]
    examples = doctest.DocTestFinder(exclude_empty=True).find(module)
    assert sum(len(test.examples) for test in examples) > 0
    assert doctest.testmod(module).failed == 0
