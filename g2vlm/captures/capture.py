"""What every reader of real captures hands over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.geometry import transform


@dataclass(frozen=True)
class Capture:
    """N posed RGB-D frames of a room, levelled and upright, colour registered to depth.

    rgb u8[N, H, W, 3]; depth f32[N, H, W] z-depth in metres, 0 = no measurement; intrinsics
    f64[N, 3, 3] in pixels, pixel centres at +0.5; pose f64[N, 4, 4] camera (OpenCV axes) to the
    levelled frame of the first camera: origin on the floor below it, x along its horizontal
    heading, z up, metres; names: the frames' names in the capture; frame_from_capture f64[4, 4]:
    from the capture's own world into that frame; notes: what was assumed, repaired or left out,
    one sentence each.
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
        """Return positions [..., 3] of the levelled frame in the capture's own world."""
        return transform(xyz, np.linalg.inv(self.frame_from_capture))
