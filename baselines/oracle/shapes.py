"""True solids as a closed mesh."""

from __future__ import annotations

import numpy as np


def voxel_mesh(solids: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Mesh the boundary of solids bool[X,Y,Z]: two triangles a face, normals out of the solid.

    Exact where marching cubes would cut the corners of every cell. Returns vertices f32[N,3] in
    metres of the grid's axes and faces i32[F,3].
    """
    padded = np.pad(solids, 1)
    quads = []
    for axis in range(3):
        first, second = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for side in (0, 1):
            beside = np.roll(padded, 1 - 2 * side, axis)
            cells = np.argwhere(padded & ~beside) - 1
            cells[:, axis] += side
            corners = [cells, cells + first, cells + first + second, cells + second]
            quads.append(np.stack(corners if side else corners[::-1], 1))
    corners = np.concatenate(quads).reshape(-1, 3)
    span = np.array(solids.shape) + 1
    keys, index = np.unique(np.ravel_multi_index(corners.T, span), return_inverse=True)
    vertices = np.stack(np.unravel_index(keys, span), 1).astype(np.float32) * np.float32(size)
    index = index.reshape(-1, 4).astype(np.int32)
    return vertices, np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
