"""Solid space: intersection over union at random points of the room.

Floor, walls and ceiling count on neither side; points within 2 cm of a true surface are void.
"""

from dataclasses import dataclass

import numpy as np

from metrics.constants import SOLID, VOID
from metrics.geometry import UNIT_CORNERS, bounds
from metrics.metric import Comparison, Metric
from metrics.reconstruction.winding import winds_around
from metrics.submission.items import Mesh, Occupancy
from metrics.truth import SceneTruth

# How far outside the room the box is put that closes a mesh of free space, metres.
ROOM_MARGIN = 0.2
OCCUPANCY_NETWORKS = (
    "Mescheder et al. 2019 (Occupancy Networks); differs from it in points of a whole room, those "
    "within 2 cm of a true surface left out, and in solids that are filled voxels"
)


@dataclass(frozen=True)
class Room:
    """The box of a room.

    Attributes:
        centre: f64 [3] metres.
        half: f64 [3], half the sizes along its axes, metres.
        axes: f64 [3, 3], unit axes as rows.
    """

    centre: np.ndarray
    half: np.ndarray
    axes: np.ndarray


def room_from_corners(corners: np.ndarray) -> Room:
    """Return the room of 8 corners [8, 3] in any order; its third axis is vertical."""
    corners = np.asarray(corners, np.float64)
    offsets = corners[:, :2] - corners[0, :2]
    away = np.linalg.norm(offsets, axis=1)  # (8,) horizontal distances
    # The nearest corner that is not above or below the first one shares an edge with it.
    nearest = np.where(away > 1e-3, away, np.inf).argmin()
    along = offsets[nearest] / away[nearest]
    axes = np.array([[along[0], along[1], 0.0], [-along[1], along[0], 0.0], [0.0, 0.0, 1.0]])
    local = corners @ axes.T  # (8, 3) along the axes
    low, high = local.min(axis=0), local.max(axis=0)
    return Room((low + high) / 2 @ axes, (high - low) / 2, axes)


def room_box(room: Room, margin: float = ROOM_MARGIN) -> tuple[np.ndarray, np.ndarray]:
    """Return a box `margin` metres outside the room as a mesh whose faces point outward.

    Returns:
        Vertices f64 [8, 3] metres and faces i64 [12, 3].
    """
    vertices = room.centre + ((2 * UNIT_CORNERS - 1) * (room.half + margin)) @ room.axes
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[a, b, c] for a, b, c, _ in quads] + [[a, c, d] for a, _, c, d in quads]
    return vertices, np.array(faces)


def occupancy_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the intersection over union of solid points; 1 where nothing is solid on either side.

    Args:
        predicted: bool [N], whether each point is solid.
        truth: u8 [N]: 0 free, 1 solid, 2 void (left out of both sides).

    Source: Mescheder et al. 2019 (Occupancy Networks).

    Example:
        >>> occupancy_iou(np.array([True, True, False]), np.array([1, 0, 2], np.uint8))
        0.5
    """
    evaluated = truth != VOID
    solid, true_solid = predicted[evaluated], truth[evaluated] == SOLID
    union = int((solid | true_solid).sum())
    return float((solid & true_solid).sum() / union) if union else 1.0


def grid_occupancy(
    points: np.ndarray, grid: np.ndarray, origin: np.ndarray, voxel: float
) -> np.ndarray:
    """Return bool [N]: the value of a grid at points; outside the grid, space is free.

    Args:
        points: [N, 3] metres.
        grid: bool [X, Y, Z].
        origin: [3], lower corner of voxel (0, 0, 0), metres.
        voxel: side of a voxel, metres.
    """
    # Axis after axis instead of rows of three, which is several times faster.
    axes = zip(np.asarray(points, np.float64).T, origin, strict=True)
    cells = [np.floor((axis - low) / voxel).astype(np.int64) for axis, low in axes]  # (N,) each
    inside = np.ones(len(points), bool)
    for cell, count in zip(cells, grid.shape, strict=True):
        inside &= (cell >= 0) & (cell < count)
    result = np.zeros(len(points), bool)
    result[inside] = grid[tuple(cell[inside] for cell in cells)]
    return result


def mesh_contains(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, kind: str, room: Room
) -> np.ndarray:
    """Return bool [N]: whether points are in solid space, by `winding.winds_around`.

    Args:
        points: [N, 3] metres.
        vertices: [V, 3] metres.
        faces: [F, 3].
        kind: "solids" for a mesh around solid space; "free_boundary" for one around free space
            whose normals point into it.
        room: the true room; used for a "free_boundary" alone.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if len(faces) == 0:
        return np.zeros(len(points), bool)
    points = np.asarray(points, np.float64)
    if kind == "free_boundary":
        # The winding number is -1 in the free space. An outward box around the room adds 1
        # everywhere inside, so that free space comes to 0 and the rest, the solids, to 1.
        outer, outward = room_box(room)
        faces = np.concatenate([faces, outward + len(vertices)])
        vertices = np.concatenate([vertices, outer])
        near = np.ones(len(points), bool)
    else:
        # Seen from outside its bounding box a mesh covers at most half of all directions, so its
        # winding number there is at most 0.5.
        low, high = bounds(vertices.take(faces.reshape(-1), axis=0))
        spans = zip(points.T, low, high, strict=True)
        near = np.logical_and.reduce([(x > least) & (x < most) for x, least, most in spans])
    inside = np.zeros(len(points), bool)
    if near.any():
        inside[near] = winds_around(points[near], vertices, faces)
    return inside


class SolidComparison(Comparison):
    """Predicted solids of a scene next to the truth: what `METRICS` here read.

    Args:
        true: geometry of the scene.
        mesh: the predicted mesh, or None without a usable one.
        mesh_kind: "solids" or "free_boundary".
        grid: the predicted occupancy grid, or None without a usable one.
        has_grids: the submission produces grids, so the mesh does not stand in for this one.
    """

    def __init__(
        self,
        true: SceneTruth,
        mesh: Mesh | None,
        mesh_kind: str,
        grid: Occupancy | None,
        has_grids: bool,
    ) -> None:
        evaluated = true.occupancy != VOID
        self.points = true.occupancy_points[evaluated]  # (O, 3)
        self.occupancy = true.occupancy[evaluated]  # (O,)
        self.room_corners = true.room_corners
        self.mesh, self.mesh_kind = mesh, mesh_kind
        self.grid, self.has_grids = grid, has_grids


def mesh_iou_of(comparison: SolidComparison) -> float | None:
    """Return `occupancy_iou` of the predicted mesh; None without triangles."""
    mesh = comparison.mesh
    if mesh is None or not len(mesh.faces):
        return None
    inside = mesh_contains(
        comparison.points,
        mesh.vertices,
        mesh.faces,
        comparison.mesh_kind,
        room_from_corners(comparison.room_corners),
    )  # (O,)
    return occupancy_iou(inside, comparison.occupancy)


def occupancy_iou_of(comparison: SolidComparison) -> float | None:
    """Return `occupancy_iou` of the predicted grid, or of the mesh where no grid is produced."""
    if not comparison.has_grids:
        return comparison.once(mesh_iou_of)
    grid = comparison.grid
    if grid is None:
        return None
    inside = grid_occupancy(comparison.points, grid.grid, grid.origin, grid.voxel)  # (O,)
    return occupancy_iou(inside, comparison.occupancy)


# A perfect answer passes through a voxel grid, so it has a bound and no exact ceiling.
METRICS = (
    Metric(
        name="occupancy_iou",
        family="reconstruction",
        task="occupancy",
        input="solids",
        compute=occupancy_iou_of,
        description="solids at uniform points of the room; from the mesh where no grid is produced",
        source=OCCUPANCY_NETWORKS,
        perfect_bound=0.9,
        place=70,
    ),
    Metric(
        name="mesh_iou",
        family="reconstruction",
        task="mesh",
        input="solids",
        compute=lambda comparison: comparison.once(mesh_iou_of),
        description="the same points, generalized winding number of the mesh > 0.5",
        source=f"{OCCUPANCY_NETWORKS}; Barill et al. 2018 for the inside of a mesh",
        perfect_bound=0.95,
        place=71,
    ),
)
