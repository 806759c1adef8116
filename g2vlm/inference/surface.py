"""The occupancy grid of a scene, evaluated coarse to fine, and the mesh of its solids."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from g2vlm.models.config import CELL
from metrics.constants import NEAREST_M
from metrics.geometry import to_camera

# Logit of cells that are not evaluated, because a view sees through them or they are outside.
FREE = -12.0
# Cells whose logit is this near to the threshold are refined.
SLACK = 1.0
# Share of stray points that may lie beyond each side of the region.
STRAY = 0.003
MARGIN_M = 0.05
# Limits of the region: heights, and distance from the first camera.
LOWEST_M, HIGHEST_M, FARTHEST_M = -0.3, 4.5, 12.0
# Points from which the region is computed, and which colour the mesh, at most.
_REGION_POINTS, _COLOUR_POINTS = 2000, 12_000


@dataclass(frozen=True)
class OccupancyGrid:
    """An occupancy field on a grid that is axis-aligned in the frame.

    Args:
        logits: f32[X, Y, Z] at cell centres.
        origin: f32[3], lower corner of cell (0, 0, 0), metres.
        voxel: side of a cell, metres.
        threshold: logit above which a cell is solid.
    """

    logits: np.ndarray
    origin: np.ndarray
    voxel: float
    threshold: float

    @property
    def solid(self) -> np.ndarray:
        """bool[X, Y, Z], true where solid."""
        return self.logits > self.threshold


@dataclass(frozen=True)
class Mesh:
    """Vertices f32[V, 3] metres, faces i32[F, 3] with outward normals, colours u8[V, 3]."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Region:
    """An upright box around a scene, rotated about z.

    Args:
        low, high: [3], its corners in the rotated axes, metres.
        angle: radians, counter-clockwise.
    """

    low: np.ndarray
    high: np.ndarray
    angle: float

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper corner [3] of its axis-aligned bounding box in the frame."""
        ends = np.array([[x, y] for x in (0, 1) for y in (0, 1)])
        corners = self.low[:2] + ends * (self.high - self.low)[:2]  # (4, 2) rotated axes
        corners = corners @ _rotation(-self.angle)
        return np.append(corners.min(0), self.low[2]), np.append(corners.max(0), self.high[2])

    def contains(self, xyz: np.ndarray) -> np.ndarray:
        """Return whether each of positions [N, 3] is inside, bool[N]."""
        xy = xyz[:, :2] @ _rotation(self.angle)  # (N, 2)
        inside = (xy >= self.low[:2]) & (xy <= self.high[:2])
        return inside.all(1) & (xyz[:, 2] >= self.low[2]) & (xyz[:, 2] <= self.high[2])


def _rotation(angle: float) -> np.ndarray:
    """Return the matrix [2, 2] that takes row vectors to axes rotated by `angle`."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def region_of(points: np.ndarray) -> Region:
    """Return the smallest upright box around points [M, 3], without stray points.

    The best of 45 angles, two degrees apart, is used; 0.3% of the points may lie beyond each side.
    The box is clipped to 12 m around the first camera and to heights of -0.3 to 4.5 m. Without a
    finite point it is a cube of 1 m.
    """
    finite = points[np.isfinite(points).all(axis=1)]
    finite = finite[(np.abs(finite) < [FARTHEST_M, FARTHEST_M, 2 * HIGHEST_M]).all(axis=1)]
    if not len(finite):
        return Region(np.array([-0.5, -0.5, 0.0]), np.array([0.5, 0.5, 1.0]), 0.0)
    few = finite[:: max(1, len(finite) // _REGION_POINTS)]
    angles = np.radians(np.arange(0, 90, 2))
    turns = np.concatenate([_rotation(angle).T for angle in angles])  # (2 * 45, 2)
    rotated = turns @ few[:, :2].T  # (2 * 45, M): an axis of an angle in each row
    # Order statistics instead of extremes: the `rank` outermost points of each side are strays.
    rank = int(np.ceil(STRAY * len(few)))
    parted = np.partition(rotated, [rank, len(few) - 1 - rank], axis=1)
    ends = parted[:, [rank, len(few) - 1 - rank]].reshape(len(angles), 2, 2)
    low, high = ends[..., 0], ends[..., 1]  # (45, 2)
    best = int(np.argmin((high - low).prod(1)))
    bottom, top = np.clip(np.quantile(few[:, 2], [STRAY, 1 - STRAY]), LOWEST_M, HIGHEST_M)
    margin = np.array([MARGIN_M] * 3)
    return Region(
        np.append(low[best], bottom) - margin,
        np.append(high[best], max(top, bottom + 0.2)) + margin,
        float(angles[best]),
    )


def is_free(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, xyz: np.ndarray, margin: float
) -> np.ndarray:
    """Return whether some view has a surface more than `margin` behind each position, bool[N].

    The nearest depth of 3 x 3 cells counts, so that thin objects before a far wall are kept.

    Args:
        depth: [V, h, w] predicted z-depth on 4-pixel cells, metres.
        intrinsics: [V, 3, 3] in pixels.
        pose: [V, 4, 4] camera to frame.
        xyz: [N, 3] positions in the frame.
        margin: metres.
    """
    nearest = ndimage.minimum_filter(depth, (0, 3, 3)) if depth.size else depth
    limit = np.array(depth.shape[:0:-1])  # (w, h)
    free = np.zeros(len(xyz), bool)
    for view, matrix, camera in zip(nearest, intrinsics, pose, strict=True):
        local = to_camera(xyz, camera)  # (N, 3)
        z = np.maximum(local[:, 2], NEAREST_M)
        focal, centre = matrix[[0, 1], [0, 1]], matrix[:2, 2]
        cell = ((local[:, :2] / z[:, None] * focal + centre) / CELL).astype(int)  # (N, 2)
        inside = ((cell >= 0) & (cell < limit)).all(1) & (local[:, 2] > NEAREST_M)
        cell = np.clip(cell, 0, limit - 1)
        free |= inside & (view[cell[:, 1], cell[:, 0]] > local[:, 2] + margin)
    return free


def occupancy_grid(
    query: Callable[[np.ndarray], np.ndarray],
    region: Region,
    threshold: float,
    voxel: float = 0.08,
    levels: int = 1,
    free: Callable[[np.ndarray, float], np.ndarray] | None = None,
    surface: np.ndarray | None = None,
) -> OccupancyGrid:
    """Evaluate an occupancy field on a grid, finely only where it matters.

    The coarsest cells have sides of voxel * 2**levels. A cell is halved when its logit lies within
    `SLACK` of the threshold, when a neighbour of its six is on the other side of it, or when it
    holds a point of `surface`. The parts of all other cells inherit the logit. Cells outside the
    region or wholly in free space are set to `FREE` without an evaluation.

    Args:
        query: returns logits [N] at positions f32[N, 3].
        region: bounds of the scene.
        threshold: logit above which a cell is solid.
        voxel: side of the finest cells, metres.
        levels: number of halvings.
        free: returns whether space is free at least this far around positions [N, 3], bool[N].
        surface: [M, 3], points on surfaces of objects, metres.
    """
    low, high = region.corners()
    side = voxel * 2**levels
    shape = np.maximum(np.ceil((high - low) / side).astype(int), 1)
    logits = np.full(shape, FREE, np.float32)
    refine = np.ones(shape, bool)  # cells to evaluate at this level
    for level in range(levels + 1):
        index = np.argwhere(refine)  # (N, 3)
        centres = ((index + 0.5) * side + low).astype(np.float32)  # (N, 3)
        known_free = ~region.contains(centres)
        if free is not None:
            # Half a cell's diagonal: no corner of the cell reaches the surface.
            known_free |= free(centres, side * 3**0.5 / 2)
        logits[tuple(index[known_free].T)] = FREE
        logits[tuple(index[~known_free].T)] = query(centres[~known_free])
        if level < levels:
            refine = (np.abs(logits - threshold) < SLACK) | boundary(logits > threshold)
            if surface is not None:
                cells = np.floor((surface - low) / side).astype(int)
                cells = cells[((cells >= 0) & (cells < refine.shape)).all(1)]
                refine[tuple(cells.T)] = True
            refine, logits, side = _halved(refine), _halved(logits), side / 2
    return OccupancyGrid(logits, low.astype(np.float32), side, threshold)


def _halved(grid: np.ndarray) -> np.ndarray:
    """Return a grid [X, Y, Z] with every cell cut into 2 x 2 x 2 equal ones."""
    return grid.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def boundary(solid: np.ndarray) -> np.ndarray:
    """Return the cells bool[X, Y, Z] of which one of the six neighbours differs in being solid."""
    differs = np.zeros(solid.shape, bool)
    for axis in range(3):
        # Views with the axis first, so that both neighbours of a changed pair are marked.
        change = np.diff(np.moveaxis(solid, axis, 0), axis=0)
        marked = np.moveaxis(differs, axis, 0)
        marked[1:] |= change
        marked[:-1] |= change
    return differs


def mesh_of(grid: OccupancyGrid, points: np.ndarray, colours: np.ndarray) -> Mesh:
    """Return the closed surface of the solids by marching cubes; normals point outwards.

    Args:
        grid: the occupancy grid.
        points: [M, 3], metres; a vertex takes the colour of the nearest one.
        colours: u8[M, 3] of the points.

    Source: Lorensen and Cline, "Marching cubes", 1987.
    """
    if not grid.solid.any():
        return Mesh(
            np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), "u1")
        )
    from skimage.measure import marching_cubes

    # Only the part of the grid around the solids is meshed.
    spans = [
        np.flatnonzero(grid.solid.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)
    ]
    part = grid.logits[tuple(slice(max(a - 1, 0), b + 2) for a, b in spans)]
    # A free layer all around closes the surface at the border of the grid.
    field = np.pad(np.clip(part - grid.threshold, -4.0, 4.0), 1, constant_values=-4.0)
    # "ascent": the solid is where the field is high, faces then wind outwards.
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent")
    first = np.array([max(a - 1, 0) for a, _ in spans])
    vertices = ((vertices + first - 0.5) * grid.voxel + grid.origin).astype(np.float32)
    if len(points):
        step = max(1, len(points) // _COLOUR_POINTS)
        nearest = cKDTree(points[::step]).query(vertices, eps=0.5)[1]
        vertex_colours = colours[::step][nearest]
    else:
        vertex_colours = np.full((len(vertices), 3), 128, np.uint8)
    return Mesh(vertices, faces.astype(np.int32), vertex_colours)
