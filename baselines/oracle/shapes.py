"""Meshes of the true occupancy grid."""

from __future__ import annotations

import numpy as np


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
