"""What a structured-light sensor would measure of a true depth map, and a partial point cloud.

Axial noise follows Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D
reconstruction and tracking", 3DIMPVT 2012: sigma = base + slope * (z - near)^2. Disparity steps
and lost pixels at edges, grazing surfaces and glass follow Khoshelham and Elberink, "Accuracy and
resolution of Kinect depth data", Sensors 2012.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from g2vlm.scenes.render.settings import SensorModel

_EDGE_BEND = 0.05
_HOLE_RADIUS_PX = 1
_THIN_M = 0.05
_PARTIAL_NOISE_M = 0.01


def measure(
    depth: np.ndarray,
    cosine: np.ndarray,
    opacity: np.ndarray,
    model: SensorModel,
    rng: np.random.Generator,
) -> np.ndarray:
    """Turn true depth into a measurement in whole millimetres.

    depth: float[V, H, W] m, 0 = nothing; cosine: float[V, H, W] between the surface normal and
    the direction to the camera; opacity: float[V, H, W]. Returns uint16[V, H, W], 0 = lost.
    """
    sigma = model.axial_base_m + model.axial_slope * (depth - model.axial_near_m) ** 2
    noisy = np.maximum(depth + rng.normal(size=depth.shape) * sigma, 0.05)
    step = model.disparity_step_px
    disparity = np.maximum(np.rint(model.baseline_focal_px_m / noisy / step), 1.0) * step
    measured = model.baseline_focal_px_m / disparity
    lost = (depth <= 0) | (measured > model.max_range_m)
    lost |= cosine < np.cos(np.deg2rad(model.grazing_deg))
    lost |= depth_edges(depth) & (rng.random(depth.shape) < model.edge_drop)
    lost |= (opacity < 1.0) & (rng.random(depth.shape) < model.glass_drop)
    lost |= _holes(depth.shape, model.hole_rate, rng)
    return np.where(lost, 0, np.rint(measured * 1000.0)).astype(np.uint16)


def depth_edges(depth: np.ndarray, bend: float = _EDGE_BEND) -> np.ndarray:
    """Return bool[V, H, W]: a surface ends here, seen from the second difference of 1 / depth.

    The inverse depth of a plane is linear in the image, so a floor seen at a grazing angle is no
    edge however steeply its depth grows. `bend` is relative to the inverse depth.
    """
    inverse = 1.0 / np.maximum(depth, 1e-3)
    edges = np.zeros(depth.shape, bool)
    for axis in (1, 2):
        middle = tuple(slice(1, -1) if a == axis else slice(None) for a in range(3))
        second = np.diff(inverse, n=2, axis=axis)
        edges[middle] |= np.abs(second) > bend * inverse[middle]
    return edges


def _holes(shape: tuple, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return bool[V, H, W]: random 3 x 3 holes that cover about `rate` of the pixels."""
    side = 2 * _HOLE_RADIUS_PX + 1
    seeds = rng.random(shape) < rate / side**2
    return ndimage.maximum_filter(seeds, (1, side, side), mode="constant")


def back_project(depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return float64[V, H, W, 3], every pixel's point in the frame of the poses.

    depth: float[V, H, W] m; intrinsics: float[V, 3, 3]; pose: float[V, 4, 4] camera to frame.
    """
    views, height, width = depth.shape
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    focal = intrinsics[:, [0, 1], [0, 1]][:, :, None, None]
    centre = intrinsics[:, :2, 2][:, :, None, None]
    local = np.ones((views, height, width, 3))
    local[..., 0] = (columns - centre[:, 0]) / focal[:, 0]
    local[..., 1] = (rows - centre[:, 1]) / focal[:, 1]
    local *= depth[..., None]
    turned = local.reshape(views, -1, 3) @ pose[:, :3, :3].transpose(0, 2, 1)
    return (turned + pose[:, None, :3, 3]).reshape(local.shape)


def partial_cloud(
    points: np.ndarray, colours: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the partial geometry: a thinned, noisy, random part of what the input views saw.

    points: float[N, 3] frame; colours: uint8[N, 3]. Half to all of the cloud is kept, on one side
    of a random plane; one point a 5 cm cell; `count` are drawn, again if there are fewer.
    Returns float32[count, 6] (xyz, rgb in 0..1).
    """
    along = points @ rng.normal(size=3)
    kept = np.flatnonzero(along <= np.quantile(along, rng.uniform(0.5, 1.0)))
    kept = rng.permutation(kept)
    cells = np.floor(points[kept] / _THIN_M).astype(np.int64)
    _, first = np.unique(cells @ np.array([1, 1 << 20, 1 << 40]), return_index=True)
    kept = kept[np.sort(first)]
    chosen = rng.choice(kept, count, replace=len(kept) < count)
    place = points[chosen] + rng.normal(scale=_PARTIAL_NOISE_M, size=(count, 3))
    return np.column_stack([place, colours[chosen] / 255.0]).astype(np.float32)
