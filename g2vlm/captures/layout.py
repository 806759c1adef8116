"""The interface of a capture layout and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class FrameFiles:
    """One frame before its images are read.

    Args:
        name: unique in the capture.
        colour, depth: image files.
        pose: f64[4, 4] camera to world, metres, OpenCV camera axes; not finite where it was lost.
        intrinsics: f64[3, 3] where the frame has its own.
    """

    name: str
    colour: Path
    depth: Path
    pose: np.ndarray
    intrinsics: np.ndarray | None = None


@dataclass(frozen=True)
class Listing:
    """The frames of a capture in order, and what its layout fixes.

    Args:
        frames: all frames with colour, depth and pose.
        intrinsics: f64[3, 3] of the depth images, pixel centres at +0.5; None where unknown.
        depth_scale: stored depth units a metre; None where unknown.
        usual_intrinsics: f64[3, 3] of the layout's sensor, for captures without a calibration file.
        colour_intrinsics: f64[3, 3], where colour is not registered to depth.
        colour_from_depth: f64[4, 4] depth camera to colour camera, where colour is not registered.
        up: upward direction [3] in the world, where known.
        notes: what was left out or assumed, one sentence each.
    """

    frames: tuple[FrameFiles, ...]
    intrinsics: np.ndarray | None = None
    depth_scale: float | None = None
    usual_intrinsics: np.ndarray | None = None
    colour_intrinsics: np.ndarray | None = None
    colour_from_depth: np.ndarray | None = None
    up: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Layout(ABC):
    """How the files of a capture are arranged in its folder.

    A layout is one subclass in a module of its own in `g2vlm.captures.layouts`, which collects it.
    It lists folders and reads text by `g2vlm.captures.files`, which ignores hidden files and opens
    regular files of the capture alone; poses and numbers are read by `g2vlm.captures.poses`.

    Attributes:
        name: its name in messages.
        files: its files in a few words, for help texts.
        priority: layouts are tried from the lowest to the highest, so that a folder that fits
            several has one reading. Unique. A layout with fewer required files has a higher number.
    """

    name: ClassVar[str]
    files: ClassVar[str] = ""
    priority: ClassVar[int]

    @abstractmethod
    def recognise(self, folder: Path) -> bool:
        """Return whether the folder has this layout, from the names of its files alone."""

    @abstractmethod
    def read(self, folder: Path) -> Listing:
        """List the frames; no image is read.

        Raises:
            InputError: a file is missing or wrong; the message names it and the fix.
        """
