"""Occupancy coarse to fine and the mesh of the solids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from g2vlm.models.config import CELL
from metrics.geometry import to_camera

# Logit of cells that are not asked for because a view sees through them.
FREE = -12.0
# Logits this near to the threshold are looked at more finely.
SLACK = 1.0
STRAY = 0.003
MARGIN_M = 0.05
LOWEST_M, HIGHEST_M, FARTHEST_M = -0.3, 4.5, 12.0


@dataclass(frozen=True)
class OccupancyGrid:
    """Occupancy logits [X, Y, Z] at cell centres, axis-aligned in the frame.

    origin: lower corner of cell (0, 0, 0) in metres [3]; voxel: side in metres; threshold: logit
    above which a cell is solid.
    """

    logits: np.ndarray
    origin: np.ndarray
    voxel: float
    threshold: float

    @property
    def solid(self) -> np.ndarray:
        """bool [X, Y, Z], true where solid."""
        return self.logits > self.threshold


@dataclass(frozen=True)
class Mesh:
    """vertices float32 [V, 3] metres, faces int32 [F, 3] (outward), colours uint8 [V, 3]."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Region:
    """An upright box, turned by `angle` about z, around a scene.

    low, high: its corners [3] in the turned axes, metres; angle: radians counter-clockwise.
    """

    low: np.ndarray
    high: np.ndarray
    angle: float

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper corner [3] of its axis-aligned bounds in the frame."""
        ends = np.array([[x, y] for x in (0, 1) for y in (0, 1)])
        flat = self.low[:2] + ends * (self.high - self.low)[:2]
        turned = flat @ _turn(-self.angle)
        return np.append(turned.min(0), self.low[2]), np.append(turned.max(0), self.high[2])

    def contains(self, xyz: np.ndarray) -> np.ndarray:
        """Return bool [N] for positions [N, 3]."""
        flat = xyz[:, :2] @ _turn(self.angle)
        inside = (flat >= self.low[:2]) & (flat <= self.high[:2])
        return inside.all(1) & (xyz[:, 2] >= self.low[2]) & (xyz[:, 2] <= self.high[2])


def _turn(angle: float) -> np.ndarray:
    """Return the matrix that takes row vectors into axes turned by `angle`."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def region_of(points: np.ndarray) -> Region:
    """Return the smallest upright box around points [M, 3], without stray ones.

    Turns by even degrees are tried; 0.3 % of the points may lie beyond each side. The box is
    clipped to 12 m around the first camera and to heights of -0.3 to 4.5 m; with no finite point
    it is a cube of 1 m.
    """
    finite = points[np.isfinite(points).all(axis=1)]
    finite = finite[(np.abs(finite) < [FARTHEST_M, FARTHEST_M, 2 * HIGHEST_M]).all(axis=1)]
    if not len(finite):
        return Region(np.array([-0.5, -0.5, 0.0]), np.array([0.5, 0.5, 1.0]), 0.0)
    few = finite[:: max(1, len(finite) // 2000)]
    turns = np.radians(np.arange(0, 90, 2))
    flat = np.stack([few[:, :2] @ _turn(angle) for angle in turns])
    rank = int(np.ceil(STRAY * len(few)))
    parted = np.partition(flat, [rank, len(few) - 1 - rank], axis=1)
    low, high = parted[:, rank], parted[:, len(few) - 1 - rank]
    best = int(np.argmin((high - low).prod(1)))
    bottom, top = np.clip(np.quantile(few[:, 2], [STRAY, 1 - STRAY]), LOWEST_M, HIGHEST_M)
    margin = np.array([MARGIN_M] * 3)
    return Region(
        np.append(low[best], bottom) - margin,
        np.append(high[best], max(top, bottom + 0.2)) + margin,
        float(turns[best]),
    )


def _centres(index: np.ndarray, origin: np.ndarray, voxel: float) -> np.ndarray:
    return ((index + 0.5) * voxel + origin).astype(np.float32)


@dataclass(frozen=True)
class FreeSpace:
    """What the input views see through: depth [V, h, w] predicted z-depth on 4-pixel cells,
    intrinsics [V, 3, 3] in pixels, pose [V, 4, 4] camera-to-frame."""

    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray

    def contains(self, xyz: np.ndarray, margin: float) -> np.ndarray:
        """Return bool [N]: some view sees a surface more than `margin` behind the point [N, 3].

        The nearest of 3 x 3 cells decides, so that thin things beside a far wall are not lost.
        """
        near = ndimage.minimum_filter(self.depth, (0, 3, 3)) if self.depth.size else self.depth
        limit = np.array(self.depth.shape[:0:-1])
        free = np.zeros(len(xyz), bool)
        for depth, matrix, pose in zip(near, self.intrinsics, self.pose, strict=True):
            local = to_camera(xyz, pose)
            ahead = np.maximum(local[:, 2], 0.05)
            focal, middle = matrix[[0, 1], [0, 1]], matrix[:2, 2]
            cell = ((local[:, :2] / ahead[:, None] * focal + middle) / CELL).astype(int)
            inside = ((cell >= 0) & (cell < limit)).all(1) & (local[:, 2] > 0.05)
            cell = np.clip(cell, 0, limit - 1)
            free |= inside & (depth[cell[:, 1], cell[:, 0]] > local[:, 2] + margin)
        return free


def occupancy_grid(
    query: Callable[[np.ndarray], np.ndarray],
    region: Region,
    threshold: float,
    voxel: float = 0.08,
    levels: int = 1,
    free: FreeSpace | None = None,
    surface: np.ndarray | None = None,
) -> OccupancyGrid:
    """Evaluate an occupancy field on a grid of `voxel`, asking finely only where it matters.

    `query` maps float32 [N, 3] to logits [N]. The coarsest grid has cells of voxel * 2**levels.
    A cell is halved when its logit lies within `SLACK` of the threshold, when it or one of its
    six neighbours is on the other side, or when it holds a point of `surface` [M, 3]; all others
    pass their logit on. Cells outside the region, or that lie wholly in `free` space, are free
    without being asked.
    """
    low, high = region.corners()
    side = voxel * 2**levels
    shape = np.maximum(np.ceil((high - low) / side).astype(int), 1)
    logits = np.full(shape, FREE, np.float32)
    ask = np.ones(shape, bool)
    for level in range(levels + 1):
        index = np.argwhere(ask)
        places = _centres(index, low, side)
        seen = ~region.contains(places)
        if free is not None:
            # Half a cell's diagonal: no corner of the cell reaches the surface.
            seen |= free.contains(places, side * 3**0.5 / 2)
        logits[tuple(index[seen].T)] = FREE
        logits[tuple(index[~seen].T)] = query(places[~seen])
        if level < levels:
            ask = _undecided(logits, threshold)
            if surface is not None:
                _mark(ask, (surface - low) / side)
            ask, logits, side = _halved(ask), _halved(logits), side / 2
    return OccupancyGrid(logits, low.astype(np.float32), side, threshold)


def _mark(cells: np.ndarray, places: np.ndarray) -> None:
    """Set the cells [X, Y, Z] that hold `places` [M, 3], in cell units."""
    index = np.floor(places).astype(int)
    index = index[((index >= 0) & (index < cells.shape)).all(1)]
    cells[tuple(index.T)] = True


def _halved(grid: np.ndarray) -> np.ndarray:
    return grid.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _undecided(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return bool [X, Y, Z]: cells near the threshold or beside the boundary of the solid."""
    solid = logits > threshold
    cross = ndimage.generate_binary_structure(3, 1)
    grown = ndimage.binary_dilation(solid, cross)
    shrunk = ndimage.binary_erosion(solid, cross, border_value=1)
    return (np.abs(logits - threshold) < SLACK) | (grown & ~shrunk)


def mesh_of(grid: OccupancyGrid, points: np.ndarray, colours: np.ndarray) -> Mesh:
    """Return the surface of the solids by marching cubes (Lorensen and Cline 1987).

    Normals point out of the solids and the surface is closed at the border of the grid. Vertices
    take the colour (uint8 [M, 3]) of the nearest of `points` [M, 3].
    """
    if not grid.solid.any():
        return Mesh(
            np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), "u1")
        )
    from skimage.measure import marching_cubes

    spans = [
        np.flatnonzero(grid.solid.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)
    ]
    part = grid.logits[tuple(slice(max(a - 1, 0), b + 2) for a, b in spans)]
    field = np.pad(np.clip(part - grid.threshold, -4.0, 4.0), 1, constant_values=-4.0)
    # "ascent": the solid is where the field is high, faces then wind outwards.
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent")
    first = np.array([max(a - 1, 0) for a, _ in spans])
    vertices = ((vertices + first - 0.5) * grid.voxel + grid.origin).astype(np.float32)
    if len(points):
        step = max(1, len(points) // 12000)
        nearest = cKDTree(points[::step]).query(vertices, eps=0.5)[1]
        tint = colours[::step][nearest]
    else:
        tint = np.full((len(vertices), 3), 128, np.uint8)
    return Mesh(vertices, faces.astype(np.int32), tint)
