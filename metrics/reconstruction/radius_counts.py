"""Which points of one reduced surface lie close to another, settled mostly without a search.

Distances between the two surfaces, reduced to 1 cm cells, are known already. They bound how far
any other sample of the same surfaces can be, so only the few near a threshold are searched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.reconstruction.pointcloud import CELL, Cloud, cell_representatives

# A sample is no farther than a cell's diagonal from the sample that stands for its cell.
REACH = CELL * 3**0.5
_ROUNDING = 1e-5


class Samples:
    """Samples of a surface in spatial order (`geometry.spatial_order`) and their reductions.

    Args:
        points: f32 [N, 3] metres, in spatial order.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.ascontiguousarray(points, np.float32)
        self._chosen: dict[float, np.ndarray] = {}
        self._clouds: dict[float, Cloud] = {}

    def chosen(self, cell: float) -> np.ndarray:
        """Return ascending i64 [K]: the samples that stand for the cells of side `cell` (m)."""
        if cell not in self._chosen:
            self._chosen[cell] = self._choose(cell)
        return self._chosen[cell]

    def _choose(self, cell: float) -> np.ndarray:
        return np.sort(cell_representatives(self.points, cell))

    def cloud(self, cell: float) -> Cloud:
        """Return the samples of `chosen` as a cloud, whose search tree is built once."""
        if cell not in self._clouds:
            self._clouds[cell] = Cloud(self.points.take(self.chosen(cell), axis=0))
        return self._clouds[cell]


@dataclass(frozen=True)
class Link:
    """Nearest neighbours of one surface's 1 cm reduction in another's.

    Attributes:
        cloud: the points that were searched for, Q of them.
        place: ascending i64 [Q], their places among their samples.
        row: i64 [Q], rows of their neighbours in the other side's 1 cm reduction.
        found: i64 [Q], places of those neighbours among the other side's samples.
        distance: f32 [Q] metres.
    """

    cloud: Cloud
    place: np.ndarray
    row: np.ndarray
    found: np.ndarray
    distance: np.ndarray


def link(source: Samples, target: Samples) -> Link:
    """Search every point of `source`, one a 1 cm cell, in `target`, one a 1 cm cell."""
    cloud = source.cloud(CELL)
    near = target.cloud(CELL).nearest(cloud.points)
    found = target.chosen(CELL)[near.index]
    return Link(cloud, source.chosen(CELL), near.index, found, near.distance)


def within(source: Samples, target: Samples, cell: float, threshold: float, known: Link) -> float:
    """Return the share of `source` strictly closer than `threshold` metres to `target`.

    Both sides are reduced to one point a cell of side `cell` first. Exact: a point counts when
    some point of the target is seen to be close enough, does not when the triangle inequality
    puts all of them too far, and is searched otherwise. In [0, 1]; `source` must not be empty.

    Args:
        known: the `link` from `source` to `target`.
    """
    points, goal = source.cloud(cell).points, target.cloud(cell)
    guess, away = _beside(points, source.chosen(cell), known.place, known.cloud.points)
    _, witness = _beside(points, known.found[guess], target.chosen(cell), goal.points)
    close = witness < threshold
    nearest_possible = known.distance[guess] - away - REACH
    unsure = np.flatnonzero(~close & (nearest_possible < threshold + _ROUNDING))
    if len(unsure):
        bound = threshold * 1.001
        close[unsure] = goal.nearest(points[unsure], bound).distance < threshold
    return float(close.mean())


def _beside(
    points: np.ndarray, places: np.ndarray, ordered: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearer of the two candidates around each place, and its distance.

    Args:
        points: f32 [N, 3]; places: i64 [N] in the candidates' spatial order.
        ordered: ascending places of the candidates, [K]; positions: f32 [K, 3].

    Returns:
        rows i64 [N] into the candidates, distances f32 [N] metres.
    """
    after = np.searchsorted(ordered, places)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(ordered) - 1)
    first, second = (_squared(points, positions, row) for row in (before, after))
    return np.where(first < second, before, after), np.sqrt(np.minimum(first, second))


def _squared(points: np.ndarray, positions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    gap = positions.take(rows, axis=0)
    gap -= points
    return np.einsum("ij,ij->i", gap, gap)
