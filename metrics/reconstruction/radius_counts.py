"""The share of one reduced surface that lies close to another, mostly without a search.

Distances between the two surfaces, reduced to 1 cm cells, are known already. They bound how far
any other sample of the same surfaces can be, so only the few near a threshold are searched.
"""

from dataclasses import dataclass

import numpy as np

from metrics.reconstruction.pointcloud import CELL, Cloud, cell_representatives

# The largest distance from a sample to the one that represents its 1 cm cell: the cell's diagonal.
REACH = CELL * 3**0.5
# Distances are float32; a bound that close to the threshold is not trusted, metres.
_ROUNDING = 1e-5


class Samples:
    """Samples of a surface and their reductions to cells, each computed once.

    Args:
        points: f32 [N, 3] metres, in the order of `pointcloud.spatial_order`.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.ascontiguousarray(points, np.float32)
        self._chosen: dict[float, np.ndarray] = {}
        self._clouds: dict[float, Cloud] = {}

    def chosen(self, cell: float) -> np.ndarray:
        """Return ascending i64 [K]: the samples that represent the cells of side `cell` metres."""
        if cell not in self._chosen:
            self._chosen[cell] = self._choose(cell)
        return self._chosen[cell]

    def _choose(self, cell: float) -> np.ndarray:
        return np.sort(cell_representatives(self.points, cell))

    def cloud(self, cell: float) -> Cloud:
        """Return the samples that `chosen` names as a cloud."""
        if cell not in self._clouds:
            self._clouds[cell] = Cloud(self.points.take(self.chosen(cell), axis=0))
        return self._clouds[cell]


@dataclass(frozen=True)
class Link:
    """Nearest neighbours of one surface's 1 cm reduction in another's.

    Attributes:
        cloud: the Q points whose neighbours were searched.
        source_place: ascending i64 [Q], their places among their samples.
        target_row: i64 [Q], rows of their neighbours in the other side's 1 cm reduction.
        target_place: i64 [Q], places of those neighbours among the other side's samples.
        distance: f32 [Q] metres.
    """

    cloud: Cloud
    source_place: np.ndarray
    target_row: np.ndarray
    target_place: np.ndarray
    distance: np.ndarray


def link(source: Samples, target: Samples) -> Link:
    """Search the nearest point of `target` for each of `source`, both one a 1 cm cell."""
    cloud = source.cloud(CELL)
    near = target.cloud(CELL).nearest(cloud.points)
    return Link(
        cloud, source.chosen(CELL), near.index, target.chosen(CELL)[near.index], near.distance
    )


def within(source: Samples, target: Samples, cell: float, threshold: float, known: Link) -> float:
    """Return the share of `source` strictly closer than `threshold` metres to `target`.

    Both sides are reduced to one point a cell first. The result is exact: a point that the bounds
    leave open is searched.

    Args:
        source: not empty.
        target: may be empty.
        cell: side of the cells, metres.
        threshold: metres.
        known: the `link` from `source` to `target`.
    """
    points, goal = source.cloud(cell).points, target.cloud(cell)  # (N, 3), K points
    # Upper bound: a point of `source` is near some point of the 1 cm reduction, whose neighbour
    # in `target` is known; some point of the coarser target near that neighbour is a candidate.
    guess, away = _nearer_of_two(
        points, source.chosen(cell), known.source_place, known.cloud.points
    )
    candidates = target.chosen(cell)
    _, witness = _nearer_of_two(points, known.target_place[guess], candidates, goal.points)
    close = witness < threshold
    # Lower bound by the triangle inequality: no sample of `target` can be nearer than this.
    nearest_possible = known.distance[guess] - away - REACH
    unsure = np.flatnonzero(~close & (nearest_possible < threshold + _ROUNDING))
    if len(unsure):
        # Beyond the threshold a distance counts only as too far: the search may stop there.
        bound = threshold * 1.001
        close[unsure] = goal.nearest(points[unsure], bound).distance < threshold
    return float(close.mean())


def _nearer_of_two(
    points: np.ndarray, places: np.ndarray, ordered: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearer of the two candidates before and after each place in spatial order.

    What is next in spatial order is mostly next in space.

    Args:
        points: f32 [N, 3] metres.
        places: i64 [N], places in the samples that the candidates are taken from.
        ordered: ascending i64 [K], places of the candidates among the same samples.
        positions: f32 [K, 3] metres, of the candidates.

    Returns:
        Rows i64 [N] into the candidates and distances f32 [N] in metres.
    """
    after = np.searchsorted(ordered, places)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(ordered) - 1)
    gaps = [positions.take(rows, axis=0) - points for rows in (before, after)]  # (N, 3) each
    first, second = (np.einsum("ij,ij->i", gap, gap) for gap in gaps)  # (N,) squared distances
    return np.where(first < second, before, after), np.sqrt(np.minimum(first, second))
