"""Points that a triangle mesh winds around: its generalized winding number there is above 0.5.

The winding number of a closed, consistently oriented mesh is a whole number: the crossings of a ray
from the point to infinity, +1 where the ray leaves the mesh and -1 where it enters. Counting them
is exact, also for nested shells and for parts that intersect each other, and faster than libigl's
approximation, which serves all other meshes.

The rays of all points are parallel. Seen along them points and triangles are flat, and a grid of
cells finds the points that a triangle can cover. Each sign that decides is compared with a bound of
its rounding error. Points with a sign below the bound, because their ray passes an edge or they lie
on the surface, are tried along another ray.
"""

from collections.abc import Iterator

import numpy as np

from metrics.geometry import bounds
from metrics.ranges import blocks, spread
from metrics.reconstruction.pointcloud import distinct_rows

# Steps along x and y of a ray that rises by 1. Vertical rays from the points of a regular grid
# would pass the edges of many meshes.
_RAYS = ((0.0137, 0.0071), (-0.0291, 0.0173))
# Points of a row of cells, and cells of a row for each row: found to be fast.
_POINTS_A_ROW, _COLUMNS_A_ROW = 4, 8
# Pairs that are compared at once; their arrays stay in the processor's cache.
_BLOCK = 1 << 14


def is_closed(faces: np.ndarray) -> bool:
    """Return whether faces i64 [F, 3] have no border: every edge is run as often in each direction.

    This holds for closed, consistently oriented surfaces, also where they share edges.

    Example:
        >>> faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
        >>> is_closed(faces), is_closed(faces[1:]), is_closed(np.sort(faces))
        (True, False, False)
    """
    start, end = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)  # (3 F,)
    count = int(start.max(initial=0)) + 1
    return np.array_equal(np.sort(start * count + end), np.sort(end * count + start))


def winds_around(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return bool [N]: whether the generalized winding number of a mesh at points is above 0.5.

    It is exact where the mesh is closed, vertices at one place taken as one, except that points on
    its surface, to within rounding, are decided by libigl.

    Args:
        points: f64 [N, 3] metres.
        vertices: f64 [V, 3] metres.
        faces: i64 [F, 3].

    Source: Jacobson et al. 2013; Barill et al. 2018, through libigl, for meshes that are not
    closed.

    Example:
        >>> vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
        >>> faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
        >>> winds_around(np.array([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]]), vertices, faces)
        array([ True, False])
    """
    import igl

    inside = np.zeros(len(points), bool)
    undecided = np.arange(len(points))
    if is_closed(faces) or is_closed(distinct_rows(vertices)[1][faces]):
        for ray in _RAYS:
            if len(undecided):
                number, certain = _crossings(points[undecided], vertices, faces, ray)
                inside[undecided] = number > 0
                undecided = undecided[~certain]
    if len(undecided):
        number = np.asarray(igl.fast_winding_number(vertices, faces, points[undecided]))
        inside[undecided] = number > 0.5
    return inside


def _crossings(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, ray: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the signed crossings f64 [N] of rays from points, and bool [N]: they are certain."""
    step = np.array([*ray, 0.0])
    # Moving everything back along the ray makes the rays vertical.
    points, vertices = points - points[:, 2:] * step, vertices - vertices[:, 2:] * step
    corners = vertices.T[:, faces.T]  # (3 coordinates, 3 corners, F)
    least = np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2])  # (3, F)
    most = np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2])
    low, high = (limit[:, None] for limit in bounds(points))
    met = (most >= low).all(axis=0) & (least[:2] <= high[:2]).all(axis=0)
    cells = _Cells(points[:, 0], points[:, 1])
    # A cross product of two differences of coordinates is off by a few units in the last place of
    # the largest coordinate, squared.
    largest = max(np.abs(points).max(), np.abs(vertices).max())
    error = 64 * np.finfo(float).eps * float(largest) ** 2
    points = points.T[:, cells.order]  # (3, N) in the order of cells
    number, certain = np.zeros(len(cells.order)), np.ones(len(cells.order), bool)
    for triangle, point in cells.pairs(least[:2], most[:2], np.flatnonzero(met)):
        hit, crossing, sure = _crossing(points, corners, point, triangle, error)
        number += np.bincount(hit, crossing, len(number))
        certain[hit[~sure]] = False
    result, is_certain = np.empty_like(number), np.empty_like(certain)
    result[cells.order], is_certain[cells.order] = number, certain
    return result, is_certain


def _crossing(
    points: np.ndarray, corners: np.ndarray, point: np.ndarray, triangle: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pairs whose upward ray meets the triangle, or may.

    Args:
        points: f64 [3, N]; corners: f64 [3 coordinates, 3 corners, F].
        point, triangle: i64 [K], the pairs.
        error: bound of the rounding error of twice the area of a flat triangle, m2.

    Returns:
        The point of each pair found i64 [H]; +1 for a triangle above that faces up, -1 for one
        that faces down, 0 for one below; and bool [H]: this is certain.
    """
    (ax, bx, cx), (ay, by, cy) = (
        [corner.take(triangle) - place for corner in corners[axis]]  # 3 corners, (K,) each
        for axis, place in enumerate((points[0].take(point), points[1].take(point)))
    )
    # Twice the areas of the point with each side, positive to the left of it.
    areas = ax * by - ay * bx, bx * cy - by * cx, cx * ay - cy * ax
    least = np.minimum(np.minimum(areas[0], areas[1]), areas[2])
    most = np.maximum(np.maximum(areas[0], areas[1]), areas[2])
    # A point that is to the left of one side and to the right of another is outside.
    found = np.flatnonzero((least >= -error) | (most <= error))
    point, triangle = point[found], triangle[found]
    upward, downward = least[found] > error, most[found] < -error
    heights = corners[2].take(triangle, axis=1) - points[2].take(point)  # (3 corners, H)
    # The triangle's height above the point, times twice its flat area: each corner weighs as the
    # area opposite to it.
    height = sum(areas[(k + 1) % 3][found] * heights[k] for k in range(3))
    sign = np.where(upward, 1.0, -1.0)
    sure = (upward | downward) & (np.abs(height) > 2 * error * np.abs(heights).sum(axis=0))
    crossing = np.where(sure & (height * sign > 0), sign, 0.0)
    return point, crossing, sure | (heights < 0).all(axis=0)


class _Cells:
    """Points in the plane, sorted by the cells of a grid.

    Args:
        x, y: f64 [N], N > 0.

    Attributes:
        order: i64 [N], the points in the order of cells.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.rows = max(int((len(x) / _POINTS_A_ROW) ** 0.5), 1)
        self.columns = self.rows * _COLUMNS_A_ROW
        self.limits = [(float(axis.min()), float(axis.max())) for axis in (x, y)]
        cell = self._row(y) * self.columns + self._column(x)
        self.order = np.argsort(cell)
        counts = np.bincount(cell, minlength=self.rows * self.columns)
        self.start = np.append(0, np.cumsum(counts))  # the first point of each cell

    def _column(self, x: np.ndarray) -> np.ndarray:
        return _cell(x, *self.limits[0], self.columns)

    def _row(self, y: np.ndarray) -> np.ndarray:
        return _cell(y, *self.limits[1], self.rows)

    def pairs(
        self, low: np.ndarray, high: np.ndarray, chosen: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (box, place in `order`), i64 [K] each, of all points in boxes, and of some near.

        Args:
            low, high: f64 [2, B], the boxes' corners.
            chosen: i64 [C], the boxes to use.
        """
        first, last = self._row(low[1, chosen]), self._row(high[1, chosen])
        left, right = self._column(low[0, chosen]), self._column(high[0, chosen])
        for some in blocks(last - first + 1, _BLOCK):
            # Cells of one row follow each other, so a box has one range of points in each row.
            box, row = spread(first[some], (last - first + 1)[some])
            box += some.start
            begin = self.start[row * self.columns + left[box]]
            count = self.start[row * self.columns + right[box] + 1] - begin
            filled = np.flatnonzero(count)
            box, begin, count = box[filled], begin[filled], count[filled]
            for part in blocks(count, _BLOCK):
                owner, place = spread(begin[part], count[part])
                yield chosen[box[part]][owner], place


def _cell(values: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Return which of `count` equal parts of low to high holds each value; the ends take the rest.

    Rounding keeps the order of values, so a value between two others is in no part outside theirs.
    """
    scaled = (np.clip(values, low, high) - low) * (count / max(high - low, 1e-300))
    return np.minimum(scaled.astype(np.int64), count - 1)
