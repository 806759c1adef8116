"""Depth of a prediction in held-out cameras: rays into a mesh, or points drawn as small squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metrics.geometry import camera_rays, to_camera
from metrics.metric import Metric
from metrics.reconstruction.pointcloud import CELL, Cloud
from metrics.reconstruction.surfaces import SurfaceComparison

WIDEST = 160
DELTA = 1.25
_LARGEST_RADIUS = 12


def stride_of(width: int) -> int:
    """Return the pixel step that leaves at most 160 columns; metrics look at these pixels only."""
    return max(1, -(-width // WIDEST))


def mesh_depth(
    vertices: np.ndarray,
    faces: np.ndarray,
    shape: tuple[int, int],
    intrinsics: np.ndarray,
    pose: np.ndarray,
    stride: int = 1,
) -> np.ndarray:
    """Return z-depths f32 [V, ceil(H / stride), ceil(W / stride)] of a mesh, 0 = no hit.

    Args:
        vertices: [N, 3] metres; faces: [F, 3]; shape: (H, W).
        intrinsics: [V, 3, 3]; pose: [V, 4, 4] camera to frame; pixel centres lie at +0.5.
    """
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    rows, columns = np.mgrid[0 : shape[0] : stride, 0 : shape[1] : stride]
    result = np.zeros((len(pose), *rows.shape), np.float32)
    if len(faces) == 0:
        return result
    scene = rtcore_scene.EmbreeScene()
    corners = np.ascontiguousarray(vertices, np.float32)
    TriangleMesh(scene, corners, np.ascontiguousarray(faces, np.int32))
    for view in range(len(pose)):
        # The camera-space z of each direction is 1, so the ray parameter is the z-depth.
        local = camera_rays(intrinsics[view], columns.ravel() + 0.5, rows.ravel() + 0.5)
        rays = local @ pose[view, :3, :3].T
        origins = np.broadcast_to(pose[view, :3, 3], rays.shape)
        hit = scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(rays, np.float32),
            query="DISTANCE",
        )
        result[view] = np.where(hit < 1e30, hit, 0.0).reshape(rows.shape)
    return result


def point_radii(cloud: Cloud, neighbours: int = 4, largest: float = 0.1) -> np.ndarray:
    """Return f32 [N] metres: half the side of the square a point is drawn as.

    It is the distance to the fourth nearest other point, so that neighbouring squares close the
    surface at the cloud's own density, and never more than 10 cm.
    """
    if len(cloud.points) < 2:
        return np.full(len(cloud.points), largest, np.float32)
    distance = cloud.around().distance[:, : neighbours + 1]
    return np.minimum(distance[:, -1], largest).astype(np.float32)


def point_depth(
    points: np.ndarray,
    radii: np.ndarray,
    shape: tuple[int, int],
    intrinsics: np.ndarray,
    pose: np.ndarray,
    stride: int = 1,
) -> np.ndarray:
    """Return z-depths f32 [V, ceil(H / stride), ceil(W / stride)] of points drawn as squares.

    Args:
        points: [N, 3] metres; radii: [N] metres; the others as in `mesh_depth`.
    """
    height, width = (-(-side // stride) for side in shape)
    result = np.zeros((len(pose), height, width), np.float32)
    for view in range(len(pose)):
        camera = to_camera(points, pose[view])
        front = camera[:, 2] > 0.05
        x, y, z = camera[front].T
        matrix = intrinsics[view]
        column = np.floor((x / z * matrix[0, 0] + matrix[0, 2]) / stride).astype(np.int64)
        row = np.floor((y / z * matrix[1, 1] + matrix[1, 2]) / stride).astype(np.int64)
        size = np.round(radii[front] / z * matrix[0, 0] / stride).astype(np.int64)
        size = np.minimum(size, _LARGEST_RADIUS)
        result[view] = _draw(row, column, z, size, height, width)
    return result


def _draw(
    row: np.ndarray, column: np.ndarray, z: np.ndarray, size: np.ndarray, height: int, width: int
) -> np.ndarray:
    pad = _LARGEST_RADIUS
    near = (row >= -pad) & (row < height + pad) & (column >= -pad) & (column < width + pad)
    row, column, z, size = row[near], column[near], z[near], size[near]
    image = np.full((height + 4 * pad) * (width + 4 * pad), np.inf, np.float32)
    for radius in np.unique(size):
        chosen = size == radius
        start = (row[chosen] + 2 * pad) * (width + 4 * pad) + column[chosen] + 2 * pad
        span = np.arange(-radius, radius + 1)
        offsets = (span[:, None] * (width + 4 * pad) + span[None, :]).ravel()
        targets = (start[:, None] + offsets).ravel()
        np.minimum.at(image, targets, np.repeat(z[chosen].astype(np.float32), len(offsets)))
    framed = image.reshape(height + 4 * pad, width + 4 * pad)
    inner = framed[2 * pad : 2 * pad + height, 2 * pad : 2 * pad + width]
    return np.where(np.isfinite(inner), inner, 0.0)


def depth_absrel(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean |p - g| / g over pixels with true depth, each at most 1. Lower is better, worst 1.

    Args:
        predicted, truth: metres, same shape, 0 = none. An empty predicted pixel counts 1.

    Monocular depth practice (Eigen et al. 2014), capped so that a stray pixel is a failed pixel.
    The floor is measured on each split. None where no pixel has a true depth.

    >>> depth_absrel(np.array([1.0, 0.0]), np.array([2.0, 2.0]))
    0.75
    """
    known = truth > 0
    if not known.any():
        return None
    error = np.abs(predicted[known] - truth[known]) / truth[known]
    return float(np.minimum(error, 1.0).mean(dtype=np.float64))


def depth_delta(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Share of pixels with max(p/g, g/p) < 1.25 (Eigen et al. 2014); empty pixels fail.

    Arguments as of `depth_absrel`. Higher is better, in [0, 1], worst 0; the floor is measured on
    each split.

    >>> depth_delta(np.array([2.4, 2.6, 0.0, 1.0]), np.array([2.0, 2.0, 2.0, 0.0])).__round__(3)
    0.333
    """
    known = truth > 0
    if not known.any():
        return None
    mine, true = predicted[known], truth[known]
    ratio = np.maximum(mine / true, true / np.where(mine > 0, mine, 1e-6))
    return float((ratio < DELTA).mean())


def held_out_depths(comparison: SurfaceComparison) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true depths f32 [V, H', W'] in the held-out cameras, metres.

    The mesh is rendered if the comparison has one, else the points as squares. Every
    `stride_of`-th row and column is kept.
    """
    true = comparison.clouds.true
    stride = stride_of(true.held_depth.shape[2])
    camera = (true.held_depth.shape[1:], true.held_intrinsics, true.held_pose, stride)
    if comparison.mesh is not None:
        predicted = mesh_depth(comparison.mesh.vertices, comparison.mesh.faces, *camera)
    else:
        cloud = comparison.samples.cloud(CELL)
        predicted = point_depth(cloud.points, point_radii(cloud), *camera)
    return predicted, true.held_depth[:, ::stride, ::stride]


def _has_held_out_depth(comparison: SurfaceComparison) -> bool:
    return bool((comparison.clouds.true.held_depth > 0).any())


def _metric(name: str, function: Callable[..., float | None], **more: Any) -> Metric:
    return Metric(
        name=name,
        family="reconstruction",
        task="points",
        input="surface",
        compute=lambda comparison: function(*comparison.once(held_out_depths)),
        applies=_has_held_out_depth,
        source="Eigen et al. 2014",
        floor_of=name,
        computed_ceiling=True,
        place=80,
        **more,
    )


METRICS = (
    _metric(
        "novel_depth_absrel",
        depth_absrel,
        higher_is_better=False,
        description="mean |p-g|/g in the held-out cameras, each pixel at most 1, empty pixels 1",
    ),
    _metric(
        "novel_depth_delta1.25",
        depth_delta,
        description="share of held-out pixels with max(p/g, g/p) < 1.25",
    ),
)
