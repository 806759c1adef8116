"""The TUM RGB-D benchmark (Sturm et al. 2012): lists of time stamps, depth in 1/5000 metres."""

import re
from pathlib import Path

import numpy as np

from g2vlm.captures.cameras import CAMERAS, intrinsic_matrix
from g2vlm.captures.files import has, path_inside, read_text
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import parse_number, pose_of_quaternion, read_rows
from metrics.files import InputError

# Images and poses with stamps further apart do not belong together (the benchmark's own tools).
_MAX_STAMP_GAP_S = 0.02


class TumRgbd(Layout):
    """rgb.txt, depth.txt and groundtruth.txt list images and poses by time stamp."""

    name = "TUM RGB-D"
    files = "rgb.txt, depth.txt, groundtruth.txt"
    priority = 20

    def recognise(self, folder: Path) -> bool:
        return has(folder / "rgb.txt") and has(folder / "depth.txt")

    def read(self, folder: Path) -> Listing:
        trajectory = folder / "groundtruth.txt"
        poses = read_rows(trajectory, folder, (8,))  # (P, 8): stamp, position, quaternion
        poses = poses[np.isfinite(poses[:, 0])]
        if not len(poses):
            raise InputError(f"{trajectory}: holds no pose; write rows of stamp and pose")
        pose_stamps = _seconds(poses[:, 0])
        order = np.argsort(pose_stamps, kind="stable")
        poses, pose_stamps = poses[order], pose_stamps[order]
        depth_stamps, depth_files = _read_stamped(folder, "depth.txt")
        colour_stamps, colour_files = _read_stamped(folder, "rgb.txt")
        colour, has_colour = _nearest(colour_stamps, depth_stamps)
        pose, has_pose = _nearest(pose_stamps, depth_stamps)
        kept = np.flatnonzero(has_colour & has_pose)
        if not len(kept):
            spans = (
                f"{name} {stamps[0]:.3f} to {stamps[-1]:.3f}"
                for name, stamps in (
                    ("depth.txt", depth_stamps),
                    ("rgb.txt", colour_stamps),
                    ("groundtruth.txt", pose_stamps),
                )
            )
            raise InputError(
                f"{folder}: no whole frame, as no stamps of the lists are within 20 ms "
                f"({', '.join(spans)}); write the stamps of one clock in seconds"
            )
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
        usual = intrinsic_matrix(*CAMERAS[sensor.group()][0]) if sensor else None
        return Listing(frames, depth_scale=5000.0, usual_intrinsics=usual, notes=notes)


def _read_stamped(folder: Path, name: str) -> tuple[np.ndarray, list[Path]]:
    """Read the `stamp file` rows of rgb.txt or depth.txt, sorted by stamp; names may hold blanks.

    Returns:
        Stamps f64[N] in seconds, and the files.
    """
    path = folder / name
    rows = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", read_text(path, folder)), 1):
        words = re.split(r"[\s,;]+", line.strip(), maxsplit=1)
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            stamp, file = parse_number(words[0]), words[1].strip("\"' ,;")
        except (ValueError, IndexError) as error:
            if not rows and not re.search(r"[0-9]", line):
                continue  # a header
            raise InputError(
                f"{path}: row {number} is not a time stamp and a file; write `stamp file`"
            ) from error
        if not np.isfinite(stamp) or not file:
            raise InputError(
                f"{path}: row {number} is not a time stamp and a file; write `stamp file`"
            )
        rows.append((stamp, path_inside(folder, file, f"{path}: row {number}")))
    if not rows:
        raise InputError(f"{path}: lists no images; write rows `stamp file`")
    stamps = _seconds(np.array([stamp for stamp, _ in rows]))
    order = np.lexsort((np.array([str(file) for _, file in rows]), stamps))
    return stamps[order], [rows[k][1] for k in order]


def _seconds(stamps: np.ndarray) -> np.ndarray:
    """Return stamps [N] in seconds; those in ms, us or ns since 1970 have 12 digits or more."""
    for digits, unit in ((18, 1e9), (15, 1e6), (12, 1e3)):
        if np.abs(stamps).max() >= 10 ** (digits - 1):
            return stamps / unit
    return stamps


def _nearest(stamps: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match stamps, which are sorted, to each of `wanted` [N].

    Returns:
        The index of the nearest stamp, i64[N], and whether it is near enough, bool[N].
    """
    right = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    index = np.clip(np.stack([right - 1, right]), 0, len(stamps) - 1)  # (2, N)
    gap = np.abs(stamps[index] - wanted)  # (2, N)
    return index[gap.argmin(0), np.arange(len(wanted))], gap.min(0) <= _MAX_STAMP_GAP_S
