"""Sensor depth lifted to points, without any fusion: the simplest reconstruction."""

import numpy as np

from baselines.contract import Context
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "Sensor depth lifted to coloured points, nothing else"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "reads no language and finds no objects"
GEOMETRY_INPUTS = ("depth", "poses", "intrinsics")
PIXELS = True


def predict(context: Context) -> None:
    """Write every valid sensor pixel of the four input views as a point."""
    for split, scenes in context.splits.items():
        with context.writer(split) as writer:
            for scene in scenes.ids:
                inputs = scenes.inputs(scene)
                valid = inputs.depth > 0
                points = to_frame(lift_depth(inputs.depth, inputs.intrinsics), inputs.pose)[valid]
                writer.points(scene, points, inputs.rgb[valid], pixels=np.argwhere(valid))
