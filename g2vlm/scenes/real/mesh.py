"""The mesh of a captured room as a scene, every face labelled, and which of its cells are solid."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from g2vlm.scenes.assets.textures import Atlas
from g2vlm.scenes.real.capture import NEAR_BOX_MM, Box, CapturedRoom, inside, read_room
from g2vlm.scenes.real.source import FOLDER
from g2vlm.scenes.render.meshes import SceneMesh
from g2vlm.scenes.render.occupancy import surface_points
from metrics.constants import CEILING, FIRST_OBJECT, FLOOR, OPENING, VOXEL_M, WALL
from metrics.files import InputError

UNNAMED = 0
# The display colour of every surface: captures have none.
_GREY = 0.78
# How far a surface may lie from the plane or wall that names it.
_PLANE_MM, _WALL_MM = 120, 150
_LIFT_MM = 15
_LEVEL = 0.85
_UPHOLSTERED = frozenset({"sofa", "bed"})


def captured_scene(recipe: dict, data_dir: str | Path) -> SceneMesh:
    """Return a captured recipe's mesh in the room frame; raises `InputError` if an object has none.

    The vertices of an object are the corners of its box, since its mesh may lack what the headset
    did not see; its faces are those of the room's mesh that its box holds.
    """
    path = Path(data_dir) / FOLDER / f"{recipe['capture']}.json"
    room = _read(path)
    boxes = [_box_of(item) for item in recipe["objects"]]
    label = face_labels(room, boxes, recipe["openings"])
    order = np.argsort(label, kind="stable")
    label = label[order]
    vertices = [room.vertices / 1000.0]
    objects, end = [], len(room.vertices)
    for k, box in enumerate(boxes):
        first, last = np.searchsorted(label, [FIRST_OBJECT + k, FIRST_OBJECT + k + 1])
        if first == last:
            raise InputError(f"{path}: no mesh in the box of object {k} ({box.cls}); leave it out")
        vertices.append(box_corners(box))
        objects.append((slice(end, end + 8), slice(int(first), int(last))))
        end += 8
    faces = room.faces[order]
    return SceneMesh(
        np.concatenate(vertices).astype(np.float32),
        faces,
        np.zeros((len(faces), 3, 2), np.float32),
        label,
        np.zeros(len(faces), np.int32),
        np.full((1, 3), _GREY, np.float32),
        np.ones(1, np.float32),
        np.full(1, -1, np.int32),
        np.zeros(1, bool),
        Atlas([]),
        tuple(objects),
    )


@lru_cache(maxsize=8)
def _read(path: Path) -> CapturedRoom:
    return read_room(path)


def _box_of(item: dict) -> Box:
    x, y = item["centre_mm"]
    w, d, h = item["size_mm"]
    return Box(item["class"], (w, d, h), (x, y), item["base_mm"], item["yaw_deg"])


def box_corners(box: Box) -> np.ndarray:
    """Return float64[8, 3], the corners of a box in metres."""
    angle = np.deg2rad(box.yaw)
    unit = np.array(list(np.ndindex(2, 2, 2))) - (0.5, 0.5, 0.0)
    x, y, z = (unit * np.array(box.size) / 1000.0).T
    c, s = np.cos(angle), np.sin(angle)
    flat = np.stack([x * c - y * s, x * s + y * c], 1) + np.array(box.centre) / 1000.0
    return np.column_stack([flat, z + box.base / 1000.0])


def face_labels(room: CapturedRoom, boxes: list[Box], openings: list[dict]) -> np.ndarray:
    """Return uint8[F], what each face is: by the smallest box that holds its middle, else by the
    nearest plane of the room (see `g2vlm.scenes.dataset`), else unnamed."""
    triangles = room.vertices[room.faces]
    middle = triangles.sum(axis=1) // 3
    level = _levelness(triangles) > _LEVEL
    height = room.size[2]
    label = np.full(len(middle), UNNAMED, np.uint8)
    label[_to_walls(middle, room) <= _WALL_MM] = WALL
    for opening in openings:
        label[(label == WALL) & _in_opening(middle, opening)] = OPENING
    label[(middle[:, 2] > height - _PLANE_MM) & level] = CEILING
    floor = (middle[:, 2] < _PLANE_MM) & level
    order = sorted(range(len(boxes)), key=lambda k: -int(np.prod(boxes[k].size)))
    for k in order:
        held = inside(boxes[k], middle, NEAR_BOX_MM)
        # What lies right under a box that stands on something belongs to that.
        held &= (boxes[k].base == 0) | (middle[:, 2] > boxes[k].base + _LIFT_MM)
        label[held] = FIRST_OBJECT + k
    label[floor] = FLOOR
    return label


def _levelness(triangles: np.ndarray) -> np.ndarray:
    """Return float64[F], how upright a face's normal is: 1 for a level face, 0 for a wall's."""
    a, b, c = triangles.transpose(1, 0, 2).astype(float)
    cross = np.cross(b - a, c - a)
    return np.abs(cross[:, 2]) / np.maximum(np.linalg.norm(cross, axis=1), 1e-9)


def _to_walls(points: np.ndarray, room: CapturedRoom) -> np.ndarray:
    """Return float64[N], the distance (mm) of points to the nearest wall of the outline."""
    nearest = np.full(len(points), np.inf)
    ring = np.array(room.outline, float)
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        offset, along = points[:, :2] - a, b - a
        share = np.clip(offset @ along / max(along @ along, 1.0), 0.0, 1.0)
        apart = np.linalg.norm(offset - share[:, None] * along, axis=1)
        nearest = np.minimum(nearest, apart)
    return nearest


def _in_opening(points: np.ndarray, opening: dict) -> np.ndarray:
    a, b = np.array(opening["ends_mm"], float)
    along = b - a
    share = (points[:, :2] - a) @ along / max(along @ along, 1.0)
    apart = np.linalg.norm(points[:, :2] - a - share[:, None] * along, axis=1)
    rise = points[:, 2] - opening["base_mm"]
    flat = (share >= 0) & (share <= 1) & (apart <= 2 * _WALL_MM)
    return flat & (rise >= 0) & (rise <= opening["height_mm"])


def open_cells(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool[X, Y, Z] at 4 cm: cells that a walk from some camera reaches without a surface.

    The mesh of a capture closes: what cannot be reached is inside something or outside the room.
    """
    size = np.array(recipe["room"]["size_mm"]) / 1000.0
    shape = tuple(int(n) for n in np.ceil(size / VOXEL_M - 1e-6))
    points = surface_points(mesh.triangles, VOXEL_M / 2)
    cells = np.floor(points / VOXEL_M).astype(np.int64)
    surface = np.zeros(shape, bool)
    surface[tuple(cells[((cells >= 0) & (cells < shape)).all(axis=1)].T)] = True
    parts, _ = ndimage.label(~surface)
    eyes = np.array([camera["position_mm"] for camera in recipe["cameras"]]) / 1000.0
    reached = np.unique(parts[tuple((eyes / VOXEL_M).astype(np.int64).T)])
    return np.isin(parts, reached[reached > 0])


def captured_solids(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool[X, Y, Z] at 4 cm: closed cells that the box of an object holds.

    Of sofas and beds also what lies under those: the headset sees their upholstery as a thin skin.
    """
    closed = ~open_cells(recipe, mesh)
    centres = cell_centres(closed.shape)
    solid = np.zeros(closed.shape, bool)
    for item in recipe["objects"]:
        held = inside(_box_of(item), centres, 0).reshape(closed.shape)
        part = closed & held
        if item["class"] in _UPHOLSTERED:
            part = held & np.maximum.accumulate(part[:, :, ::-1], axis=2)[:, :, ::-1]
        solid |= part
    return solid


def unjudged(recipe: dict, mesh: SceneMesh, points: np.ndarray, solids: np.ndarray) -> np.ndarray:
    """Return bool[N]: room points float[N, 3] m in cells that are closed but not solid."""
    known = open_cells(recipe, mesh) | solids
    cells = np.minimum((points / VOXEL_M).astype(np.int64), np.array(known.shape) - 1)
    return ~known[tuple(cells.T)]


def cell_centres(shape: tuple[int, ...]) -> np.ndarray:
    """Return int64[X * Y * Z, 3] mm, the centres of a grid's cells."""
    step = round(VOXEL_M * 1000)
    grid = np.indices(shape).reshape(len(shape), -1).T
    return grid * step + step // 2
