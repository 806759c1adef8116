"""Depth of a prediction in held-out cameras: rays into a mesh, or points rendered as squares."""

from collections.abc import Callable
from typing import Any

import numpy as np

from metrics.constants import NEAREST_M
from metrics.geometry import camera_rays, to_camera
from metrics.metric import Metric
from metrics.reconstruction.distances import sampled_metric
from metrics.reconstruction.pointcloud import CELL, Cloud, distinct_rows
from metrics.reconstruction.surfaces import SurfaceComparison

# Images are thinned to at most this many columns; neighbouring pixels hardly differ.
WIDEST = 160
# A depth within this factor of the true one is a hit.
DELTA = 1.25
# With more faces than this, equal ones are removed first.
_MANY_FACES = 100_000
# Half the side of the largest square, pixels: bounds the cost of points close to a camera.
_LARGEST_RADIUS = 12


def mesh_depth(
    vertices: np.ndarray,
    faces: np.ndarray,
    shape: tuple[int, int],
    intrinsics: np.ndarray,
    pose: np.ndarray,
    stride: int = 1,
) -> np.ndarray:
    """Render a mesh by casting one ray through the centre of each kept pixel.

    Args:
        vertices: [N, 3] metres.
        faces: [F, 3].
        shape: (H, W) of the images.
        intrinsics: [V, 3, 3].
        pose: [V, 4, 4] camera to frame; pixel centres lie at +0.5.
        stride: every how many rows and columns are kept.

    Returns:
        z-depths f32 [V, ceil(H / stride), ceil(W / stride)] in metres, 0 where no face is hit.
    """
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    rows, columns = np.mgrid[0 : shape[0] : stride, 0 : shape[1] : stride]  # (H', W') each
    result = np.zeros((len(pose), *rows.shape), np.float32)
    if len(faces) == 0:
        return result
    scene = rtcore_scene.EmbreeScene()
    corners = np.ascontiguousarray(vertices, np.float32)
    if len(faces) > _MANY_FACES:
        # Every ray at a pile of equal faces meets each of them.
        faces = faces[distinct_rows(corners[faces].reshape(len(faces), 9))[0]]
    TriangleMesh(scene, corners, np.ascontiguousarray(faces, np.int32))
    for view in range(len(pose)):
        # The camera-space z of each direction is 1, so the ray parameter is the z-depth.
        local = camera_rays(intrinsics[view], columns.ravel() + 0.5, rows.ravel() + 0.5)
        rays = local @ pose[view, :3, :3].T  # (H' W', 3) in the frame
        hit = scene.run(
            np.ascontiguousarray(np.broadcast_to(pose[view, :3, 3], rays.shape), np.float32),
            np.ascontiguousarray(rays, np.float32),
            query="DISTANCE",
        )
        # Embree returns a huge distance for a ray without a hit.
        result[view] = np.where(hit < 1e30, hit, 0.0).reshape(rows.shape)
    return result


def point_radii(cloud: Cloud, neighbours: int = 4, largest: float = 0.1) -> np.ndarray:
    """Return half the side f32 [N], in metres, of the square that each point is rendered as.

    It is the distance to the fourth nearest other point, so that neighbouring squares close the
    surface at the cloud's own density.

    Args:
        cloud: N points.
        neighbours: which nearest other point.
        largest: upper limit in metres, so that a stray point hides no more than that.
    """
    if len(cloud.points) < 2:
        return np.full(len(cloud.points), largest, np.float32)
    distance = cloud.around.distance[:, : neighbours + 1]  # the first is the point itself
    return np.minimum(distance[:, -1], largest).astype(np.float32)


def point_depth(
    points: np.ndarray,
    radii: np.ndarray,
    shape: tuple[int, int],
    intrinsics: np.ndarray,
    pose: np.ndarray,
    stride: int = 1,
) -> np.ndarray:
    """Render points as squares that face the camera; the nearest one of a pixel counts.

    Args:
        points: [N, 3] metres.
        radii: [N] metres, half the side of each square.
        shape, intrinsics, pose, stride: as in `mesh_depth`.

    Returns:
        z-depths f32 [V, ceil(H / stride), ceil(W / stride)] in metres, 0 where there is no square.
    """
    height, width = (-(-side // stride) for side in shape)
    result = np.zeros((len(pose), height, width), np.float32)
    for view in range(len(pose)):
        camera = np.ascontiguousarray(to_camera(points, pose[view]).T)  # (3, N)
        front = np.flatnonzero(camera[2] > NEAREST_M)
        x, y, z = camera.take(front, axis=1)  # (K,) each
        matrix = intrinsics[view]
        column = np.floor((x / z * matrix[0, 0] + matrix[0, 2]) / stride).astype(np.int64)
        row = np.floor((y / z * matrix[1, 1] + matrix[1, 2]) / stride).astype(np.int64)
        size = np.minimum(
            np.round(radii[front] / z * matrix[0, 0] / stride).astype(np.int64), _LARGEST_RADIUS
        )
        result[view] = _squares(row, column, z, size, height, width)
    return result


def _squares(
    row: np.ndarray, column: np.ndarray, z: np.ndarray, size: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Return the depth image f32 [height, width] of squares.

    Args:
        row, column: i64 [K], pixels of the centres; size: i64 [K], half the side in pixels.
        z: [K] depth in metres.
    """
    # Centres lie up to the largest radius outside the image, so no square has to be clipped.
    pad = _LARGEST_RADIUS
    near = (row >= -pad) & (row < height + pad) & (column >= -pad) & (column < width + pad)
    row, column, z, size = row[near], column[near], z[near].astype(np.float32), size[near]
    across = width + 2 * pad
    centre = (row + pad) * across + column + pad  # (C,) flat pixels
    image = np.full((height + 2 * pad, across), np.inf, np.float32)
    # A square of radius r is its centre grown by one pixel r times, so squares of all sizes grow
    # together: each one joins when as many steps are left as its radius.
    for radius in range(size.max(initial=0), -1, -1):
        chosen = size == radius
        np.minimum.at(image.reshape(-1), centre[chosen], z[chosen])
        if radius:
            image = _grown(image)
    inner = image[pad : pad + height, pad : pad + width]
    return np.where(np.isfinite(inner), inner, 0.0)


def _grown(image: np.ndarray) -> np.ndarray:
    """Return the least value of each pixel of [H, W] and its eight neighbours."""
    # First from the lines above and below, then from the columns to both sides.
    lines = image.copy()
    np.minimum(lines[1:], image[:-1], out=lines[1:])
    np.minimum(lines[:-1], image[1:], out=lines[:-1])
    grown = lines.copy()
    np.minimum(grown[:, 1:], lines[:, :-1], out=grown[:, 1:])
    np.minimum(grown[:, :-1], lines[:, 1:], out=grown[:, :-1])
    return grown


def depth_absrel(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the mean of |p - g| / g over pixels with true depth; None without any.

    Each pixel counts at most 1, and an empty predicted pixel counts 1: a stray pixel is a failed
    pixel.

    Args:
        predicted, truth: metres, same shape, 0 = none.

    Source: monocular depth practice (Eigen et al. 2014), capped.

    Example:
        >>> depth_absrel(np.array([1.0, 0.0]), np.array([2.0, 2.0]))
        0.75
    """
    known = truth > 0
    if not known.any():
        return None
    error = np.abs(predicted[known] - truth[known]) / truth[known]
    return float(np.minimum(error, 1.0).mean(dtype=np.float64))


def depth_delta(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the share of pixels with max(p/g, g/p) < 1.25; None without true depth.

    Empty predicted pixels fail.

    Args:
        predicted, truth: metres, same shape, 0 = none.

    Source: Eigen et al. 2014.

    Example:
        >>> predicted, truth = np.array([2.4, 2.6, 0.0, 1.0]), np.array([2.0, 2.0, 2.0, 0.0])
        >>> depth_delta(predicted, truth).__round__(3)
        0.333
    """
    known = truth > 0
    if not known.any():
        return None
    p, g = predicted[known], truth[known]
    # A tiny depth in place of none makes the second ratio huge, so that the pixel fails.
    ratio = np.maximum(p / g, g / np.where(p > 0, p, 1e-6))
    return float((ratio < DELTA).mean())


def held_out_depths(comparison: SurfaceComparison) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true depths f32 [V, H', W'] in the held-out cameras, metres.

    The mesh is rendered if the comparison has one, else the points as squares.
    """
    true = comparison.clouds.true
    # Every how many rows and columns are kept, so that at most `WIDEST` columns are left.
    stride = max(1, -(-true.held_depth.shape[2] // WIDEST))
    camera = (true.held_depth.shape[1:], true.held_intrinsics, true.held_pose, stride)
    if comparison.mesh is not None:
        predicted = mesh_depth(comparison.mesh.vertices, comparison.mesh.faces, *camera)
    else:
        cloud = comparison.samples.cloud(CELL)
        predicted = point_depth(cloud.points, point_radii(cloud), *camera)
    return predicted, true.held_depth[:, ::stride, ::stride]


def _metric(name: str, function: Callable[..., float | None], **facts: Any) -> Metric:
    return sampled_metric(
        name,
        compute=lambda comparison: function(*comparison.once(held_out_depths)),
        applies=lambda comparison: bool((comparison.clouds.true.held_depth > 0).any()),
        source="Eigen et al. 2014; differs from it in rendered held-out views, where an empty "
        "pixel fails, and in an error of at most 1 a pixel",
        place=80,
        **facts,
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
