"""Read a surface from one file (PLY, OBJ, GLB, npz, ...); no other file is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, one_line, read_bytes
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
# Views, rows and columns are below this.
_MOST_PIXELS = 1 << 20


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
    data = read_bytes(path, "name a point cloud or a mesh", limit=MOST_BYTES)
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


def _checked(label: str, contents: Contents) -> SurfaceFile:
    """Return the contents with their final types; raises `InputError` for unusable ones."""
    points, pixels = np.asarray(contents.points), contents.pixels
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{label}: points are {points.dtype} {list(points.shape)}; give [N, 3]")
    if len(points) == 0:
        raise InputError(f"{label}: holds no points; export a cloud or a mesh")
    if contents.faces is None:
        check_counts(len(points), 0, label)
    points = check_points(points, label)
    faces = _checked_faces(contents.faces, len(points), label)
    if pixels is not None:
        pixels = np.asarray(pixels)
        if pixels.shape != points.shape:
            raise InputError(f"{label}: pixels are {list(pixels.shape)}; give {list(points.shape)}")
        with np.errstate(invalid="ignore"):  # NaN is no pixel
            right = (pixels == np.floor(pixels)) & (pixels >= 0) & (pixels < _MOST_PIXELS)
        if not right.all():
            row = int(right.all(axis=1).argmin())
            raise InputError(
                f"{label}: pixels of row {row} are {pixels[row].tolist()}; give view, row and "
                f"column as whole numbers from 0 to {_MOST_PIXELS - 1}"
            )
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
