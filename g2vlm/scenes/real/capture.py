"""Read a captured room: its mesh, outline, openings and labelled boxes, in whole millimetres.

A capture is the JSON that the Synthetic Environment Module of Meta's WebXR emulator loads:
`spatialEntities`, each with a label, a pose (metres, y up, quaternion) and a plane
(`bounded2D_META`, in the pose's x and z), a box (`bounded3D_META`) or a triangle mesh
(`triangleMesh_META`, base64 of little-endian float32 vertices and uint32 indices).

Room frame: z up, 0 on the floor; turned so that the longest wall runs along an axis; the outline's
box starts at the origin. Every sum and product is of single IEEE doubles or of integers, in a
written order, so every machine reads the same millimetres.
"""

import base64
import binascii
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.scenes.layout.cameras import heading
from g2vlm.scenes.layout.integer_geometry import (
    UNIT,
    Point,
    cosine,
    edges,
    rotate,
    sine,
    twice_area,
)
from g2vlm.scenes.layout.room_state import Item
from metrics.files import InputError, read_json
from metrics.geometry import UNIT_CORNERS, rotation_of_quaternion

# Labels of furniture and the class each becomes. Any other label is left out, and the mesh there
# stays unlabelled.
CLASS_OF = {
    "TABLE": "table",
    "COUCH": "sofa",
    "BED": "bed",
    "LAMP": "lamp",
    "PLANT": "plant",
    "SCREEN": "television",
    "STORAGE": "cabinet",
}
OPENING_OF = {"DOOR_FRAME": "door", "WINDOW_FRAME": "window"}
# Walls whose ends are further apart than this do not join.
_JOINT_MM = 100
# The square of a quaternion's length may differ from 1 by this much.
_UNIT_QUATERNION = 0.01
# The least and the greatest height of a room; another one is probably not in metres.
_HEIGHT_MM = (1800, 6000)
# A box that ends this near to the floor stands on it: planes and boxes were fitted separately.
_ON_FLOOR_MM = 100
# How far from a box the middle of a face that belongs to it may lie.
NEAR_BOX_MM = 40
# A box that holds fewer faces of the mesh than this is left out: no view would show it.
_LEAST_FACES = 12
# A box stands upright if its vertical and horizontal sides deviate by at most this.
_UPRIGHT_MM = 50


@dataclass(frozen=True)
class Box:
    """A labelled box.

    Args:
        cls: class of the furniture.
        size: width, depth and height in mm.
        centre: of its footprint, mm.
        base: height of its bottom, mm.
        yaw: degrees, counter-clockwise.
    """

    cls: str
    size: tuple[int, int, int]
    centre: Point
    base: int
    yaw: int


@dataclass(frozen=True)
class CapturedRoom:
    """A captured room in its frame.

    Args:
        size: of the outline's bounding box and the height, mm.
        outline: corners of the floor, counter-clockwise, mm.
        boxes: labelled furniture.
        openings: doors and windows as in a recipe; some may belong to other rooms.
        vertices: int64 [V, 3] mm.
        faces: int32 [F, 3].
    """

    size: tuple[int, int, int]
    outline: list[Point]
    boxes: list[Box]
    openings: list[dict[str, Any]]
    vertices: np.ndarray
    faces: np.ndarray


class _Entity:
    """One entity of a capture, its pose checked."""

    def __init__(self, path: Path, number: int, fields: Any) -> None:
        self.where = f"{path}: entity {number}"
        self.fields = fields
        label = fields.get("semanticLabel_META") if isinstance(fields, dict) else None
        if not isinstance(label, str) or not label:
            raise InputError(f"{self.where}: no semanticLabel_META; fetch the capture again")
        self.label = label
        x, y, z, w = self.numbers("locatable_META", "orientation", "xyzw")
        if abs(x * x + y * y + z * z + w * w - 1.0) > _UNIT_QUATERNION:
            raise InputError(
                f"{self.where} ({label}): its orientation is not a unit quaternion; fetch the "
                "capture again"
            )
        self._rotation = rotation_of_quaternion(x, y, z, w)
        self._translation = self.numbers("locatable_META", "position", "xyz")

    def numbers(self, part: str, name: str, keys: Any) -> list[float]:
        """Return the numbers `keys` of a field; raises `InputError` if one is missing."""
        try:
            values = [float(self.fields[part][name][key]) for key in keys]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.where}: {part}.{name} is missing or malformed; fetch the capture again"
            ) from error
        if not all(math.isfinite(value) for value in values):
            raise InputError(f"{self.where}: {part}.{name} is not finite; fetch the capture again")
        return values

    def millimetres(self, points: np.ndarray) -> np.ndarray:
        """Return local points float64 [N, 3] m in the capture's frame, z up, int64 [N, 3] mm."""
        x, y, z = points.T
        # Written out: a matrix product may add in another order on another machine.
        rows = zip(self._rotation, self._translation, strict=True)
        world = [r[0] * x + r[1] * y + r[2] * z + t for r, t in rows]
        # The capture's axes are x right, y up, z backward.
        return np.rint(np.stack([world[0], -world[2], world[1]], 1) * 1000.0).astype(np.int64)

    def plane(self) -> np.ndarray:
        """Return the corners of a plane int64 [4, 3] mm, along its x first, then along its z."""
        x, z = self.numbers("bounded2D_META", "offset", "xy")
        w, h = self.numbers("bounded2D_META", "extent", ("width", "height"))
        return self.millimetres(
            np.array([[x, 0, z], [x + w, 0, z], [x, 0, z + h], [x + w, 0, z + h]])
        )


def read_room(path: str | Path) -> CapturedRoom:
    """Read a capture; raises `InputError` naming the file and what is wrong with it."""
    path = Path(path)
    data = read_json(path)
    rows = data.get("spatialEntities") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path}: no spatialEntities; fetch the capture again")
    entities = [_Entity(path, number, fields) for number, fields in enumerate(rows)]
    meshes = [e for e in entities if "triangleMesh_META" in e.fields]
    if len(meshes) != 1:
        raise InputError(f"{path}: {len(meshes)} room meshes, not 1; fetch the capture again")
    vertices, faces = _mesh(meshes[0])
    floor, ceiling = (_level(path, entities, label) for label in ("FLOOR", "CEILING"))
    if not _HEIGHT_MM[0] <= ceiling - floor <= _HEIGHT_MM[1]:
        raise InputError(
            f"{path}: {ceiling - floor} mm from floor to ceiling; is it in metres? Leave it out"
        )
    ring = join_walls(path, [e.plane()[:2, :2] for e in entities if e.label == "WALL_FACE"])
    # The smallest rotation that lays the longest wall along an axis.
    sides = [(bx - ax, by - ay) for (ax, ay), (bx, by) in edges(ring)]
    beyond_axis = heading(*max(sides, key=lambda side: side[0] ** 2 + side[1] ** 2)) % 90
    degrees = -beyond_axis if beyond_axis < 45 else 90 - beyond_axis
    outline = np.column_stack(rotate(np.array(ring).T, degrees))
    low, high = outline.min(0), outline.max(0)

    def to_room(points: np.ndarray) -> np.ndarray:
        x, y = rotate(points[:, :2].T, degrees)
        return np.column_stack([x - low[0], y - low[1], points[:, 2] - floor])

    # Captures hold furniture twice, as a box and as the plane of its top or seat: the box counts.
    furniture = [e for e in entities if e.label in CLASS_OF and "bounded3D_META" in e.fields]
    boxes = without_repeats([_box(e, to_room) for e in furniture])
    vertices = to_room(vertices)
    # No view can show a box that holds next to nothing of the mesh.
    middle = vertices[faces].sum(axis=1) // 3
    middle = middle[middle[:, 2] > _ON_FLOOR_MM]
    boxes = [b for b in boxes if np.count_nonzero(inside_box(b, middle, 0)) >= _LEAST_FACES]
    return CapturedRoom(
        size=(int(high[0] - low[0]), int(high[1] - low[1]), ceiling - floor),
        outline=[(int(x), int(y)) for x, y in outline - low],
        boxes=boxes,
        openings=[_opening(e, to_room) for e in entities if e.label in OPENING_OF],
        vertices=vertices,
        faces=faces,
    )


def join_walls(path: Path, walls: list[np.ndarray]) -> list[Point]:
    """Join walls into one ring of corners, counter-clockwise.

    Args:
        path: of the capture, for messages.
        walls: the ends int64 [2, 2] mm of each, in any order.

    Raises:
        InputError: they do not close.
    """
    if len(walls) < 3:
        raise InputError(
            f"{path}: {len(walls)} walls, but a room has at least 3; fetch the capture again"
        )
    left = [tuple((int(x), int(y)) for x, y in wall) for wall in walls]
    first = left.pop(0)
    ring, end = [first[0]], first[1]
    while left:
        # The next wall is the one with an end nearest to the end of the last wall.
        ends = [(_gap(p, end), k, n) for k, wall in enumerate(left) for n, p in enumerate(wall)]
        gap, k, n = min(ends)
        if gap > _JOINT_MM:
            raise InputError(f"{path}: its walls leave a gap of {gap} mm; fetch the capture again")
        wall = left.pop(k)
        ring.append(wall[n])
        end = wall[1 - n]
    if _gap(end, ring[0]) > _JOINT_MM:
        raise InputError(f"{path}: its walls do not close; fetch the capture again")
    return ring if twice_area(ring) > 0 else ring[::-1]


def _gap(a: Point, b: Point) -> int:
    """Return the larger of the distances (mm) along x and along y."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))


def _level(path: Path, entities: list[_Entity], label: str) -> int:
    """Return the height (mm) of the first plane with a label."""
    planes = [e.plane() for e in entities if e.label == label]
    if not planes:
        raise InputError(f"{path}: no {label} plane; fetch the capture again")
    heights = planes[0][:, 2]
    return int(heights.sum()) // len(heights)


def _mesh(entity: _Entity) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices int64 [V, 3] mm and faces int32 [F, 3] of the room's mesh."""
    arrays = []
    for name, kind in (("vertices", "<f4"), ("indices", "<u4")):
        try:
            raw = base64.b64decode(entity.fields["triangleMesh_META"][name], validate=True)
            arrays.append(np.frombuffer(raw, kind).reshape(-1, 3))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise InputError(
                f"{entity.where}: its mesh's {name} are missing or cut short; fetch it again"
            ) from error
    vertices, faces = arrays
    if not len(faces) or int(faces.max()) >= len(vertices):
        raise InputError(
            f"{entity.where}: the mesh has {len(vertices)} vertices and {len(faces)} faces with "
            "indices beyond them; fetch the capture again"
        )
    if not np.isfinite(vertices).all():
        raise InputError(
            f"{entity.where}: the mesh has vertices that are not finite; fetch the capture again"
        )
    return entity.millimetres(vertices.astype(np.float64)), faces.astype(np.int32)


def _box(entity: _Entity, to_room: Any) -> Box:
    """Return the upright box of an entity; `to_room` takes int64 [N, 3] mm to the room frame."""
    offset = entity.numbers("bounded3D_META", "offset", "xyz")
    extent = entity.numbers("bounded3D_META", "extent", ("width", "height", "depth"))
    if min(extent) <= 0.0:
        raise InputError(
            f"{entity.where} ({entity.label}): its box has no volume; leave the capture out"
        )
    points = to_room(entity.millimetres(np.array(offset) + UNIT_CORNERS * np.array(extent)))
    low, high = points.min(0), points.max(0)
    # Corners 0 and 4 differ along the box's x, 0 and 1 along its z, which must point up.
    along, up = points[4] - points[0], points[1] - points[0]
    tilted = abs(int(along[2])) > _UPRIGHT_MM or _gap(up[:2], (0, 0)) > _UPRIGHT_MM
    if tilted or int(up[2]) < 0:
        raise InputError(
            f"{entity.where} ({entity.label}): its box is not upright; leave the capture out"
        )
    base = 0 if abs(int(low[2])) <= _ON_FLOOR_MM else int(low[2])
    return Box(
        CLASS_OF[entity.label],
        (round(1000 * extent[0]), round(1000 * extent[1]), int(high[2]) - base),
        (int(low[0] + high[0]) // 2, int(low[1] + high[1]) // 2),
        base,
        heading(int(along[0]), int(along[1])),
    )


def without_repeats(boxes: list[Box]) -> list[Box]:
    """Leave out boxes whose centre lies inside a larger box of their class."""
    order = sorted(boxes, key=lambda b: -b.size[0] * b.size[1] * b.size[2])
    kept: list[Box] = []
    for box in order:
        middle = np.array([[*box.centre, box.base + box.size[2] // 2]])
        if not any(b.cls == box.cls and inside_box(b, middle, 0)[0] for b in kept):
            kept.append(box)
    return [box for box in boxes if any(box is b for b in kept)]


def inside_box(box: Box | Item, points: np.ndarray, margin: int) -> np.ndarray:
    """Return bool [N], which points int64 [N, 3] mm lie in a box grown by `margin` mm."""
    c, s = cosine(box.yaw), sine(box.yaw)
    dx, dy = points[:, 0] - box.centre[0], points[:, 1] - box.centre[1]
    u, v = np.abs(dx * c + dy * s), np.abs(dy * c - dx * s)  # in the box's axes, times UNIT
    w, d, h = box.size
    low = points[:, 2] >= box.base - margin
    flat = (2 * u <= (w + 2 * margin) * UNIT) & (2 * v <= (d + 2 * margin) * UNIT)
    return flat & low & (points[:, 2] <= box.base + h + margin)


def _opening(entity: _Entity, to_room: Any) -> dict[str, Any]:
    corners = to_room(entity.plane())
    base = max(int(corners[:, 2].min()), 0)
    return {
        "kind": OPENING_OF[entity.label],
        "ends_mm": corners[:2, :2].tolist(),
        "base_mm": base,
        "height_mm": int(corners[:, 2].max()) - base,
    }
