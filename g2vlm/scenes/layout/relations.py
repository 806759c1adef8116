"""Which spatial relations hold between the boxes of a recipe, and which are too close to call.

Formulas and void bands on true oriented boxes, in the levelled frame of the first camera:
support (on, under): what stands on what; near: closest box points under 0.5 m, void to 0.75 m;
left, right, front, behind: dominant axis of the centre offset, void within 15 degrees of a diagonal
and under 0.2 m; larger: volume ratio over 1.5, void down to 1.1; facing (seats and screens): front
axis within 20 degrees of the other's centre, void to 30 degrees, where the axis meets the other's
footprint, and under 0.2 m.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import SCREENS, SEATS
from g2vlm.scenes.layout.integer_geometry import UNIT, cosine, divide, sine
from g2vlm.scenes.layout.openings import named_openings
from g2vlm.scenes.layout.recipes import items_of
from g2vlm.scenes.layout.room_state import Item, box_distance

NEAR_MM, NEAR_VOID_MM = 500, 750
OFFSET_MM = 200
BETWEEN_MM = 1200


class SceneGeometry:
    """A recipe's items with their pairwise distances and offsets in the first camera's frame."""

    def __init__(self, recipe: dict[str, Any], models: dict[str, ModelRow]) -> None:
        self.items = items_of(recipe, models)
        camera = recipe["cameras"][0]
        self.eye = camera["position_mm"]
        self.heading = camera["yaw_deg"]
        n = len(self.items)
        self.distance = [[0] * n for _ in range(n)]
        for i in range(n):
            for j in range(i):
                d = box_distance(self.items[i], self.items[j])
                self.distance[i][j] = self.distance[j][i] = d
        self.openings = named_openings(recipe, self.items)
        self.place = [self.in_frame(item.centre) for item in self.items]

    def in_frame(self, point: tuple[int, int]) -> tuple[int, int]:
        """Return a room point (mm) in the frame: x along the camera's heading, y to its left."""
        dx, dy = point[0] - self.eye[0], point[1] - self.eye[1]
        c, s = cosine(self.heading), sine(self.heading)
        return divide(dx * c + dy * s, UNIT), divide(dy * c - dx * s, UNIT)

    def side(self, i: int, j: int) -> str | None:
        """Return left, right, front or behind for i as seen relative to j; None when void."""
        dx, dy = (self.place[i][a] - self.place[j][a] for a in (0, 1))
        return dominant(dx, dy)

    def larger(self, i: int, j: int) -> bool | None:
        a, b = volume(self.items[i]), volume(self.items[j])
        if 2 * a > 3 * b:
            return True
        return None if 10 * a >= 11 * b else False

    def near(self, i: int, j: int) -> bool | None:
        d = self.distance[i][j]
        if d < NEAR_MM:
            return True
        return None if d < NEAR_VOID_MM else False

    def beside(self, i: int, j: int) -> bool | None:
        """Say whether i is near j, as sentences say it; None also where one stands on the other."""
        if self.items[i].support == j or self.items[j].support == i:
            return None
        return self.near(i, j)

    def turn(self, i: int, j: int) -> int:
        """Return 1 where the first view shows i left of j, -1 right of it, by 5 degrees; 0 else."""
        turn = self._turn(i, j)
        return (turn > 0) - (turn < 0) if self._apart(i, j, 87) else 0

    def in_line(self, i: int, j: int) -> bool:
        """Say whether the first view shows i and j within 15 degrees of each other."""
        return not self._apart(i, j, 259)

    def _turn(self, i: int, j: int) -> int:
        (ax, ay), (bx, by) = self.place[i], self.place[j]
        return ay * bx - by * ax

    def _apart(self, i: int, j: int, sine: int) -> bool:
        """Say whether two bearings are apart by an angle of this sine (per mille) or more."""
        (ax, ay), (bx, by) = self.place[i], self.place[j]
        turn, reach = self._turn(i, j), (ax * ax + ay * ay) * (bx * bx + by * by)
        return 1_000_000 * turn * turn >= sine * sine * reach

    def shown_side(self, i: int, j: int) -> str | None:
        """Return the side that i is on of j where the first view shows it so too: left or right of
        it in the image, or before or behind it in the same direction; None else."""
        side = self.side(i, j)
        if side in ("left", "right"):
            return side if self.turn(i, j) == (1 if side == "left" else -1) else None
        return side if side and self.in_line(i, j) else None

    def between(self, k: int, i: int, j: int) -> bool | None:
        """Say whether k's centre lies between those of i and j, seen from above; None when void.

        Between: in the middle half of the way, off it by under a fifth of its length, which is
        1.2 m at least. Not between: within a tenth of an end or beyond, or off by over two fifths.
        """
        (ax, ay), (bx, by), (x, y) = (self.items[n].centre for n in (i, j, k))
        ux, uy, vx, vy = bx - ax, by - ay, x - ax, y - ay
        square, along, across = ux * ux + uy * uy, ux * vx + uy * vy, abs(ux * vy - uy * vx)
        if 10 * along < square or 10 * along > 9 * square or 5 * across > 2 * square:
            return False
        middle = square <= 4 * along <= 3 * square and 5 * across < square
        return True if middle and square >= BETWEEN_MM * BETWEEN_MM else None

    def facing(self, i: int, j: int) -> bool | None:
        """Say whether i, a seat or screen, looks at j; None when void."""
        a, b = self.items[i], self.items[j]
        if a.row.cls not in SEATS | SCREENS:
            return False
        if not a.row.front:
            return a.row.front
        dx, dy = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
        if dx * dx + dy * dy < OFFSET_MM * OFFSET_MM:
            return None
        ahead = dx * sine(a.yaw) - dy * cosine(a.yaw)
        across = abs(dx * cosine(a.yaw) + dy * sine(a.yaw))
        if ahead > 0 and across * cosine(20) <= ahead * sine(20):
            return True
        undecided = ahead > 0 and across * cosine(30) <= ahead * sine(30)
        return None if undecided or _meets(a, b) else False


def _meets(a: Item, b: Item) -> bool:
    """Say whether the front axis of `a` crosses an edge of the footprint of `b`."""
    c, s = cosine(a.yaw), sine(a.yaw)
    offsets = [(x - a.centre[0], y - a.centre[1]) for x, y in b.ring]
    corners = [(dx * c + dy * s, dx * s - dy * c) for dx, dy in offsets]
    for (x, ahead), (end_x, end_ahead) in zip(corners, corners[1:] + corners[:1], strict=True):
        if min(x, end_x) < 0 <= max(x, end_x):
            # Where the edge meets the axis, times its (positive) reach across it.
            along = ahead * end_x - end_ahead * x
            if along * (1 if end_x > x else -1) > 0:
                return True
    return False


def dominant(dx: int, dy: int) -> str | None:
    """Return the side named by the dominant axis of an offset (mm) in the first camera's frame.

    >>> dominant(-900, 100), dominant(50, 800), dominant(700, 650)
    ('front', 'left', None)
    """
    large, small = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if large < OFFSET_MM or small * cosine(30) > large * sine(30):
        return None
    if abs(dx) > abs(dy):
        return "behind" if dx > 0 else "front"
    return "left" if dy > 0 else "right"


def volume(item: Item) -> int:
    """Return the volume of a box in mm³."""
    return item.size[0] * item.size[1] * item.size[2]


def relate(geometry: SceneGeometry) -> tuple[list[list], list[list]]:
    """Return the true triplets [i, j, predicate] and the void [i, j, family] of ordered pairs."""
    relations, void = [], []
    for i, j in permutations(range(len(geometry.items)), 2):
        if geometry.items[i].support == j:
            relations.append([i, j, "on"])
        elif geometry.items[j].support == i:
            relations.append([i, j, "under"])
        for family, name, value in (
            ("distance", "near", geometry.near(i, j)),
            ("size", "larger", geometry.larger(i, j)),
            ("facing", "facing", geometry.facing(i, j)),
        ):
            if value is None:
                void.append([i, j, family])
            elif value:
                relations.append([i, j, name])
        side = geometry.side(i, j)
        if side is None:
            void.append([i, j, "side"])
        else:
            relations.append([i, j, side])
    return relations, void
