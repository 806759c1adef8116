"""Point clouds: reduction to cells, nearest neighbours, normals, and sampling of meshes.

Both clouds of a comparison are reduced to one point a cell before any distance is measured, so
that density and duplicates cannot help. Points are [N, 3] in metres.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.geometry import KEY_BITS, cell_keys, face_crosses, random_barycentric, unit
from metrics.reconstruction import gpu

# Side of the cells in which distances are measured, metres.
CELL = 0.01
# Neighbours of a point, itself included, to which a plane is fitted.
NORMAL_NEIGHBOURS = 12
# Side of the coarsest cells of `spatial_order`, metres.
ORDER_CELL = 0.1
# Bits of a 64-bit key that are left, next to a cell's key, for the distance to the cell's centre.
_OFFSET_BITS = 62 - KEY_BITS
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
    if len(points) == 0:
        return np.zeros(0, np.int64)
    points = np.asarray(points, np.float64)
    fine = np.floor(points.T / (ORDER_CELL / 8))  # (3, N) cells of 1.25 cm
    x, y, z = np.mod(fine, 8).astype(np.int64)  # places 0 to 7 inside a cell of 10 cm
    # Spread the three bits of a place two apart, so that those of x, y and z interleave.
    spread = np.array([((i & 4) << 4) | ((i & 2) << 2) | (i & 1) for i in range(8)])
    within = (spread[x] << 2) | (spread[y] << 1) | spread[z]  # (N,) 9 bits
    return np.argsort((cell_keys(points, ORDER_CELL) << 9) | within, kind="stable")


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
    if len(points) == 0:
        return np.zeros(0, np.int64)
    points = np.asarray(points, np.float64)
    keys = cell_keys(points, size)  # (N,)
    inside = points.T.copy() / size
    inside = inside - np.floor(inside) - 0.5  # (3, N) offset from the centre, -0.5 to 0.5
    away = (inside**2).sum(axis=0) / 0.75  # (N,) squared distance, 1 in a corner
    # One sort of one integer replaces a sort by two keys: the cell in the high bits, the rounded
    # distance to its centre in the low ones.
    ranks = (away * ((1 << _OFFSET_BITS) - 1)).astype(np.int64)
    ranked = (keys << _OFFSET_BITS) + ranks
    order = np.argsort(ranked)
    ordered = ranked[order]
    first = np.flatnonzero(np.diff(ordered >> _OFFSET_BITS, prepend=-1))  # (K,) start of each cell
    chosen = order[first]
    # Two points of a cell can have equal rounded distances: compare those exactly.
    close = first[:-1] if len(ordered) == first[-1] + 1 else first
    for start in close[ordered[close] == ordered[close + 1]]:
        end = np.searchsorted(ordered, ordered[start], side="right")
        best = min(order[start:end], key=lambda index: (away[index], *points[index].tolist()))
        chosen[np.searchsorted(first, start)] = best
    return chosen


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
    order = np.lexsort(points.T)
    changed = (np.diff(points[order], axis=0) != 0).any(axis=1)
    starts = np.flatnonzero(np.append(np.ones(min(len(points), 1), bool), changed))
    # The sort is stable, so the first of equal rows comes first.
    first = order[starts]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    number = np.empty(len(points), np.int64)
    number[order] = np.repeat(rank, np.diff(np.append(starts, len(points))))
    return np.sort(first), number


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
    cells, group = np.unique(keys, return_inverse=True)  # (C,) cells, (N,) cell of each point
    # Opposite sides of a thin sheet in one cell would cancel, so each normal is first turned to
    # the side of the chosen point's own.
    own = np.zeros((len(cells), 3), np.float32)
    own[group[chosen]] = normals[chosen]
    sign = np.where(np.einsum("ij,ij->i", own[group], normals) < 0, -1.0, 1.0)  # (N,)
    turned = normals * sign[:, None]
    sums = np.stack([np.bincount(group, turned[:, axis], len(cells)) for axis in range(3)], 1)
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
        self._around = None

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

    def self_neighbours(self) -> Neighbours:
        """Return the points nearest to each of the cloud's own, itself first, [N, K].

        K is `NORMAL_NEIGHBOURS`, or all points of a smaller cloud. Searched once.
        """
        if self._around is None:
            count = min(NORMAL_NEIGHBOURS, len(self.points))
            distance, index = self._search().query(self.points, k=count)
            index = np.minimum(index, len(self.points) - 1)
            shape = len(self.points), count
            self._around = Neighbours(distance.reshape(shape), index.reshape(shape))
        return self._around

    def _search(self) -> Any:
        from pykdtree.kdtree import KDTree

        if self._tree is None:
            self._tree = KDTree(self.points)
        return self._tree


def estimate_normals(cloud: Cloud) -> np.ndarray:
    """Return unit normals f32 [N, 3] of a plane fitted to each point's `NORMAL_NEIGHBOURS` nearest.

    The sign is arbitrary. With fewer than 3 points normals are zero, which agree with nothing.
    """
    if len(cloud.points) < 3:
        return np.zeros((len(cloud.points), 3), np.float32)
    index = cloud.self_neighbours().index  # (N, K)
    axes = cloud.points.T.astype(np.float64)  # (3, N)
    # Sums of offsets and of their products, from which the covariance follows.
    first, second = np.zeros((3, len(index))), np.zeros((6, len(index)))
    # One neighbour after the other keeps every array long and thin, which NumPy sums fastest.
    for neighbour in np.ascontiguousarray(index[:, 1:].T):
        gap = axes[:, neighbour] - axes  # (3, N)
        first += gap
        for row, (i, j) in enumerate(_PAIRS):
            second[row] += gap[i] * gap[j]
    count = index.shape[1]
    covariance = [second[row] - first[i] * first[j] / count for row, (i, j) in enumerate(_PAIRS)]
    return _smallest_axis(*covariance)


def _smallest_axis(
    xx: np.ndarray, yy: np.ndarray, zz: np.ndarray, xy: np.ndarray, xz: np.ndarray, yz: np.ndarray
) -> np.ndarray:
    """Return the unit eigenvector f32 [N, 3] of the smallest eigenvalue of symmetric matrices.

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
    rows = np.stack([xx - least, xy, xz, xy, yy - least, yz, xz, yz, zz - least], axis=1)
    rows = rows.reshape(-1, 3, 3)
    crosses = np.stack([np.cross(rows[:, i], rows[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    longest = (crosses**2).sum(axis=2).argmax(axis=1)
    return unit(crosses[np.arange(len(crosses)), longest]).astype(np.float32)


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
