"""Solid space: intersection over union at random points of the room.

Floor, walls and ceiling count in neither side; points within 2 cm of a true surface are void.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.constants import SOLID, VOID
from metrics.geometry import UNIT_CORNERS

ROOM_MARGIN = 0.2


@dataclass(frozen=True)
class Room:
    """The room's box: centre [3], half sizes [3] in metres, axes [3, 3] as rows."""

    centre: np.ndarray
    half: np.ndarray
    axes: np.ndarray


def room_from_corners(corners: np.ndarray) -> Room:
    """Return the room of 8 corners [8, 3] in any order; the room stands upright."""
    corners = np.asarray(corners, np.float64)
    offsets = corners[:, :2] - corners[0, :2]
    away = np.linalg.norm(offsets, axis=1)
    # The nearest corner that is not above or below the first one shares an edge with it.
    nearest = np.where(away > 1e-3, away, np.inf).argmin()
    along = offsets[nearest] / away[nearest]
    axes = np.array([[along[0], along[1], 0.0], [-along[1], along[0], 0.0], [0.0, 0.0, 1.0]])
    local = corners @ axes.T
    low, high = local.min(axis=0), local.max(axis=0)
    return Room((low + high) / 2 @ axes, (high - low) / 2, axes)


def room_box(room: Room, margin: float = ROOM_MARGIN) -> tuple[np.ndarray, np.ndarray]:
    """Return a box `margin` metres outside the room: vertices [8, 3], faces [12, 3] outward."""
    vertices = room.centre + ((2 * UNIT_CORNERS - 1) * (room.half + margin)) @ room.axes
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[a, b, c] for a, b, c, _ in quads] + [[a, c, d] for a, _, c, d in quads]
    return vertices, np.array(faces)


def occupancy_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of solid points (Occupancy Networks, Mescheder et al. 2019).

    Higher is better, in [0, 1], worst 0; a perfect answer scores 1, for both sides are asked at
    the same points.

    Args:
        predicted: bool [N].
        truth: uint8 [N]: 0 free, 1 solid, 2 void (left out of both sides).

    Nothing solid on either side is a perfect answer.

    >>> occupancy_iou(np.array([True, True, False]), np.array([1, 0, 2], np.uint8))
    0.5
    """
    judged = truth != VOID
    mine, true = predicted[judged], truth[judged] == SOLID
    union = int((mine | true).sum())
    return float((mine & true).sum() / union) if union else 1.0


def grid_occupancy(
    points: np.ndarray, grid: np.ndarray, origin: np.ndarray, voxel: float
) -> np.ndarray:
    """Return bool [N]: the grid's value at points [N, 3]; outside the grid space is free.

    Args:
        grid: bool [X, Y, Z]; origin: [3] lower corner of voxel (0, 0, 0); voxel: side in metres.
    """
    cells = np.floor((np.asarray(points, np.float64) - origin) / voxel).astype(np.int64)
    inside = ((cells >= 0) & (cells < np.array(grid.shape))).all(axis=1)
    result = np.zeros(len(points), bool)
    x, y, z = cells[inside].T
    result[inside] = grid[x, y, z]
    return result


def mesh_contains(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, kind: str, room: Room
) -> np.ndarray:
    """Return bool [N]: the generalized winding number of the mesh at points [N, 3] is above .5.

    Barill et al. 2018 through libigl. A `free_boundary` mesh bounds free space with normals into
    it: inside it winds -1, so an outward box around the room makes the rest solid; without the
    box nothing would ever be inside.
    """
    import igl

    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if len(faces) == 0:
        return np.zeros(len(points), bool)
    points = np.asarray(points, np.float64)
    if kind == "free_boundary":
        outer, outward = room_box(room)
        faces = np.concatenate([faces, outward + len(vertices)])
        vertices = np.concatenate([vertices, outer])
        near = np.ones(len(points), bool)
    else:
        # Seen from outside its bounding box a mesh covers at most half of all directions.
        used = vertices[faces.reshape(-1)]
        near = ((points > used.min(axis=0)) & (points < used.max(axis=0))).all(axis=1)
    inside = np.zeros(len(points), bool)
    if near.any():
        inside[near] = np.asarray(igl.fast_winding_number(vertices, faces, points[near])) > 0.5
    return inside
