"""Colour and depth folders with the poses of all frames in one text file."""

from pathlib import Path

import numpy as np

from g2vlm.captures.files import has, list_files, pair_images
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import pose_matrix, pose_of_quaternion, read_rows
from metrics.files import InputError


class PoseRows(Layout):
    """color/ (or rgb/), depth/, pose.txt with a row a frame, and optionally a calibration file."""

    name = "color/ depth/ pose.txt"
    # Last: color/ and depth/ also occur in other layouts.
    priority = 1000

    def recognise(self, folder: Path) -> bool:
        has_colour = (folder / "color").is_dir() or (folder / "rgb").is_dir()
        return (folder / "depth").is_dir() and has_colour

    def read(self, folder: Path) -> Listing:
        pairs, notes = pair_images(folder)
        path = folder / "pose.txt"
        if has(path):
            rows = read_rows(path, folder, (7, 12, 16))
            poses = [_pose(row, f"{path}: frame {number}") for number, row in enumerate(rows)]
        elif len(pairs) == 1:
            poses = [np.eye(4)]
            notes += ("One frame without a pose: its camera is the world.",)
        else:
            raise InputError(
                f"{path}: no such file{_other_lists(folder)}; write a row tx ty tz qx qy qz qw for "
                "each frame"
            )
        if len(poses) != len(pairs):
            raise InputError(
                f"{path}: {len(poses)} poses for {len(pairs)} frames; give one row a frame"
                + "".join(f" ({note.rstrip('.')})" for note in notes)
            )
        frames = tuple(FrameFiles(*pair, pose) for pair, pose in zip(pairs, poses, strict=True))
        return Listing(frames, notes=notes)


def _pose(row: np.ndarray, source: str) -> np.ndarray:
    return pose_of_quaternion(row, source) if len(row) == 7 else pose_matrix(row, source)


def _other_lists(folder: Path) -> str:
    """Return which file beside the frames may hold the poses in another form, for messages."""
    names = [path.name for path in list_files(folder, (".txt", ".freiburg", ".log", ".csv"))]
    return f" (not read: {', '.join(names[:3])})" if names else ""
