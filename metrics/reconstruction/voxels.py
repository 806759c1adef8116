"""Voxels that surfaces pass through, over voxels that an input ray crossed or hit."""

from dataclasses import dataclass

import numpy as np

from metrics.geometry import lift_pixels
from metrics.reconstruction.distances import sampled_metric
from metrics.reconstruction.surfaces import SurfaceComparison

# Sides of the voxels, metres.
SIDES = (0.05, 0.1)


@dataclass(frozen=True)
class VoxelGrid:
    """An axis-aligned grid.

    Attributes:
        origin: f64 [3], lower corner of voxel (0, 0, 0), metres.
        shape: number of voxels along x, y, z.
        side: of a voxel, metres.
    """

    origin: np.ndarray
    shape: tuple[int, int, int]
    side: float


def grid_around(corners: np.ndarray, side: float) -> VoxelGrid:
    """Return the grid over the bounding box of corners [N, 3], one voxel wider on each side.

    Voxel borders lie half a voxel off the frame's origin, so that the floor, at z = 0, is inside
    a layer of voxels and not between two.
    """
    low = np.floor(np.min(corners, axis=0) / side) - 1.5
    high = np.ceil(np.max(corners, axis=0) / side) + 1.5
    return VoxelGrid(low * side, tuple(int(count) for count in high - low), side)


def voxelise(points: np.ndarray, grid: VoxelGrid) -> np.ndarray:
    """Return bool [X, Y, Z]: voxels that hold a point of [N, 3]; points outside are dropped."""
    filled = np.zeros(int(np.prod(grid.shape)), bool)
    inside: np.ndarray | bool = True
    flat: np.ndarray | int = 0
    # Axis after axis instead of rows of three, which is several times faster. Cells stay floats
    # until those outside are dropped, since far points overflow an integer.
    for axis, count in enumerate(grid.shape):
        cell = np.floor((points[:, axis] - grid.origin[axis]) / grid.side)  # (N,)
        inside = inside & (cell >= 0) & (cell < count)
        flat = flat * count + cell
    filled[flat[inside].astype(np.int64)] = True
    return filled.reshape(grid.shape)


def known_voxels(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, grid: VoxelGrid, pixels: int = 9000
) -> np.ndarray:
    """Return bool [X, Y, Z]: voxels that a ray of an input view crossed or hit.

    Args:
        depth: [V, H, W] z-depth in metres, 0 = none.
        intrinsics: [V, 3, 3].
        pose: [V, 4, 4] camera to frame.
        grid: the voxels.
        pixels: about how many rays a view are followed, on a regular subset of the image.
    """
    known = np.zeros(grid.shape, bool)
    stride = max(1, int(np.ceil(np.sqrt(depth[0].size / pixels))))
    for view in range(len(depth)):
        rows, columns = np.nonzero(depth[view, ::stride, ::stride] > 0)
        rows, columns = rows * stride, columns * stride
        z = depth[view, rows, columns]
        ends = lift_pixels(z, rows, columns, intrinsics[view], pose[view])  # (R, 3)
        start = pose[view, :3, 3].astype(np.float64)
        offsets = np.ascontiguousarray((ends - start).T)[:, None]  # (3, 1, R)
        # All rays advance by the same share of their length; the longest one moves half a side a
        # step, so no ray skips more than a voxel's corner.
        longest = np.linalg.norm(ends - start, axis=1).max(initial=0.0)
        shares = np.linspace(0.0, 1.0, int(np.ceil(longest / (grid.side / 2))) + 2)
        # 32 steps at once bound the memory.
        for chunk in np.array_split(shares, len(shares) // 32 + 1):
            # Axis by axis, as `voxelise` reads them: (3, steps, R).
            along = start[:, None, None] + chunk[:, None] * offsets
            known |= voxelise(along.reshape(3, -1).T, grid)
    return known


def voxel_iou(predicted: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Return the intersection over union of surface voxels among known ones; 0 for no union.

    Args:
        predicted, truth: bool [X, Y, Z], voxels that hold surface.
        known: bool [X, Y, Z], voxels that are counted.

    Source: this project; differs from Song et al. 2017 (SSCNet), whose completion IoU counts solid
        voxels of occluded space.

    Example:
        >>> on = np.ones((1, 1, 2), bool)
        >>> voxel_iou(on, on & np.array([[[True, False]]]), on)
        0.5
    """
    union = int(((predicted | truth) & known).sum())
    return float((predicted & truth & known).sum() / union) if union else 0.0


def surface_voxel_iou(comparison: SurfaceComparison, side: float) -> float:
    """Return `voxel_iou` of a comparison over voxels of side `side` metres."""
    grid = grid_around(comparison.clouds.true.room_corners, side)
    prepared = comparison.clouds.prepared
    return voxel_iou(
        voxelise(comparison.surface.points, grid),
        prepared.voxels("surface", side, grid.shape),
        prepared.voxels("known", side, grid.shape),
    )


METRICS = tuple(
    sampled_metric(
        f"voxel_iou@{side * 100:g}cm",
        compute=lambda comparison, side=side: surface_voxel_iou(comparison, side),
        description="surface voxels, over voxels that an input ray crossed or hit",
        source="this project; differs from Song et al. 2017 (SSCNet), whose completion IoU counts "
        "solid voxels of occluded space: here surface voxels of seen space",
        place=60,
    )
    for side in SIDES
)
