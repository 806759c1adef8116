"""Exact planar geometry on integers, so that every machine lays out the same rooms.

Lengths are whole millimetres and angles whole degrees, counter-clockwise seen from above. A result
in floating point may differ in its last bit between machines and libraries, and one such bit can
decide whether two boxes collide, which changes every later random draw. Python's integers are
exact, so nothing here depends on the machine. Sines come from a table in this file for the same
reason: mathematical libraries round them differently.

A footprint is the outline of a box on the floor: a ring of four corners in counter-clockwise order.
"""

from collections.abc import Iterable, Sequence
from math import isqrt

# Sines and cosines are integers in units of 1 / UNIT: a value v stands for v / 2**20. The error of
# a rotated coordinate is below 10**-6 of its length, 0.01 mm in a room of 10 m.
UNIT = 1 << 20

# round(sin(d) * UNIT) for d = 0 to 90 degrees, ten a line.
_TABLE = """
0 18300 36595 54878 73145 91389 109606 127789 145934 164033
182083 200078 218011 235878 253673 271391 289027 306574 324028 341383
358634 375776 392803 409711 426494 443147 459665 476044 492277 508360
524288 540057 555661 571095 586356 601438 616338 631049 645568 659890
674012 687928 701634 715127 728402 741455 754282 766880 779244 791370
803256 814897 826289 837430 848316 858943 869309 879410 889243 898805
908093 917105 925838 934288 942454 950333 957922 965219 972223 978930
985339 991448 997255 1002758 1007956 1012847 1017429 1021701 1025662 1029311
1032646 1035666 1038371 1040760 1042832 1044586 1046022 1047139 1047937 1048416
1048576
"""
_QUARTER = tuple(int(value) for value in _TABLE.split())
# 0 to 179 degrees, mirrored at 90; then 180 to 359, of opposite sign.
_HALF = _QUARTER + _QUARTER[89:0:-1]
SINES = _HALF + tuple(-value for value in _HALF)

Point = tuple[int, int]
Ring = Sequence[Point]


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
    """Return value / by rounded to the nearest integer, halves up (`by` > 0).

    >>> divide(7, 2), divide(-7, 2), divide(9, 4)
    (4, -3, 2)
    """
    return (2 * value + by) // (2 * by)


def rotate(point: Point, degrees: int) -> Point:
    """Turn a point counter-clockwise about the origin, rounded to whole millimetres."""
    c, s = cosine(degrees), sine(degrees)
    x, y = point
    return divide(x * c - y * s, UNIT), divide(x * s + y * c, UNIT)


def offset(centre: Point, yaw: int, local: Point) -> Point:
    """Return the room position of a point in the axes of a box.

    Args:
        centre, yaw: the box's position in the room and its turn.
        local: the point relative to the centre, along the box's own axes.
    """
    dx, dy = rotate(local, yaw)
    return centre[0] + dx, centre[1] + dy


def corners(centre: Point, size: Sequence[int], yaw: int) -> list[Point]:
    """Return the footprint of a box of size (w, d, ...) at `centre`, turned by `yaw`."""
    w, d = size[0], size[1]
    x0, y0 = -(w // 2), -(d // 2)
    ring = ((x0, y0), (x0 + w, y0), (x0 + w, y0 + d), (x0, y0 + d))
    return [offset(centre, yaw, p) for p in ring]


def edges(ring: Ring) -> Iterable[tuple[Point, Point]]:
    """Return the (start, end) of each edge of a closed ring of points."""
    return zip(ring, [*ring[1:], ring[0]], strict=True)


def twice_area(ring: Ring) -> int:
    """Return twice the signed area (mm²) of a ring: positive if it is counter-clockwise.

    Twice, because the area itself may not be a whole number.

    >>> twice_area([(0, 0), (2, 0), (2, 3), (0, 3)])
    12
    """
    return sum(ax * by - ay * bx for (ax, ay), (bx, by) in edges(ring))


def gap(a: Ring, yaw_a: int, b: Ring, yaw_b: int) -> int:
    """Return the largest separation (mm) of two footprints along the normals of their edges.

    Two rectangles are apart exactly if their projections on one of these normals are apart
    (separating axis theorem). Positive: they are apart, by at least that distance. Negative: they
    overlap, and no shift shorter than that along a normal parts them.
    """
    best = -(1 << 40)
    # The edges of a rectangle have two directions; turning it by 90 degrees swaps them.
    for yaw in {yaw_a % 90, yaw_b % 90}:
        for c, s in ((cosine(yaw), sine(yaw)), (-sine(yaw), cosine(yaw))):
            along_a = [x * c + y * s for x, y in a]
            along_b = [x * c + y * s for x, y in b]
            best = max(best, min(along_b) - max(along_a), min(along_a) - max(along_b))
    return best // UNIT


def _squared_distance_to_segment(p: Point, a: Point, b: Point) -> int:
    """Return the squared distance (mm²) from p to the segment from a to b."""
    ux, uy = b[0] - a[0], b[1] - a[1]
    vx, vy = p[0] - a[0], p[1] - a[1]
    # `along` is the position of p's foot on the line, times the segment's length.
    length_squared, along = ux * ux + uy * uy, ux * vx + uy * vy
    if along <= 0 or length_squared == 0:
        return vx * vx + vy * vy
    if along >= length_squared:
        wx, wy = p[0] - b[0], p[1] - b[1]
        return wx * wx + wy * wy
    cross = ux * vy - uy * vx
    return cross * cross // length_squared


def point_to_footprint(p: Point, ring: Ring) -> int:
    """Return the distance (mm) from a point to a footprint; 0 inside."""
    # Inside a counter-clockwise ring a point is to the left of every edge.
    inside = all(
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) >= 0 for a, b in edges(ring)
    )
    if inside:
        return 0
    return isqrt(min(_squared_distance_to_segment(p, a, b) for a, b in edges(ring)))


def footprint_distance(a: Ring, yaw_a: int, b: Ring, yaw_b: int) -> int:
    """Return the distance (mm) between the closest points of two footprints; 0 if they meet."""
    if gap(a, yaw_a, b, yaw_b) <= 0:
        return 0
    # Of two convex outlines that are apart, a closest point is a corner of one of them.
    pairs = [(p, b) for p in a] + [(p, a) for p in b]
    return min(point_to_footprint(p, ring) for p, ring in pairs)
