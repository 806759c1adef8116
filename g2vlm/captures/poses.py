"""Camera poses: read from text files, checked, and used to thin out frames."""

from pathlib import Path

import numpy as np

from metrics.files import InputError
from metrics.geometry import rotation_of_quaternion

# Thinning: travel in metres that counts as much as a turn of one radian.
METRES_PER_RADIAN = 0.7


def read_rows(path: Path, columns: int) -> np.ndarray:
    """Read rows of numbers f64[N, columns] from a text file; # starts a comment.

    Raises:
        InputError: the file is missing or a row has other content.
    """
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
            raise InputError(
                f"{path}: row {number} holds {words[0]!r}; write {columns} numbers a row"
            ) from error
        if len(words) != columns:
            raise InputError(f"{path}: row {number} has {len(words)} numbers, not {columns}")
    return np.array(rows, float).reshape(-1, columns)


def read_matrix(path: Path) -> np.ndarray:
    """Read f64[4, 4] from a text file."""
    rows = read_rows(path, 4)
    if rows.shape != (4, 4):
        raise InputError(f"{path}: {len(rows)} rows, not the 4 of a matrix; export it again")
    return rows


def pose_of_quaternion(row: np.ndarray, source: str) -> np.ndarray:
    """Return the pose f64[4, 4] of a row tx ty tz qx qy qz qw.

    Raises:
        InputError: the quaternion is not of length 1.
    """
    length = np.linalg.norm(row[3:])
    if not np.isfinite(row).all() or abs(length - 1) > 0.1:
        raise InputError(
            f"{source}: {row[3:].tolist()} is no unit quaternion; write qx qy qz qw of length 1"
        )
    pose = np.eye(4)
    pose[:3, :3] = rotation_of_quaternion(*(row[3:] / length))
    pose[:3, 3] = row[:3]
    return pose


def nearest_rigid(pose: np.ndarray, source: str) -> np.ndarray:
    """Return the pose f64[4, 4] with the rotation nearest to its 3 x 3 part.

    Raises:
        InputError: that part is far from a rotation.
    """
    left, sizes, right = np.linalg.svd(pose[:3, :3])
    rotation = left @ right
    if np.abs(sizes - 1).max() > 0.05 or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{source}: not a camera-to-world pose (its 3 x 3 part is no rotation); export "
            "camera-to-world matrices in metres"
        )
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = rotation, pose[:3, 3]
    return rigid


def spread_frames(poses: np.ndarray, count: int) -> list[int]:
    """Choose at most `count` of the poses f64[N, 4, 4], far apart in position and heading.

    Farthest-point sampling that starts with the first frame, which fixes the levelled frame.

    Returns:
        Indices in ascending order.

    Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.
    """
    if len(poses) <= count:
        return list(range(len(poses)))
    chosen = [0]
    nearest = np.full(len(poses), np.inf)  # (N,) distance to the nearest chosen frame
    while len(chosen) < count:
        last = poses[chosen[-1]]
        travel = np.linalg.norm(poses[:, :3, 3] - last[:3, 3], axis=1)  # (N,)
        trace = np.einsum("nij,ij->n", poses[:, :3, :3], last[:3, :3])
        turn = np.arccos(np.clip((trace - 1) / 2, -1, 1))  # (N,) radians
        nearest = np.minimum(nearest, travel + METRES_PER_RADIAN * turn)
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return sorted(chosen)
