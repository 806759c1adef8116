"""Doors and windows that sentences may name: the only one of its kind in the room, and in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from g2vlm.scenes.layout.cameras import seen_shares
from g2vlm.scenes.layout.integer_geometry import Point, point_to_footprint
from g2vlm.scenes.layout.recipes import cameras_of
from g2vlm.scenes.layout.room_state import Item, wall_point
from metrics.constants import INPUT_VIEWS

# Sample points along an opening and up it; the share (%) of them that one input view must see.
ALONG, UP = 5, 4
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
    steps = range(ALONG)
    return [tuple(p + (q - p) * k // (ALONG - 1) for p, q in zip(a, b, strict=True)) for k in steps]


def distance_to(points: Sequence[Point], item: Item) -> int:
    """Return the distance (mm) from an opening's nearest point to an object's footprint."""
    return min(point_to_footprint(point, item.ring) for point in points)
