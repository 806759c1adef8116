"""Read a surface from one file (PLY, OBJ, GLB, npz, ...); no other file is opened."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, one_line, read_at_most
from metrics.reconstruction.formats.arrays import read_npy, read_npz
from metrics.reconstruction.formats.contents import MOST_BYTES, Contents, check_counts, check_points
from metrics.reconstruction.formats.gltf import read_glb, read_gltf
from metrics.reconstruction.formats.obj import read_obj
from metrics.reconstruction.formats.off import read_off
from metrics.reconstruction.formats.ply import read_ply
from metrics.reconstruction.formats.stl import read_stl
from metrics.reconstruction.formats.xyz import read_xyz
from metrics.schemas import printable

# Own readers: trimesh's (5.2.0) scores text files that are cut short as if whole, half of a GLB
# that is partly compressed and the corners of triangle strips as a cloud, and it cuts every polygon
# as a fan.
READERS = {
    ".ply": read_ply,
    ".obj": read_obj,
    ".glb": read_glb,
    ".gltf": read_gltf,
    ".stl": read_stl,
    ".off": read_off,
    ".xyz": read_xyz,
    ".npz": read_npz,
    ".npy": read_npy,
}
_LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class SurfaceFile:
    """Contents of a surface file.

    Attributes:
        label: the file's path, to name it in messages.
        points: f64 [N, 3] metres: a cloud, or the vertices of a mesh.
        faces: i64 [F, 3] or None for a cloud.
        pixels: i64 [N, 3] (view, row, column) each point was seen at, or None.
    """

    label: str
    points: np.ndarray
    faces: np.ndarray | None
    pixels: np.ndarray | None


def read_surface(path: str | Path) -> SurfaceFile:
    """Read a cloud or a mesh.

    An npz holds ``points`` [N, 3], or ``vertices`` [V, 3] and ``faces`` [F, 3], and may hold
    ``pixels`` [N, 3] (view, row, column); a PLY may have them as the vertex properties view, row
    and col. An npy holds [N, 3].

    Raises:
        InputError: the file is missing, of an unknown format, broken, too large, or holds anything
            that is not read and might be a part of its surface.
    """
    path = Path(path)
    label, kind = one_line(str(path)), path.suffix.lower()
    if kind not in READERS and not path.is_dir():
        raise InputError(f"{label}: unknown format '{printable(kind)}'; give {', '.join(READERS)}")
    data = _read(path, label)
    try:
        contents = READERS[kind](data, label)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{label}: needs more memory than there is; thin the surface") from error
    except Exception as error:  # on a broken file a parser may raise anything
        message = printable(" ".join(str(error).split())[:_LONGEST_MESSAGE])
        raise InputError(
            f"{label}: cannot be read ({type(error).__name__}: {message}); export it again"
        ) from error
    return _checked(label, contents)


def _read(path: Path, label: str) -> bytes:
    """Return the bytes of a regular file; a pipe or device is never waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise InputError(f"{label}: no such file; name a point cloud or a mesh") from error
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{label}: cannot be opened ({what}); check the path") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InputError(f"{label}: is not a regular file; name a point cloud or a mesh")
    with open(descriptor, "rb") as handle:
        if status.st_size > MOST_BYTES:
            raise InputError(
                f"{label}: has {status.st_size / 2**30:.1f} GiB, more than "
                f"{MOST_BYTES / 2**30:.0f}; thin or split the surface"
            )
        return read_at_most(handle, MOST_BYTES)


def _checked(label: str, contents: Contents) -> SurfaceFile:
    """Return the contents with their final types; raises `InputError` for unusable ones."""
    points, pixels = np.asarray(contents.points), contents.pixels
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{label}: points are {points.dtype} {list(points.shape)}; give [N, 3]")
    if len(points) == 0:
        raise InputError(f"{label}: holds no points; export a cloud or a mesh")
    if contents.faces is None:
        check_counts(len(points), 0, label)
    # Before the check: its limit is infinite in float16, so that infinity would pass.
    points = points.astype(np.float64)
    check_points(points, label)
    faces = _checked_faces(contents.faces, len(points), label)
    if pixels is not None:
        pixels = np.asarray(pixels)
        if pixels.shape != points.shape or not (pixels == np.floor(pixels)).all():
            raise InputError(f"{label}: pixels are {list(pixels.shape)}; give whole numbers [N, 3]")
        if pixels.min() < 0 or pixels.max() >= 1 << 20:
            raise InputError(f"{label}: pixels beyond 0 to 2^20; give view, row, column")
        pixels = pixels.astype(np.int64)
    return SurfaceFile(label, points, faces, pixels)


def _checked_faces(faces: Any, points: int, label: str) -> np.ndarray | None:
    """Return triangles i64 [F, 3], None for none."""
    if faces is None or len(faces) == 0:
        return None
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise InputError(f"{label}: faces are {faces.dtype} {list(faces.shape)}; give [F, 3]")
    check_counts(0, len(faces), label)
    if faces.min() < 0 or faces.max() >= points:
        raise InputError(
            f"{label}: faces refer to vertices {faces.min()} to {faces.max()} of {points}; "
            "index them from 0"
        )
    return faces.astype(np.int64)
