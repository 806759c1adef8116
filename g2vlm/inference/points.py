"""Dense coloured points: the pointmap on 4-pixel cells brought to every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from g2vlm.models.config import CELL
from metrics.geometry import first_in_cells, lift_depth, to_frame

# Cells whose depths bend by more than this (plus a share of the depth) are different surfaces.
JUMP_M, JUMP_SHARE = 0.04, 0.03
LEAST_DEPTH_M = 0.1
# Pixels a side whose differences from the cells are averaged.
WINDOW = 5
# A larger difference between cell and sensor is a wrong cell or a flying pixel, no correction.
LARGEST_CORRECTION_M = 0.2
MOST_POINTS = 60_000
THINNING_M = 0.01


@dataclass(frozen=True)
class CellMap:
    """A model's pointmap of one scene on V views of h x w cells.

    points [V,h,w,3] metres in the frame; depth [V,h,w] predicted z-depth in the own view, or None
    where rays are unknown; sensed [V,h,w] the sensor's depth at the cell's centre pixel (0 = none),
    or None for a method without depth; confidence [V,h,w] in 0..1.
    """

    points: np.ndarray
    depth: np.ndarray | None
    sensed: np.ndarray | None
    confidence: np.ndarray


@dataclass(frozen=True)
class DensePoints:
    """Points [M,3], colours uint8 [M,3], pixels int16 [M,3] (view, row, column), confidence [M]."""

    points: np.ndarray
    colours: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray


def interpolation(cells: int, extend: bool = False) -> np.ndarray:
    """Return weights float32 [4 * cells, cells] of linear interpolation between cell centres.

    The centre of cell r is pixel 4 r + 2. Beyond the outer centres values are held, or continued
    along the same line with `extend`.
    """
    position = (np.arange(CELL * cells) - CELL // 2) / CELL
    if not extend or cells == 1:
        position = np.clip(position, 0, cells - 1)
    low = np.clip(np.floor(position).astype(int), 0, max(cells - 2, 0))
    weights = np.zeros((CELL * cells, cells), np.float32)
    row = np.arange(CELL * cells)
    weights[row, low] = 1 - (position - low)
    if cells > 1:
        weights[row, low + 1] += position - low
    return weights


def upsample(values: np.ndarray, extend: bool = False) -> np.ndarray:
    """Bring [V,h,w] or [V,h,w,C] from cells to pixels, linearly: [V,4h,4w(,C)]."""
    rows, columns = (interpolation(n, extend) for n in values.shape[1:3])
    flat = values.astype(np.float32)
    if flat.ndim == 3:
        return rows @ flat @ columns.T
    return np.moveaxis(rows @ np.moveaxis(flat, -1, 1) @ columns.T, 1, -1)


def straddles(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return bool [V,4h,4w]: pixels whose surrounding cell centres lie on different surfaces.

    `values` [V,h,w,C] runs straight over the pixels of a plane (inverse depth does); between two
    cells lies an edge when the step exceeds the steps before and after it by more than `limit`
    [V,h,w], so slanted planes and the creases between them are no edges.
    """
    found = np.zeros((len(values), *(CELL * n for n in values.shape[1:3])), bool)
    index = [np.clip((np.arange(CELL * n) - 2) // CELL, 0, n - 1) for n in values.shape[1:3]]
    for axis in (1, 2):
        if values.shape[axis] < 3:
            continue
        edge = _edges(np.moveaxis(values, axis, 0), np.moveaxis(limit, axis, 0))
        edge = np.moveaxis(edge, 0, axis)
        # A pixel has two cells on either side across the axis; an edge beside either counts.
        edge = edge | _ahead(edge, 3 - axis)
        found |= edge[:, index[0]][:, :, index[1]]
    return found


def _edges(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return bool [n,...]: an edge between n and n + 1, of values [n,...,C]; the last has none."""
    step = np.diff(values, axis=0)
    before, after = step[np.r_[0, : len(step) - 1]], step[np.r_[1 : len(step), -1]]
    before[0], after[-1] = after[0], before[-1]
    # Over a crease the step lies between those of its two planes; over an edge it does not.
    over = np.maximum(step - np.maximum(before, after), np.minimum(before, after) - step)
    out = np.zeros(values.shape[:-1], bool)
    excess = np.linalg.norm(np.maximum(over, 0), axis=-1)
    out[:-1] = excess > np.minimum(limit[1:], limit[:-1])
    return out


def _ahead(values: np.ndarray, axis: int) -> np.ndarray:
    """Return `values` moved back by one along the axis, the last repeated."""
    index = np.minimum(np.arange(values.shape[axis]) + 1, values.shape[axis] - 1)
    return np.take(values, index, axis)


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """Return `straddles` of z-depth [V,h,w]."""
    inverse = 1 / np.maximum(depth, LEAST_DEPTH_M)
    return straddles(inverse[..., None], (JUMP_M + JUMP_SHARE * depth) * inverse**2)


def point_edges(points: np.ndarray) -> np.ndarray:
    """Return `straddles` of a pointmap [V,h,w,3]."""
    return straddles(points, np.full(points.shape[:3], 3 * JUMP_M))


def upsample_depth(depth: np.ndarray) -> np.ndarray:
    """Bring z-depth [V,h,w] to pixels through its inverse, which is exact on planes."""
    inverse = upsample(1 / np.maximum(depth, LEAST_DEPTH_M), extend=True)
    return 1 / np.clip(inverse, 0.02, 1 / LEAST_DEPTH_M)


def correction(depth: np.ndarray, sensed: np.ndarray) -> np.ndarray:
    """Return the change [V,4h,4w] to add to the sensor's depth: cell differences, interpolated.

    Cells without sensor depth, or differing by more than 20 cm, have no say.
    """
    change = depth - sensed
    known = (sensed > 0) & (np.abs(change) < LARGEST_CORRECTION_M)
    weight = upsample(known)
    total = upsample(np.where(known, change, 0))
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), 0)


def dense_depth(
    cells: CellMap, sensor: np.ndarray, smoothing: float, trust: float = 1.0
) -> np.ndarray:
    """Return z-depth [V,H,W] at every pixel, 0 where nothing can be said.

    With sensor depth f32 [V,H,W]: sensor plus `trust` (0..1) times the interpolated difference of
    the cells, drawn by `smoothing` (0..1) towards the surface that cells and neighbouring pixels
    agree on; pixels without sensor depth, and methods without it, take the interpolated cells.
    """
    assert cells.depth is not None
    flat = np.where(depth_edges(cells.depth), 0, upsample_depth(cells.depth))
    if cells.sensed is None:
        return flat
    measured = sensor + trust * correction(cells.depth, cells.sensed)
    agree = (flat > 0) & (sensor > 0) & (np.abs(flat - measured) < JUMP_M + 0.01 * measured)
    # Averaging what pixels differ from the cells keeps slants, which averaging depth would bend.
    window = (0, WINDOW, WINDOW)
    weight = ndimage.uniform_filter(agree.astype(np.float32), window)
    rest = ndimage.uniform_filter(np.where(agree, measured - flat, 0), window)
    surface = flat + rest / np.maximum(weight, 1e-3)
    drawn = np.where(agree, measured + smoothing * (surface - measured), measured)
    return np.where(sensor > 0, drawn, flat)


def dense_points(
    cells: CellMap,
    rgb: np.ndarray,
    sensor: np.ndarray,
    intrinsics: np.ndarray,
    pose: np.ndarray,
    smoothing: float = 0.5,
    trust: float = 1.0,
    least_confidence: float = 0.0,
) -> DensePoints:
    """Return the coloured points of one scene in the frame, one a pixel at most.

    `rgb` uint8 [V,H,W,3], `sensor` f32 [V,H,W] (0 = none), `intrinsics` [V,3,3], `pose` [V,4,4]
    camera-to-frame. Where the model lifts no depth the pointmap itself is interpolated. More than
    60 000 points are thinned to one per 1 cm cell.
    """
    confidence = upsample(cells.confidence)
    if cells.depth is None:
        points = upsample(cells.points, extend=True)
        kept = ~point_edges(cells.points)
    else:
        depth = dense_depth(cells, sensor, smoothing, trust)
        points = to_frame(lift_depth(depth, intrinsics), pose)
        kept = depth > 0.05
    kept &= (confidence >= least_confidence) & np.isfinite(points).all(-1)
    index = np.flatnonzero(kept)
    flat = points.reshape(-1, 3)[index]
    if len(index) > MOST_POINTS:
        chosen = thin(flat)
        flat, index = flat[chosen], index[chosen]
    pixels = np.stack(np.unravel_index(index, kept.shape), -1).astype(np.int16)
    return DensePoints(
        flat.astype(np.float32),
        rgb.reshape(-1, 3)[index],
        pixels,
        confidence.reshape(-1)[index],
    )


def thin(points: np.ndarray) -> np.ndarray:
    """Return indices of the first point in every occupied 1 cm cell, in order."""
    return first_in_cells(points - points.min(0), THINNING_M)
