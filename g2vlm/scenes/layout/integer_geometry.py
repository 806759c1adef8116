"""Exact planar geometry on integers: millimetres, whole degrees, a committed sine table."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

UNIT = 1 << 20
# round(sin(degree) * UNIT) for 0 to 90 degrees: a library sine may differ in its last bit.
_QUARTER = (
    0,
    18300,
    36595,
    54878,
    73145,
    91389,
    109606,
    127789,
    145934,
    164033,
    182083,
    200078,
    218011,
    235878,
    253673,
    271391,
    289027,
    306574,
    324028,
    341383,
    358634,
    375776,
    392803,
    409711,
    426494,
    443147,
    459665,
    476044,
    492277,
    508360,
    524288,
    540057,
    555661,
    571095,
    586356,
    601438,
    616338,
    631049,
    645568,
    659890,
    674012,
    687928,
    701634,
    715127,
    728402,
    741455,
    754282,
    766880,
    779244,
    791370,
    803256,
    814897,
    826289,
    837430,
    848316,
    858943,
    869309,
    879410,
    889243,
    898805,
    908093,
    917105,
    925838,
    934288,
    942454,
    950333,
    957922,
    965219,
    972223,
    978930,
    985339,
    991448,
    997255,
    1002758,
    1007956,
    1012847,
    1017429,
    1021701,
    1025662,
    1029311,
    1032646,
    1035666,
    1038371,
    1040760,
    1042832,
    1044586,
    1046022,
    1047139,
    1047937,
    1048416,
    1048576,
)

_HALF = _QUARTER + _QUARTER[89:0:-1]
SINES = _HALF + tuple(-v for v in _HALF)

Point = tuple[int, int]


def sine(degrees: int) -> int:
    """Return sin(degrees) * UNIT as an integer.

    >>> sine(30) == UNIT // 2, sine(-90) == -UNIT, sine(180)
    (True, True, 0)
    """
    return SINES[degrees % 360]


def cosine(degrees: int) -> int:
    """Return cos(degrees) * UNIT as an integer."""
    return SINES[(degrees + 90) % 360]


def divide(value: int, by: int) -> int:
    """Return value / by rounded to the nearest integer, halves up (`by` > 0)."""
    return (2 * value + by) // (2 * by)


def rotate(point: Point, degrees: int) -> Point:
    """Turn a point counter-clockwise about the origin, rounded to whole millimetres."""
    c, s = cosine(degrees), sine(degrees)
    x, y = point
    return divide(x * c - y * s, UNIT), divide(x * s + y * c, UNIT)


def offset(centre: Point, yaw: int, local: Point) -> Point:
    """Return the room position of `local` in the axes of something at `centre` turned by `yaw`."""
    dx, dy = rotate(local, yaw)
    return centre[0] + dx, centre[1] + dy


def corners(centre: Point, size: tuple[int, ...], yaw: int) -> list[Point]:
    """Return the four footprint corners, counter-clockwise, of size (w, d) at `centre`."""
    w, d = size[0], size[1]
    x0, y0 = -(w // 2), -(d // 2)
    ring = ((x0, y0), (x0 + w, y0), (x0 + w, y0 + d), (x0, y0 + d))
    return [offset(centre, yaw, p) for p in ring]


def twice_area(ring: Sequence[Sequence[int]]) -> int:
    """Return twice the signed area (mm²) of a ring of points: positive if counter-clockwise.

    >>> twice_area([(0, 0), (2, 0), (2, 3), (0, 3)])
    12
    """
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(ax * by - ay * bx for (ax, ay), (bx, by) in pairs)


def gap(a: list[Point], yaw_a: int, b: list[Point], yaw_b: int) -> int:
    """Return the largest separation (mm) of two footprints along their edge normals.

    Negative: they overlap, by that much at least (separating axis theorem).
    """
    best = -(1 << 40)
    for yaw in {yaw_a % 90, yaw_b % 90}:
        for c, s in ((cosine(yaw), sine(yaw)), (-sine(yaw), cosine(yaw))):
            pa = [x * c + y * s for x, y in a]
            pb = [x * c + y * s for x, y in b]
            best = max(best, min(pb) - max(pa), min(pa) - max(pb))
    return best // UNIT


def _to_segment_squared(p: Point, a: Point, b: Point) -> int:
    ux, uy = b[0] - a[0], b[1] - a[1]
    vx, vy = p[0] - a[0], p[1] - a[1]
    length, along = ux * ux + uy * uy, ux * vx + uy * vy
    if along <= 0 or length == 0:
        return vx * vx + vy * vy
    if along >= length:
        wx, wy = p[0] - b[0], p[1] - b[1]
        return wx * wx + wy * wy
    cross = ux * vy - uy * vx
    return cross * cross // length


def point_to_footprint(p: Point, ring: list[Point]) -> int:
    """Return the distance (mm) from a point to a footprint; 0 inside."""
    inside = all(
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) >= 0
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
    )
    if inside:
        return 0
    edges = zip(ring, ring[1:] + ring[:1], strict=True)
    return isqrt(min(_to_segment_squared(p, a, b) for a, b in edges))


def footprint_distance(a: list[Point], yaw_a: int, b: list[Point], yaw_b: int) -> int:
    """Return the distance (mm) between the closest points of two footprints; 0 if they meet."""
    if gap(a, yaw_a, b, yaw_b) <= 0:
        return 0
    pairs = [(p, b) for p in a] + [(p, a) for p in b]
    return min(point_to_footprint(p, ring) for p, ring in pairs)
