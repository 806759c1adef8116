"""Colour and depth folders with the poses of all frames in one text file."""

from pathlib import Path

import numpy as np

from g2vlm.captures.cameras import intrinsic_matrix
from g2vlm.captures.files import pair_images
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import pose_of_quaternion, read_rows
from metrics.files import InputError


class PoseRows(Layout):
    """color/ (or rgb/), depth/, pose.txt with a row a frame, and optionally intrinsics.txt."""

    name = "color/ depth/ pose.txt"
    # Last: color/ and depth/ also occur in other layouts.
    priority = 1000

    def recognise(self, folder: Path) -> bool:
        has_colour = (folder / "color").exists() or (folder / "rgb").exists()
        return (folder / "depth").is_dir() and has_colour

    def read(self, folder: Path) -> Listing:
        pairs, notes = pair_images(folder)
        rows = folder / "pose.txt"
        if rows.is_file():
            poses = [pose_of_quaternion(row, str(rows)) for row in read_rows(rows, 7)]
        elif len(pairs) <= 1:
            poses = [np.eye(4)] * len(pairs)
            notes += ("One frame without a pose: its camera is the world.",)
        else:
            raise InputError(
                f"{rows}: no such file; write a row tx ty tz qx qy qz qw for each frame"
            )
        if len(poses) != len(pairs):
            raise InputError(
                f"{rows}: {len(poses)} poses for {len(pairs)} frames; give one row a frame"
            )
        frames = tuple(FrameFiles(*pair, pose) for pair, pose in zip(pairs, poses, strict=True))
        numbers = folder / "intrinsics.txt"
        intrinsics = intrinsic_matrix(*read_rows(numbers, 4)[0]) if numbers.is_file() else None
        return Listing(frames, intrinsics, notes=notes)
