"""The state of a room while it is furnished: placed items, openings, and what fits where.

Everything is in whole millimetres and degrees in the room's frame: x in [0, sx], y in [0, sy], z up
from the floor, yaw counter-clockwise. Walls are numbered counter-clockwise, each starting where the
one before it ends: 0 along y = 0, 1 along x = sx, 2 along y = sy, 3 along x = 0.

A model of yaw 0 has its front towards -y.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from scipy import ndimage

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.integer_geometry import (
    UNIT,
    Point,
    corners,
    cosine,
    footprint_distance,
    gap,
    offset,
    rotate,
    sine,
)

# Fewest and most objects of a room.
OBJECTS = (8, 22)
# Boxes may overlap by this much, which hides the rounding of turned corners.
TOLERANCE_MM = 5
WALL_GAP_MM = 20
# Depth of the floor that stays free at a door and at a window.
CLEARANCE_MM = {"door": 800, "window": 300}
# Least distance of an opening from a corner of the room, and from another opening.
CORNER_MM, OPENING_GAP_MM = 150, 200
# Half of the side of the part of a top that carries things, as a share of the side: 3 / 10.
CARRY_NUMERATOR, CARRY_DENOMINATOR = 3, 10
# How far a footprint may stick out over that of its support.
OVERHANG_MM = 10
# A model with a longer side than this is placed at multiples of 90 degrees.
LARGE_MM = 600
# Yaw that turns a front away from each wall, into the room.
WALL_YAW = (180, 270, 0, 90)
# The walkable grid: side of a cell, half width of a person, and the height up to which they
# bump into things.
CELL_MM, BODY_MM, HEAD_MM = 100, 150, 1800


@dataclass
class Item:
    """One placed model.

    Attributes:
        row: the model.
        centre: (x, y) of its box.
        base: height of its underside above the floor.
        yaw: degrees, reduced to 0..359.
        size: (width, depth, height) of its box at yaw 0.
        support: index of the item that it stands on, or -1.
        ring: its footprint.
    """

    row: ModelRow
    centre: Point
    base: int
    yaw: int
    size: tuple[int, int, int]
    support: int = -1
    ring: list[Point] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.yaw %= 360
        self.ring = corners(self.centre, self.size, self.yaw)

    @property
    def top(self) -> int:
        return self.base + self.size[2]

    @property
    def carries(self) -> int:
        """Height above the floor of the top that carries things, or -1."""
        if self.row.carries_mm < 0:
            return -1
        return self.base + self.row.carries_mm * self.size[2] // self.row.size_mm[2]


def wall_point(size: Sequence[int], wall: int, along: int, inward: int) -> Point:
    """Return the point `along` a wall from its start and `inward` from it, in a room of `size`."""
    sx, sy = size[0], size[1]
    return (
        (along, inward),
        (sx - inward, along),
        (sx - along, sy - inward),
        (inward, sy - along),
    )[wall]


def heights_meet(a_low: int, a_high: int, b_low: int, b_high: int) -> bool:
    """Return whether two height intervals share more than the tolerance."""
    return min(a_high, b_high) - max(a_low, b_low) > TOLERANCE_MM


def collide(a: Item, b: Item) -> bool:
    """Return whether two boxes overlap by more than the tolerance; rugs lie under furniture."""
    if "rug" in (a.row.cls, b.row.cls) and a.row.cls != b.row.cls:
        return False
    heights = heights_meet(a.base, a.top, b.base, b.top)
    return heights and gap(a.ring, a.yaw, b.ring, b.yaw) < -TOLERANCE_MM


def rests_on(item: Item, support: Item) -> bool:
    """Return whether an item's footprint lies within its support's, but for the overhang."""
    half_w, half_d = (support.size[k] // 2 + OVERHANG_MM for k in (0, 1))
    x0, y0 = support.centre
    turned = [rotate((x - x0, y - y0), -support.yaw) for x, y in item.ring]
    return all(abs(u) <= half_w and abs(v) <= half_d for u, v in turned)


def at_offset(anchor: Item, row: ModelRow, local: Point, turn: int) -> Item:
    """Return a model on the floor at `local` in the anchor's axes, turned by `turn` from it."""
    centre = offset(anchor.centre, anchor.yaw, local)
    return Item(row, centre, 0, anchor.yaw + turn, row.size_mm)


class Room:
    """A room of size (sx, sy, height) with its items, openings and random generator.

    Methods named `add_...` place something if it fits. They return the new item's index, or -1.
    """

    def __init__(self, size: tuple[int, int, int], rng: np.random.Generator) -> None:
        self.size = size
        self.rng = rng
        self.items: list[Item] = []
        self.openings: list[dict] = []
        # What furniture keeps out of: (ring on the floor, least height, greatest height).
        self.zones: list[tuple[list[Point], int, int]] = []

    def draw(self, low: int, high: int) -> int:
        """Return a uniform integer in low..high, both included."""
        return int(self.rng.integers(low, high + 1)) if high > low else low

    def chance(self, percent: int) -> bool:
        return self.draw(0, 99) < percent

    def wall_length(self, wall: int) -> int:
        return self.size[wall % 2]

    def add_opening(
        self, kind: str, wall: int, start: int, width: int, base: int, top: int
    ) -> bool:
        """Cut a door or window if the wall is free there, and keep furniture clear of it."""
        end = start + width
        if start < CORNER_MM or end > self.wall_length(wall) - CORNER_MM:
            return False
        for other in self.openings:
            low = other["offset_mm"] - OPENING_GAP_MM
            high = other["offset_mm"] + other["width_mm"] + OPENING_GAP_MM
            if other["wall"] == wall and start < high and low < end:
                return False
        depth = CLEARANCE_MM[kind]
        outline = ((start, 0), (end, 0), (end, depth), (start, depth))
        ring = [wall_point(self.size, wall, along, inward) for along, inward in outline]
        self.zones.append((ring, base, top))
        self.openings.append(
            {
                "kind": kind,
                "wall": wall,
                "offset_mm": start,
                "width_mm": width,
                "base_mm": base,
                "height_mm": top - base,
            }
        )
        return True

    def fits(self, item: Item, others: Iterable[Item] | None = None) -> bool:
        """Return whether an item is inside the room, clear of the zones and collides with nothing.

        Args:
            others: the items that it may collide with; default those of the room.
        """
        sx, sy, height = self.size
        between_walls = all(0 <= x <= sx and 0 <= y <= sy for x, y in item.ring)
        if not between_walls or item.base < 0 or item.top > height:
            return False
        for ring, low, high in self.zones if item.row.cls != "rug" else ():
            heights = heights_meet(item.base, item.top, low, high)
            if heights and gap(item.ring, item.yaw, ring, 0) < -TOLERANCE_MM:
                return False
        return not any(collide(item, o) for o in (self.items if others is None else others))

    def add(self, item: Item) -> int:
        """Place an item if it fits and the room is not full."""
        if len(self.items) >= OBJECTS[1] or not self.fits(item):
            return -1
        self.items.append(item)
        return len(self.items) - 1

    def at_wall(self, row: ModelRow, wall: int, along: int, base: int = 0) -> Item:
        """Return a model with its back to a wall, its middle at `along`."""
        centre = wall_point(self.size, wall, along, WALL_GAP_MM + row.size_mm[1] // 2 + 1)
        return Item(row, centre, base, WALL_YAW[wall], row.size_mm)

    def add_at_wall(self, row: ModelRow, tries: int = 10, base: int = 0, wall: int = -1) -> int:
        """Place a model with its back to a wall, a drawn one for -1, at a drawn position."""
        for _ in range(tries):
            side = wall if wall >= 0 else self.draw(0, 3)
            margin = WALL_GAP_MM + row.size_mm[0] // 2 + 1
            if self.wall_length(side) > 2 * margin:
                along = self.draw(margin, self.wall_length(side) - margin)
                index = self.add(self.at_wall(row, side, along, base))
                if index >= 0:
                    return index
        return -1

    def add_free(self, row: ModelRow, tries: int = 12) -> int:
        """Place a model anywhere on the floor at a multiple of 15 degrees, 90 for large ones."""
        reach = max(row.size_mm[0], row.size_mm[1]) // 2 + 50
        if min(self.size[0], self.size[1]) <= 2 * reach:
            return -1
        step = 90 if max(row.size_mm[:2]) > LARGE_MM else 15
        for _ in range(tries):
            x = self.draw(reach, self.size[0] - reach)
            y = self.draw(reach, self.size[1] - reach)
            turn = 15 * self.draw(0, 23) // step * step
            index = self.add(Item(row, (x, y), 0, turn, row.size_mm))
            if index >= 0:
                return index
        return -1

    def add_on(self, support: int, row: ModelRow, tries: int = 6, centred: bool = False) -> int:
        """Place a model on the top of an item, in the middle or at a drawn position."""
        below = self.items[support]
        if below.carries < 0:
            return -1
        w, d = (below.size[k] * CARRY_NUMERATOR // CARRY_DENOMINATOR for k in (0, 1))
        # Screens and appliances face where their support faces.
        any_turn = not row.front and row.cls != "kitchen appliance"
        for _ in range(tries):
            local = (0, 0) if centred else (self.draw(-w, w), self.draw(-d, d))
            turn = 15 * self.draw(0, 23) if any_turn else 0
            centre = offset(below.centre, below.yaw, local)
            item = Item(row, centre, below.carries, below.yaw + turn, row.size_mm, support)
            index = self.add(item) if rests_on(item, below) else -1
            if index >= 0:
                return index
        return -1


def walkable(room: Room) -> np.ndarray:
    """Return bool [nx, ny]: cells of 10 cm in whose middle a person can stand."""
    nx, ny = room.size[0] // CELL_MM, room.size[1] // CELL_MM
    x = (np.arange(nx, dtype=np.int64) * CELL_MM + CELL_MM // 2)[:, None]  # (nx, 1)
    y = (np.arange(ny, dtype=np.int64) * CELL_MM + CELL_MM // 2)[None, :]  # (1, ny)
    free = (x >= BODY_MM) & (x <= room.size[0] - BODY_MM)
    free = free & (y >= BODY_MM) & (y <= room.size[1] - BODY_MM)  # (nx, ny)
    for item in room.items:
        if item.row.cls != "rug" and item.base < HEAD_MM:
            free &= ~covered(item, x, y, BODY_MM)
    return free


def covered(item: Item, x: np.ndarray, y: np.ndarray, margin: int) -> np.ndarray:
    """Return which points lie on an item's footprint, enlarged by a margin along its axes.

    Args:
        x, y: int64, mm, of shapes that broadcast to that of the result.
        margin: mm.
    """
    c, s = cosine(item.yaw), sine(item.yaw)
    dx, dy = x - item.centre[0], y - item.centre[1]
    # In the item's axes, times UNIT: compared with bounds times UNIT, nothing is rounded.
    u, v = dx * c + dy * s, dy * c - dx * s
    reach = [(item.size[k] // 2 + margin) * UNIT for k in (0, 1)]
    return (np.abs(u) <= reach[0]) & (np.abs(v) <= reach[1])


def largest_component(free: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected part of a bool grid; of equal ones the first in row order."""
    labels, _ = ndimage.label(free)  # numbered from 1 in row order, 0 where not free
    # At least one size, 0, also where nothing is free.
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    return labels == 1 + sizes.argmax()


def box_distance(a: Item, b: Item) -> int:
    """Return the distance (mm) between the closest points of two oriented boxes."""
    flat = footprint_distance(a.ring, a.yaw, b.ring, b.yaw)
    rise = max(0, a.base - b.top, b.base - a.top)
    return isqrt(flat * flat + rise * rise)
