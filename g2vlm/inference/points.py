"""Dense coloured points: the pointmap on 4-pixel cells interpolated to every pixel."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from g2vlm.models.config import CELL
from metrics.constants import NEAREST_M
from metrics.geometry import first_in_cells, lift_depth, to_frame

# A bend in depth between cells above this (plus a share of the depth) is an edge between surfaces.
JUMP_M, JUMP_SHARE = 0.04, 0.03
LEAST_DEPTH_M = 0.1
# Side in pixels of the window that smoothing averages over.
WINDOW = 5
# A larger difference between cell and sensor is a wrong cell or a flying pixel, no correction.
LARGEST_CORRECTION_M = 0.2
MOST_POINTS = 60_000
THINNING_M = 0.01


@dataclass(frozen=True)
class CellMap:
    """A model's pointmap of one scene on V views of h x w cells.

    Args:
        points: f32[V, h, w, 3] metres in the frame.
        depth: f32[V, h, w] predicted z-depth in the own view; None where rays are unknown.
        sensed: f32[V, h, w] the sensor's depth at the cell's centre pixel, 0 = none; None for a
            method without depth.
        confidence: f32[V, h, w] in 0..1.
    """

    points: np.ndarray
    depth: np.ndarray | None
    sensed: np.ndarray | None
    confidence: np.ndarray


@dataclass(frozen=True)
class DensePoints:
    """M coloured points in the frame.

    Args:
        points: f32[M, 3] metres.
        colours: u8[M, 3].
        pixels: i16[M, 3], view, row and column.
        confidence: f32[M] in 0..1.
    """

    points: np.ndarray
    colours: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray


def interpolation(cells: int, extend: bool = False) -> np.ndarray:
    """Return the weights f32[4 * cells, cells] of linear interpolation between cell centres.

    The centre of cell r is pixel 4 r + 2. Beyond the outer centres the value is constant, or with
    `extend` continues along the same line.
    """
    pixel = np.arange(CELL * cells)
    position = (pixel - CELL // 2) / CELL  # (4 * cells,) in cells
    if not extend or cells == 1:
        position = np.clip(position, 0, cells - 1)
    low = np.clip(np.floor(position).astype(int), 0, max(cells - 2, 0))
    weights = np.zeros((CELL * cells, cells), np.float32)
    weights[pixel, low] = 1 - (position - low)
    if cells > 1:
        weights[pixel, low + 1] += position - low
    return weights


def upsample(values: np.ndarray, extend: bool = False) -> np.ndarray:
    """Interpolate [V, h, w] or [V, h, w, C] from cells to pixels: [V, 4h, 4w] or [V, 4h, 4w, C]."""
    rows, columns = (interpolation(n, extend) for n in values.shape[1:3])
    values = values.astype(np.float32)
    if values.ndim == 3:
        return rows @ values @ columns.T
    # Channels to the front, so that matmul acts on rows and columns.
    return np.moveaxis(rows @ np.moveaxis(values, -1, 1) @ columns.T, 1, -1)


def straddles(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return the pixels bool[V, 4h, 4w] whose surrounding cell centres lie on different surfaces.

    There is an edge between two cells where the step exceeds the steps before and after it by more
    than the limit. So slanted planes, and the creases between them, are no edges.

    Args:
        values: [V, h, w, C], linear over the pixels of a plane, as inverse depth is.
        limit: [V, h, w], of the excess.
    """
    edges = np.zeros((len(values), *(CELL * n for n in values.shape[1:3])), bool)
    # The last cell whose centre is at or before each pixel, along rows and along columns.
    index = [np.clip((np.arange(CELL * n) - 2) // CELL, 0, n - 1) for n in values.shape[1:3]]
    for axis in (1, 2):
        if values.shape[axis] < 3:
            continue
        edge = _edges(np.moveaxis(values, axis, 0), np.moveaxis(limit, axis, 0))
        edge = np.moveaxis(edge, 0, axis)  # (V, h, w)
        # Two pairs of cells surround a pixel along this axis; an edge in either counts.
        count = edge.shape[3 - axis]
        edge = edge | np.take(edge, np.minimum(np.arange(count) + 1, count - 1), 3 - axis)
        edges |= edge[:, index[0]][:, :, index[1]]
    return edges


def _edges(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return bool[n, ...]: an edge between n and n + 1 of values [n, ..., C]; the last has none."""
    step = np.diff(values, axis=0)  # (n - 1, ..., C)
    # At the ends only one neighbouring step exists and counts twice.
    before, after = step[np.r_[0, : len(step) - 1]], step[np.r_[1 : len(step), -1]]
    before[0], after[-1] = after[0], before[-1]
    # Over a crease the step lies between those of its two planes; over an edge it does not.
    over = np.maximum(step - np.maximum(before, after), np.minimum(before, after) - step)
    excess = np.linalg.norm(np.maximum(over, 0), axis=-1)  # (n - 1, ...)
    edges = np.zeros(values.shape[:-1], bool)
    edges[:-1] = excess > np.minimum(limit[1:], limit[:-1])
    return edges


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """Return the pixels bool[V, 4h, 4w] on edges of z-depth [V, h, w]; see `straddles`."""
    inverse = 1 / np.maximum(depth, LEAST_DEPTH_M)
    # A jump d in depth z is a jump of about d / z^2 in inverse depth.
    return straddles(inverse[..., None], (JUMP_M + JUMP_SHARE * depth) * inverse**2)


def point_edges(points: np.ndarray) -> np.ndarray:
    """Return the pixels bool[V, 4h, 4w] on edges of a pointmap [V, h, w, 3]; see `straddles`."""
    return straddles(points, np.full(points.shape[:3], 3 * JUMP_M))


def upsample_depth(depth: np.ndarray) -> np.ndarray:
    """Interpolate z-depth [V, h, w] to pixels through its inverse, which is exact on planes."""
    inverse = upsample(1 / np.maximum(depth, LEAST_DEPTH_M), extend=True)
    return 1 / np.clip(inverse, 0.02, 1 / LEAST_DEPTH_M)


def correction(depth: np.ndarray, sensed: np.ndarray) -> np.ndarray:
    """Return the learned correction [V, 4h, 4w] of the sensor's depth, in metres.

    The correction interpolates the differences of predicted depth [V, h, w] and sensed depth
    [V, h, w] on cells. Cells without sensor depth, or that differ by more than 20 cm, are ignored.
    """
    change = depth - sensed
    known = (sensed > 0) & (np.abs(change) < LARGEST_CORRECTION_M)
    # Normalised interpolation: the weighted mean over the known cells around a pixel.
    weight = upsample(known)
    total = upsample(np.where(known, change, 0))
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), 0)


def dense_depth(
    cells: CellMap, sensor: np.ndarray, smoothing: float, trust: float = 1.0
) -> np.ndarray:
    """Return z-depth [V, H, W] at every pixel, 0 where it is unknown.

    Pixels with sensor depth take that depth plus `trust` times the learned correction, moved by
    `smoothing` towards the surface that cells and neighbouring pixels agree on. Pixels without, and
    methods without sensor depth, take the interpolated cells.

    Args:
        cells: with predicted depth.
        sensor: f32[V, H, W], 0 = none.
        smoothing, trust: 0 to 1.
    """
    assert cells.depth is not None
    flat = np.where(depth_edges(cells.depth), 0, upsample_depth(cells.depth))  # (V, H, W)
    if cells.sensed is None:
        return flat
    measured = sensor + trust * correction(cells.depth, cells.sensed)
    agree = (flat > 0) & (sensor > 0) & (np.abs(flat - measured) < JUMP_M + 0.01 * measured)
    # Averaging the differences from the cells keeps slants; averaging depth would bend them.
    window = (0, WINDOW, WINDOW)
    weight = ndimage.uniform_filter(agree.astype(np.float32), window)
    difference = ndimage.uniform_filter(np.where(agree, measured - flat, 0), window)
    surface = flat + difference / np.maximum(weight, 1e-3)
    smoothed = np.where(agree, measured + smoothing * (surface - measured), measured)
    return np.where(sensor > 0, smoothed, flat)


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
    """Return the coloured points of one scene, at most one a pixel.

    A model without depth gets its interpolated pointmap, without edges. More than 60 000 points are
    thinned to one per 1 cm cell.

    Args:
        cells: the model's pointmap.
        rgb: u8[V, H, W, 3].
        sensor: f32[V, H, W] depth in metres, 0 = none.
        intrinsics: [V, 3, 3] in pixels.
        pose: [V, 4, 4] camera to frame.
        smoothing, trust: see `dense_depth`.
        least_confidence: points below it are dropped.
    """
    confidence = upsample(cells.confidence)  # (V, H, W)
    if cells.depth is None:
        points = upsample(cells.points, extend=True)  # (V, H, W, 3)
        kept = ~point_edges(cells.points)
    else:
        depth = dense_depth(cells, sensor, smoothing, trust)
        points = to_frame(lift_depth(depth, intrinsics), pose)
        kept = depth > NEAREST_M
    kept &= (confidence >= least_confidence) & np.isfinite(points).all(-1)
    index = np.flatnonzero(kept)  # (M,) into V * H * W
    flat = points.reshape(-1, 3)[index]
    if len(index) > MOST_POINTS:
        chosen = thin(flat)
        flat, index = flat[chosen], index[chosen]
    return DensePoints(
        flat.astype(np.float32),
        rgb.reshape(-1, 3)[index],
        np.stack(np.unravel_index(index, kept.shape), -1).astype(np.int16),
        confidence.reshape(-1)[index],
    )


def thin(points: np.ndarray) -> np.ndarray:
    """Return the indices of the first of points [N, 3] in every occupied 1 cm cell, in order."""
    return first_in_cells(points - points.min(0), THINNING_M)
