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
from dataclasses import dataclass
from functools import lru_cache
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
from metrics.files import read_json
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
# A box that ends this near to the floor stands on it: planes and boxes were fitted separately.
_ON_FLOOR_MM = 100
# How far from a box the middle of a face that belongs to it may lie.
NEAR_BOX_MM = 40
# A box that holds fewer faces of the mesh than this is left out: no view would show it.
_LEAST_FACES = 12


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
    """One entity of a capture."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.label = fields["semanticLabel_META"]
        self._rotation = rotation_of_quaternion(
            *self.numbers("locatable_META", "orientation", "xyzw")
        )
        self._translation = self.numbers("locatable_META", "position", "xyz")

    def numbers(self, part: str, name: str, keys: Any) -> list[float]:
        """Return the numbers `keys` of a field."""
        return [float(self.fields[part][name][key]) for key in keys]

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


@lru_cache(maxsize=8)
def read_room(path: Path) -> CapturedRoom:
    """Read a capture. Its sha256 was checked when it was fetched, so its layout is known.

    Args:
        path: of the capture.
    """
    entities = [_Entity(fields) for fields in read_json(path)["spatialEntities"]]
    mesh = next(e for e in entities if "triangleMesh_META" in e.fields)
    vertices, faces = (
        np.frombuffer(base64.b64decode(mesh.fields["triangleMesh_META"][name]), kind).reshape(-1, 3)
        for name, kind in (("vertices", "<f4"), ("indices", "<u4"))
    )
    floor, ceiling = (_level(entities, label) for label in ("FLOOR", "CEILING"))
    ring = join_walls([e.plane()[:2, :2] for e in entities if e.label == "WALL_FACE"])
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
    vertices = to_room(mesh.millimetres(vertices.astype(np.float64)))
    faces = faces.astype(np.int32)
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


def join_walls(walls: list[np.ndarray]) -> list[Point]:
    """Join walls into one ring of corners, counter-clockwise.

    Args:
        walls: the ends int64 [2, 2] mm of each, in any order.
    """
    left = [tuple((int(x), int(y)) for x, y in wall) for wall in walls]
    first = left.pop(0)
    ring, end = [first[0]], first[1]
    while left:
        # The next wall is the one with an end nearest to the end of the last wall.
        _, k, n = min(
            (_gap(p, end), k, n) for k, wall in enumerate(left) for n, p in enumerate(wall)
        )
        wall = left.pop(k)
        ring.append(wall[n])
        end = wall[1 - n]
    return ring if twice_area(ring) > 0 else ring[::-1]


def _gap(a: Point, b: Point) -> int:
    """Return the larger of the distances (mm) along x and along y."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))


def _level(entities: list[_Entity], label: str) -> int:
    """Return the height (mm) of the first plane with a label."""
    heights = next(e for e in entities if e.label == label).plane()[:, 2]
    return int(heights.sum()) // len(heights)


def _box(entity: _Entity, to_room: Any) -> Box:
    """Return the upright box of an entity; `to_room` takes int64 [N, 3] mm to the room frame."""
    offset = entity.numbers("bounded3D_META", "offset", "xyz")
    extent = entity.numbers("bounded3D_META", "extent", ("width", "height", "depth"))
    points = to_room(entity.millimetres(np.array(offset) + UNIT_CORNERS * np.array(extent)))
    low, high = points.min(0), points.max(0)
    # Corners 0 and 4 differ along the box's x.
    along = points[4] - points[0]
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
