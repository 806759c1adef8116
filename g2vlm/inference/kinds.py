"""What every point of a scene says about the object it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
