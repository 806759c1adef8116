"""The predictions of one encoded scene: points, solids, objects, triplets and referred boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from g2vlm.inference.network import EncodedScene
from g2vlm.inference.points import DensePoints, dense_points
from g2vlm.inference.surface import (
    Mesh,
    OccupancyGrid,
    is_free,
    mesh_of,
    occupancy_grid,
    region_of,
)
from g2vlm.models.detection import BoxFunction, Detection, detect, member_masks
from metrics.scene_graph.predicates import FAMILIES, LABELS

# (subject, predicate, object, score); subject and object are positions in the list of objects.
Triplet = tuple[int, str, int, float]

# The occupancy field is first evaluated on cells of at most this size.
COARSEST_M = 0.25
# Points that are structure with less than this probability lie on a possible object.
OBJECT_LIKE = 0.7
LEAST_TRIPLET = 0.02
MOST_BOXES = 8
# Points of the fallback box where nothing was detected.
LIKELIEST_POINTS = 30


@dataclass(frozen=True)
class Graph:
    """Detected objects, best first, and triplets among them."""

    objects: list[Detection]
    triplets: list[Triplet]

    def above(self, object_score: float, triplet_score: float) -> "Graph":
        """Return the objects and triplets that reach these scores.

        An object below its score stays where a triplet needs it, so that the graph is whole.
        """
        triplets = [triplet for triplet in self.triplets if triplet[3] >= triplet_score]
        needed = {end for triplet in triplets for end in (triplet[0], triplet[2])}
        kept = [
            i for i, item in enumerate(self.objects) if item.score >= object_score or i in needed
        ]
        place = {old: new for new, old in enumerate(kept)}
        return Graph(
            [self.objects[i] for i in kept],
            [(place[s], name, place[o], score) for s, name, o, score in triplets],
        )


@dataclass(frozen=True)
class Ranked:
    """Candidate boxes of one query, best first.

    Args:
        boxes: f32[K, 6], centre and size, metres.
        logits: f32[K].
        objects: the position of each box's object in the list of detections; empty for a box that
            belongs to none.
    """

    boxes: np.ndarray
    logits: np.ndarray
    objects: list[int] = field(default_factory=list)


def scene_points(scene: EncodedScene, smoothing: float, trust: float, least: float) -> DensePoints:
    """Return the dense coloured points of a scene; see `dense_points`."""
    inputs = scene.inputs
    return dense_points(
        scene.cells(),
        inputs.rgb,
        inputs.depth,
        inputs.intrinsics,
        inputs.pose,
        smoothing,
        trust,
        least,
    )


def scene_solids(
    scene: EncodedScene, dense: DensePoints, threshold: float, voxel: float
) -> tuple[OccupancyGrid, Mesh]:
    """Return the occupancy grid and the mesh of the solids.

    Args:
        scene: the encoded scene.
        dense: its points, which bound the grid and colour the mesh.
        threshold: logit above which a cell is solid.
        voxel: side of the finest cells, metres.
    """
    inputs, depth = scene.inputs, scene.cells().depth
    classes = scene.point_classes()
    is_object = classes.probabilities[:, -1] < OBJECT_LIKE
    grid = occupancy_grid(
        scene.occupancy,
        region_of(dense.points),
        threshold,
        voxel=voxel,
        levels=max(0, int(np.log2(COARSEST_M / voxel))),
        free=None if depth is None else partial(is_free, depth, inputs.intrinsics, inputs.pose),
        surface=classes.points[is_object],
    )
    return grid, mesh_of(grid, dense.points, dense.colours)


def scene_graph(scene: EncodedScene, least: float = 0.0) -> Graph:
    """Return the detected objects and the triplets among them that score at least `least`."""
    objects = detect(scene.point_classes(), scene.boxes)
    if len(objects) < 2:
        return Graph(objects, [])
    probabilities = scene.relations(*masks_and_boxes(scene, objects))
    return Graph(objects, triplets(objects, probabilities, least))


def triplets(
    objects: list[Detection], probabilities: dict[str, np.ndarray], least: float
) -> list[Triplet]:
    """Return the triplets with a score of at least `least`, best first.

    A pair has the likeliest predicate of each family, or none where "none" is likelier. The score
    is the product of both detections' scores and the predicate's probability.

    Args:
        objects: N detections.
        probabilities: of each family's labels, [N, N, K].
        least: least score.
    """
    scores = np.array([item.score for item in objects])
    rows: list[Triplet] = []
    for family, values in probabilities.items():
        best = values.argmax(-1)  # (N, N)
        total = values.max(-1) * scores[:, None] * scores[None]
        # "none" is the last label, after the family's predicates.
        keep = (total >= max(least, LEAST_TRIPLET)) & (best < len(FAMILIES[family]))
        np.fill_diagonal(keep, False)
        rows += [
            (int(i), LABELS[family][best[i, j]], int(j), float(total[i, j]))
            for i, j in np.argwhere(keep)
        ]
    return sorted(rows, key=lambda row: -row[3])


def gt_relations(indices: list[int], probabilities: dict[str, np.ndarray]) -> list[list[Any]]:
    """Return [i, j, {family: label}] for all ordered pairs of ground-truth objects.

    Args:
        indices: the N objects' indices in the scene.
        probabilities: of each family's labels, [N, N, K].
    """
    best = {family: values.argmax(-1) for family, values in probabilities.items()}
    return [
        [i, j, {family: LABELS[family][best[family][a, b]] for family in best}]
        for a, i in enumerate(indices)
        for b, j in enumerate(indices)
        if a != b
    ]


def object_rows(objects: Sequence[Detection], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return detections as a submission stores them: box, class name and score."""
    return [{"box": o.box, "class": classes[o.label], "score": o.score} for o in objects]


def masks_and_boxes(scene: EncodedScene, objects: list[Detection]) -> tuple[np.ndarray, np.ndarray]:
    """Return masks f32[N, P] and boxes f32[N, 6] of detected objects."""
    boxes = np.array([item.box for item in objects], np.float32).reshape(-1, 6)
    return member_masks(objects, scene.masks.shape[1]), boxes


def rank_boxes(
    scene: EncodedScene, objects: list[Detection], queries: Sequence[str]
) -> list[tuple[Ranked, float]]:
    """Return for each query its ranked boxes and the logit that it has no target."""
    logits, zero = scene.refer(queries, *masks_and_boxes(scene, objects))  # (Q, N), (Q,)
    if objects or not queries:
        ranked = [rank(row, objects) for row in logits]
    else:
        ranked = [likeliest(row, scene.boxes) for row in scene.ground(queries)]
    return list(zip(ranked, zero.tolist(), strict=True))


def rank(logits: np.ndarray, objects: list[Detection]) -> Ranked:
    """Rank detected objects by their logits [N], at most 8 of them."""
    order = np.argsort(-logits, kind="stable")[:MOST_BOXES]
    boxes = [objects[i].box for i in order]
    return Ranked(np.array(boxes, np.float32).reshape(-1, 6), logits[order], order.tolist())


def likeliest(point_logits: np.ndarray, boxes: BoxFunction) -> Ranked:
    """Return the box around a query's likeliest points, used where nothing was detected.

    Args:
        point_logits: [P], that the target covers the point.
        boxes: returns the boxes [N, 6] of N masks [N, P].
    """
    top = np.argsort(-point_logits)[:LIKELIEST_POINTS]
    mask = np.zeros((1, len(point_logits)), np.float32)
    mask[:, top] = 1.0
    return Ranked(boxes(mask), point_logits[top].mean()[None])


def count_targets(ranked: Ranked, zero_logit: float, zero_above: float, multi_above: float) -> int:
    """Return how many of the first ranked boxes are targets of the query.

    None when `zero_logit` exceeds `zero_above`; else the best one and all whose logit exceeds
    `multi_above`.
    """
    if zero_logit > zero_above:
        return 0
    return max(1, int((ranked.logits > multi_above).sum()))


def scene_queries(
    scene: EncodedScene, objects: list[Detection]
) -> list[tuple[str, Ranked, float, int | None]]:
    """Return for each reference its id, ranked boxes, zero logit and picked ground-truth object.

    The pick is the object of the best logit, None in a scene without ground-truth objects.
    """
    inputs = scene.inputs
    queries = [text for _, text in inputs.references]
    gt_logits, _ = scene.refer(queries, scene.masks, scene.gt_object_boxes)  # (Q, N)
    ranks = rank_boxes(scene, objects, queries)
    return [
        (name, ranked, zero_logit, inputs.gt_indices[int(np.argmax(row))] if len(row) else None)
        for (name, _), (ranked, zero_logit), row in zip(
            inputs.references, ranks, gt_logits, strict=True
        )
    ]
