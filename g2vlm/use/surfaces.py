"""Depth refined by the model at the capture's resolution, as points and textured surfaces."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from g2vlm.captures import Capture
from g2vlm.inference.calibrate import Thresholds
from g2vlm.inference.network import EncodedScene
from g2vlm.inference.points import LARGEST_CORRECTION_M, dense_depth, thin, upsample
from g2vlm.use.views import Window
from metrics.constants import NEAREST_M
from metrics.geometry import lift_pixels, to_camera

UNREAD = -1.0
# Quads of the surface and points along the width of an image.
_QUADS_A_ROW, _POINTS_A_ROW = 128, 320
# Least cosine between a face's normal and the view: flatter faces are stretched across an edge.
_LEAST_COSINE = 0.12
# Surfaces of two frames nearer than this (plus a share of the depth) are the same surface.
_SAME_M, _SAME_SHARE = 0.03, 0.02
# Pixels without sensor depth are filled only where the model is this confident.
_LEAST_CONFIDENCE = 0.3


@dataclass(frozen=True)
class Refined:
    """The refined depth of all frames.

    Args:
        depth: f32[N, H, W] metres, 0 = none.
        confidence: f32[N, H, W] in 0..1; -1 where the model did not read the frame, and depth is
            the sensor's.
    """

    depth: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Cloud:
    """Points f32[M, 3] metres, colours u8[M, 3], confidence f32[M] (`Refined`), frame i32[M]."""

    points: np.ndarray
    colours: np.ndarray
    confidence: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class TexturedPart:
    """The part of the surface that one frame shows best, with its image as texture.

    Args:
        name: of the frame.
        vertices: f32[V, 3] metres.
        faces: i32[F, 3].
        uv: f32[V, 2] in 0..1 from the lower left of the image.
        image: u8[H, W, 3].
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray


def refine(
    capture: Capture, scene: EncodedScene, windows: list[Window], thresholds: Thresholds
) -> Refined:
    """Apply the model's correction, made on its small views, to the capture's pixels.

    The correction (at most 20 cm) is interpolated and added to the sensor's depth. Pixels without
    sensor depth take the model's depth where it is confident.

    Args:
        capture: the frames.
        scene: the windows as the model encoded them.
        windows: the window of each view.
        thresholds: smoothing, trust and least confidence.
    """
    cells, sensed = scene.cells(), scene.inputs.depth
    dense = dense_depth(cells, sensed, thresholds.smoothing, thresholds.trust)  # (V, h, w)
    confidence = upsample(cells.confidence)
    least = max(thresholds.least_confidence, _LEAST_CONFIDENCE)
    change = np.where((sensed > 0) & (dense > 0), dense - sensed, 0)  # (V, h, w)
    change = np.clip(change, -LARGEST_CORRECTION_M, LARGEST_CORRECTION_M)
    depth = capture.depth.copy()
    frame_confidence = np.full(depth.shape, UNREAD, np.float32)
    # Backwards: where windows overlap, the one chosen first counts.
    for view, window in reversed(list(enumerate(windows))):
        part = (
            window.frame,
            slice(window.top, window.top + window.height),
            slice(window.left, window.left + window.width),
        )
        shape = (window.height, window.width)
        measured = capture.depth[part]  # (window height, window width)
        certainty = _resize_nearest(confidence[view], shape)
        filled = np.where(certainty >= least, _resize_nearest(dense[view], shape), 0)
        corrected = measured + _resize_linear(change[view], shape)
        depth[part] = np.where(measured > 0, corrected, filled)
        # depth[part] is a view, so this assignment clears pixels of `depth`.
        depth[part][certainty < thresholds.least_confidence] = 0
        frame_confidence[part] = certainty
    return Refined(np.where(depth > NEAREST_M, depth, 0), frame_confidence)


def _source_positions(shape: tuple[int, int], small: tuple[int, ...]) -> list[np.ndarray]:
    """Return the row and column positions in the small image of the pixels of a large one."""
    return [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, small, strict=True)]


def _resize_linear(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize [h, w] to `shape`, linearly between pixel centres."""
    positions = np.meshgrid(*_source_positions(shape, values.shape), indexing="ij")
    return ndimage.map_coordinates(values, positions, order=1, mode="nearest").astype(np.float32)


def _resize_nearest(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize [h, w] to `shape` by the nearest pixel."""
    rows, columns = (np.round(p).astype(int) for p in _source_positions(shape, values.shape))
    limit = np.array(values.shape) - 1
    return values[np.ix_(np.clip(rows, 0, limit[0]), np.clip(columns, 0, limit[1]))]


def coloured_points(capture: Capture, refined: Refined) -> Cloud:
    """Return the coloured points of all frames, thinned to one per 1 cm cell: the first frame's."""
    step = max(1, round(capture.size[0] / _POINTS_A_ROW))
    rows, columns = (np.arange(step // 2, n, step) for n in capture.depth.shape[1:])
    points, colours, confidence, frames = [], [], [], []
    for frame in range(len(capture)):
        depth = refined.depth[frame][np.ix_(rows, columns)]
        measured = depth > 0
        camera = capture.intrinsics[frame], capture.pose[frame]
        points.append(lift_pixels(depth, rows[:, None], columns, *camera)[measured])
        colours.append(capture.rgb[frame][np.ix_(rows, columns)][measured])
        confidence.append(refined.confidence[frame][np.ix_(rows, columns)][measured])
        frames.append(np.full(int(measured.sum()), frame, np.int32))
    cloud = np.concatenate(points).astype(np.float32)  # (M, 3)
    kept = thin(cloud) if len(cloud) else np.zeros(0, int)
    return Cloud(
        cloud[kept], *(np.concatenate(part)[kept] for part in (colours, confidence, frames))
    )


@dataclass(frozen=True)
class _Quads:
    """A frame's depth as a grid of quads.

    Args:
        points: f64[R, C, 3], corners in the frame of reference.
        pixels: f64[R, C, 2], corners in the image.
        quality: f64[R - 1, C - 1], cosine of the viewing angle over the distance; 0 where the quad
            is no surface.
    """

    points: np.ndarray
    pixels: np.ndarray
    quality: np.ndarray


def textured_surface(capture: Capture, refined: Refined) -> tuple[TexturedPart, ...]:
    """Mesh every frame's depth and keep each quad of surface in the frame that shows it best.

    The texture is the frame's own image, so it is as sharp as the capture.
    """
    grids = [_quads(capture, refined.depth[frame], frame) for frame in range(len(capture))]
    parts = []
    for frame, grid in enumerate(grids):
        keep = grid.quality > 0
        centres = (grid.points[:-1, :-1] + grid.points[1:, 1:]) / 2
        for other, other_grid in enumerate(grids):
            if other == frame:
                continue
            quality = _quality_in(other, centres, capture, refined.depth[other], other_grid)
            # Of frames with equal quality the earlier one keeps the surface.
            keep &= quality < grid.quality if other < frame else quality <= grid.quality
        if keep.any():
            parts.append(_part(capture, frame, grid, keep))
    return tuple(parts)


def _quads(capture: Capture, depth: np.ndarray, frame: int) -> _Quads:
    """Return the quads of a frame's depth [H, W]."""
    step = max(1, round(capture.size[0] / _QUADS_A_ROW))
    rows, columns = (np.arange(step // 2, n, step) for n in depth.shape)
    sampled = depth[np.ix_(rows, columns)]
    points = lift_pixels(
        sampled, rows[:, None], columns, capture.intrinsics[frame], capture.pose[frame]
    )
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), -1)
    across, down = np.diff(points, axis=1), np.diff(points, axis=0)
    valid = sampled > 0
    complete = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:] & valid[1:, 1:]
    cosine = np.ones(complete.shape)
    # Both triangles of a quad must face the camera, or the quad spans an edge.
    for first, second, corner in (
        (across[:-1], down[:, :-1], points[:-1, :-1]),
        (across[1:], down[:, 1:], points[1:, 1:]),
    ):
        normal = np.cross(first, second)
        ray = corner - capture.pose[frame, :3, 3]
        lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(ray, axis=-1)
        triangle_cosine = np.abs((normal * ray).sum(-1)) / np.maximum(lengths, 1e-12)
        cosine = np.minimum(cosine, triangle_cosine)
    quality = np.where(complete & (cosine > _LEAST_COSINE), cosine, 0)
    return _Quads(points, pixels, quality / np.maximum(sampled[:-1, :-1], 0.1))


def _quality_in(
    frame: int, positions: np.ndarray, capture: Capture, depth: np.ndarray, grid: _Quads
) -> np.ndarray:
    """Return the quality [R, C] in a frame of the surface at positions [R, C, 3].

    It is 0 where the frame does not show that surface. `depth` and `grid` are the frame's.
    """
    pose, matrix = capture.pose[frame], capture.intrinsics[frame]
    local = to_camera(positions, pose)  # (R, C, 3)
    z = np.maximum(local[..., 2], NEAREST_M)
    pixel = local[..., :2] / z[..., None] * matrix[[0, 1], [0, 1]] + matrix[:2, 2]
    limit = np.array([depth.shape[1], depth.shape[0]])
    inside = ((pixel >= 0) & (pixel < limit)).all(-1) & (local[..., 2] > NEAREST_M)
    pixel = np.clip(pixel, 0, limit - 1)
    column, row = np.moveaxis(pixel.astype(int), -1, 0)
    measured = depth[row, column]
    same = (measured > 0) & (np.abs(measured - z) < _SAME_M + _SAME_SHARE * z)
    step = grid.pixels[0, 1, 0] - grid.pixels[0, 0, 0]
    quad = np.floor((pixel - grid.pixels[0, 0]) / step).astype(int)
    quad = np.clip(quad, 0, np.array(grid.quality.shape[::-1]) - 1)
    return np.where(inside & same, grid.quality[quad[..., 1], quad[..., 0]], 0)


def _part(capture: Capture, frame: int, grid: _Quads, keep: np.ndarray) -> TexturedPart:
    """Return two triangles of every kept quad, with normals towards the camera."""
    index = np.arange(grid.points[..., 0].size).reshape(grid.points.shape[:2])
    a, b = index[:-1, :-1][keep], index[:-1, 1:][keep]
    c, d = index[1:, 1:][keep], index[1:, :-1][keep]
    faces = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    # Corners without a kept quad are dropped, and the others renumbered.
    used, renumbered = np.unique(faces, return_inverse=True)
    width, height = capture.size
    uv = grid.pixels.reshape(-1, 2)[used] / [width, height]
    uv[:, 1] = 1 - uv[:, 1]
    return TexturedPart(
        capture.names[frame],
        grid.points.reshape(-1, 3)[used].astype(np.float32),
        renumbered.reshape(-1, 3).astype(np.int32),
        uv.astype(np.float32),
        capture.rgb[frame],
    )
