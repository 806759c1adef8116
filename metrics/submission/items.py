"""The predictions of a submission for one scene as arrays, and the checks of those arrays."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metrics.geometry import lengths

# A tensor is named "<scene>/<part>". These are the parts, by task.
POINT_PARTS = ("points", "points_origin", "colours", "confidence")
POINT_PARTS += ("pixels", "pixel_mask", "pixel_mask_shape")
MESH_PARTS = ("vertices", "vertices_origin", "faces", "vertex_colours")
GRID_PARTS = ("occupancy", "occupancy_shape", "occupancy_origin", "occupancy_voxel")
FARTHEST = 1e9  # metres
# Whole millimetres about a stored origin reach this far, in millimetres. -32768 is no coordinate:
# it is what casts of infinite and too large numbers give.
FARTHEST_MM = 32767
MOST_SIDE = 1 << 15  # views, rows and columns of a mask
MOST_VOXELS = 1 << 28
# Per scene: scoring takes about 0.2 GB of memory for each million points, and a ray of a camera
# meets every face of a pile.
MOST_POINTS = 10_000_000
MOST_FACES = 3_000_000
# Sum of the squared longest sides of a mesh's triangles, m2; a side counts as 10 m at most. It
# measures how many triangles are large next to the room: a point is near each of them, so winding
# numbers would take hours. Rooms with detailed furniture have less than a tenth of it.
MOST_SQUARED_SIDES = 100_000.0
_LONGEST_SIDE = 10.0
# Wider than any room, in metres, but not than a room whose millimetres were written as metres.
WIDEST_ROOM = 200.0
Arrays = dict[str, np.ndarray]
Problem = tuple[str, str]  # what is wrong, how to fix it


@dataclass(frozen=True)
class Points:
    """Surface points.

    Attributes:
        points: f32 [M, 3], metres.
        colours: u8 [M, 3], sRGB, or None.
        pixels: i16 [M, 3], view, row and column of each point, or None.
        confidence: f16 or u8 [M], or None.
    """

    points: np.ndarray
    colours: np.ndarray | None
    pixels: np.ndarray | None
    confidence: np.ndarray | None


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: f32 [V, 3], metres.
        faces: i32 [F, 3], indices into `vertices`.
        colours: u8 [V, 3], sRGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray | None


@dataclass(frozen=True)
class Occupancy:
    """A grid of solid voxels.

    Attributes:
        grid: bool [X, Y, Z].
        origin: f32 [3], lower corner of voxel (0, 0, 0), metres.
        voxel: side of a voxel, metres.
    """

    grid: np.ndarray
    origin: np.ndarray
    voxel: float


@dataclass(frozen=True)
class Grounding:
    """What a referring expression was grounded to.

    Attributes:
        boxes: f64 [K, 6], best first.
        pick: index of a ground-truth object, or None.
    """

    boxes: np.ndarray
    pick: int | None


@dataclass(frozen=True)
class SimilarityTable:
    """Retrieval scores.

    Attributes:
        rows: R names.
        columns: C names.
        scores: f32 [R, C], higher is more similar.
    """

    rows: list[str]
    columns: list[str]
    scores: np.ndarray


def point_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield what makes the `POINT_PARTS` of a scene unusable."""
    points = arrays["points"]
    problems = list(_position_problems("points", arrays))
    if not problems and len(points) == 0:
        problems = [("points is empty", "give some, or do not declare points")]
    elif not problems:
        problems = list(_count_problems("points", points, MOST_POINTS))
    if problems:
        yield from problems
        return
    if "colours" in arrays:
        yield from _row_problems("colours", arrays["colours"], len(points), np.uint8)
    if "pixels" in arrays:
        yield from _row_problems("pixels", arrays["pixels"], len(points), np.integer)
    if "pixel_mask" in arrays or "pixel_mask_shape" in arrays:
        yield from _mask_problems(arrays, len(points))
    weight = arrays.get("confidence")
    if weight is not None and (
        weight.shape != (len(points),) or not (weight.dtype.kind == "f" or weight.dtype == np.uint8)
    ):
        yield f"confidence is {_describe(weight)}", f"give floats or uint8 [{len(points)}]"


def _mask_problems(arrays: Arrays, points: int) -> Iterator[Problem]:
    """Yield what makes the mask of the pixels of `points` points unusable."""
    if "pixels" in arrays:
        yield "has both pixels and a pixel_mask", "give one of them"
        return
    if "pixel_mask" not in arrays or "pixel_mask_shape" not in arrays:
        yield "pixel_mask and pixel_mask_shape are not both there", "give both"
        return
    packed, shape = arrays["pixel_mask"], arrays["pixel_mask_shape"]
    problems = list(_packed_problems("pixel_mask", packed, shape, "pixels"))
    if not problems and shape.max() > MOST_SIDE:
        problems = [(f"pixel_mask_shape is {shape.tolist()}", f"give sides up to {MOST_SIDE}")]
    if not problems:
        bits = np.count_nonzero(unpacked_bits(packed, shape))
        if bits != points:
            problems = [(f"pixel_mask has {bits} pixels for {points} points", "set one for each")]
    yield from problems


def _packed_problems(
    name: str, packed: np.ndarray, shape: np.ndarray, items: str
) -> Iterator[Problem]:
    """Yield why bits and the shape [3] of their grid do not fit."""
    if shape.shape != (3,) or shape.dtype.kind not in "iu" or shape.min() < 0:
        yield f"{name}_shape is {_describe(shape)}", "give three whole numbers, 0 or more"
        return
    count = math.prod(int(side) for side in shape)
    if count > MOST_VOXELS:
        yield f"{name} has {count} {items}", f"give at most {MOST_VOXELS}"
    elif packed.dtype != np.uint8 or packed.size != (count + 7) // 8:
        yield (
            f"{name} is {_describe(packed)} for {count} {items}",
            f"pack all {items}, eight a byte, the first in the highest bit",
        )


def unpacked_bits(packed: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return bits, eight a byte, as bool of a shape [3]."""
    sides = tuple(int(side) for side in shape)
    return np.unpackbits(packed.reshape(-1), count=math.prod(sides)).astype(bool).reshape(sides)


def _mask_pixels(arrays: Arrays) -> np.ndarray:
    return np.argwhere(unpacked_bits(arrays["pixel_mask"], arrays["pixel_mask_shape"]))


def pixels_of(arrays: Arrays) -> np.ndarray | None:
    """Return view, row and column [M, 3] of each point of valid `POINT_PARTS`, or None."""
    if "pixel_mask" in arrays:
        return _mask_pixels(arrays).astype(np.int16)
    return arrays.get("pixels")


def positions_of(name: str, arrays: Arrays) -> np.ndarray:
    """Return the valid points or vertices of a scene as f32 [M, 3] metres."""
    array = arrays[name]
    if array.dtype != np.int16:
        return array.astype(np.float32, copy=False)
    return (arrays[f"{name}_origin"].astype(np.float64) + array / 1000).astype(np.float32)


def mesh_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield what makes the `MESH_PARTS` of a scene unusable."""
    if "vertices" not in arrays or "faces" not in arrays:
        missing = "faces" if "vertices" in arrays else "vertices"
        yield f"the mesh has no {missing}", "give vertices and faces"
        return
    vertices, faces = arrays["vertices"], arrays["faces"]
    problems = list(_position_problems("vertices", arrays))
    problems += _count_problems("vertices", vertices, MOST_POINTS)
    bad_faces = list(_row_problems("faces", faces, None, np.integer))
    problems += bad_faces
    problems += _count_problems("faces", faces, MOST_FACES)
    if not bad_faces and len(faces) == 0:
        problems.append(("faces is empty", "give triangles, or leave this scene's mesh out"))
    elif not bad_faces and (faces.min() < 0 or faces.max() >= len(vertices)):
        named = f"{faces.min()} to {faces.max()} of {len(vertices)}"
        problems.append((f"faces name vertices {named}", "index them from 0"))
    yield from problems
    if not problems:
        yield from _size_problems(positions_of("vertices", arrays), faces)
    if "vertex_colours" in arrays:
        yield from _row_problems(
            "vertex_colours", arrays["vertex_colours"], len(vertices), np.uint8
        )


def _size_problems(vertices: np.ndarray, faces: np.ndarray) -> Iterator[Problem]:
    corners = [np.asarray(vertices[faces[:, k]], np.float64) for k in range(3)]
    sides = np.maximum.reduce([lengths(corners[k] - corners[k - 1]) for k in range(3)])  # (F,)
    size = float((np.minimum(sides, _LONGEST_SIDE) ** 2).sum())
    if size > MOST_SQUARED_SIDES:
        yield (
            f"the triangles are too large: their squared sides sum to {size:.3g} m2, the limit is "
            f"{MOST_SQUARED_SIDES:g}",
            "give metres, and surfaces that do not overlap",
        )


def grid_problems(arrays: Arrays) -> Iterator[Problem]:
    """Yield what makes the `GRID_PARTS` of a scene unusable."""
    missing = [name for name in GRID_PARTS if name not in arrays]
    if missing:
        yield f"the occupancy grid lacks {', '.join(missing)}", "give all four of its tensors"
        return
    packed, shape, origin, voxel = (arrays[name] for name in GRID_PARTS)
    yield from _packed_problems("occupancy", packed, shape, "voxels")
    if origin.shape != (3,) or origin.dtype.kind != "f" or not np.isfinite(origin).all():
        yield (
            f"occupancy_origin is {_describe(origin)} or not finite",
            "give three floats in metres",
        )
    if voxel.shape != (1,) or voxel.dtype.kind != "f" or not 0 < float(voxel[0]) < 1e3:
        yield (
            f"occupancy_voxel is {_describe(voxel)} or not a length",
            "give one side in metres",
        )


def extent_warnings(name: str, points: np.ndarray, diagonal: float | None) -> Iterator[Problem]:
    """Yield what suggests that points are not in metres.

    Args:
        name: of the points in messages.
        points: f32 [N, 3], valid.
        diagonal: of the scene's true bounding box in metres, or None if it is unknown.
    """
    if len(points) == 1:
        yield f"{name} has a single row", "give the whole surface; one point has no normal"
    if len(points) < 2:
        return
    some = points[:: max(1, len(points) // 10_000)].astype(np.float64)
    # The middle nine tenths, so that a few stray points do not count.
    low, high = np.percentile(some, (5, 95), axis=0)
    size = float(np.linalg.norm(high - low))
    if size > (WIDEST_ROOM if diagonal is None else 20 * diagonal):
        yield (
            f"{name} span {size:.4g} m, more than any room",
            "give metres; divide millimetres by 1000",
        )
    elif diagonal is not None and size < diagonal / 100:
        yield f"{name} span {size:.4g} m in a room of {diagonal:.4g} m", "give metres"


def _position_problems(name: str, arrays: Arrays) -> Iterator[Problem]:
    """Yield why points or vertices are neither metres nor millimetres about their origin."""
    array, origin = arrays[name], arrays.get(f"{name}_origin")
    if array.dtype != np.int16:
        if origin is not None:
            yield f"{name} are {_describe(array)} with an origin", "give int16, or no origin"
        else:
            yield from _vector_problems(name, array)
        return
    problems = list(_row_problems(name, array, None, np.int16))
    if problems:
        yield from problems
    elif origin is None:
        yield f"{name} are int16 without {name}_origin", "give it, three floats in metres"
    elif origin.shape != (3,) or origin.dtype.kind != "f" or not (np.abs(origin) <= FARTHEST).all():
        yield f"{name}_origin is {_describe(origin)} or not finite", "give three floats in metres"
    else:
        bad = np.flatnonzero((array < -FARTHEST_MM).any(axis=1))
        if len(bad):
            what = f"{name}: {len(bad)} of {len(array)} rows hold -32768, first row {bad[0]}"
            yield what, f"give millimetres from {-FARTHEST_MM} to {FARTHEST_MM}"


def _vector_problems(name: str, array: np.ndarray) -> Iterator[Problem]:
    problems = list(_row_problems(name, array, None, np.floating))
    if problems:
        yield from problems
        return
    # In float16 the limit itself would be infinite, and infinite values within it.
    farthest = min(FARTHEST, float(np.finfo(array.dtype).max))
    bad = np.flatnonzero(~(np.abs(array) <= farthest).all(axis=1))
    if len(bad):
        what = f"{name}: {len(bad)} of {len(array)} rows are not finite or beyond {FARTHEST:g} m"
        yield f"{what}, first row {bad[0]}", "leave such rows out"


def _count_problems(name: str, array: np.ndarray, most: int) -> Iterator[Problem]:
    if array.ndim and len(array) > most:
        yield f"{name} has {len(array)} rows", f"give at most {most}"


def _row_problems(
    name: str, array: np.ndarray, length: int | None, kind: type
) -> Iterator[Problem]:
    """Yield why an array is not [length, 3] of a kind of numbers; any length for None."""
    if array.ndim != 2 or array.shape[1] != 3 or length not in (None, len(array)):
        wanted = "M" if length is None else length
        yield f"{name} are {_describe(array)}", f"give [{wanted}, 3]"
    elif not np.issubdtype(array.dtype, kind):
        words = {np.floating: "floats", np.integer: "whole numbers", np.uint8: "uint8"}
        yield f"{name} are {_describe(array)}", f"give {words[kind]}"


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
