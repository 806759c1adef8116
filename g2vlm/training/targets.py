"""Ground truth of a training scene: dense targets, objects and language."""

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
# Owners of points on structure, and of points on nothing or an unknown instance.
STRUCTURE, NOTHING = -1, -2
# Occupancy queries kept per scene, of each kind.
POOL = 4096
# Standard deviation of queries around solid cells, metres.
NEAR_SOLIDS_M = 0.12


@dataclass(frozen=True)
class SceneLabels:
    """Objects and language of one training scene: M objects, N of them eligible for queries.

    Attributes:
        annotation: the scene's objects, relations and sentences.
        rows: {index of an object in the annotation: its row among the N}.
        all_boxes: f32 [M,6], centre and size.
        all_classes: i64 [M].
        boxes: f32 [N,6].
        classes: i64 [N].
        yaw: f32 [N], radians.
    """

    annotation: Mapping[str, Any]
    rows: dict[int, int]
    all_boxes: np.ndarray
    all_classes: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    yaw: np.ndarray

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.annotation["scene"]

    @cached_property
    def class_of(self) -> dict[int, int]:
        """Class of every object, by its index in the annotation."""
        return {
            entry["index"]: int(label)
            for entry, label in zip(self.annotation["objects"], self.all_classes, strict=True)
        }

    @cached_property
    def colours(self) -> dict[int, str]:
        """Colour of every object, by its index in the annotation; "" where it is not known."""
        return {entry["index"]: entry.get("colour", "") for entry in self.annotation["objects"]}

    @cached_property
    def relations(self) -> dict[str, np.ndarray]:
        """{family: i8 [N,N]}, labels of ordered pairs, -1 = void."""
        return relation_targets(self.annotation, self.rows)


@dataclass(frozen=True)
class TrainScene(SceneLabels):
    """One training scene with P points: its labels, inputs and dense targets.

    Attributes:
        inputs: the scene's inputs.
        depth: f16 [P], true depth, metres, 0 = none.
        normal: i8 [P,3], true normal times 127.
        owner: i16 [P], row of `all_boxes` of the object at the cell's centre pixel, or STRUCTURE or
            NOTHING.
        masks: u8 [N,P], sixteenths of a cell that the object covers.
        pool: f32 [2*POOL,3], occupancy queries: uniform in the room, then near solids.
        solid: bool [2*POOL], whether a query is in a solid.
        others: as in `SceneLabels`.
    """

    inputs: SceneArrays[np.ndarray]
    depth: np.ndarray
    normal: np.ndarray
    owner: np.ndarray
    masks: np.ndarray
    pool: np.ndarray
    solid: np.ndarray


def scene_labels(
    annotation: Mapping[str, Any], eligible: Sequence[int], classes: Sequence[str]
) -> SceneLabels:
    """Return the labels of one scene.

    Args:
        annotation: its line of language and objects.
        eligible: indices of the objects that queries are about.
        classes: names of the object classes.

    Raises:
        InputError: for an object of an unknown class.
    """
    objects = annotation["objects"]
    every = {entry["index"]: row for row, entry in enumerate(objects)}
    for entry in objects:
        if entry["class"] not in classes:
            raise InputError(
                f"scene {annotation['scene']}: object {entry['index']} is of the unknown class "
                f"{entry['class']!r}; render the scenes again"
            )
    chosen = [every[index] for index in eligible]
    all_boxes = np.array([entry["box"] for entry in objects], np.float32).reshape(-1, 6)
    all_classes = np.array([classes.index(entry["class"]) for entry in objects], np.int64)
    return SceneLabels(
        annotation=annotation,
        rows={index: row for row, index in enumerate(eligible)},
        all_boxes=all_boxes,
        all_classes=all_classes,
        boxes=all_boxes[chosen],
        classes=all_classes[chosen],
        yaw=np.array([objects[row]["yaw"] for row in chosen], np.float32),
    )


def dense_targets(inputs: Any, views: Any, annotation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the dense targets of one scene by their names in `TrainScene`.

    Args:
        inputs: its `SceneInputs`.
        views: its `SceneViews`, whose first views are the inputs'.
        annotation: its line of language and objects.
    """
    input_views = len(inputs.rgb)
    every = {entry["index"]: row for row, entry in enumerate(annotation["objects"])}
    pool, solid = occupancy_pool(views, annotation["scene"])
    normal = centre_pixels(np.asarray(views.normal[:input_views], np.float32)).reshape(-1, 3)
    masks = object_masks(inputs.gt_masks, len(inputs.gt_indices))
    return {
        "depth": centre_pixels(views.depth[:input_views]).reshape(-1).astype(np.float16),
        "normal": np.rint(normal * 127).astype(np.int8),
        "owner": point_owners(centre_pixels(views.instance[:input_views]), every),
        "masks": np.rint(masks * 16).astype(np.uint8),
        "pool": pool,
        "solid": solid,
    }


def point_owners(instance: np.ndarray, every: Mapping[int, int]) -> np.ndarray:
    """Return the owner i16 [P] of each point.

    Args:
        instance: u8 [...], instance values of P points.
        every: {index of an object: its row}.
    """
    table = np.full(256, NOTHING, np.int16)  # by instance value
    table[1:FIRST_OBJECT] = STRUCTURE
    for index, row in every.items():
        if FIRST_OBJECT + index < len(table):
            table[FIRST_OBJECT + index] = row
    return table[instance.reshape(-1)]


def relation_targets(
    annotation: Mapping[str, Any], rows: Mapping[int, int]
) -> dict[str, np.ndarray]:
    """Return {family: i8 [N,N]} labels of ordered pairs of eligible objects.

    A label is the predicate's place in its family. Void pairs and the diagonal are -1. Other pairs
    without a predicate have the label "none", or -1 in a family that has no such label.
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
    """Sample labelled 3D points.

    The first half is uniform in the room. Few of these are near furniture, so the second half is
    scattered around solid cells.

    Args:
        views: the scene's `SceneViews`.
        scene: its name, which seeds the points.

    Returns:
        points f32 [2*POOL,3] in the frame, and whether they are in a solid, bool [2*POOL].
    """
    random = rng(0, "occupancy_pool", scene)
    room = np.asarray(views.room, np.float32)
    uniform = random.random((POOL, 3), np.float32) * room
    cells = np.flatnonzero(views.occupancy)
    if len(cells):
        cells = cells[random.integers(len(cells), size=POOL)]
        where = np.stack(np.unravel_index(cells, views.occupancy.shape), axis=-1)
        centres = (where.astype(np.float32) + 0.5) * VOXEL_M
        near = centres + random.normal(0, NEAR_SOLIDS_M, (POOL, 3)).astype(np.float32)
        near = np.clip(near, 0, room - 1e-4)
    else:
        near = random.random((POOL, 3), np.float32) * room
    points = np.concatenate([uniform, near])
    index = np.minimum((points / VOXEL_M).astype(int), np.array(views.occupancy.shape) - 1)
    matrix = np.asarray(views.frame_from_room, np.float32)
    return transform(points, matrix).astype(np.float32), views.occupancy[tuple(index.T)]


def mask_shares(masks: np.ndarray) -> np.ndarray:
    """Return sixteenths u8 [N,P] as shares f32 [N,P] in 0..1."""
    return masks.astype(np.float32) / 16
