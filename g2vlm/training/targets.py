"""What training knows about a scene beyond its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from g2vlm.models.batch import SceneArrays, centre_pixels, object_masks
from metrics.constants import FIRST_OBJECT, VOXEL_M
from metrics.files import InputError, rng
from metrics.geometry import transform
from metrics.scene_graph.predicates import FAMILY_OF, LABELS, NONE

NO_LABEL = -1
POOL = 4096
NEAR_SOLIDS = 0.12


@dataclass(frozen=True)
class TrainScene:
    """One training scene: inputs, dense truth and language. P points, N eligible objects.

    depth f16[P] true metres (0 = none); normal i8[P,3] / 127; owner i16[P] row of `all_boxes` of
    the object at the cell's centre pixel, -1 = structure, -2 = nothing; all_boxes f32[M,6] and
    all_classes i64[M] of every object; masks u8[N,P] sixteenths of the cell; boxes f32[N,6];
    classes i64[N]; yaw f32[N]; relations {family: i8[N,N]}, -1 = not judged; pool f32[K,3] and
    solid bool[K]: occupancy queries, first half uniform in the room, second half near solids;
    annotation: the scene's language; rows {object index: row among the N}.
    """

    inputs: SceneArrays
    depth: np.ndarray
    normal: np.ndarray
    owner: np.ndarray
    all_boxes: np.ndarray
    all_classes: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    yaw: np.ndarray
    relations: dict[str, np.ndarray]
    pool: np.ndarray
    solid: np.ndarray
    annotation: Mapping[str, Any]
    rows: dict[int, int]

    @cached_property
    def kinds(self) -> dict[int, int]:
        """Class of every object by its index in the annotation."""
        entries = self.annotation["objects"]
        return {e["index"]: int(k) for e, k in zip(entries, self.all_classes, strict=True)}

    @cached_property
    def colours(self) -> dict[int, str]:
        """Colour of every object by its index in the annotation; "" where it is not known."""
        return {entry["index"]: entry.get("colour", "") for entry in self.annotation["objects"]}


def train_scene(
    arrays: SceneArrays, inputs: Any, views: Any, annotation: Mapping[str, Any], classes: Sequence
) -> TrainScene:
    """Gather the truth of one scene: `inputs` SceneInputs, `views` SceneViews."""
    shown = len(inputs.rgb)
    number = {name: row for row, name in enumerate(classes)}
    every = {entry["index"]: row for row, entry in enumerate(annotation["objects"])}
    kinds = [_class(number, entry, annotation) for entry in annotation["objects"]]
    boxes = [entry["box"] for entry in annotation["objects"]]
    rows = {index: row for row, index in enumerate(inputs.gt_indices)}
    given = [every[index] for index in inputs.gt_indices]
    all_boxes = np.array(boxes, np.float32).reshape(-1, 6)
    all_classes = np.array(kinds, np.int64)
    pool, solid = occupancy_pool(views, annotation["scene"])
    normal = centre_pixels(np.asarray(views.normal[:shown], np.float32)).reshape(-1, 3)
    return TrainScene(
        inputs=arrays,
        depth=centre_pixels(views.depth[:shown]).reshape(-1).astype(np.float16),
        normal=np.rint(normal * 127).astype(np.int8),
        owner=point_owners(centre_pixels(views.instance[:shown]), every),
        all_boxes=all_boxes,
        all_classes=all_classes,
        masks=np.rint(object_masks(inputs.gt_masks, len(rows)) * 16).astype(np.uint8),
        boxes=all_boxes[given],
        classes=all_classes[given],
        yaw=np.array([annotation["objects"][row]["yaw"] for row in given], np.float32),
        relations=relation_targets(annotation, rows),
        pool=pool,
        solid=solid,
        annotation=annotation,
        rows=rows,
    )


def _class(number: Mapping[str, int], entry: Mapping[str, Any], annotation: Mapping) -> int:
    if entry["class"] not in number:
        raise InputError(
            f"scene {annotation['scene']}: object {entry['index']} is of the unknown class "
            f"{entry['class']!r}; render the scenes again"
        )
    return number[entry["class"]]


def point_owners(instance: np.ndarray, every: Mapping[int, int]) -> np.ndarray:
    """Map instance numbers to rows of all objects: i16[P], -1 structure, -2 nothing or unknown."""
    table = np.full(256, -2, np.int16)
    table[1:FIRST_OBJECT] = -1
    for index, row in every.items():
        if FIRST_OBJECT + index < len(table):
            table[FIRST_OBJECT + index] = row
    return table[instance.reshape(-1)]


def relation_targets(
    annotation: Mapping[str, Any], rows: Mapping[int, int]
) -> dict[str, np.ndarray]:
    """Labels i8[N,N] by family for ordered pairs of eligible objects.

    A label is the predicate's place in its family; a judged pair without one is "none" (the place
    after the last), a void pair or the diagonal -1. A family without "none" judges only its facts.
    """
    count = len(rows)
    out = {}
    for family, names in LABELS.items():
        none = names.index(NONE) if NONE in names else NO_LABEL
        out[family] = np.full((count, count), none, np.int8)
        np.fill_diagonal(out[family], NO_LABEL)
    for i, j, family in annotation["void"]:
        if i in rows and j in rows:
            out[family][rows[i], rows[j]] = NO_LABEL
    for i, j, predicate in annotation["relations"]:
        if i in rows and j in rows:
            family = FAMILY_OF[predicate]
            out[family][rows[i], rows[j]] = LABELS[family].index(predicate)
    return out


def occupancy_pool(views: Any, scene: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw labelled 3D points: f32[2*POOL,3] in the frame and bool[2*POOL] solid.

    The first half is uniform in the room, the second half jittered around solid cells.
    """
    draw = rng(0, "occupancy_pool", scene)
    room = np.asarray(views.room, np.float32)
    uniform = draw.random((POOL, 3), np.float32) * room
    cells = np.flatnonzero(views.occupancy)
    if len(cells):
        drawn = cells[draw.integers(len(cells), size=POOL)]
        where = np.stack(np.unravel_index(drawn, views.occupancy.shape), axis=-1)
        centres = (where.astype(np.float32) + 0.5) * VOXEL_M
        near = centres + draw.normal(0, NEAR_SOLIDS, (POOL, 3)).astype(np.float32)
        near = np.clip(near, 0, room - 1e-4)
    else:
        near = draw.random((POOL, 3), np.float32) * room
    points = np.concatenate([uniform, near])
    index = np.minimum((points / VOXEL_M).astype(int), np.array(views.occupancy.shape) - 1)
    solid = views.occupancy[tuple(index.T)]
    matrix = np.asarray(views.frame_from_room, np.float32)
    return transform(points, matrix).astype(np.float32), solid


def covered(masks: np.ndarray) -> np.ndarray:
    """Sixteenths u8 to shares f32."""
    return masks.astype(np.float32) / 16
