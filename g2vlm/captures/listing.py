"""What a layout says about a capture before any image is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class FrameFiles:
    """One frame: its name, files, camera-to-world pose f64[4, 4], own intrinsics or none."""

    name: str
    colour: Path
    depth: Path
    pose: np.ndarray
    intrinsics: np.ndarray | None = None


@dataclass(frozen=True)
class Listing:
    """The frames of a capture in order, and what its layout fixes.

    intrinsics: of the depth images, f64[3, 3] with pixel centres at +0.5, or none where the layout
    does not say; depth_scale: stored units a metre, or none; invalid: stored depths that mean "no
    measurement" beside 0; colour_intrinsics and colour_from_depth f64[4, 4]: given where colour is
    not registered to depth; up: world direction [3] where the layout says it.
    """

    layout: str
    frames: tuple[FrameFiles, ...]
    intrinsics: np.ndarray | None = None
    depth_scale: float | None = None
    invalid: tuple[int, ...] = ()
    colour_intrinsics: np.ndarray | None = None
    colour_from_depth: np.ndarray | None = None
    up: np.ndarray | None = None
    notes: tuple[str, ...] = ()
