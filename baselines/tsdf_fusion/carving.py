"""Solid space behind the visible surfaces, by space carving.

Source: Kutulakos and Seitz, "A theory of shape by space carving", IJCV 2000.
"""

import numpy as np

from baselines.tsdf_fusion.fusion import Settings, Surfels

SLAB = 8  # layers of the grid at a time, so that they fit into the processor's cache
NEAREST = 0.05  # smallest depth of a cell in a view, metres


def carve(
    surfels: Surfels, intrinsics: np.ndarray, pose: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells that lie behind a surface in more views than in front of one.

    In a view, a cell is solid if it lies `skin` to `thickness` behind the depth of its pixel. The
    frame's origin lies on the floor; cells below it are not solid.

    Args:
        surfels: filtered depth of V views.
        intrinsics: f32[V, 3, 3].
        pose: f32[V, 4, 4], camera to frame.
        settings: settings of the fusion.

    Returns:
        The solid cells bool[X, Y, Z] in a grid around the measured points, along the axes of the
        frame, and the corner f32[3] of the first cell in metres.
    """
    points = surfels.points[surfels.depth > 0]
    corner = points.min(0)
    shape = np.ceil((points.max(0) - corner) / settings.solid_voxel).astype(int)
    axes = [corner[k] + (np.arange(shape[k]) + 0.5) * settings.solid_voxel for k in range(3)]
    solid = np.zeros(shape, bool)
    for start in range(0, shape[0], SLAB):
        layers = [axes[0][start : start + SLAB], *axes[1:]]
        votes = np.zeros([len(axis) for axis in layers], np.int8)
        for view in range(len(surfels.depth)):
            matrix = intrinsics[view] @ pose[view, :3, :3].T
            image = _image_coordinates(layers, matrix, pose[view, :3, 3])
            ahead = _depth_ahead(surfels.depth[view], *image)
            votes += (ahead < -settings.skin) & (ahead > -settings.thickness)
            votes -= ahead > 0
        solid[start : start + SLAB] = votes > 0
    return solid & (axes[2] > settings.floor), corner


def _image_coordinates(
    axes: list[np.ndarray], matrix: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project a grid given by its axes: homogeneous column, row and z-depth, each f32[X, Y, Z]."""
    x, y, z = (
        ((axis - position[k])[:, None] * matrix[:, k]).astype(np.float32)
        for k, axis in enumerate(axes)
    )
    # A projection is linear, so the axes are projected separately and added.
    plan = x[:, None] + y[None]  # (X, Y, 3)
    return tuple(plan[:, :, None, k] + z[None, None, :, k] for k in range(3))


def _depth_ahead(depth: np.ndarray, u: np.ndarray, v: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the depth map f32[H, W] at the cells' pixels minus z, NaN where it is not known."""
    height, width = depth.shape
    front = np.maximum(z, NEAREST)
    column, row = (u / front).astype(np.int32), (v / front).astype(np.int32)
    known = (z > NEAREST) & (u >= 0) & (v >= 0) & (column < width) & (row < height)
    pixel = np.where(known, row * width + column, height * width)
    measured = np.append(np.where(depth > 0, depth, np.nan), np.nan).astype(np.float32)
    return measured[pixel] - z
