"""Read NumPy's npz and npy without pickles; an array is measured before it is unpacked."""

import io
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts
from metrics.schemas import printable
from metrics.zip_file import check_entry, open_zip

# Arrays that say more about points, but not where they are.
_SKIPPED = ("normals", "vertex_normals", "face_normals", "uv", "confidence", "intensity")
_SKIPPED += ("colors", "colours", "rgb", "vertex_colors", "vertex_colours")
_SKIPPED += ("labels", "semantics", "instances")
_POINTS, _FACES = ("points", "vertices"), ("faces", "triangles")
# Words of an array in memory that one entry may have: numbers of a point.
_WIDTH = 3
_FIX = "write it again with np.savez"


def read_npy(data: bytes, label: str) -> Contents:
    """Read an npy file's bytes as a cloud; `label` names it in messages."""
    return Contents(_array(io.BytesIO(data), len(data), label))


def read_npz(data: bytes, label: str) -> Contents:
    """Read an npz file's bytes: points or vertices, and optionally faces, pixels, loc and scale.

    With ``loc`` and ``scale``, points are stored relative to them (Occupancy Networks' files) and
    become ``points * scale + loc``.

    Raises:
        InputError: an array is unknown, pickled, too large, or misses its partner.
    """
    with open_zip(io.BytesIO(data), label, _FIX) as archive:
        entries = _entries(archive, label)

        def array(names: tuple[str, ...]) -> Any:
            """Return the array of one of the names, None for none."""
            given = [name for name in names if name in entries]
            if len(given) > 1:
                raise InputError(
                    f"{label}: has both {given[0]} and {given[1]}; store the one that is meant"
                )
            if not given:
                return None
            entry = entries[given[0]]
            check_entry(archive, entry, f"{label}: {given[0]}", _FIX)
            with archive.open(entry) as handle:
                return _array(handle, entry.file_size, f"{label}: {given[0]}", names is _FACES)

        points = array(_POINTS)
        if points is None:
            raise InputError(f"{label}: has no points and no vertices; store points [N, 3]")
        faces, pixels = array(_FACES), array(("pixels",))
        moves = [array((name,)) for name in ("scale", "loc")]
    if any(move is not None for move in moves):
        points = _moved(points, *moves, label)
    return Contents(points, faces, pixels)


def _entries(archive: zipfile.ZipFile, label: str) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by array name; raises `InputError` for one that is not known."""
    entries = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name in entries:
            raise InputError(f"{label}: has the array {printable(name)} twice; write it again")
        if name not in (*_POINTS, *_FACES, "pixels", "loc", "scale", *_SKIPPED):
            raise InputError(
                f"{label}: its array '{printable(name)}' is not known and may change the surface; "
                "store points, or vertices and faces, alone"
            )
        entries[name] = entry
    return entries


def _array(handle: BinaryIO, size: int, label: str, of_faces: bool = False) -> np.ndarray:
    """Return the array of an npy file of `size` bytes, of numbers and not too many."""
    version = npy.read_magic(handle)
    readers: dict[tuple[int, int], Callable] = {
        (1, 0): npy.read_array_header_1_0,
        (2, 0): npy.read_array_header_2_0,
    }
    if version not in readers:
        raise InputError(f"{label}: is npy version {version}; write it again with np.save")
    shape, fortran, dtype = readers[version](handle)
    if dtype.kind not in "fiu":
        raise InputError(f"{label}: is {dtype} {list(shape)}; give numbers [N, 3]")
    count = int(np.prod(shape, dtype=object))
    # The larger of the two lengths: the array may have another shape than [N, 3].
    rows = max(shape[0] if shape else 1, -(-count // _WIDTH))
    check_counts(*((0, rows) if of_faces else (rows, 0)), label)
    if handle.tell() + count * dtype.itemsize != size:
        raise InputError(
            f"{label}: is said to hold {list(shape)} numbers, but has {size} bytes; write it again"
        )
    values = np.frombuffer(handle.read(count * dtype.itemsize), dtype, count)
    return values.reshape(shape, order="F" if fortran else "C")


def _moved(points: np.ndarray, scale: Any, loc: Any, label: str) -> np.ndarray:
    """Return points [N, 3] times a scale plus a place, either of which may be None."""
    scale = np.ones(1) if scale is None else np.asarray(scale, np.float64)
    loc = np.zeros(3) if loc is None else np.asarray(loc, np.float64)
    if scale.size != 1 or loc.shape != (3,) or not np.isfinite([*scale.flat, *loc]).all():
        raise InputError(
            f"{label}: scale is {list(scale.shape)} and loc {list(loc.shape)}; give one finite "
            "number and three"
        )
    if points.ndim != 2 or points.shape[1] != _WIDTH or scale.item() <= 0:
        raise InputError(f"{label}: points with loc and scale must be [N, 3] and scale positive")
    with np.errstate(invalid="ignore"):  # the caller refuses points that are not finite
        return points.astype(np.float64) * scale.item() + loc
