"""What a submission answers for a scene, as arrays, and what makes an answer unusable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# A tensor's name is "<scene>/<part>"; these are the parts.
POINT_PARTS = ("points", "colours", "pixels", "confidence")
MESH_PARTS = ("vertices", "faces", "vertex_colours")
GRID_PARTS = ("occupancy", "occupancy_shape", "occupancy_origin", "occupancy_voxel")
FARTHEST = 1e9
MOST_VOXELS = 1 << 28
# No room is wider than this; millimetres given as metres are (metres).
WIDEST_ROOM = 200.0
Arrays = dict[str, np.ndarray]
Problem = tuple[str, str]


@dataclass(frozen=True)
class Points:
    """Surface points: points f32 [M, 3] metres, colours u8 [M, 3], pixels i16 [M, 3] or None."""

    points: np.ndarray
    colours: np.ndarray | None
    pixels: np.ndarray | None
    confidence: np.ndarray | None


@dataclass(frozen=True)
class Mesh:
    """Triangles: vertices f32 [V, 3] metres, faces i32 [F, 3], colours u8 [V, 3] or None."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray | None


@dataclass(frozen=True)
class Occupancy:
    """Solid voxels: grid bool [X, Y, Z], origin f32 [3] its lower corner, voxel side in metres."""

    grid: np.ndarray
    origin: np.ndarray
    voxel: float


@dataclass(frozen=True)
class Grounding:
    """Where a reference points: boxes f64 [K, 6] best first, pick a given object's index."""

    boxes: np.ndarray
    pick: int | None


@dataclass(frozen=True)
class ScoreTable:
    """Similarities: scores f32 [rows, columns] and the names of both."""

    rows: list[str]
    columns: list[str]
    scores: np.ndarray


def point_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield (what, mend) of what makes a scene's `POINT_PARTS` unusable."""
    points = arrays["points"]
    found = list(_vector_problems("points", points))
    if not found and len(points) == 0:
        found = [("points are none", "give some, or do not declare points")]
    if found:
        yield from found
        return
    if "colours" in arrays:
        yield from _row_problems("colours", arrays["colours"], len(points), np.uint8)
    if "pixels" in arrays:
        yield from _row_problems("pixels", arrays["pixels"], len(points), np.integer)
    weight = arrays.get("confidence")
    if weight is not None and (weight.shape != (len(points),) or weight.dtype.kind != "f"):
        yield f"confidence is {_form(weight)}", f"give floats [{len(points)}]"


def mesh_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield (what, mend) of what makes a scene's `MESH_PARTS` unusable."""
    if "vertices" not in arrays or "faces" not in arrays:
        lacking = "faces" if "vertices" in arrays else "vertices"
        yield f"the mesh has no {lacking}", "give vertices and faces"
        return
    vertices, faces = arrays["vertices"], arrays["faces"]
    yield from _vector_problems("vertices", vertices)
    found = list(_row_problems("faces", faces, None, np.integer))
    yield from found
    if not found and len(faces) == 0:
        yield "faces are none", "give triangles, or leave this scene's mesh out"
    elif not found and (faces.min() < 0 or faces.max() >= len(vertices)):
        least, most = faces.min(), faces.max()
        yield f"faces name vertices {least} to {most} of {len(vertices)}", "index them from 0"
    if "vertex_colours" in arrays:
        yield from _row_problems(
            "vertex_colours", arrays["vertex_colours"], len(vertices), np.uint8
        )


def grid_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield (what, mend) of what makes a scene's `GRID_PARTS` unusable."""
    lacking = [name for name in GRID_PARTS if name not in arrays]
    if lacking:
        yield f"the occupancy grid lacks {', '.join(lacking)}", "give all four of its tensors"
        return
    packed, shape, origin, voxel = (arrays[name] for name in GRID_PARTS)
    if shape.shape != (3,) or shape.dtype.kind not in "iu" or shape.min() < 0:
        yield f"occupancy_shape is {_form(shape)}", "give three whole numbers, 0 or more"
    else:
        count = math.prod(int(side) for side in shape)
        if count > MOST_VOXELS:
            yield f"the occupancy grid has {count} voxels", f"give at most {MOST_VOXELS}"
        elif packed.dtype != np.uint8 or packed.size != (count + 7) // 8:
            yield (
                f"occupancy is {_form(packed)} for {count} voxels",
                "pack the whole grid eight voxels a byte, first voxel in the highest bit",
            )
    if origin.shape != (3,) or origin.dtype.kind != "f" or not np.isfinite(origin).all():
        yield f"occupancy_origin is {_form(origin)} or not finite", "give three floats in metres"
    if voxel.shape != (1,) or voxel.dtype.kind != "f" or not 0 < float(voxel[0]) < 1e3:
        yield f"occupancy_voxel is {_form(voxel)} or no length", "give one side in metres"


def extent_warnings(name: str, points: np.ndarray, diagonal: float | None) -> Iterator[Problem]:
    """Yield (what, mend) where a cloud's middle nine tenths fit no room in metres.

    Args:
        name: what the points are called; points: [N, 3], sound.
        diagonal: of the scene's true bounding box in metres, where it is known.
    """
    if len(points) == 1:
        yield f"{name} are a single one", "give the whole surface; one point has no normal"
    if len(points) < 2:
        return
    some = points[:: max(1, len(points) // 10_000)].astype(np.float64)
    low, high = np.percentile(some, (5, 95), axis=0)
    size = float(np.linalg.norm(high - low))
    if size > (WIDEST_ROOM if diagonal is None else 20 * diagonal):
        mend = "give metres; divide millimetres by 1000"
        yield f"{name} span {size:.4g} m, more than any room", mend
    elif diagonal is not None and size < diagonal / 100:
        yield f"{name} span {size:.4g} m in a room of {diagonal:.4g} m", "give metres"


def _vector_problems(name: str, array: np.ndarray) -> Iterator[Problem]:
    found = list(_row_problems(name, array, None, np.floating))
    yield from found
    if found:
        return
    bad = np.flatnonzero(~(np.abs(array) <= FARTHEST).all(axis=1))
    if len(bad):
        what = f"{name}: {len(bad)} of {len(array)} rows are not finite or beyond {FARTHEST:g} m"
        yield f"{what}, first row {bad[0]}", "leave such rows out"


def _row_problems(
    name: str, array: np.ndarray, length: int | None, kind: type
) -> Iterator[Problem]:
    wrong_length = length is not None and len(array) != length if array.ndim else True
    if array.ndim != 2 or array.shape[1:] != (3,) or wrong_length:
        wanted = "M" if length is None else length
        yield f"{name} are {_form(array)}", f"give [{wanted}, 3]"
    elif not np.issubdtype(array.dtype, kind):
        words = {np.floating: "floats", np.integer: "whole numbers", np.uint8: "uint8"}
        yield f"{name} are {_form(array)}", f"give {words[kind]}"


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
