"""Point clouds: reduction to cells, nearest neighbours, normals, and sampling of meshes.

Both clouds of a comparison are reduced to one point a cell before any distance is measured, so
that density and duplicates cannot help. Points are [N, 3] in metres.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from metrics.geometry import (
    cell_keys,
    dots,
    face_crosses,
    keys_of_cells,
    random_barycentric,
    run_starts,
    sorting_order,
    unit,
)
from metrics.reconstruction import gpu

# Side of the cells in which distances are measured, metres.
CELL = 0.01
# Neighbours of a point, itself included, to which a plane is fitted.
NORMAL_NEIGHBOURS = 12
# Side of the coarsest cells of `spatial_order`, metres.
ORDER_CELL = 0.1
# The three bits of 0 to 7 spread two apart, so that those of x, y and z interleave.
_SPREAD = np.array([((i & 4) << 4) | ((i & 2) << 2) | (i & 1) for i in range(8)])
# Points whose planes are fitted at once: so many that the arrays of a step fit into the cache.
_BLOCK = 4096
# Entries of a symmetric 3x3 matrix, in the order of `_smallest_axis`.
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class Neighbours:
    """Nearest neighbours of queries.

    Attributes:
        distance: [N], or [N, K] for the K nearest, in metres and the cloud's dtype.
        index: i64 of that shape, places among the points that were searched.
    """

    distance: np.ndarray
    index: np.ndarray


def spatial_order(points: np.ndarray) -> np.ndarray:
    """Return an order i64 [N] of points [N, 3] in which near points tend to be near.

    Every cell of 10, 5, 2.5 and 1.25 cm is contiguous: cells of 10 cm by their key, and a Z-order
    (Morton 1966) inside each. Neighbour searches then find their part of the tree in the cache.
    """
    fine = np.floor(_axes(points) / (ORDER_CELL / 8))  # (3, N) cells of 1.25 cm
    coarse = np.floor(fine / 8)  # (3, N) cells of 10 cm
    x, y, z = (fine - 8 * coarse).astype(np.uint8)  # places 0 to 7 inside a cell of 10 cm
    within = _SPREAD.take(x) << 2 | _SPREAD.take(y) << 1 | _SPREAD.take(z)  # (N,) 9 bits
    return sorting_order((keys_of_cells(coarse) << 9) | within)


def cell_representatives(points: np.ndarray, size: float) -> np.ndarray:
    """Return i64 indices of one point a cell, the one nearest to its centre, cell after cell.

    The choice does not depend on the order of points: of equally near ones, the first by x, then
    y, then z is taken.

    Args:
        points: [N, 3] metres.
        size: side of a cell in metres.

    Example:
        >>> cell_representatives(np.array([[0.1, 0.1, 0.1], [0.4, 0.5, 0.5], [1.5, 0, 0]]), 1.0)
        array([1, 2])
    """
    axes = _axes(points)
    inside = axes / size
    cells = np.floor(inside)
    keys = keys_of_cells(cells)  # (N,)
    inside = inside - cells - 0.5  # (3, N) offset from the centre, -0.5 to 0.5
    away = (inside**2).sum(axis=0) / 0.75  # (N,) squared distance, 1 in a corner
    order = sorting_order(keys)
    starts = run_starts(keys.take(order))  # (K,) start of each cell
    if len(starts) == 0:
        return np.zeros(0, np.int64)
    cell = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))  # (N,)
    away = away.take(order)
    nearest = np.flatnonzero(away == np.minimum.reduceat(away, starts).take(cell))
    chosen, cell = order.take(nearest), cell.take(nearest)
    if len(chosen) > len(starts):
        x, y, z = axes.take(chosen, axis=1)
        ranked = np.lexsort((z, y, x, cell))
        chosen = chosen.take(ranked.take(run_starts(cell.take(ranked))))
    return chosen


def _axes(points: np.ndarray) -> np.ndarray:
    """Return points [N, 3] as f64 [3, N]: NumPy is fastest on long rows."""
    return np.array(points.T, np.float64, order="C")


def distinct_rows(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find rows that occur more than once.

    Args:
        points: [N, D], such as points or the corners of triangles.

    Returns:
        Ascending i64 [K], the first place of each distinct row, and i64 [N], which of those each
        row equals.

    Example:
        >>> distinct_rows(np.array([[5.0, 0, 0], [4, 0, 0], [5, 0, 0]]))
        (array([0, 1]), array([0, 1, 0]))
    """
    hashed = _row_hashes(points)
    in_order = np.sort(hashed)
    repeated = in_order[:-1][in_order[1:] == in_order[:-1]]
    # Rows whose hash occurs once equal no other; only the rest is compared.
    rows = np.flatnonzero(np.isin(hashed, repeated)) if len(repeated) else np.zeros(0, np.int64)
    some = points.take(rows, axis=0)
    order = np.lexsort(some.T)
    changed = (np.diff(some[order], axis=0) != 0).any(axis=1)
    group = np.append(0, np.cumsum(changed))[: len(rows)]  # (R,) number of distinct rows before
    # The sort is stable, so the first of equal rows comes first.
    first = rows[order][run_starts(group)]
    is_first = np.ones(len(points), bool)
    is_first[rows] = False
    is_first[first] = True
    number = np.cumsum(is_first) - 1
    number[rows[order]] = number[first[group]]
    return np.flatnonzero(is_first), number


def _row_hashes(points: np.ndarray) -> np.ndarray:
    """Return a u64 [N] for rows [N, D], equal where rows are equal and seldom elsewhere."""
    hashed = np.zeros(len(points), np.uint64)
    for column in points.T:
        # Adding 0 turns -0.0, which equals 0.0, into that.
        hashed ^= (np.asarray(column, np.float64) + 0.0).view(np.uint64)
        # Any odd number with bits all over mixes well: this one is 2^64 over the golden ratio.
        hashed *= np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(32)
    return hashed


def cell_normals(
    points: np.ndarray, normals: np.ndarray, size: float, chosen: np.ndarray
) -> np.ndarray:
    """Return the unit normals f32 [K, 3] of cells: the normalised sum over all their points.

    Args:
        points: [N, 3] metres.
        normals: f32 [N, 3], unit length.
        size: side of a cell in metres.
        chosen: i64 [K], one point a cell.
    """
    keys = cell_keys(np.asarray(points, np.float64), size)
    order = sorting_order(keys)
    starts = run_starts(keys.take(order))  # (C,) start of each cell
    group = np.empty(len(keys), np.int64)  # cell of each point
    group[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    # Opposite sides of a thin sheet in one cell would cancel, so each normal is first turned to
    # the side of the chosen point's own.
    own = np.zeros((len(starts), 3), np.float32)
    own[group[chosen]] = normals.take(chosen, axis=0)
    sign = np.where(dots(own.take(group, axis=0), normals) < 0, -1.0, 1.0)  # (N,)
    sums = np.stack([np.bincount(group, axis * sign, len(starts)) for axis in normals.T], 1)
    return unit(sums[group[chosen]]).astype(np.float32)


class Cloud:
    """A reduced cloud with its search tree, which is built on the first search.

    Args:
        points: [N, 3] metres, already one a cell.
        dtype: float32, or float64 for coordinates too large for the former, in which distances
            are computed.
    """

    def __init__(self, points: np.ndarray, dtype: type[np.floating] = np.float32) -> None:
        self.points = np.ascontiguousarray(points, dtype)
        self._tree = None

    @cached_property
    def columns(self) -> np.ndarray:
        """The points as [3, N], for arithmetic: NumPy is fastest on long rows."""
        return np.ascontiguousarray(self.points.T)

    def nearest(self, queries: np.ndarray, bound: float | None = None) -> Neighbours:
        """Return the nearest point of the cloud for each query.

        Args:
            queries: [M, 3] metres.
            bound: metres; a distance beyond it is infinite, which ends the search earlier.
        """
        if len(self.points) == 0 or len(queries) == 0:
            return Neighbours(
                np.full(len(queries), np.inf, self.points.dtype), np.zeros(len(queries), np.int64)
            )
        queries = np.ascontiguousarray(queries, self.points.dtype)
        single = self.points.dtype == np.float32
        if single and gpu.device() and len(queries) * len(self.points) <= gpu.MOST_PAIRS:
            distance, index = gpu.nearest(queries, self.points, gpu.device())
            if bound is not None:
                distance[distance >= bound] = np.inf
            return Neighbours(distance, index)
        distance, index = self._search().query(queries, k=1, distance_upper_bound=bound)
        # Where a squared distance overflows its type the tree returns the index N: clip it.
        index = np.minimum(index, len(self.points) - 1)
        return Neighbours(distance, index.astype(np.int64))

    def any_within(self, queries: np.ndarray, radius: float) -> np.ndarray:
        """Return bool [M]: whether any point is strictly closer than `radius` metres to queries."""
        # Beyond the radius a distance counts only as too far: the search may stop there.
        return self.nearest(queries, radius * 1.001).distance < radius

    def neighbours(self, queries: np.ndarray, count: int) -> Neighbours:
        """Return the points nearest to each of the queries [M, 3], nearest first, [M, K].

        K is `count`, or all points of a smaller cloud.
        """
        count = min(count, len(self.points))
        distance, index = self._search().query(queries, k=count)
        index = np.minimum(index, len(self.points) - 1)
        shape = len(queries), count
        return Neighbours(distance.reshape(shape), index.reshape(shape))

    @cached_property
    def around(self) -> Neighbours:
        """The `NORMAL_NEIGHBOURS` points nearest to each of the cloud's own, itself first."""
        return self.neighbours(self.points, NORMAL_NEIGHBOURS)

    def _search(self) -> Any:
        from pykdtree.kdtree import KDTree

        if self._tree is None:
            self._tree = KDTree(self.points)
        return self._tree


def estimate_normals(cloud: Cloud) -> np.ndarray:
    """Return unit normals f32 [N, 3] of a plane fitted to each point's `NORMAL_NEIGHBOURS` nearest.

    The sign is arbitrary. With fewer than 3 points normals are zero, which agree with nothing.
    """
    normals = np.zeros((len(cloud.points), 3), np.float32)
    if len(normals) < 3:
        return normals
    index = cloud.around.index  # (N, K)
    axes = _axes(cloud.points)  # (3, N)
    for start in range(0, len(normals), _BLOCK):
        rows = slice(start, start + _BLOCK)
        normals[rows] = _smallest_axis(*_covariance(axes, axes[:, rows], index[rows])).T
    return normals


def _covariance(axes: np.ndarray, own: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
    """Return the entries `_PAIRS` of the covariance of neighbourhoods, f64 [B] each, times K.

    Args:
        axes: f64 [3, N], all points.
        own: f64 [3, B], the points whose neighbourhoods are taken.
        index: [B, K], their neighbours among all points, each point itself first.
    """
    # Sums of offsets and of their products, from which the covariance follows.
    first, second = np.zeros((3, len(index))), np.zeros((6, len(index)))
    # One neighbour after the other keeps every array long and thin, which NumPy sums fastest.
    for neighbour in np.ascontiguousarray(index[:, 1:].T):
        gap = axes.take(neighbour, axis=1)  # (3, B)
        gap -= own
        first += gap
        for row, (i, j) in enumerate(_PAIRS):
            second[row] += gap[i] * gap[j]
    count = index.shape[1]
    return [second[row] - first[i] * first[j] / count for row, (i, j) in enumerate(_PAIRS)]


def _smallest_axis(
    xx: np.ndarray, yy: np.ndarray, zz: np.ndarray, xy: np.ndarray, xz: np.ndarray, yz: np.ndarray
) -> np.ndarray:
    """Return the unit eigenvector f64 [3, N] of the smallest eigenvalue of symmetric matrices.

    The closed form for 3x3 is several times faster than a batched `eigh`.

    Args:
        xx, yy, zz, xy, xz, yz: f64 [N], the entries.

    Source: Smith 1961.
    """
    # The eigenvector does not depend on the scale; a trace of 1 keeps powers within range.
    total = np.maximum(xx + yy + zz, 1e-30)
    xx, yy, zz, xy, xz, yz = (part / total for part in (xx, yy, zz, xy, xz, yz))
    # Eigenvalues are third + 2 width cos(angle + 2 pi k / 3): those of the matrix less a third of
    # its trace, scaled by `width`, solve a cubic in a cosine.
    third = (xx + yy + zz) / 3
    a, b, c = xx - third, yy - third, zz - third
    width = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    angle = np.arccos(np.clip(determinant / (2 * np.maximum(width, 1e-12) ** 3), -1, 1)) / 3
    least = third + 2 * width * np.cos(angle + 2 * np.pi / 3)  # (N,)
    # Rows of the matrix less its eigenvalue are orthogonal to the eigenvector, so it is the cross
    # product of two of them; the longest of the three is the most exact.
    a, b, c = xx - least, yy - least, zz - least
    longest, most = np.zeros((3, len(least))), np.full(len(least), -1.0)
    for u, v in (
        ((a, xy, xz), (xy, b, yz)),
        ((a, xy, xz), (xz, yz, c)),
        ((xy, b, yz), (xz, yz, c)),
    ):
        x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
        square = x * x + y * y + z * z
        longer = square > most
        most = np.where(longer, square, most)
        longest = np.where(longer, (x, y, z), longest)
    return longest / np.where(most > 0, np.sqrt(most), 1.0)


def sample_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    count: int,
    generator: np.random.Generator,
    dtype: type[np.floating] = np.float32,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sample points on a triangle mesh, uniformly by area.

    Args:
        vertices: [V, 3] metres.
        faces: [F, 3].
        count: how many points.
        generator: of the random numbers.
        dtype: of the points.

    Returns:
        Points [count, 3] of `dtype`, unit face normals f32 [count, 3], face indices i64 [count] and
        barycentric weights f32 [count, 3]; all empty when the mesh has no area.
    """
    corners = np.asarray(vertices, np.float64)[faces]  # (F, 3 corners, 3)
    cross = face_crosses(corners)  # (F, 3), twice the area long
    total = np.cumsum(np.linalg.norm(cross, axis=1))
    if len(total) == 0 or not total[-1] > 0:
        empty = np.zeros((0, 3), np.float32)
        return empty, empty, np.zeros(0, np.int64), empty
    sampled = np.searchsorted(total, generator.random(count) * total[-1], side="right")
    # A product that rounds up to the total would be beyond the last face.
    face = np.minimum(sampled, len(total) - 1)  # (count,)
    weights = random_barycentric(generator, count)  # (count, 3)
    points = np.einsum("nk,nkj->nj", weights, corners[face])
    normals = unit(cross).astype(np.float32)
    return points.astype(dtype), normals[face], face, weights.astype(np.float32)
