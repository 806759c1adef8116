"""Simulate a structured-light depth sensor, and draw a partial point cloud.

Axial noise follows Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D
reconstruction and tracking", 3DIMPVT 2012: sigma = base + slope * (z - near)^2. Disparity steps and
lost pixels at edges, grazing surfaces and glass follow Khoshelham and Elberink, "Accuracy and
resolution of Kinect depth data", Sensors 2012.
"""

import numpy as np
from scipy import ndimage

from g2vlm.scenes.render.settings import SensorModel
from metrics.constants import NEAREST_M
from metrics.geometry import first_in_cells, lift_depth, to_frame

# Relative second difference of the inverse depth above which a pixel lies on an edge.
_EDGE_BEND = 0.05
_HOLE_PX = 3
# The partial cloud: side of the cells that keep one point each, and noise of each coordinate.
_THINNING_M = 0.05
_PARTIAL_NOISE_M = 0.01


def measure(
    depth: np.ndarray,
    cosine: np.ndarray,
    opacity: np.ndarray,
    model: SensorModel,
    rng: np.random.Generator,
) -> np.ndarray:
    """Turn true depth into a measurement.

    Args:
        depth: float [V, H, W] z-depth in metres, 0 = no surface.
        cosine: float [V, H, W] of the angle between the normal and the direction to the camera.
        opacity: float [V, H, W] of the surface.
        model: of the sensor.
        rng: random generator.

    Returns:
        uint16 [V, H, W] in millimetres, 0 = lost.
    """
    sigma = model.axial_base_m + model.axial_slope * (depth - model.axial_near_m) ** 2
    noisy = np.maximum(depth + rng.normal(size=depth.shape) * sigma, NEAREST_M)
    # The sensor matches patterns: disparity, and not depth, comes in equal steps.
    step = model.disparity_step_px
    disparity = np.maximum(np.rint(model.baseline_focal_px_m / noisy / step), 1.0) * step
    measured = model.baseline_focal_px_m / disparity
    # The order of these lines is the order of the random draws.
    lost = (depth <= 0) | (measured > model.max_range_m)
    lost |= cosine < np.cos(np.deg2rad(model.grazing_deg))
    lost |= depth_edges(depth) & (rng.random(depth.shape) < model.edge_drop)
    lost |= (opacity < 1.0) & (rng.random(depth.shape) < model.glass_drop)
    # Random square holes that cover about `hole_rate` of all.
    centres = rng.random(depth.shape) < model.hole_rate / _HOLE_PX**2
    lost |= ndimage.maximum_filter(centres, (1, _HOLE_PX, _HOLE_PX), mode="constant")
    return np.where(lost, 0, np.rint(measured * 1000.0)).astype(np.uint16)


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """Return bool [V, H, W], where a surface ends or bends sharply.

    The inverse depth of a plane is linear in the image, so its second difference is 0 on a plane,
    also on a floor seen at a grazing angle, where the depth itself grows steeply.

    Args:
        depth: [V, H, W] z-depth in metres.
    """
    inverse = 1.0 / np.maximum(depth, 1e-3)
    edges = np.zeros(depth.shape, bool)
    for axis in (1, 2):
        middle = tuple(slice(1, -1) if a == axis else slice(None) for a in range(3))
        second = np.diff(inverse, n=2, axis=axis)
        edges[middle] |= np.abs(second) > _EDGE_BEND * inverse[middle]
    return edges


def cloud_of_views(
    rgb: np.ndarray,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    pose: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the partial point cloud of a sensor's views; nothing else of the scene is in it.

    Args:
        rgb: uint8 [V, H, W, 3].
        depth: [V, H, W] z-depth as measured, metres, 0 = lost.
        intrinsics: [V, 3, 3], pixels.
        pose: [V, 4, 4] from cameras to the frame.
        count: how many points to draw.
        rng: random generator.

    Returns:
        float32 [count, 6], xyz in metres and rgb in 0..1; [0, 6] where nothing was measured.
    """
    seen = depth > 0
    if not seen.any():
        return np.zeros((0, 6), np.float32)
    points = to_frame(lift_depth(depth, intrinsics), pose)  # (V, H, W, 3)
    return partial_cloud(points[seen], rgb[seen], count, rng)


def partial_cloud(
    points: np.ndarray, colours: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the partial point cloud: a thinned, noisy part of the points of the input views.

    One side of a random plane is kept, with half to all of the points; of them one point a 5 cm
    cell, and of those `count` at random, with repeats if there are fewer.

    Args:
        points: [N, 3] in the frame, in metres.
        colours: uint8 [N, 3].
        count: how many points to draw.
        rng: random generator.

    Returns:
        float32 [count, 6], xyz in metres and rgb in 0..1.
    """
    along = points @ rng.normal(size=3)  # (N,)
    kept = np.flatnonzero(along <= np.quantile(along, rng.uniform(0.5, 1.0)))
    # Shuffled first, so that the first point of a cell is a random one.
    kept = rng.permutation(kept)
    kept = kept[first_in_cells(points[kept], _THINNING_M)]
    chosen = rng.choice(kept, count, replace=len(kept) < count)
    place = points[chosen] + rng.normal(scale=_PARTIAL_NOISE_M, size=(count, 3))
    return np.column_stack([place, colours[chosen] / 255.0]).astype(np.float32)
