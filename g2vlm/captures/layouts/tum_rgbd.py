"""The TUM RGB-D benchmark (Sturm et al. 2012): lists of time stamps, depth in 1/5000 metres."""

import re
from pathlib import Path

import numpy as np

from g2vlm.captures.cameras import CAMERAS, intrinsic_matrix
from g2vlm.captures.files import path_inside
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import pose_of_quaternion, read_rows
from metrics.files import InputError

# Images and poses with stamps further apart do not belong together (the benchmark's own tools).
_MAX_STAMP_GAP_S = 0.02


class TumRgbd(Layout):
    """rgb.txt, depth.txt and groundtruth.txt list images and poses by time stamp."""

    name = "TUM RGB-D"
    files = "rgb.txt, depth.txt, groundtruth.txt"
    priority = 20

    def recognise(self, folder: Path) -> bool:
        return (folder / "rgb.txt").exists() and (folder / "depth.txt").exists()

    def read(self, folder: Path) -> Listing:
        trajectory = folder / "groundtruth.txt"
        poses = read_rows(trajectory, 8)  # (P, 8): stamp, position, quaternion
        poses = poses[np.argsort(poses[:, 0], kind="stable")]
        depth_stamps, depth_files = _read_stamped(folder / "depth.txt")
        colour_stamps, colour_files = _read_stamped(folder / "rgb.txt")
        colour, has_colour = _nearest(colour_stamps, depth_stamps)
        pose, has_pose = _nearest(poses[:, 0], depth_stamps)
        kept = np.flatnonzero(has_colour & has_pose)
        frames = tuple(
            FrameFiles(
                f"{depth_stamps[k]:.6f}",
                colour_files[colour[k]],
                depth_files[k],
                pose_of_quaternion(poses[pose[k], 1:], str(trajectory)),
            )
            for k in kept
        )
        notes: tuple[str, ...] = ()
        if len(kept) < len(depth_stamps):
            left_out = len(depth_stamps) - len(kept)
            notes = (
                f"{left_out} depth images without colour and pose within 20 ms were left out.",
            )
        # The benchmark's sequences name their sensor in the folder.
        sensor = re.search(r"freiburg[123]", str(folder.resolve()))
        intrinsics = intrinsic_matrix(*CAMERAS[sensor.group()][0]) if sensor else None
        return Listing(frames, intrinsics, 5000.0, notes=notes)


def _read_stamped(path: Path) -> tuple[np.ndarray, list[Path]]:
    """Read the `stamp file` rows of rgb.txt or depth.txt, sorted by stamp."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append((float(words[0]), path_inside(path.parent, words[1], str(path))))
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{path}: row {number} is not a time stamp and a file; write `stamp file`"
            ) from error
    rows.sort()
    return np.array([row[0] for row in rows]), [row[1] for row in rows]


def _nearest(stamps: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match stamps, which are sorted, to each of `wanted` [N].

    Returns:
        The index of the nearest stamp, i64[N], and whether it is near enough, bool[N].
    """
    if not len(stamps):
        return np.zeros(len(wanted), int), np.zeros(len(wanted), bool)
    right = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    index = np.clip(np.stack([right - 1, right]), 0, len(stamps) - 1)  # (2, N)
    gap = np.abs(stamps[index] - wanted)  # (2, N)
    return index[gap.argmin(0), np.arange(len(wanted))], gap.min(0) <= _MAX_STAMP_GAP_S
