"""Camera poses: from rows and matrices of text files, checked; and frames chosen by pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrics.files import InputError
from metrics.geometry import rotation_of_quaternion

# Metres of travel that count as much as a turn by one radian when frames are thinned.
METRES_A_RADIAN = 0.7


def read_rows(path: Path, columns: int) -> np.ndarray:
    """Read f64[n, columns] of a text file, comments (#) and empty lines aside."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the capture needs it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: unreadable ({error}); export the capture again") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.replace(",", " ").split()
        try:
            rows.append([float(word) for word in words])
        except ValueError as error:
            raise InputError(f"{path}: row {number} holds {words[0]!r}, no number") from error
        if len(words) != columns:
            raise InputError(f"{path}: row {number} has {len(words)} numbers, not {columns}")
    return np.array(rows, float).reshape(-1, columns)


def read_matrix(path: Path) -> np.ndarray:
    """Read f64[4, 4] of a text file."""
    rows = read_rows(path, 4)
    if rows.shape != (4, 4):
        raise InputError(f"{path}: {len(rows)} rows, not the 4 of a matrix; export it again")
    return rows


def from_quaternion(row: np.ndarray, source: str) -> np.ndarray:
    """Return f64[4, 4] of tx ty tz qx qy qz qw."""
    length = np.linalg.norm(row[3:])
    if not np.isfinite(row).all() or abs(length - 1) > 0.1:
        raise InputError(f"{source}: {row[3:].tolist()} is no unit quaternion (qx qy qz qw)")
    pose = np.eye(4)
    pose[:3, :3] = rotation_of_quaternion(*row[3:] / length)
    pose[:3, 3] = row[:3]
    return pose


def is_lost(pose: np.ndarray) -> bool:
    """Whether the tracker marked the frame as lost (not finite, as ScanNet does)."""
    return not np.isfinite(pose).all()


def rigid(pose: np.ndarray, source: str) -> np.ndarray:
    """Return the pose with its rotation made exact; raises `InputError` when it is none."""
    left, sizes, right = np.linalg.svd(pose[:3, :3])
    rotation = left @ right
    if np.abs(sizes - 1).max() > 0.05 or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{source}: not a camera-to-world pose (its 3 x 3 part is no rotation); export "
            "camera-to-world matrices in metres"
        )
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, pose[:3, 3]
    return out


def spread_frames(poses: np.ndarray, most: int) -> list[int]:
    """Choose at most `most` of poses f64[N, 4, 4], far apart in place and heading, in order.

    Farthest-point sampling (Gonzalez 1985) that begins with the first frame, which fixes the
    frame of reference.
    """
    if len(poses) <= most:
        return list(range(len(poses)))
    chosen = [0]
    nearest = np.full(len(poses), np.inf)
    while len(chosen) < most:
        last = poses[chosen[-1]]
        moved = np.linalg.norm(poses[:, :3, 3] - last[:3, 3], axis=1)
        trace = np.einsum("nij,ij->n", poses[:, :3, :3], last[:3, :3])
        turned = np.arccos(np.clip((trace - 1) / 2, -1, 1))
        nearest = np.minimum(nearest, moved + METRES_A_RADIAN * turned)
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return sorted(chosen)
