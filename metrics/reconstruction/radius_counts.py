"""The share of one reduced surface that lies close to another, mostly without a search.

Distances between the two surfaces, reduced to 1 cm cells, are known already. They bound how far
any other sample of the same surfaces can be, so only the few near a threshold are searched.
"""

from dataclasses import dataclass

import numpy as np

from metrics.reconstruction.pointcloud import CELL, NORMAL_NEIGHBOURS, Cloud, cell_representatives

# The largest distance from a sample to the one that represents its 1 cm cell: the cell's diagonal.
REACH = CELL * 3**0.5
# Distances are float32; a bound that close to the threshold is not trusted, metres.
_ROUNDING = 1e-5


class Samples:
    """Samples of a surface and their reductions to cells, each computed once.

    Args:
        points: [N, 3] metres; searches are fastest in the order of `pointcloud.spatial_order`.
        dtype: of the points and of distances, as of `Cloud`.
    """

    def __init__(self, points: np.ndarray, dtype: type[np.floating] = np.float32) -> None:
        self.points = np.ascontiguousarray(points, dtype)
        self._dtype = dtype
        self._chosen: dict[float, np.ndarray] = {}
        self._counts: dict[float, np.ndarray] = {}
        self._clouds: dict[float, Cloud] = {}
        self._others: dict[float, Cloud] = {}

    def chosen(self, cell: float) -> np.ndarray:
        """Return ascending i64 [K]: the samples that represent the cells of side `cell` metres."""
        if cell not in self._chosen:
            self._chosen[cell] = self._choose(cell)
        return self._chosen[cell]

    def _choose(self, cell: float) -> np.ndarray:
        return np.sort(cell_representatives(self.points, cell))

    def number_before(self, cell: float, places: np.ndarray) -> np.ndarray:
        """Return i64 [M]: how many places of `chosen` are below each of the places [M]."""
        if cell not in self._counts:
            member = np.zeros(len(self.points) + 1, np.int64)
            member[self.chosen(cell) + 1] = 1
            self._counts[cell] = member.cumsum()
        return self._counts[cell].take(places)

    def is_chosen(self, cell: float, places: np.ndarray) -> np.ndarray:
        """Return bool [...]: whether the samples at places i64 [...] are among `chosen`."""
        return self.number_before(cell, places + 1) > self.number_before(cell, places)

    def cloud(self, cell: float) -> Cloud:
        """Return the samples that `chosen` names as a cloud."""
        if cell not in self._clouds:
            self._clouds[cell] = Cloud(self.points.take(self.chosen(cell), axis=0), self._dtype)
        return self._clouds[cell]

    def others(self, cell: float) -> Cloud:
        """Return the points of `cloud` that do not represent a 1 cm cell as well."""
        if cell not in self._others:
            places = self.chosen(cell)
            places = places[~self.is_chosen(CELL, places)]
            self._others[cell] = Cloud(self.points.take(places, axis=0), self._dtype)
        return self._others[cell]


@dataclass(frozen=True)
class Link:
    """Nearest neighbours of one surface's 1 cm reduction in another's.

    Attributes:
        cloud: the Q points whose neighbours were searched.
        source_place: ascending i64 [Q], their places among their samples.
        target_row: i64 [Q], rows of their neighbours in the other side's 1 cm reduction.
        target_place: i64 [Q], places of those neighbours among the other side's samples.
        distance: [Q] metres.
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
    target_place = target.chosen(CELL).take(near.index)
    return Link(cloud, source.chosen(CELL), near.index, target_place, near.distance)


def within(source: Samples, target: Samples, cell: float, threshold: float, known: Link) -> float:
    """Return the share of `source` strictly closer than `threshold` metres to `target`.

    Both sides are reduced to one point a cell first. The result is exact: a point that the bounds
    leave open is searched.

    Args:
        source, target: not empty.
        cell: side of the cells, metres.
        threshold: metres.
        known: the `link` from `source` to `target`.
    """
    points, goal = source.cloud(cell), target.cloud(cell)  # N and K points
    if cell < CELL:  # The bounds, from 1 cm cells, would leave most points open.
        return float(goal.any_within(points.points, threshold).mean())
    # Upper bound: a point of `source` is near some point of the 1 cm reduction, whose neighbour
    # in `target` is known; some point of the coarser target near that neighbour is a candidate.
    guess, away = _nearer_of_two(
        points.columns, source.number_before(CELL, source.chosen(cell)), known.cloud.columns
    )
    beside = target.number_before(cell, known.target_place.take(guess))
    _, witness = _nearer_of_two(points.columns, beside, goal.columns)
    close = witness < threshold
    # Lower bound by the triangle inequality: no point of the 1 cm reduction of `target` can be
    # nearer than this, and no other sample nearer by more than `REACH`.
    nearest_possible = known.distance.take(guess) - away
    unsure = np.flatnonzero(~close & (nearest_possible - REACH < threshold + _ROUNDING))
    # Most points of the coarser target also represent a 1 cm cell. Where those are too far, only
    # the others can be near.
    close[unsure] = target.others(cell).any_within(points.points.take(unsure, axis=0), threshold)
    unsure = unsure[~close.take(unsure) & (nearest_possible.take(unsure) < threshold + _ROUNDING)]
    close[unsure] = _any_chosen(target, cell, points.points.take(unsure, axis=0), threshold)
    return float(close.mean())


def _any_chosen(target: Samples, cell: float, queries: np.ndarray, threshold: float) -> np.ndarray:
    """Return bool [U]: whether a point of a reduction is within `threshold` metres of queries.

    Args:
        target: the samples that are reduced.
        cell: side of the cells, metres.
        queries: [U, 3] metres.
        threshold: metres.
    """
    # The tree over the 1 cm reduction is there already: look among several neighbours there.
    near = target.cloud(CELL).neighbours(queries, NORMAL_NEIGHBOURS)
    places = target.chosen(CELL).take(near.index)  # (U, K)
    close = (target.is_chosen(cell, places) & (near.distance < threshold)).any(axis=1)
    # More points than those may be near, and the right one among them.
    unsure = np.flatnonzero(~close & (near.distance[:, -1] < threshold))
    close[unsure] = target.cloud(cell).any_within(queries.take(unsure, axis=0), threshold)
    return close


def _nearer_of_two(
    points: np.ndarray, after: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearer of the two candidates before and after a place in spatial order.

    What is next in spatial order is mostly next in space.

    Args:
        points: [3, N] metres.
        after: i64 [N], for each point the first candidate at or behind its place, K if none is.
        positions: [3, K] metres, of the candidates.

    Returns:
        Rows i64 [N] into the candidates and distances [N] in metres.
    """
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, positions.shape[1] - 1)
    gaps = [positions.take(rows, axis=1) - points for rows in (before, after)]  # (3, N) each
    first, second = (x * x + y * y + z * z for x, y, z in gaps)  # (N,) squared distances
    return np.where(first < second, before, after), np.sqrt(np.minimum(first, second))
