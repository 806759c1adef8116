"""Voxels that surfaces pass through, over voxels that an input ray crossed or hit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.geometry import lift_pixels
from metrics.metric import Metric
from metrics.reconstruction.surfaces import SurfaceComparison

SIDES = (0.05, 0.1)


@dataclass(frozen=True)
class VoxelGrid:
    """An axis-aligned grid: origin [3] metres, shape [3], side metres."""

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
    for axis, count in enumerate(grid.shape):
        cell = np.floor((points[:, axis] - grid.origin[axis]) / grid.side)
        inside = inside & (cell >= 0) & (cell < count)
        flat = flat * count + cell
    filled[flat[inside].astype(np.int64)] = True
    return filled.reshape(grid.shape)


def known_voxels(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, grid: VoxelGrid, pixels: int = 9000
) -> np.ndarray:
    """Return bool [X, Y, Z]: voxels that a ray of an input view crossed or hit.

    Rays are followed in steps of half a voxel's side; at most about `pixels` rays a view
    (a regular subset of the image).

    Args:
        depth: [V, H, W] metres, 0 = none; intrinsics: [V, 3, 3]; pose: [V, 4, 4].
    """
    known = np.zeros(grid.shape, bool)
    stride = max(1, int(np.ceil(np.sqrt(depth[0].size / pixels))))
    for view in range(len(depth)):
        rows, columns = np.nonzero(depth[view, ::stride, ::stride] > 0)
        rows, columns = rows * stride, columns * stride
        z = depth[view, rows, columns]
        ends = lift_pixels(z, rows, columns, intrinsics[view], pose[view])
        start = pose[view, :3, 3].astype(np.float64)
        longest = np.linalg.norm(ends - start, axis=1).max(initial=0.0)
        shares = np.linspace(0.0, 1.0, int(np.ceil(longest / (grid.side / 2))) + 2)
        for chunk in np.array_split(shares, len(shares) // 32 + 1):
            along = start + chunk[:, None, None] * (ends - start)
            known |= voxelise(along.reshape(-1, 3), grid)
    return known


def voxel_iou(predicted: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Intersection over union of surface voxels among known ones.

    Scene-completion practice (Song et al. 2017). All arguments bool [X, Y, Z]. Higher is better,
    in [0, 1], worst 0 (also where nothing is known); the floor is measured on each split.

    >>> on = np.ones((1, 1, 2), bool)
    >>> voxel_iou(on, on & np.array([[[True, False]]]), on)
    0.5
    """
    union = int(((predicted | truth) & known).sum())
    return float((predicted & truth & known).sum() / union) if union else 0.0


def surface_voxel_iou(comparison: SurfaceComparison, side: float) -> float:
    """Return `voxel_iou` of a comparison over voxels of side `side` metres."""
    grid = grid_around(comparison.clouds.true.room_corners, side)
    true = comparison.clouds.prepared.voxels("surface", side, grid.shape)
    known = comparison.clouds.prepared.voxels("known", side, grid.shape)
    return voxel_iou(voxelise(comparison.surface.points, grid), true, known)


METRICS = tuple(
    Metric(
        name=f"voxel_iou@{side * 100:g}cm",
        family="reconstruction",
        task="points",
        input="surface",
        compute=lambda comparison, side=side: surface_voxel_iou(comparison, side),
        description="surface voxels, over voxels that an input ray crossed or hit",
        source="Song et al. 2017 (scene completion practice)",
        floor_of=f"voxel_iou@{side * 100:g}cm",
        computed_ceiling=True,
        place=60,
    )
    for side in SIDES
)
