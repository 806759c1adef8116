"""The mean true pointmap of the training rooms, the same in every scene: it sees no image."""

import time
from typing import Any

import numpy as np

from baselines.contract import Context
from metrics.constants import INPUT_VIEWS
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "The mean pointmap of the training rooms, the same in every scene"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "looks at no scene"


def predict(context: Context) -> None:
    """Write the mean pointmap and its mean colours for every scene of every split."""
    start = time.perf_counter()
    points, colours = mean_pointmap(context.need("train"))
    known = np.isfinite(points).all(-1)
    pixels = np.argwhere(known)
    seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = points.size + colours.size
            for scene in scenes.ids:
                writer.points(scene, points[known], colours[known], pixels=pixels)


def mean_pointmap(train: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean position and colour of each pixel of the input views over training scenes.

    A pixel counts in the scenes in which it has true depth.

    Returns:
        Points f32[V, H, W, 3] in the frame, metres, NaN at pixels without any depth, and colours
        u8[V, H, W, 3].
    """
    totals: np.ndarray | float = 0.0  # (V, H, W, 7): position, colour, count
    for scene in train.ids:
        views = train.views(scene)
        depth, pose = views.depth[:INPUT_VIEWS], views.pose[:INPUT_VIEWS]
        points = to_frame(lift_depth(depth, views.intrinsics[:INPUT_VIEWS]), pose)
        known = (depth > 0)[..., None]
        rows = np.concatenate([points, views.rgb[:INPUT_VIEWS], np.ones_like(points[..., :1])], -1)
        totals = totals + np.where(known, rows, 0.0)
    with np.errstate(invalid="ignore"):
        means = totals[..., :6] / totals[..., 6:]
    colours = np.rint(np.nan_to_num(means[..., 3:])).astype(np.uint8)
    return means[..., :3].astype(np.float32), colours
