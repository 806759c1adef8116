"""Cut polygons into triangles that cover them exactly, concave ones included."""

import numpy as np

from metrics.files import InputError
from metrics.geometry import face_crosses, lengths
from metrics.reconstruction.formats.contents import check_counts, check_points

# Corners of a polygon that no fan covers, at most: cutting it takes quadratic time at worst.
MOST_CORNERS = 10_000
# Share of a polygon's squared area by which a triangle may face backwards: rounded coordinates.
_BACKWARDS = 1e-6
# A polygon's triangles may miss its area by this share of it, and by this share of its squared
# extent, which is what rounded coordinates of a long sliver cause.
_AREA, _SLIVER = 1e-4, 1e-6
# Share of a mesh's area that may belong to polygons that cross themselves.
_CROSSING = 0.01
# First corners of fans that are tried before a polygon is cut by itself.
_STARTS = 8
# Corners that are looked at together, which bounds the memory.
_BLOCK = 1 << 20


def triangles_of(
    points: np.ndarray, counts: np.ndarray, indices: np.ndarray, label: str
) -> np.ndarray:
    """Return the triangles int64 [F, 3] of polygons, in their order.

    Args:
        points: float64 [V, 3].
        counts: int64 [P], corners of each polygon; those with fewer than three have no area and
            give no triangle.
        indices: int64 [T], the points of all corners, polygon after polygon.
        label: names the file in messages.

    Raises:
        InputError: an index is no point's, there is no triangle, or more than a hundredth of the
            area belongs to polygons that cross themselves, whose area is not defined.
    """
    if len(indices) and (indices.min() < 0 or indices.max() >= len(points)):
        raise InputError(
            f"{label}: faces refer to vertices {indices.min()} to {indices.max()} of "
            f"{len(points)}; index them from 0"
        )
    check_points(points, label)
    check_counts(0, int(np.maximum(counts - 2, 0).sum()), label)
    starts = np.cumsum(counts) - counts
    sizes = np.flatnonzero(np.bincount(counts)) if len(counts) else np.zeros(0, np.int64)
    triangles, polygons, crossing = [], [], []
    for size in sizes[sizes > 2]:
        member = np.flatnonzero(counts == size) if len(sizes) > 1 else np.arange(len(counts))
        corners = indices[starts[member][:, None] + np.arange(size)]  # (R, size)
        row, corner, crosses = cut_polygons(points, corners, label)
        triangles.append(corners[row[:, None], corner])
        polygons.append(member[row])
        crossing.append(crosses[row])
    if not triangles:
        raise InputError(f"{label}: has faces, but none with three corners; export triangles")
    order = np.argsort(np.concatenate(polygons), kind="stable")
    faces, crosses = np.concatenate(triangles)[order], np.concatenate(crossing)[order]
    if crosses.any():
        _check_crossing(points, faces, crosses, label)
    return faces


def _check_crossing(points: np.ndarray, faces: np.ndarray, crosses: np.ndarray, label: str) -> None:
    """Raise `InputError` if triangles marked by bool [F] have more than their share of the area."""
    areas = lengths(face_crosses(points[faces]))
    share = areas[crosses].sum() / max(areas.sum(), 1e-300)
    if share > _CROSSING:
        raise InputError(
            f"{label}: polygons that cross themselves have {100 * share:.0f}% of its area, which "
            "is not defined; export triangles"
        )


def fan(rows: np.ndarray, size: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return polygons cut as fans, the first triangle of each polygon, then the second, ...

    Args:
        rows: int64 [R], the polygons.
        size: corners of each.
        start: the corner that all triangles share.

    Returns:
        The polygon int64 [T] of each triangle, and its corners int64 [T, 3] from 0 to size - 1.

    Example:
        >>> fan(np.array([7]), 4)
        (array([7, 7]), array([[0, 1, 2],
               [0, 2, 3]]))
    """
    second = np.repeat(np.arange(1, size - 1), len(rows))  # (T,)
    triangles = np.stack([np.zeros_like(second), second, second + 1], axis=1)
    return np.tile(rows, size - 2), (triangles + start) % size


def cut_polygons(
    points: np.ndarray, corners: np.ndarray, label: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut polygons of one number of corners into triangles.

    A polygon is cut as a fan from its first corner where that covers it, else as a fan from
    another, else by clipping ears. A fan covers a plane polygon exactly if all of its triangles
    face the same way: their areas add up to the winding number, which is 0 or 1 everywhere. A
    polygon that is not plane is looked at along its mean normal (Newell's). One that crosses
    itself is cut as a fan from its first corner, as viewers show it.

    Args:
        points: float64 [V, 3].
        corners: int64 [R, n], the points of each polygon's corners, n at least 3.
        label: names the file in messages.

    Returns:
        The polygon int64 [T] of each triangle, its corners int64 [T, 3] from 0 to n - 1, and
        bool [R], which polygons cross themselves.

    Raises:
        InputError: a polygon is too large.
    """
    number, size = corners.shape
    crosses = np.zeros(number, bool)
    rest = np.arange(number)
    if size == 3:
        return *fan(rest, 3), crosses
    cuts = []
    for start in range(min(size, _STARTS)):
        covered = [
            _is_fan(points[np.roll(corners[rest[block]], -start, axis=1)])
            for block in _blocks(len(rest), size)
        ]
        covered = np.concatenate([*covered, np.zeros(0, bool)])
        cuts.append(fan(rest[covered], size, start))
        rest = rest[~covered]
    for row in rest:
        triangles = _clip_ears(points[corners[row]], label)
        if triangles is None:
            crosses[row], triangles = True, fan(np.zeros(1, int), size)[1]
        cuts.append((np.full(len(triangles), row), triangles))
    polygons, triangles = zip(*cuts, strict=True)
    return np.concatenate(polygons), np.concatenate(triangles), crosses


def _blocks(number: int, size: int) -> list[slice]:
    step = max(1, _BLOCK // size)
    return [slice(start, start + step) for start in range(0, number, step)]


def _is_fan(corners: np.ndarray) -> np.ndarray:
    """Return bool [R], whether a fan from the first corner covers each polygon [R, n, 3]."""
    sides = corners[:, 1:] - corners[:, :1]  # (R, n - 1, 3)
    crosses = np.cross(sides[:, :-1], sides[:, 1:])  # (R, n - 2, 3), twice each triangle's area
    normal = crosses.sum(axis=1)  # (R, 3), Newell's
    facing = np.einsum("rkj,rj->rk", crosses, normal)
    squared = np.einsum("rj,rj->r", normal, normal)
    # Triangles that cancel to nothing, as of a bow tie, face no way at all.
    flat = (crosses**2).sum(axis=2).max(axis=1) <= _BACKWARDS**2 * (sides**2).sum(axis=2).max(
        1
    ) ** 2
    return flat | ((squared > 0) & (facing >= -_BACKWARDS * squared[:, None]).all(axis=1))


def _clip_ears(corners: np.ndarray, label: str) -> np.ndarray | None:
    """Return triangles int64 [T, 3] that cover one polygon, corners float64 [n, 3].

    None if it crosses itself: then no triangles add up to its area.

    Source: the ear slicing of Mapbox's earcut, after Held 1998 (FIST) and Eberly 2002.
    """
    from mapbox_earcut import triangulate_float64

    if len(corners) > MOST_CORNERS:
        raise InputError(
            f"{label}: a concave polygon has {len(corners)} corners, more than {MOST_CORNERS}; "
            "export triangles"
        )
    sides = corners - corners[0]
    crosses = np.cross(sides[:-1], sides[1:])
    normal = crosses.sum(axis=0)
    if np.abs(normal).max() <= _BACKWARDS * np.abs(crosses).max():
        return None  # its parts cancel, as those of a bow tie
    # Dropping the axis nearest to the normal keeps the polygon's shape up to a linear map.
    axis = int(np.abs(normal).argmax())
    flat = np.ascontiguousarray(np.delete(sides, axis, axis=1))  # (n, 2)
    triangles = triangulate_float64(flat, np.array([len(flat)], np.uint32))
    triangles = triangles.astype(np.int64).reshape(-1, 3)
    parts = face_crosses(sides[triangles])[:, axis]  # (T,)
    covered = np.abs(parts).sum()
    # Earcut turns all triangles one way; they take the polygon's.
    if parts.sum() * normal[axis] < 0:
        triangles = triangles[:, ::-1]
    area, extent = abs(normal[axis]), float(np.ptp(flat, axis=0).max())
    missed = abs(covered - area)
    return triangles if missed <= _AREA * max(covered, area) + _SLIVER * extent**2 else None
