"""The spatial relations between the objects of a recipe, from their true oriented boxes.

`named_openings` returns the doors and windows that objects may be located by.

`FORMULAS` holds one formula for each family of `metrics.scene_graph.predicates`. A formula returns
the predicate that holds for an ordered pair, "none", or None where the pair is void: too close to
call, so that neither answer is scored. The limits and their void bands are those of `DEFINITIONS`
in that module. Positions are millimetres in the levelled frame of the first camera: x along its
heading, y to its left. The formulas compute with integers, so that every machine finds the same
relations.
"""

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import SCREENS, SEATS
from g2vlm.scenes.layout.cameras import seen_shares
from g2vlm.scenes.layout.integer_geometry import Point, cosine, edges, rotate, sine
from g2vlm.scenes.layout.recipes import cameras_of, items_of
from g2vlm.scenes.layout.room_state import Item, box_distance, wall_point
from metrics.constants import INPUT_VIEWS
from metrics.scene_graph.predicates import FAMILY_OF, NONE

NEAR_MM, NEAR_VOID_MM = 500, 750
# Centres closer than this have no direction between them.
OFFSET_MM = 200
# Shortest distance between two objects that a third can be between.
BETWEEN_MM = 1200
# Per mille: sines of 5 and 15 degrees.
SINE_5, SINE_15 = 87, 259
# Sample points along a door or window and up it.
ALONG, UP = 5, 4
# Share (%) of these points that one input view must see.
SEEN_PERCENT = 40


def named_openings(recipe: dict[str, Any], items: list[Item]) -> dict[str, list[Point]]:
    """Return the floor points (mm) under the only door and the only window, by kind.

    A kind is left out where the room has none or several, or where no input view is estimated to
    see enough of it.
    """
    cameras, named = cameras_of(recipe).take(list(range(INPUT_VIEWS))), {}
    for kind in ("door", "window"):
        openings = [opening for opening in recipe["openings"] if opening["kind"] == kind]
        if len(openings) != 1:
            continue
        floor = _floor_points(recipe, openings[0])
        low, height = openings[0]["base_mm"], openings[0]["height_mm"]
        levels = [low + (2 * k + 1) * height // (2 * UP) for k in range(UP)]
        points = np.array([(x, y, z) for x, y in floor for z in levels], np.float64)
        if max(seen_shares(cameras, points, items)) >= SEEN_PERCENT:
            named[kind] = floor
    return named


def _floor_points(recipe: dict[str, Any], opening: dict[str, Any]) -> list[Point]:
    """Return floor points (mm) from one end of an opening to the other."""
    if "ends_mm" in opening:  # A captured room: its walls may stand at any angle.
        a, b = opening["ends_mm"]
    else:
        size, wall, start = recipe["room"]["size_mm"], opening["wall"], opening["offset_mm"]
        a, b = (wall_point(size, wall, start + far, 0) for far in (0, opening["width_mm"]))
    (ax, ay), (dx, dy) = a, (b[0] - a[0], b[1] - a[1])
    return [(ax + dx * k // (ALONG - 1), ay + dy * k // (ALONG - 1)) for k in range(ALONG)]


class SceneGeometry:
    """A recipe's items with their pairwise distances and offsets in the first camera's frame.

    Attributes:
        items: the placed objects; indices i and j below are positions in it.
        distance: distance[i][j] between the closest points of two boxes, mm.
        openings: floor points (mm) under the only door and the only window, see `named_openings`.
        positions: centre (x, y) of each item in the first camera's frame, mm.
    """

    def __init__(self, recipe: dict[str, Any], models: dict[str, ModelRow]) -> None:
        self.items = items_of(recipe, models)
        n = len(self.items)
        self.distance = [[0] * n for _ in range(n)]
        for i, j in combinations(range(n), 2):
            d = box_distance(self.items[j], self.items[i])
            self.distance[i][j] = self.distance[j][i] = d
        self.openings = named_openings(recipe, self.items)
        camera = recipe["cameras"][0]
        eye_x, eye_y, _ = camera["position_mm"]
        centres = [(item.centre[0] - eye_x, item.centre[1] - eye_y) for item in self.items]
        self.positions = [rotate(centre, -camera["yaw_deg"]) for centre in centres]

    def support(self, i: int, j: int) -> str:
        """Return "on" where i stands on j, "under" where j stands on i, else "none"."""
        if self.items[i].support == j:
            return "on"
        return "under" if self.items[j].support == i else NONE

    def side(self, i: int, j: int) -> str | None:
        """Return left, right, front or behind for i as seen relative to j; None when void."""
        dx, dy = (self.positions[i][axis] - self.positions[j][axis] for axis in (0, 1))
        return dominant_side(dx, dy)

    def larger(self, i: int, j: int) -> bool | None:
        """Return whether the volume of i is over 1.5 times that of j; None down to 1.1 times."""
        a, b = volume(self.items[i]), volume(self.items[j])
        if 2 * a > 3 * b:
            return True
        return None if 10 * a >= 11 * b else False

    def near(self, i: int, j: int) -> bool | None:
        """Return whether i and j are under 0.5 m apart; None up to 0.75 m."""
        d = self.distance[i][j]
        if d < NEAR_MM:
            return True
        return None if d < NEAR_VOID_MM else False

    def facing(self, i: int, j: int) -> bool | None:
        """Return whether i, a seat or screen, faces j; None when void or its front is unknown."""
        a, b = self.items[i], self.items[j]
        if a.row.cls not in SEATS | SCREENS:
            return False
        if not a.row.front:
            return a.row.front
        dx, dy = b.centre[0] - a.centre[0], b.centre[1] - a.centre[1]
        if dx * dx + dy * dy < OFFSET_MM * OFFSET_MM:
            return None
        # The front of an item of yaw 0 points along -y.
        ahead = dx * sine(a.yaw) - dy * cosine(a.yaw)
        across = abs(dx * cosine(a.yaw) + dy * sine(a.yaw))
        # across / ahead <= tan(20 degrees), without a quotient.
        if ahead > 0 and across * cosine(20) <= ahead * sine(20):
            return True
        undecided = ahead > 0 and across * cosine(30) <= ahead * sine(30)
        return None if undecided or _front_axis_meets(a, b) else False

    def next_to(self, i: int, j: int) -> bool | None:
        """Return `near` as sentences use it: None also where one of the two stands on the other."""
        if self.support(i, j) != NONE:
            return None
        return self.near(i, j)

    def clearly_larger(self, i: int, j: int) -> bool | None:
        """Return whether i is over 1.5 times as large as j; None unless the smaller of the two is
        that much smaller."""
        if self.larger(i, j):
            return True
        return False if self.larger(j, i) else None

    def bearing_order(self, i: int, j: int) -> int:
        """Return 1 where i is left of j in the first view by 5 degrees or more, -1 where it is
        right of j by as much, else 0."""
        cross = self._cross(i, j)
        return (cross > 0) - (cross < 0) if self._bearings_differ(i, j, SINE_5) else 0

    def _cross(self, i: int, j: int) -> int:
        """Return the cross product of the positions of j and i: positive where i is to the left."""
        (ax, ay), (bx, by) = self.positions[i], self.positions[j]
        return ay * bx - by * ax

    def _bearings_differ(self, i: int, j: int, sine_per_mille: int) -> bool:
        """Return whether the bearings of i and j differ by an angle of this sine or more."""
        (ax, ay), (bx, by) = self.positions[i], self.positions[j]
        lengths = (ax * ax + ay * ay) * (bx * bx + by * by)
        # |cross| = |a| |b| sin(angle); squared, so that no root is taken.
        return 1_000_000 * self._cross(i, j) ** 2 >= sine_per_mille * sine_per_mille * lengths

    def side_in_view(self, i: int, j: int) -> str | None:
        """Return `side` where the image of the first view agrees with it, else None.

        Left and right must hold in the image too; in front and behind need bearings within 15
        degrees of each other.
        """
        side = self.side(i, j)
        if side in ("left", "right"):
            return side if self.bearing_order(i, j) == (1 if side == "left" else -1) else None
        return None if self._bearings_differ(i, j, SINE_15) else side

    def between(self, k: int, i: int, j: int) -> bool | None:
        """Return whether k's centre lies between those of i and j, seen from above; None when void.

        Between: in the middle half of the way, off it by under a fifth of its length, which is
        1.2 m at least. Not between: within a tenth of an end or beyond, or off by over two fifths.
        """
        (ax, ay), (bx, by), (x, y) = (self.items[n].centre for n in (i, j, k))
        ux, uy, vx, vy = bx - ax, by - ay, x - ax, y - ay
        # Lengths along and across the way from i to j, both times its length.
        square, along, across = ux * ux + uy * uy, ux * vx + uy * vy, abs(ux * vy - uy * vx)
        if 10 * along < square or 10 * along > 9 * square or 5 * across > 2 * square:
            return False
        middle = square <= 4 * along <= 3 * square and 5 * across < square
        return True if middle and square >= BETWEEN_MM * BETWEEN_MM else None


def _front_axis_meets(a: Item, b: Item) -> bool:
    """Return whether the front axis of `a` crosses an edge of the footprint of `b`."""
    c, s = cosine(a.yaw), sine(a.yaw)
    offsets = [(x - a.centre[0], y - a.centre[1]) for x, y in b.ring]
    corners = [(dx * c + dy * s, dx * s - dy * c) for dx, dy in offsets]  # (across, ahead)
    for (x, ahead), (end_x, end_ahead) in edges(corners):
        if min(x, end_x) < 0 <= max(x, end_x):
            # Where the edge crosses the axis, times its extent across the axis.
            along = ahead * end_x - end_ahead * x
            if along * (1 if end_x > x else -1) > 0:
                return True
    return False


def dominant_side(dx: int, dy: int) -> str | None:
    """Return the side of the dominant axis of an offset (mm) in the first camera's frame.

    None where the offset is short or within 15 degrees of a diagonal.

    >>> dominant_side(-900, 100), dominant_side(50, 800), dominant_side(700, 650)
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


def _label(predicate: str, holds: bool | None) -> str | None:
    """Return the label of a family of one predicate from whether it holds."""
    if holds is None:
        return None
    return predicate if holds else NONE


Formula = Callable[[SceneGeometry, int, int], str | None]

# The label of (i, j) by family, None where it is void. Relations are listed in this order.
FORMULAS: dict[str, Formula] = {
    "support": SceneGeometry.support,
    "distance": lambda scene, i, j: _label("near", scene.near(i, j)),
    "size": lambda scene, i, j: _label("larger", scene.larger(i, j)),
    "facing": lambda scene, i, j: _label("facing", scene.facing(i, j)),
    "side": SceneGeometry.side,
}

# Predicates that sentences use more strictly than the annotation does.
STRICTER: dict[str, Callable[[SceneGeometry, int, int], bool | None]] = {
    "near": SceneGeometry.next_to,
    "larger": SceneGeometry.clearly_larger,
}


def holds(scene: SceneGeometry, predicate: str, i: int, j: int) -> bool | None:
    """Return whether a sentence may say `predicate` of (i, j); None where it is not clear."""
    if predicate in STRICTER:
        return STRICTER[predicate](scene, i, j)
    label = FORMULAS[FAMILY_OF[predicate]](scene, i, j)
    return None if label is None else label == predicate


def relate(scene: SceneGeometry) -> tuple[list[list], list[list]]:
    """Return the true triplets [i, j, predicate] and the void [i, j, family] of ordered pairs."""
    relations, void = [], []
    for i, j in permutations(range(len(scene.items)), 2):
        for family, formula in FORMULAS.items():
            label = formula(scene, i, j)
            if label is None:
                void.append([i, j, family])
            elif label != NONE:
                relations.append([i, j, label])
    return relations, void
