"""A room being furnished: where things are, what collides, how to stand along a wall or on a top.

Everything is in whole millimetres and degrees in the room's frame (x in [0, sx], y in [0, sy]).
Walls are numbered counter-clockwise, each starting where the last one ends: 0 along y = 0,
1 along x = sx, 2 along y = sy, 3 along x = 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.layout.integer_geometry import (
    UNIT,
    Point,
    corners,
    cosine,
    footprint_distance,
    gap,
    offset,
    sine,
)

TOLERANCE_MM = 5
WALL_GAP_MM = 20
DOOR_CLEARANCE_MM = 800
# Half of the side of the part of a top that carries things, as a share of the side: 3 / 10.
CARRY_NUMERATOR, CARRY_DENOMINATOR = 3, 10
# Yaw that turns the front (-y at yaw 0) from each wall into the room.
WALL_YAW = (180, 270, 0, 90)


@dataclass
class Item:
    """One placed model: box of `size` (w, d, h) at `centre`, standing at height `base`."""

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


@dataclass(frozen=True)
class Zone:
    """A part of the room that furniture keeps out of."""

    ring: list[Point]
    low: int
    high: int


def wall_point(size: Sequence[int], wall: int, along: int, inward: int) -> Point:
    """Return the point `along` a wall of a room of `size` from its start and `inward` from it."""
    sx, sy = size[0], size[1]
    return (
        (along, inward),
        (sx - inward, along),
        (sx - along, sy - inward),
        (inward, sy - along),
    )[wall]


def heights_meet(a_low: int, a_high: int, b_low: int, b_high: int) -> bool:
    """Say whether two height intervals share more than the tolerance."""
    return min(a_high, b_high) - max(a_low, b_low) > TOLERANCE_MM


def collide(a: Item, b: Item) -> bool:
    """Say whether two boxes share more than the tolerance; rugs lie under furniture."""
    if "rug" in (a.row.cls, b.row.cls) and a.row.cls != b.row.cls:
        return False
    if not heights_meet(a.base, a.top, b.base, b.top):
        return False
    return gap(a.ring, a.yaw, b.ring, b.yaw) < -TOLERANCE_MM


class Room:
    """The state of one room while it is furnished."""

    def __init__(self, size: tuple[int, int, int], rng: np.random.Generator) -> None:
        self.size = size
        self.rng = rng
        self.items: list[Item] = []
        self.openings: list[dict] = []
        self.zones: list[Zone] = []

    def wall_length(self, wall: int) -> int:
        return self.size[wall % 2]

    def wall_point(self, wall: int, along: int, inward: int) -> Point:
        """Return the point `along` a wall from its start and `inward` from it."""
        return wall_point(self.size, wall, along, inward)

    def add_opening(
        self, kind: str, wall: int, start: int, width: int, base: int, top: int
    ) -> bool:
        """Cut a door or window if the wall is free there, and keep furniture clear of it."""
        if start < 150 or start + width > self.wall_length(wall) - 150:
            return False
        for other in self.openings:
            far = other["offset_mm"] + other["width_mm"] + 200
            if other["wall"] == wall and start < far and other["offset_mm"] - 200 < start + width:
                return False
        depth = DOOR_CLEARANCE_MM if kind == "door" else 300
        ring = [
            self.wall_point(wall, *at)
            for at in ((start, 0), (start + width, 0), (start + width, depth), (start, depth))
        ]
        self.zones.append(Zone(ring, base, top))
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

    def inside(self, item: Item) -> bool:
        sx, sy, height = self.size
        within = all(0 <= x <= sx and 0 <= y <= sy for x, y in item.ring)
        return within and item.base >= 0 and item.top <= height

    def fits(self, item: Item, others: Iterable[Item] | None = None) -> bool:
        """Say whether `item` is in the room, off the keep-out zones and collides with nothing."""
        if not self.inside(item):
            return False
        for zone in self.zones:
            if item.row.cls == "rug" or not heights_meet(item.base, item.top, zone.low, zone.high):
                continue
            if gap(item.ring, item.yaw, zone.ring, 0) < -TOLERANCE_MM:
                return False
        return not any(collide(item, o) for o in (self.items if others is None else others))

    def add(self, item: Item) -> int:
        """Place `item` if it fits and return its index, else -1."""
        if len(self.items) >= 22 or not self.fits(item):
            return -1
        self.items.append(item)
        return len(self.items) - 1

    def at_wall(self, row: ModelRow, wall: int, along: int, base: int = 0) -> Item:
        """Return `row` with its back to a wall, its middle at `along`."""
        centre = self.wall_point(wall, along, WALL_GAP_MM + row.size_mm[1] // 2 + 1)
        return Item(row, centre, base, WALL_YAW[wall], row.size_mm)

    def beside(self, anchor: Item, row: ModelRow, local: Point, turn: int) -> Item:
        """Return `row` on the floor at `local` in the anchor's axes, turned by `turn` from it."""
        centre = offset(anchor.centre, anchor.yaw, local)
        return Item(row, centre, 0, anchor.yaw + turn, row.size_mm)

    def add_at_wall(self, row: ModelRow, tries: int = 10, base: int = 0, wall: int = -1) -> int:
        """Place `row` with its back to some free stretch of wall; -1 if none was found."""
        for _ in range(tries):
            side = wall if wall >= 0 else self.draw(0, 3)
            margin = WALL_GAP_MM + row.size_mm[0] // 2 + 1
            if self.wall_length(side) > 2 * margin:
                along = self.draw(margin, self.wall_length(side) - margin)
                index = self.add(self.at_wall(row, side, along, base))
                if index >= 0:
                    return index
        return -1

    def add_free(self, row: ModelRow, tries: int = 12, base: int = 0) -> int:
        """Place `row` anywhere at any multiple of 15 degrees; -1 if it found no room."""
        reach = max(row.size_mm[0], row.size_mm[1]) // 2 + 50
        for _ in range(tries):
            if min(self.size[0], self.size[1]) <= 2 * reach:
                return -1
            x = self.draw(reach, self.size[0] - reach)
            y = self.draw(reach, self.size[1] - reach)
            turn = 15 * self.draw(0, 23)
            if row.size_mm[0] > 600 or row.size_mm[1] > 600:
                turn = 90 * (turn // 90)
            index = self.add(Item(row, (x, y), base, turn, row.size_mm))
            if index >= 0:
                return index
        return -1

    def add_on(self, support: int, row: ModelRow, tries: int = 6, centred: bool = False) -> int:
        """Place `row` on the top of an item; screens and appliances look where it looks."""
        under = self.items[support]
        if under.carries < 0:
            return -1
        for _ in range(tries):
            item = self.on_top(under, support, row, centred)
            if self.rests(item, under):
                index = self.add(item)
                if index >= 0:
                    return index
        return -1

    def on_top(self, under: Item, support: int, row: ModelRow, centred: bool) -> Item:
        w, d = (under.size[k] * CARRY_NUMERATOR // CARRY_DENOMINATOR for k in (0, 1))
        local = (0, 0) if centred else (self.draw(-w, w), self.draw(-d, d))
        free = not row.front and row.cls != "kitchen appliance"
        turn = 15 * self.draw(0, 23) if free else 0
        centre = offset(under.centre, under.yaw, local)
        return Item(row, centre, under.carries, under.yaw + turn, row.size_mm, support)

    def rests(self, item: Item, under: Item) -> bool:
        """Say whether an item's footprint lies within that of what it stands on (1 cm over)."""
        half = [under.size[k] // 2 + 10 for k in (0, 1)]
        for x, y in item.ring:
            dx, dy = x - under.centre[0], y - under.centre[1]
            u, v = offset((0, 0), -under.yaw, (dx, dy))
            if abs(u) > half[0] or abs(v) > half[1]:
                return False
        return True

    def draw(self, low: int, high: int) -> int:
        """Return a uniform integer in low..high, both included."""
        return int(self.rng.integers(low, high + 1)) if high > low else low

    def chance(self, percent: int) -> bool:
        return self.draw(0, 99) < percent


def walkable(room: Room, cell: int = 100, body: int = 150) -> np.ndarray:
    """Return bool[nx, ny]: cells whose middle a person of half width `body` can stand on."""
    nx, ny = room.size[0] // cell, room.size[1] // cell
    x = (np.arange(nx, dtype=np.int64) * cell + cell // 2)[:, None]
    y = (np.arange(ny, dtype=np.int64) * cell + cell // 2)[None, :]
    free = (x >= body) & (x <= room.size[0] - body) & (y >= body) & (y <= room.size[1] - body)
    for item in room.items:
        if item.row.cls != "rug" and item.base < 1800:
            free &= ~covered(item, x, y, body)
    return free


def covered(item: Item, x: np.ndarray, y: np.ndarray, margin: int) -> np.ndarray:
    """Return which points lie within `margin` (mm) of an item's footprint, in its own axes."""
    c, s = cosine(item.yaw), sine(item.yaw)
    dx, dy = x - item.centre[0], y - item.centre[1]
    u, v = dx * c + dy * s, dy * c - dx * s
    reach = [(item.size[k] // 2 + margin) * UNIT for k in (0, 1)]
    return (np.abs(u) <= reach[0]) & (np.abs(v) <= reach[1])


def connected(free: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected part of a bool grid."""
    left, best = free.copy(), np.zeros_like(free)
    while left.any():
        part = np.zeros_like(free)
        part[tuple(np.argwhere(left)[0])] = True
        while True:
            grown = part.copy()
            grown[1:] |= part[:-1]
            grown[:-1] |= part[1:]
            grown[:, 1:] |= part[:, :-1]
            grown[:, :-1] |= part[:, 1:]
            grown &= left
            if (grown == part).all():
                break
            part = grown
        left &= ~part
        if part.sum() > best.sum():
            best = part
        if best.sum() >= left.sum():
            break
    return best


def box_distance(a: Item, b: Item) -> int:
    """Return the distance (mm) between the closest points of two oriented boxes."""
    flat = footprint_distance(a.ring, a.yaw, b.ring, b.yaw)
    rise = max(0, a.base - b.top, b.base - a.top)
    return isqrt(flat * flat + rise * rise)
