"""A constant layout: the boxes and the solid space that fit most training rooms.

Boxes are chosen for the expected mAP at IoU 0.25, and the relations between them follow from the
rules on boxes. Relations of ground-truth objects get the commonest label of each family.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.contract import Context
from baselines.oracle.method import voxel_mesh
from metrics.scene_graph.boxes import box_iou
from metrics.scene_graph.predicates import FAMILIES, FAMILY_OF
from metrics.scene_graph.rule_baseline import relations_of_boxes

DESCRIPTION = "The constant boxes and solid space that fit most training rooms"
PRODUCES = ("mesh", "occupancy", "objects", "graph", "given_relations")
REASONS = {"points": "gives boxes and solid space; constant_pointmap gives points"}
DEFAULT_REASON = "looks at no scene"
MESH_KIND = "solids"

IOU = 0.25
# Boxes of a class at most, and boxes of a class that are tried.
BOXES_A_CLASS = 3
CANDIDATES = 300
# Side of an occupancy cell, and the grid's extent around the first camera, metres.
CELL = 0.1
LOW = np.array([-1.0, -5.0, 0.0])
HIGH = np.array([9.0, 5.0, 2.5])
# Shares of rooms in which a constant cell may have to be solid.
LEVELS = np.linspace(0.02, 0.5, 25)


@dataclass(frozen=True)
class Layout:
    """What the method predicts in every scene.

    Attributes:
        objects: rows of the submission, {"box", "class", "score"}.
        triplets: [i, predicate, j, score] between them.
        labels: the label of each family for a pair of ground-truth objects.
        solid: bool[X, Y, Z], cells of `CELL` metres from `LOW`.
    """

    objects: list[dict[str, Any]]
    triplets: list[list[Any]]
    labels: dict[str, str]
    solid: np.ndarray


def predict(context: Context) -> None:
    """Write the layout for every scene of every split."""
    start = time.perf_counter()
    train = context.need("train")
    layout = fit_layout([train.annotation(scene) for scene in train.ids])
    vertices, faces = voxel_mesh(layout.solid, CELL)
    vertices = (vertices + LOW).astype(np.float32)
    seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = 7 * len(layout.objects) + int(layout.solid.size)
            for scene in scenes.ids:
                writer.mesh(scene, vertices, faces)
                writer.occupancy(scene, layout.solid, LOW, CELL)
                writer.objects(scene, layout.objects, layout.triplets)
                indices = scenes.inputs(scene).gt_indices
                pairs = [[i, j, layout.labels] for i in indices for j in indices if i != j]
                writer.relations(scene, pairs)


def fit_layout(annotations: list[dict[str, Any]]) -> Layout:
    """Return the constant layout of training annotations."""
    objects = constant_boxes(annotations)
    rows = relations_of_boxes(np.array([item["box"] for item in objects]))
    triplets = [[i, name, j, objects[i]["score"] * objects[j]["score"]] for i, name, j in rows]
    return Layout(objects, triplets, commonest_labels(annotations), constant_solid(annotations))


def constant_boxes(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return up to `BOXES_A_CLASS` boxes of each class, best first.

    Greedily, the next box of a class is the one that matches an object, at an IoU above `IOU`, in
    most training scenes; objects that an earlier box matched are left out. Candidates are the mean
    box and training boxes of the class. The score is the share of scenes with a match, which is the
    expected precision of a box that is predicted in every scene.
    """
    boxes, scenes = defaultdict(list), defaultdict(list)
    for number, line in enumerate(annotations):
        for item in line["objects"]:
            if item["state"] == "eligible":
                boxes[item["class"]].append(item["box"])
                scenes[item["class"]].append(number)
    chosen = []
    for name in sorted(boxes):
        own = np.array(boxes[name])
        spread = np.unique(np.linspace(0, len(own) - 1, CANDIDATES).round().astype(int))
        candidates = np.concatenate([own.mean(0, keepdims=True), own[spread]])
        hits = box_iou(candidates, own) > IOU  # (C, N)
        for _ in range(BOXES_A_CLASS):
            counts = [len(set(np.array(scenes[name])[row])) for row in hits]
            best = int(np.argmax(counts))
            if not counts[best]:
                break
            box = [round(float(value), 4) for value in candidates[best]]
            chosen.append({"box": box, "class": name, "score": counts[best] / len(annotations)})
            hits = hits & ~hits[best]
    return sorted(chosen, key=lambda item: -item["score"])


def commonest_labels(annotations: list[dict[str, Any]]) -> dict[str, str]:
    """Return the commonest label of each family over ordered pairs of eligible objects."""
    counts: dict[str, Counter[str]] = {family: Counter() for family in FAMILIES}
    pairs = 0
    for line in annotations:
        eligible = sum(item["state"] == "eligible" for item in line["objects"])
        pairs += eligible * (eligible - 1)
        for _, _, name in line["relations"]:
            counts[FAMILY_OF[name]][name] += 1
    labels = {}
    for family, count in counts.items():
        rest = pairs - count.total()
        name, most = max(sorted(count.items()), key=lambda item: item[1], default=("none", 0))
        labels[family] = name if most > rest else "none"
    return labels


def constant_solid(annotations: list[dict[str, Any]]) -> np.ndarray:
    """Return the cells that maximise the mean IoU with the objects' boxes over training scenes.

    A cell is solid where a box covers its centre in at least a share of the scenes; the best of
    `LEVELS` is taken.
    """
    shape = np.round((HIGH - LOW) / CELL).astype(int)
    covered = [_covered(line, tuple(shape)) for line in annotations]
    share = np.zeros(tuple(shape), np.float32)
    for cells in covered:
        share[np.unravel_index(cells, share.shape)] += 1 / len(annotations)
    flat = np.sort(share, axis=None)
    sizes = flat.size - np.searchsorted(flat, LEVELS)  # (L,) cells at or above each level
    total = np.zeros(len(LEVELS))
    for cells in covered:
        hits = len(cells) - np.searchsorted(np.sort(share.reshape(-1)[cells]), LEVELS)
        total += hits / np.maximum(sizes + len(cells) - hits, 1)
    return share >= LEVELS[int(np.argmax(total))]


def _covered(line: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return the flat indices of the cells whose centres lie in a box of a scene."""
    grid = np.zeros(shape, bool)
    for item in line["objects"]:
        box = np.array(item["box"])
        low, high = box[:3] - box[3:] / 2, box[:3] + box[3:] / 2
        first = np.clip(np.ceil((low - LOW) / CELL - 0.5).astype(int), 0, shape)
        end = np.clip(np.ceil((high - LOW) / CELL - 0.5).astype(int), 0, shape)
        grid[tuple(slice(a, b) for a, b in zip(first, end, strict=True))] = True
    return np.flatnonzero(grid)
