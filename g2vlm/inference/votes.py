"""What every point of a scene says about the object it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Votes:
    """Votes of P points.

    points: float32 [P, 3] predicted positions; boxes: float32 [P, 6] voted amodal boxes; label:
    int [P] likeliest class that is an object; probability: float32 [P] of being any object.
    """

    points: np.ndarray
    boxes: np.ndarray
    label: np.ndarray
    probability: np.ndarray
