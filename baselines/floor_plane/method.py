"""A bare floor of the median size of the training rooms, the same in every scene."""

import time
from typing import Any

import numpy as np

from baselines.contract import Context
from metrics.geometry import UNIT_CORNERS, transform

DESCRIPTION = "A bare floor as large as the median training room"
PRODUCES = ("points",)
REASONS = {
    "mesh": "a floor encloses no solid",
    "occupancy": "a floor encloses no solid",
}
DEFAULT_REASON = "looks at no scene"

# Metres between points: half of the finest threshold of an F-score.
SPACING = 0.0125
GREY = 128


def predict(context: Context) -> None:
    """Write the floor's points for every scene of every split."""
    start = time.perf_counter()
    points = floor_points(context.need("train"))
    colours = np.full(points.shape, GREY, np.uint8)
    seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = 4
            for scene in scenes.ids:
                writer.points(scene, points, colours)


def floor_points(train: Any) -> np.ndarray:
    """Return points f32[M, 3] at z = 0 over the median extent of the training rooms, in metres.

    The extent is that of the room's corners in the frame: the median of each of its four sides.
    """
    extents = []
    for scene in train.ids:
        views = train.views(scene)
        corners = transform(UNIT_CORNERS * views.room, views.frame_from_room)  # (8, 3)
        extents.append([*corners[:, :2].min(0), *corners[:, :2].max(0)])
    left, near, right, far = np.median(extents, axis=0)
    x, y = np.meshgrid(np.arange(left, right, SPACING), np.arange(near, far, SPACING))
    return np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3).astype(np.float32)
