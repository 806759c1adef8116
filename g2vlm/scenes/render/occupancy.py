"""True solids of the furniture on a grid, and dense points on triangles.

Only a fifth of the catalog is watertight, so no inside test of the raw meshes can be trusted.
Here an object is its surface cells plus every cell that cannot be reached from outside of its
padded box.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from g2vlm.scenes.render.meshes import bounds
from metrics.constants import VOXEL_M


def surface_points(triangles: np.ndarray, spacing: float) -> np.ndarray:
    """Cover triangles with points, so that none of their area is `spacing` metres from a point.

    triangles: float[F, 3, 3]. Small ones give their corners; others are swept from the apex to
    the longest edge, corners included. Returns float32[N, 3].
    """
    corners = np.asarray(triangles, np.float32)
    edges = _edge_lengths(corners)
    longest = np.maximum(np.maximum(edges[:, 0], edges[:, 1]), edges[:, 2])
    small, large = np.flatnonzero(longest <= spacing), np.flatnonzero(longest > spacing)
    swept = _sweep(corners.take(large, axis=0), edges.take(large, axis=0), spacing)
    return np.concatenate([corners.take(small, axis=0).reshape(-1, 3), swept])


def _edge_lengths(corners: np.ndarray) -> np.ndarray:
    """Return float32[F, 3], the length of the edge that starts at each corner of [F, 3, 3]."""
    length = np.empty((len(corners), 3), np.float32)
    for k in range(3):
        # Sums over an axis of three are several times slower than the sum written out.
        x, y, z = corners[:, (k + 1) % 3].T - corners[:, k].T
        length[:, k] = np.sqrt(x * x + y * y + z * z)
    return length


def _sweep(corners: np.ndarray, edges: np.ndarray, spacing: float) -> np.ndarray:
    """Return points of triangles [F, 3, 3], at most `spacing` apart along rows and across them."""
    rows = np.arange(len(corners))
    longest = edges.argmax(axis=1)
    a, b = corners[rows, longest], corners[rows, (longest + 1) % 3]
    apex = corners[rows, (longest + 2) % 3]
    base = edges[rows, longest]
    height = np.linalg.norm(np.cross(b - a, apex - a), axis=1) / np.maximum(base, 1e-12)
    n_rows = np.maximum(np.ceil(height / spacing), 1).astype(np.int64)
    n_columns = np.maximum(np.ceil(base / spacing), 1).astype(np.int64)
    owner, row = _counted(n_rows + 1)
    line, column = _counted(n_columns[owner] + 1)
    down = row.astype(np.float32) / n_rows[owner].astype(np.float32)
    across = column.astype(np.float32) / n_columns.astype(np.float32)[owner][line]
    points = (b - a)[owner].take(line, axis=0)
    points *= across[:, None]
    points += (a - apex)[owner].take(line, axis=0)
    points *= down[line][:, None]
    points += apex[owner].take(line, axis=0)
    return points


def _counted(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for int[N] counts the owner of each item and its number within the owner."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - (np.cumsum(count) - count)[owner]


def object_solid(
    triangles: np.ndarray, shape: tuple[int, int, int], voxel: float = VOXEL_M
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the block of the room grid that an object touches and its solid cells, bool.

    triangles: float[f, 3, 3] in the room frame, whose origin is the grid's; shape: of the grid.
    """
    last = np.array(shape) - 1
    low, high = (
        np.clip((corner / voxel).astype(np.int64), 0, last)
        for corner in bounds(triangles.reshape(-1, 3))
    )
    points = surface_points(triangles, voxel / 2)
    cells = [
        np.clip((points[:, k] / np.float32(voxel)).astype(np.int32), low[k], high[k]) - (low[k] - 1)
        for k in range(3)
    ]
    high += 1
    block = np.zeros(high - low + 2, bool)
    block.reshape(-1)[(cells[0] * block.shape[1] + cells[1]) * block.shape[2] + cells[2]] = True
    filled = ndimage.binary_fill_holes(block)[1:-1, 1:-1, 1:-1]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), filled


def room_solids(objects: list[np.ndarray], room: np.ndarray, voxel: float = VOXEL_M) -> np.ndarray:
    """Unite the solids of all objects; room: float[3] m. Returns bool[X, Y, Z] in the room."""
    shape = tuple(int(n) for n in np.ceil(np.asarray(room) / voxel - 1e-6))
    grid = np.zeros(shape, bool)
    for triangles in objects:
        block, filled = object_solid(triangles, shape, voxel)
        grid[block] |= filled
    return grid
