"""Sensor depth through the same filter as the network's points: what the sensor alone scores.

`backprojection` lifts every valid pixel as it is. Here each pixel is first moved towards the
surface that its cell and its neighbours agree on, as `g2vlm.inference.points` does with a network's
prediction, with the sensor's own depth at the cell centres in the network's place.
"""

import time
from typing import Any

import numpy as np

from baselines.contract import Context
from g2vlm.inference.points import CellMap, dense_depth
from g2vlm.models.config import CELL
from metrics.constants import INPUT_VIEWS
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "Sensor depth through the filter of the network's points"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "reads no language and finds no objects"
GEOMETRY_INPUTS = ("depth", "poses", "intrinsics")
PIXELS = True

# Shares of the way to the smoothed surface that are tried on the first training scenes.
SMOOTHING = (0.0, 0.25, 0.5, 0.75, 1.0)
TUNING_SCENES = 20
# Errors of depth are clipped here, metres.
LARGEST_ERROR = 0.2


def predict(context: Context) -> None:
    """Choose the smoothing on train and write the filtered points of every scene."""
    start = time.perf_counter()
    smoothing = best_smoothing(context.need("train"))
    seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, seconds) as writer:
            writer.cost["parameters"] = 1
            writer.thresholds = {"smoothing": smoothing}
            for scene in scenes.ids:
                inputs = scenes.inputs(scene)
                depth = filtered_depth(inputs.depth, smoothing)
                valid = depth > 0
                points = to_frame(lift_depth(depth, inputs.intrinsics), inputs.pose)[valid]
                writer.points(scene, points, inputs.rgb[valid], pixels=np.argwhere(valid))


def best_smoothing(train: Any) -> float:
    """Return the smoothing of the least mean error of depth, over the first training scenes."""
    total = np.zeros(len(SMOOTHING))
    for scene in train.ids[:TUNING_SCENES]:
        sensor = train.inputs(scene).depth
        true = train.views(scene).depth[:INPUT_VIEWS]
        known = (sensor > 0) & (true > 0)
        for column, smoothing in enumerate(SMOOTHING):
            error = np.abs(filtered_depth(sensor, smoothing) - true)[known]
            total[column] += np.minimum(error, LARGEST_ERROR).mean()
    return SMOOTHING[int(np.argmin(total))]


def filtered_depth(sensor: np.ndarray, smoothing: float) -> np.ndarray:
    """Return filtered z-depth f32[V, H, W] in metres, 0 where the sensor has none.

    Args:
        sensor: f32[V, H, W] z-depth, metres, 0 = none.
        smoothing: 0 to 1, see `g2vlm.inference.points.dense_depth`.
    """
    cells = sensor[:, CELL // 2 :: CELL, CELL // 2 :: CELL]  # (V, h, w)
    shape = (*cells.shape, 3)
    padded = np.zeros((len(sensor), CELL * cells.shape[1], CELL * cells.shape[2]), np.float32)
    height, width = (min(a, b) for a, b in zip(sensor.shape[1:], padded.shape[1:], strict=True))
    padded[:, :height, :width] = sensor[:, :height, :width]
    of_sensor = CellMap(np.zeros(shape, np.float32), cells, cells, np.ones(cells.shape, np.float32))
    depth = np.zeros_like(sensor)
    dense = dense_depth(of_sensor, padded, smoothing, trust=0.0)
    depth[:, :height, :width] = dense[:, :height, :width]
    return np.where(sensor > 0, depth, 0.0)
