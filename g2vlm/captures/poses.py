"""Camera poses: read from text files, checked, and used to thin out frames.

A frame whose pose the tracker lost has a pose that is not finite.
"""

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from g2vlm.captures.files import FIX, read_text
from metrics.files import InputError
from metrics.geometry import rotation_of_quaternion
from metrics.schemas import short_repr

# Thinning: travel in metres that counts as much as a turn of one radian.
METRES_PER_RADIAN = 0.7
LOST = np.full((4, 4), np.nan)
# Map coordinates stay below the Earth's circumference of 4e7 m.
_FARTHEST_M = 1e8
_LONGEST_ROW = 10_000
# Shapes of the arrays that hold a matrix: nested, flat, and one row of a file.
_POSE_SHAPES = {shape: (4, 4) for shape in ((4, 4), (16,), (1, 16))}
_POSE_SHAPES |= {shape: (3, 4) for shape in ((3, 4), (12,), (1, 12))}
# How C libraries write numbers that are not finite, besides "inf" and "nan".
_NOT_FINITE = re.compile(r"[+-]?(1\.#(inf|ind|qnan|snan)0*|nan\([a-z0-9_]*\)|null|none)", re.I)
# What float() reads besides numbers of text files: 1_000 and digits of other scripts.
_PLAIN = re.compile(r"[-+.0-9a-z]+", re.I)


def parse_number(word: str) -> float:
    """Return the number of a word; NaN for any spelling of a number that is not finite.

    Raises:
        ValueError: the word is no number.

    >>> parse_number("-1.#IND"), parse_number("nan(ind)"), parse_number("2.5e-1")
    (nan, nan, 0.25)
    """
    if _NOT_FINITE.fullmatch(word):
        return np.nan
    if not _PLAIN.fullmatch(word):
        raise ValueError(f"{word} is not a number")
    return float(word)


def read_rows(path: Path, root: Path, columns: Collection[int]) -> np.ndarray:
    """Read rows of numbers f64[N, C] from a text file of the capture in `root`.

    Numbers are separated by blanks, commas or semicolons; # starts a comment, and a first row of
    words is a header.

    Args:
        path: the file.
        root: the capture's folder.
        columns: the allowed numbers C of a row, the same in all rows.

    Raises:
        InputError: the file cannot be read or a row has other content; the message names the row.
    """
    allowed = " or ".join(map(str, columns))
    rows: list[list[float]] = []
    header = True
    for number, line in enumerate(re.split(r"\r\n|\r|\n", read_text(path, root)), 1):
        if len(line) > _LONGEST_ROW:
            raise InputError(f"{path}: row {number} has {len(line)} characters; {FIX}")
        # In -1.#INF the # is no comment.
        words = re.split(r"[\s,;]+", re.sub(r"(^|\s)#.*", "", line).strip(" \t,;"))
        if words == [""]:
            continue
        row = [_number_or_none(word) for word in words]
        if header and all(value is None for value in row):
            header = False
            continue
        header = False
        if None in row:
            word = words[row.index(None)]
            raise InputError(
                f"{path}: row {number} holds {short_repr(word)}; write {allowed} numbers a row"
            )
        if len(row) not in columns:
            raise InputError(
                f"{path}: row {number} has {len(row)} numbers; write {allowed} numbers a row"
            )
        if rows and len(row) != len(rows[0]):
            raise InputError(
                f"{path}: row {number} has {len(row)} numbers, the first {len(rows[0])}; write "
                "equally many a row"
            )
        rows.append(row)
    return np.array(rows, float) if rows else np.zeros((0, min(columns)))


def _number_or_none(word: str) -> float | None:
    try:
        return parse_number(word)
    except ValueError:
        return None


def read_matrix(path: Path, root: Path) -> np.ndarray:
    """Read f64[4, 4] from a text file: 4 or 3 rows of 4, or one row of 16 or 12 numbers.

    An empty file holds no pose, so the matrix is `LOST`.

    Raises:
        InputError: the file cannot be read or holds anything else.
    """
    rows = read_rows(path, root, (4, 12, 16))
    return pose_matrix(rows, str(path)) if rows.size else LOST


def pose_matrix(values: np.ndarray, source: str) -> np.ndarray:
    """Return the pose f64[4, 4] of a 4 x 4 or 3 x 4 matrix, nested or flat by rows.

    It is `LOST` where a number is not finite or the rotation is zero.

    Raises:
        InputError: the values are no such matrix; the message names `source`.
    """
    shape = _POSE_SHAPES.get(values.shape)
    if shape is None:
        size = " x ".join(map(str, values.shape))
        raise InputError(f"{source}: {size} numbers, not 4 x 4; {FIX}")
    pose = np.eye(4)
    pose[: shape[0]] = values.reshape(shape)
    if not np.isfinite(pose).all() or not pose[:3, :3].any():
        return LOST
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-3:
        raise InputError(
            f"{source}: the last row of its pose is {pose[3].tolist()}, not 0 0 0 1; write "
            "camera-to-world matrices with the translation in the last column"
        )
    return pose


def pose_of_quaternion(row: np.ndarray, source: str) -> np.ndarray:
    """Return the pose f64[4, 4] of a row tx ty tz qx qy qz qw; `LOST` without a rotation.

    Raises:
        InputError: the quaternion is not of length 1.
    """
    if not np.isfinite(row).all() or not row[3:].any():
        return LOST
    length = np.linalg.norm(row[3:])
    if abs(length - 1) > 0.1:
        raise InputError(
            f"{source}: {row[3:].tolist()} is not a unit quaternion; write qx qy qz qw of length 1"
        )
    pose = np.eye(4)
    pose[:3, :3] = rotation_of_quaternion(*(row[3:] / length))
    pose[:3, 3] = row[:3]
    return pose


def nearest_rigid(pose: np.ndarray, source: str) -> np.ndarray:
    """Return the pose f64[4, 4] with the rotation nearest to its 3 x 3 part.

    Raises:
        InputError: that part is far from a rotation, or the position is not finite or too far away.
    """
    if not np.abs(pose).max() < _FARTHEST_M:
        raise InputError(
            f"{source}: its camera is {np.abs(pose).max():.3g} m away; write poses in metres"
        )
    left, sizes, right = np.linalg.svd(pose[:3, :3])
    rotation = left @ right
    if np.abs(sizes - 1).max() > 0.05 or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{source}: not a camera-to-world pose (its 3 x 3 part is not a rotation); export "
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
