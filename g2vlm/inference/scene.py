"""One scene from inputs to everything a submission holds about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from g2vlm.inference.graph import given_pairs, triplets
from g2vlm.inference.grounding import Ranked, chosen_boxes, likeliest, pick, rank
from g2vlm.inference.network import EncodedScene
from g2vlm.inference.points import DensePoints, dense_points
from g2vlm.inference.surface import (
    FreeSpace,
    Mesh,
    OccupancyGrid,
    mesh_of,
    occupancy_grid,
    region_of,
)
from g2vlm.inference.thresholds import Thresholds
from g2vlm.models.detection import Detection, detect, member_masks
from metrics.submission.writer import SubmissionWriter

Triplet = tuple[int, str, int, float]

# Cells of the first look at the occupancy field are at most this large.
COARSEST_M = 0.25


@dataclass(frozen=True)
class FoundObjects:
    """Detections, best first, and triplets over them (subject, predicate, object, score)."""

    objects: list[Detection]
    triplets: list[Triplet]

    def over(self, object_score: float, triplet_score: float) -> FoundObjects:
        """Return what reaches both scores; triplets keep their ends whatever these score.

        Objects that only a triplet needs stay, so that the graph is whole.
        """
        kept = [t for t in self.triplets if t[3] >= triplet_score]
        needed = {end for t in kept for end in (t[0], t[2])}
        index = [
            i for i, item in enumerate(self.objects) if item.score >= object_score or i in needed
        ]
        place = {old: new for new, old in enumerate(index)}
        return FoundObjects(
            [self.objects[i] for i in index],
            [(place[s], name, place[o], score) for s, name, o, score in kept],
        )


def scene_points(scene: EncodedScene, thresholds: Thresholds) -> DensePoints:
    """Return the dense coloured points of a scene."""
    inputs = scene.inputs
    return dense_points(
        scene.cells(),
        inputs.rgb,
        inputs.depth,
        inputs.intrinsics,
        inputs.pose,
        thresholds.smoothing,
        thresholds.trust,
        thresholds.least_confidence,
    )


def scene_solids(
    scene: EncodedScene, dense: DensePoints, thresholds: Thresholds, voxel: float
) -> tuple[OccupancyGrid, Mesh]:
    """Return the occupancy grid and the mesh of the solids."""
    inputs, depth = scene.inputs, scene.cells().depth
    kinds = scene.kinds()
    object_like = kinds.probabilities[:, -1] < 0.7 if scene.network.config.language else slice(None)
    grid = occupancy_grid(
        scene.occupancy,
        region_of(dense.points),
        thresholds.occupancy_logit,
        voxel=voxel,
        levels=max(0, int(np.log2(COARSEST_M / voxel))),
        free=None if depth is None else FreeSpace(depth, inputs.intrinsics, inputs.pose),
        surface=kinds.points[object_like],
    )
    return grid, mesh_of(grid, dense.points, dense.colours)


def scene_objects(scene: EncodedScene, least: float = 0.0) -> FoundObjects:
    """Return detected objects and the triplets among them that score at least `least`."""
    found = detect(scene.kinds(), scene.boxes)
    if len(found) < 2:
        return FoundObjects(found, [])
    probabilities = scene.relations(*found_rows(scene, found))
    return FoundObjects(found, triplets(found, probabilities, least))


def object_rows(found: Sequence[Detection], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return detections as a submission holds them: box, class name and score."""
    return [{"box": o.box, "class": classes[o.label], "score": o.score} for o in found]


def found_rows(scene: EncodedScene, found: list[Detection]) -> tuple[np.ndarray, np.ndarray]:
    """Return masks [N, P] and boxes [N, 6] of detected objects."""
    boxes = np.array([item.box for item in found], np.float32).reshape(-1, 6)
    return member_masks(found, scene.masks.shape[1]), boxes


def scene_ranks(
    scene: EncodedScene, found: list[Detection], queries: Sequence[str]
) -> list[tuple[Ranked, float]]:
    """Return for each query its ranked boxes and the logit that it means nothing."""
    logits, zero = scene.read(queries, *found_rows(scene, found))
    if found or not queries:
        ranked = [rank(row, found) for row in logits]
    else:
        ranked = [likeliest(row, scene.boxes) for row in scene.ground(queries)]
    return list(zip(ranked, zero.tolist(), strict=True))


def scene_queries(
    scene: EncodedScene, found: list[Detection]
) -> list[tuple[str, Ranked, float, int | None]]:
    """Return for each reference its id, ranked boxes, zero logit and the picked given object."""
    queries = [text for _, text in scene.inputs.references]
    given, _ = scene.read(queries, scene.masks, scene.given_boxes)
    return [
        (name, ranked, zero, pick(row, scene.inputs.given_indices))
        for (name, _), (ranked, zero), row in zip(
            scene.inputs.references, scene_ranks(scene, found, queries), given, strict=True
        )
    ]


@dataclass(frozen=True)
class SceneWriter:
    """Writes one encoded scene after another into a submission."""

    writer: SubmissionWriter
    thresholds: Thresholds
    voxel: float

    def write(self, scene: EncodedScene) -> None:
        """Write what the submission declares about this scene alone."""
        produces = set(self.writer.produces)
        name = scene.inputs.scene
        dense = scene_points(scene, self.thresholds)
        self.writer.points(name, dense.points, dense.colours, dense.pixels, dense.confidence)
        if "occupancy" in produces:
            grid, mesh = scene_solids(scene, dense, self.thresholds, self.voxel)
            self.writer.occupancy(name, grid.solid, grid.origin, grid.voxel)
            self.writer.mesh(name, mesh.vertices, mesh.faces, mesh.colours)
        if "objects" in produces:
            self._spatial(scene)

    def _spatial(self, scene: EncodedScene) -> None:
        name = scene.inputs.scene
        found = scene_objects(scene, self.thresholds.triplet_score)
        kept = found.over(self.thresholds.object_score, self.thresholds.triplet_score)
        classes = scene.network.config.classes
        self.writer.objects(
            name,
            object_rows(kept.objects, classes),
            [list(triplet) for triplet in kept.triplets],
        )
        given = scene.inputs.given_indices
        pairs = given_pairs(given, scene.relations(scene.masks, scene.given_boxes)) if given else []
        self.writer.relations(name, pairs)
        for query, ranked, zero, chosen in scene_queries(scene, found.objects):
            limits = self.thresholds.zero_logit, self.thresholds.multi_logit
            self.writer.grounding(name, query, chosen_boxes(ranked, zero, *limits), chosen)
        questions = scene.inputs.questions
        asked, choices = [q[1] for q in questions], [q[4] for q in questions]
        answers = scene.answers(asked, choices, *found_rows(scene, found.objects))
        for question, answer in zip(questions, answers, strict=True):
            self.writer.answer(name, question[0], answer)
