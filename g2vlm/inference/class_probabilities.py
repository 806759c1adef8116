"""What every point of a scene says about the object it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from g2vlm.models.config import ModelConfig
    from g2vlm.models.state import SceneState


@dataclass(frozen=True)
class PointKinds:
    """Class probabilities of P points on V views of h x w cells, P = V*h*w, view after view.

    points: float32 [P, 3] predicted positions; shares: float32 [P, C + 1] probabilities of the C
    classes and, last, of structure; ranges: float32 [P] metres from the point's own camera;
    grid: (V, h, w).
    """

    points: np.ndarray
    shares: np.ndarray
    ranges: np.ndarray
    grid: tuple[int, int, int]


def numpy_of(tensor: Tensor) -> np.ndarray:
    """Return the values float32 in main memory."""
    return tensor.detach().float().cpu().numpy()


def point_kinds(state: SceneState, config: ModelConfig, place: int) -> PointKinds:
    """Return what each point of the batch's scene `place` says about its object.

    Without known cameras a point's range is taken from the first one.
    """
    camera = state.batch.camera if config.lifts else state.batch.camera[:, :1]
    ranges = (state.points - camera).norm(dim=-1)
    grid = (state.batch.pose.shape[1], *state.grid.cells)
    return PointKinds(
        numpy_of(state.points[place]), numpy_of(state.kinds[place]), numpy_of(ranges[place]), grid
    )
