"""Requirements of metrics of boxes and triplets: seconds for a large split, and growth with it.

A scene is a random room of 5 x 4 m: most predicted boxes are near a true one and of its class, and
triplets are between random boxes.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Requirement, at_most
from metrics.files import rng
from metrics.scene_graph import detection, oriented, triplet_recall
from metrics.scene_graph.predicates import FAMILY_OF
from metrics.scene_graph.spq import Answer, GraphComparison

PREDICTED, TRUE, TRIPLETS, CLASSES = 100, 20, 100, 25  # a scene
SIZES = (100_000, 1_000_000)  # predicted boxes
MOST_SECONDS, STEEPEST = 10.0, 1.05


def of_split() -> list[Requirement]:
    """Measure core seconds of metrics of splits with `SIZES` predicted boxes."""
    work: dict[str, Callable[[GraphComparison], Any]] = {
        "oriented IoU": lambda split: split.once(oriented.oriented_overlaps),
        "AP of oriented boxes": lambda split: oriented.oriented_map_at(split, 0.5),
        "AP of axis-aligned boxes": lambda split: detection.map_at(split, 0.5),
        "triplet recall": _recall,
    }
    for compute in work.values():
        compute(random_split(1))  # imports what is imported on first use
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for size in SIZES:
        split = random_split(size // PREDICTED)
        _ = split.truths  # shared by all metrics
        for name, compute in work.items():
            start = time.process_time()
            compute(split)
            seconds[name].append(time.process_time() - start)
    found = []
    for name, (small, large) in seconds.items():
        slope = math.log(large / small) / math.log(SIZES[1] / SIZES[0])
        task = f"{name}, {SIZES[1]:,} boxes in {SIZES[1] // PREDICTED:,} scenes"
        found.append(at_most(task, large, MOST_SECONDS, " core-s"))
        found.append(at_most(f"{name}, log-log slope from {SIZES[0]:,} boxes", slope, STEEPEST))
    return found


def _recall(split: GraphComparison) -> None:
    """Compute the recall of every scene, and its mean over predicates with the jackknife."""
    ranked = triplet_recall.rankings(split)
    for truth, best in zip(split.truths, ranked, strict=True):
        triplet_recall.triplet_recall(truth, best, 50)
    triplet_recall.mean_triplet_recall(ranked, split.truths, 50)


def random_split(scenes: int) -> GraphComparison:
    """Return random answers of a split next to its truth."""
    random = rng(0, "benchmark", "boxes")
    annotations, answers = zip(*(_scene(random) for _ in range(scenes)), strict=True)
    return GraphComparison(annotations, answers)


def _scene(random: np.random.Generator) -> tuple[dict[str, Any], Answer]:
    """Return the annotation of a scene and an answer."""
    centre, size, yaw = _places(random, TRUE)
    labels = random.integers(0, CLASSES, TRUE)
    copied = random.integers(0, TRUE, PREDICTED)
    stray = random.random(PREDICTED) < 0.3
    near = centre[copied] + random.normal(0, 0.08, (PREDICTED, 3))
    predicted = (
        np.where(stray[:, None], _places(random, PREDICTED)[0], near),
        size[copied] * np.exp(random.normal(0, 0.08, (PREDICTED, 3))),
        yaw[copied] + random.normal(0, 0.1, PREDICTED),
    )
    other = random.random(PREDICTED) < 0.2
    names = np.where(other, random.integers(0, CLASSES, PREDICTED), labels[copied]).tolist()
    true = [
        {"index": k, "class": f"class {name}", "box": box, "yaw": row[6], "state": state}
        | {"size_mm": [1000 * side for side in row[3:6]]}
        for k, (name, box, row, state) in enumerate(
            zip(
                labels.tolist(),
                *_boxes(centre, size, yaw),
                np.where(random.random(TRUE) < 0.15, "void", "eligible").tolist(),
                strict=True,
            )
        )
    ]
    found = [
        {"class": f"class {name}", "box": box, "oriented": row, "score": score}
        for name, box, row, score in zip(
            names, *_boxes(*predicted), random.random(PREDICTED).tolist(), strict=True
        )
    ]
    relations = [row[:3] for row in _triplets(random, TRUE)]
    annotation = {
        "objects": true,
        "relations": [[i, j, name] for i, name, j in relations],
        "void": [],
        "given": [],
    }
    return annotation, (found, _triplets(random, PREDICTED))


def _places(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres [N, 3] and sizes [N, 3] in metres, and headings [N]."""
    centre = random.uniform([0, 0, 0], [5, 4, 1.5], (count, 3))
    return centre, random.uniform(0.2, 1.5, (count, 3)), random.uniform(-3, 3, count)


def _boxes(
    centre: np.ndarray, size: np.ndarray, yaw: np.ndarray
) -> tuple[list[list[float]], list[list[float]]]:
    """Return boxes as axis-aligned rows of 6 numbers and as rows of 7 with a heading."""
    c, s = np.abs(np.cos(yaw)), np.abs(np.sin(yaw))
    width, depth = size[:, 0] * c + size[:, 1] * s, size[:, 0] * s + size[:, 1] * c
    aligned = np.column_stack([centre, width, depth, size[:, 2]])
    return aligned.tolist(), np.column_stack([centre, size, yaw]).tolist()


def _triplets(random: np.random.Generator, objects: int) -> list[tuple[int, str, int, float]]:
    """Return `TRIPLETS` scored triplets, less those of an object with itself."""
    names = tuple(FAMILY_OF)
    rows = zip(
        random.integers(0, objects, TRIPLETS).tolist(),
        random.integers(0, len(names), TRIPLETS).tolist(),
        random.integers(0, objects, TRIPLETS).tolist(),
        random.random(TRIPLETS).tolist(),
        strict=True,
    )
    return [(i, names[k], j, score) for i, k, j, score in rows if i != j]
