"""A capture: the posed RGB-D frames that every reader returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.geometry import transform


@dataclass(frozen=True)
class Capture:
    """N posed RGB-D frames of a room, upright and levelled, colour registered to depth.

    The levelled frame has its origin on the floor below the first camera, x along that camera's
    horizontal heading and z up, in metres.

    Args:
        source: the folder.
        rgb: u8[N, H, W, 3].
        depth: f32[N, H, W] z-depth in metres, 0 = no measurement.
        intrinsics: f64[N, 3, 3] in pixels, pixel centres at +0.5.
        pose: f64[N, 4, 4] camera (OpenCV axes) to the levelled frame.
        names: names of the frames.
        frame_from_capture: f64[4, 4] from the capture's own world to the levelled frame.
        notes: assumptions, repairs and omissions, one sentence each.
    """

    source: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    names: tuple[str, ...]
    frame_from_capture: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.depth.shape[2], self.depth.shape[1]

    def __len__(self) -> int:
        return len(self.names)

    def to_capture(self, xyz: np.ndarray) -> np.ndarray:
        """Move positions [..., 3] from the levelled frame to the capture's own world."""
        return transform(xyz, np.linalg.inv(self.frame_from_capture))
