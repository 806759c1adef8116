"""The truth in the submission format: the best score that the evaluation protocol allows."""

from typing import Any

import numpy as np

from baselines.contract import Context, SplitTruth
from metrics.constants import NEAREST_M, VOXEL_M
from metrics.geometry import to_camera, transform
from metrics.scene_graph.oriented import true_boxes
from metrics.scene_graph.predicates import FAMILIES, FAMILY_OF, INVERSE, SYMMETRIC

DESCRIPTION = "The truth through the submission format"
PRODUCES = (
    "points",
    "mesh",
    "objects",
    "graph",
    "given_relations",
    "grounding",
    "picks",
    "retrieval",
    "grounding_retrieval",
    "answers",
    "captions",
)
REASONS = {
    "occupancy": "derived from its mesh, which is exact; a grid along the axes would not be",
    "probed_retrieval": "has no trunk to probe",
}
MESH_KIND = "solids"
USES_TRUTH = True
PIXELS = True


def predict(context: Context) -> None:
    """Write the truth of every split as a submission."""
    for split, truth in context.need("truth").items():
        with context.writer(split, compact=False) as writer:
            for line in truth.files.annotations:
                scene = line["scene"]
                _write_geometry(writer, truth, scene)
                _write_objects(writer, scene, line)
                _write_language(writer, scene, line)
            _write_galleries(writer, truth)


def _write_geometry(writer: Any, truth: SplitTruth, scene: str) -> None:
    true = truth.files.geometry(scene)
    cameras = true.input_depth, true.input_intrinsics, true.input_pose
    pixels = visible_pixels(true.surface, *cameras)
    writer.points(scene, true.surface, true.surface_colour, pixels=pixels)
    views = truth.scenes.views(scene)
    vertices, faces = voxel_mesh(views.occupancy, VOXEL_M)
    writer.mesh(scene, transform(vertices, views.frame_from_room.astype(np.float64)), faces)


def voxel_mesh(solids: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the boundary of the solid cells as a mesh, with two triangles per cell face.

    It is exact, whereas marching cubes would cut the corners of every cell.

    Args:
        solids: bool[X, Y, Z].
        size: side of a cell, metres.

    Returns:
        Vertices f32[N, 3] in metres along the grid's axes, and faces i32[F, 3] whose normals point
        out of the solid.
    """
    padded = np.pad(solids, 1)
    quads = []
    for axis in range(3):
        first, second = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for side in (0, 1):
            neighbour = np.roll(padded, 1 - 2 * side, axis)
            cells = np.argwhere(padded & ~neighbour) - 1  # (C, 3)
            cells[:, axis] += side
            corners = [cells, cells + first, cells + first + second, cells + second]
            quads.append(np.stack(corners if side else corners[::-1], 1))
    corners = np.concatenate(quads).reshape(-1, 3)  # (4Q, 3)
    # Corners that several faces share become one vertex.
    span = np.array(solids.shape) + 1
    keys, index = np.unique(np.ravel_multi_index(corners.T, span), return_inverse=True)
    vertices = np.stack(np.unravel_index(keys, span), 1).astype(np.float32) * np.float32(size)
    index = index.reshape(-1, 4).astype(np.int32)
    return vertices, np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])


def visible_pixels(
    points: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Return the pixel at which each point is visible, i16[M, 3] (view, row, column), or -1s.

    A point is visible where it projects to within 5 cm of the true depth. Of several views the last
    one counts.

    Args:
        points: f32[M, 3], metres.
        depth: f32[V, H, W], true z-depth, metres.
        intrinsics: f32[V, 3, 3].
        pose: f32[V, 4, 4], camera to frame.
    """
    pixels = np.full((len(points), 3), -1, np.int16)
    height, width = depth.shape[1:]
    for view in range(len(depth)):
        local = to_camera(points, pose[view])
        image = local @ intrinsics[view].T
        column, row = np.floor(image[:, :2] / np.maximum(local[:, 2:], 1e-3)).astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside &= local[:, 2] > NEAREST_M
        index = np.flatnonzero(inside)
        true = depth[view, row[index], column[index]]
        index = index[np.abs(true - local[index, 2]) < 0.05]
        pixels[index] = np.stack([np.full(len(index), view), row[index], column[index]], 1)
    return pixels


def _write_objects(writer: Any, scene: str, line: dict[str, Any]) -> None:
    gt_objects = line["given"]
    position = {index: number for number, index in enumerate(gt_objects)}
    objects = [item for item in line["objects"] if item["index"] in position]
    headings = true_boxes(objects)
    objects = [{"box": item["box"], "class": item["class"], "score": 1.0} for item in objects]
    if headings is not None:
        objects = [
            item | {"oriented": box} for item, box in zip(objects, headings.tolist(), strict=True)
        ]
    triplets = [
        [position[i], predicate, position[j], 1.0]
        for i, j, predicate in line["relations"]
        if i in position and j in position
    ]
    writer.objects(scene, objects, triplets)
    pairs = {
        (i, j): dict.fromkeys(FAMILIES, "none") for i in gt_objects for j in gt_objects if i != j
    }
    for i, j, predicate in line["relations"]:
        family = FAMILY_OF[predicate]
        if (i, j) in pairs:
            pairs[i, j][family] = predicate
        if (j, i) in pairs and (predicate in INVERSE or predicate in SYMMETRIC):
            pairs[j, i][family] = INVERSE.get(predicate, predicate)
    scores = [
        [i, name, j, 1.0] for i, j, name in line["relations"] if i in position and j in position
    ]
    writer.relations(scene, [[i, j, row] for (i, j), row in pairs.items()], scores)


def _write_language(writer: Any, scene: str, line: dict[str, Any]) -> None:
    boxes = {item["index"]: item["box"] for item in line["objects"]}
    for reference in line["references"]:
        targets = reference["targets"]
        pick = targets[0] if targets else None
        writer.grounding(scene, reference["id"], [boxes[index] for index in targets], pick)
    for question in line["questions"]:
        writer.answer(scene, question["id"], question["answer"])
    if line["captions"]:
        writer.caption(scene, line["captions"][0]["text"])


def _write_galleries(writer: Any, truth: SplitTruth) -> None:
    texts, scenes, phrases, objects = truth.gallery()
    lines = truth.files.annotations
    of_texts = {line["scene"]: line["relevance"] for line in lines}
    of_phrases = {line["scene"]: line["phrase_relevance"] for line in lines}
    writer.retrieval(texts, scenes, _relevance(texts, scenes, of_texts))
    writer.grounding_retrieval(phrases, objects, _relevance(phrases, objects, of_phrases))


def _relevance(
    queries: list[str], items: list[str], relevant: dict[str, dict[str, list[str]]]
) -> np.ndarray:
    """Return scores f32[Q, N], above 1 for relevant items and below 0.5 for others.

    No row holds two equal scores, because ties count against the method.
    """
    column = {item: number for number, item in enumerate(items)}
    total = len(queries) + len(items)
    order = (np.arange(len(queries))[:, None] + np.arange(len(items))) / (2.0 * total)
    scores = order.astype(np.float32)
    for row, query in enumerate(queries):
        scene, name = query.rsplit("/", 1)
        scores[row, [column[item] for item in relevant[scene].get(name, [])]] += 1.0
    return scores
