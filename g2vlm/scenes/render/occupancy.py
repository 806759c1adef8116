"""True occupancy of the furniture on a grid, and dense points on triangles.

Only a fifth of the catalog is watertight, so no inside test of the raw meshes can be trusted. Here
an object is its surface cells plus every cell that cannot be reached from outside of its padded
bounding box.
"""

import numpy as np
from scipy import ndimage

from metrics.constants import VOXEL_M
from metrics.geometry import bounds, lengths


def surface_points(triangles: np.ndarray, spacing: float) -> np.ndarray:
    """Cover triangles with points float32 [N, 3], so that no part is `spacing` from all of them.

    A triangle whose sides are at most `spacing` gives its corners. A larger one is swept: rows of
    points parallel to its longest side, from the apex to that side, corners included.

    Args:
        triangles: float [F, 3, 3] corners in metres.
        spacing: in metres.
    """
    corners = np.asarray(triangles, np.float32)
    # (F, 3): length of the edge that starts at each corner.
    edges = np.stack([lengths(corners[:, (k + 1) % 3] - corners[:, k]) for k in range(3)], axis=1)
    longest = np.maximum(np.maximum(edges[:, 0], edges[:, 1]), edges[:, 2])
    small, large = np.flatnonzero(longest <= spacing), np.flatnonzero(longest > spacing)
    swept = _sweep(corners.take(large, axis=0), edges.take(large, axis=0), spacing)
    return np.concatenate([corners.take(small, axis=0).reshape(-1, 3), swept])


def _sweep(corners: np.ndarray, edges: np.ndarray, spacing: float) -> np.ndarray:
    """Return points [N, 3] of triangles, at most `spacing` apart along rows and between rows.

    Args:
        corners: float32 [F, 3, 3].
        edges: float32 [F, 3], length of the edge that starts at each corner.
        spacing: in metres.
    """
    triangle = np.arange(len(corners))
    longest = edges.argmax(axis=1)
    # The base from a to b is the longest side; the apex lies opposite.
    a, b = corners[triangle, longest], corners[triangle, (longest + 1) % 3]
    apex = corners[triangle, (longest + 2) % 3]
    base = edges[triangle, longest]
    height = np.linalg.norm(np.cross(b - a, apex - a), axis=1) / np.maximum(base, 1e-12)
    n_rows = np.maximum(np.ceil(height / spacing), 1).astype(np.int64)  # (F,)
    n_columns = np.maximum(np.ceil(base / spacing), 1).astype(np.int64)
    # R rows of all triangles, then N points of all rows, each with its owner's number.
    owner, row = _enumerate_items(n_rows + 1)  # (R,)
    line, column = _enumerate_items(n_columns[owner] + 1)  # (N,)
    down = row.astype(np.float32) / n_rows[owner].astype(np.float32)  # (R,): 0 apex, 1 base
    across = column.astype(np.float32) / n_columns.astype(np.float32)[owner][line]  # (N,)
    # apex + down * ((a - apex) + across * (b - a)), in place: N is millions.
    points = (b - a)[owner].take(line, axis=0)
    points *= across[:, None]
    points += (a - apex)[owner].take(line, axis=0)
    points *= down[line][:, None]
    points += apex[owner].take(line, axis=0)
    return points


def _enumerate_items(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the items of owners that have `count` int [N] each.

    Returns the owner of every item and its number within the owner, int64 [sum(count)] each.
    """
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - (np.cumsum(count) - count)[owner]


def grid_shape(room: np.ndarray) -> tuple[int, int, int]:
    """Return the shape of the occupancy grid of a room of size [3] metres."""
    # The small number keeps a size that is a whole number of cells from gaining one by rounding.
    return tuple(int(n) for n in np.ceil(room / VOXEL_M - 1e-6))


def room_occupancy(objects: list[np.ndarray], room: np.ndarray) -> np.ndarray:
    """Return bool [X, Y, Z], the cells of a room that any object fills.

    Args:
        objects: the triangles float [f, 3, 3] of each object in the room frame.
        room: [3] size in metres.
    """
    grid = np.zeros(grid_shape(np.asarray(room)), bool)
    for triangles in objects:
        # The cells of the object's bounding box, from `low` to `high`.
        low, high = (
            np.clip((corner / VOXEL_M).astype(np.int64), 0, np.array(grid.shape) - 1)
            for corner in bounds(triangles.reshape(-1, 3))
        )
        points = surface_points(triangles, VOXEL_M / 2)
        # Cell numbers in the padded block, one axis at a time.
        cells = [
            np.clip((points[:, k] / np.float32(VOXEL_M)).astype(np.int32), low[k], high[k])
            - (low[k] - 1)
            for k in range(3)
        ]
        # One empty layer around the object lets the flood of `binary_fill_holes` reach all sides.
        block = np.zeros(high - low + 3, bool)
        block.reshape(-1)[(cells[0] * block.shape[1] + cells[1]) * block.shape[2] + cells[2]] = True
        filled = ndimage.binary_fill_holes(block)[1:-1, 1:-1, 1:-1]
        grid[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] |= filled
    return grid


def cell_of(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the index of the cell that holds each point [N, 3] of a room, one array an axis.

    Points on the room's far walls belong to the last cells.
    """
    cells = np.minimum((points / VOXEL_M).astype(np.int64), np.array(shape) - 1)
    return tuple(cells.T)
