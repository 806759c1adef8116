"""The commonest true depth of each pixel of train, cut at the floor: it sees cameras, no image.

It is the constant of methods that know poses and calibration. Without them depth cannot be lifted,
and the constant is `constant_pointmap` or `floor_plane`.
"""

import time
from typing import Any

import numpy as np

from baselines.contract import Context
from metrics.constants import INPUT_VIEWS
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "The commonest depth of each pixel in train, lifted by the scene's cameras"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "looks at no scene"
GEOMETRY_INPUTS = ("poses", "intrinsics")
PIXELS = True

# Depths are counted in bins of this width, metres, up to the farthest.
BIN = 0.05
FARTHEST = 10.0
GREY = 128


def predict(context: Context) -> None:
    """Write the constant depth, lifted by the cameras, of every scene of every split."""
    start = time.perf_counter()
    depth = commonest_depth(context.need("train"))
    seconds = time.perf_counter() - start
    pixels = np.argwhere(depth > 0)
    colours = np.full((len(pixels), 3), GREY, np.uint8)
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = depth.size
            for scene in scenes.ids:
                inputs = scenes.inputs(scene)
                above = above_floor(depth, inputs.intrinsics, inputs.pose)
                points = to_frame(lift_depth(above, inputs.intrinsics), inputs.pose)[depth > 0]
                writer.points(scene, points, colours, pixels=pixels)


def commonest_depth(train: Any) -> np.ndarray:
    """Return the z-depth f32[V, H, W], metres, that most training scenes have at a pixel.

    Two neighbouring bins count with each bin. A pixel without any depth in train has 0.
    """
    bins = round(FARTHEST / BIN)
    counts: np.ndarray | None = None  # (bins, V * H * W)
    shape: tuple[int, ...] = ()
    for scene in train.ids:
        depth = train.views(scene).depth[:INPUT_VIEWS]
        if counts is None:
            shape = depth.shape
            counts = np.zeros((bins, depth.size), np.int32)
        known = np.flatnonzero(depth > 0)
        place = np.minimum((depth.reshape(-1)[known] / BIN).astype(int), bins - 1)
        counts[place, known] += 1
    assert counts is not None
    near = counts.copy()
    near[1:] += counts[:-1]
    near[:-1] += counts[1:]
    # Centre of the best bin.
    best = (near.argmax(0) + 0.5) * BIN
    return np.where(counts.any(0), best, 0).reshape(shape).astype(np.float32)


def above_floor(depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return z-depth f32[V, H, W] that ends where a pixel's ray meets the floor, z = 0.

    Args:
        depth: f32[V, H, W], metres.
        intrinsics: [V, 3, 3] in pixels.
        pose: [V, 4, 4] camera to frame.
    """
    rays = lift_depth(np.ones_like(depth), intrinsics)  # (V, H, W, 3), one metre deep
    fall = -np.einsum("vhwc,vc->vhw", rays, pose[:, 2, :3])  # metres down per metre of depth
    height = pose[:, 2, 3][:, None, None]
    floor = np.where(fall > 0, height / np.maximum(fall, 1e-6), np.inf)
    return np.minimum(depth, floor).astype(np.float32)
