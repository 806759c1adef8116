"""The median true pointmap of training rooms, the same in every scene: it sees no image."""

import time
import warnings
from typing import Any

import numpy as np

from baselines.contract import Context
from metrics.constants import INPUT_VIEWS
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "The median pointmap of training rooms, the same in every scene"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "looks at no scene"
PIXELS = True

# Training scenes, spread evenly, that the median is taken over: all are held in memory.
SCENES = 128


def predict(context: Context) -> None:
    """Write the median pointmap and its median colours for every scene of every split."""
    start = time.perf_counter()
    points, colours = median_pointmap(context.need("train"))
    known = np.isfinite(points).all(-1)
    pixels = np.argwhere(known)
    seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = points.size + colours.size
            for scene in scenes.ids:
                writer.points(scene, points[known], colours[known], pixels=pixels)


def median_pointmap(train: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the median position and colour of each pixel of the input views over training scenes.

    A median is a better constant than a mean: where most scenes show the floor, it is on the floor.
    A pixel counts in the scenes in which it has true depth.

    Returns:
        Points f32[V, H, W, 3] in the frame, metres, NaN at pixels without any depth, and colours
        u8[V, H, W, 3].
    """
    chosen = np.unique(np.linspace(0, len(train.ids) - 1, SCENES).round().astype(int))
    points, colours = [], []
    for scene in (train.ids[index] for index in chosen):
        views = train.views(scene)
        depth, pose = views.depth[:INPUT_VIEWS], views.pose[:INPUT_VIEWS]
        lifted = to_frame(lift_depth(depth, views.intrinsics[:INPUT_VIEWS]), pose)
        points.append(np.where(depth[..., None] > 0, lifted, np.nan).astype(np.float32))
        colours.append(views.rgb[:INPUT_VIEWS])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        median = np.nanmedian(points, axis=0)
    return median, np.median(colours, axis=0).astype(np.uint8)
