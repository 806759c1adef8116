"""Read a surface from one file (PLY, OBJ, GLB, npz, ...); no other file is opened."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.submission.items import FARTHEST

ARRAYS = (".npz", ".npy")
SHAPES = (".ply", ".obj", ".glb", ".stl", ".off", ".xyz")
# Vertex properties of a PLY that give the pixel of a point.
PIXELS = ("view", "row", "col")
# Bytes; a small archive can unpack to more than the memory.
MOST_UNPACKED = 1 << 31


@dataclass(frozen=True)
class SurfaceFile:
    """Contents of a surface file.

    Attributes:
        path: of the file.
        points: f32 [N, 3] metres: a cloud, or the vertices of a mesh.
        faces: i64 [F, 3] or None for a cloud.
        pixels: i64 [N, 3] (view, row, column) each point was seen at, or None.
    """

    path: Path
    points: np.ndarray
    faces: np.ndarray | None
    pixels: np.ndarray | None


def read_surface(path: str | Path) -> SurfaceFile:
    """Read a cloud or a mesh.

    An npz holds ``points`` [N, 3], or ``vertices`` [V, 3] and ``faces`` [F, 3], and may hold
    ``pixels`` [N, 3] (view, row, column); a PLY may have them as the vertex properties view, row
    and col. An npy holds [N, 3].

    Raises:
        InputError: the file is missing, of an unknown format, broken or holds no usable surface.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a point cloud or a mesh")
    if kind not in ARRAYS + SHAPES:
        raise InputError(f"{path}: unknown format {kind!r}; give {', '.join(SHAPES + ARRAYS)}")
    try:
        contents = _read_arrays(path) if kind in ARRAYS else _read_shape(path, kind)
    except InputError:
        raise
    except Exception as error:  # on a broken file a parser may raise anything
        message = " ".join(str(error).encode("ascii", "backslashreplace").decode().split())[:200]
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}: {message}); export it again"
        ) from error
    return _checked(path, *contents)


def _read_arrays(path: Path) -> tuple[Any, Any, Any]:
    """Return points, faces and pixels of an npz or npy, None for what it does not hold."""
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False), None, None
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED:
            raise InputError(f"{path}: unpacks to more than 2 GiB; store fewer points")
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in ("points", "vertices") if name in arrays]
        if not names:
            raise InputError(f"{path}: has no points and no vertices; store points [N, 3]")
        faces = arrays["faces"] if names[0] == "vertices" and "faces" in arrays else None
        return arrays[names[0]], faces, arrays.get("pixels")


def _read_shape(path: Path, kind: str) -> tuple[Any, Any, Any]:
    """Return points, faces and pixels of a geometry file, None for what it does not hold."""
    import trimesh

    # An open file has no folder, so textures and other files it names are never looked for.
    with path.open("rb") as handle:
        extra = {"skip_materials": True} if kind in (".obj", ".glb") else {}
        loaded = trimesh.load(handle, file_type=kind[1:], process=False, **extra)
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_geometry()
    raw = loaded.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    # trimesh keeps a binary file's properties as one record array, a text file's as a dict.
    named = raw if isinstance(raw, dict) else getattr(getattr(raw, "dtype", None), "names", None)
    pixels = None
    if set(PIXELS) <= set(named or ()):
        pixels = np.stack([np.asarray(raw[name]).reshape(-1) for name in PIXELS], axis=1)
    return loaded.vertices, getattr(loaded, "faces", None), pixels


def _checked(path: Path, points: Any, faces: Any, pixels: Any) -> SurfaceFile:
    """Return the contents with their final types; raises `InputError` for unusable ones."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise InputError(f"{path}: points are {points.dtype} {list(points.shape)}; give [N, 3]")
    if len(points) == 0:
        raise InputError(f"{path}: holds no points; export a cloud or a mesh")
    good = (np.abs(points) <= FARTHEST).all(axis=1)
    if not good.all():
        raise InputError(
            f"{path}: {np.count_nonzero(~good)} of {len(points)} points are not finite or beyond "
            f"{FARTHEST:g} m, first row {np.argmin(good)}; leave such points out"
        )
    if faces is not None and len(faces):
        faces = np.asarray(faces)
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
            raise InputError(f"{path}: faces are {faces.dtype} {list(faces.shape)}; give [F, 3]")
        if faces.min() < 0 or faces.max() >= len(points):
            raise InputError(
                f"{path}: faces refer to vertices {faces.min()} to {faces.max()} of {len(points)}; "
                "index them from 0"
            )
    else:
        faces = None
    if pixels is not None:
        pixels = np.asarray(pixels)
        if pixels.shape != points.shape or not (pixels == np.floor(pixels)).all():
            raise InputError(f"{path}: pixels are {list(pixels.shape)}; give whole numbers [N, 3]")
        if pixels.min() < 0 or pixels.max() >= 1 << 20:
            raise InputError(f"{path}: pixels beyond 0 to 2^20; give view, row, column")
        pixels = pixels.astype(np.int64)
    return SurfaceFile(path, points.astype(np.float32), faces, pixels)
