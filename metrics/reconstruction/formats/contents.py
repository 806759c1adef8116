"""What a reader of one format returns, and how much of it is read at most."""

from dataclasses import dataclass

import numpy as np

from metrics.files import InputError
from metrics.submission.items import FARTHEST

# Limits of one file. Comparing two clouds takes about 1.2 GB and half a minute for each million
# points of either: 12 GB at the limit. A mesh is read in about 0.2 GB for each million faces.
MOST_POINTS = 10_000_000
MOST_FACES = 20_000_000
MOST_BYTES = 1 << 31
MOST_LINES = 100_000_000


@dataclass(frozen=True)
class Contents:
    """Geometry as stored in a file, not checked yet.

    Attributes:
        points: numbers [N, 3]: a cloud, or the vertices of a mesh.
        faces: int64 [F, 3], or None for a cloud.
        pixels: numbers [N, 3] (view, row, column), or None.
    """

    points: np.ndarray
    faces: np.ndarray | None = None
    pixels: np.ndarray | None = None


def check_counts(points: int, faces: int, label: str) -> None:
    """Raise `InputError` for more points or faces than are read; call it before allocating them.

    Args:
        points: how many the file holds or promises.
        faces: likewise; triangles where they are known.
        label: names the file.
    """
    for count, most, what in ((points, MOST_POINTS, "points"), (faces, MOST_FACES, "faces")):
        if count > most:
            raise InputError(
                f"{label}: holds {count} {what}, more than {most}; thin or split the surface"
            )


def check_points(values: np.ndarray, label: str, most: float = FARTHEST) -> np.ndarray:
    """Return points [N, 3] as float64.

    Args:
        values: numbers [N, 3] of any type.
        label: names the file, and the part of it that holds them.
        most: the farthest that a coordinate may be from 0, metres.

    Raises:
        InputError: one is not finite or larger; the message names the first such number.
    """
    # Some NaNs make the cast itself raise a flag.
    with np.errstate(invalid="ignore"):
        points = values.astype(np.float64, copy=False)
    # NaN compares as False, so it is not within.
    within = np.abs(points) <= most
    if not within.all():
        rows = ~within.all(axis=1)
        row, axis = np.argwhere(~within)[0]
        raise InputError(
            f"{label}: {np.count_nonzero(rows)} of {len(points)} points are not finite or beyond "
            f"{most:g} m, first row {row}, whose {'xyz'[axis]} is {points[row, axis]:g}; leave "
            "such points out"
        )
    return points
