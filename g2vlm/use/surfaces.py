"""Depth refined by the model at the capture's own resolution, as points and textured surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from g2vlm.captures.capture import Capture
from g2vlm.inference.calibrate import Thresholds
from g2vlm.inference.network import EncodedScene
from g2vlm.inference.points import LARGEST_CORRECTION_M, dense_depth, thin, upsample
from g2vlm.use.views import Window
from metrics.geometry import lift_pixels, to_camera

UNREAD = -1.0
# Pixels a side of the quads of a surface, and of the points' grid, at 640 pixels of width.
_QUADS_A_ROW, _POINTS_A_ROW = 128, 320
# Faces seen more slantingly than this are the stretched ones across an edge.
_LEAST_COSINE = 0.12
# Surfaces of two frames nearer than this (plus a share of the depth) are one.
_SAME_M, _SAME_SHARE = 0.03, 0.02
_LEAST_CONFIDENCE = 0.3


@dataclass(frozen=True)
class Refined:
    """Depth f32[N, H, W] metres (0 = none) and confidence f32[N, H, W] in 0..1.

    Confidence is -1 in frames that the model did not read: their depth is the sensor's.
    """

    depth: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Cloud:
    """Points f32[M, 3] m, colours u8[M, 3], confidence f32[M] (see `Refined`), frame i32[M]."""

    points: np.ndarray
    colours: np.ndarray
    confidence: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class TexturedPart:
    """The part of the surface that one frame sees best, with its image as texture.

    vertices f32[V, 3] m; faces i32[F, 3]; uv f32[V, 2] in 0..1 from the image's lower left;
    image u8[H, W, 3]; name: the frame's.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray


def refine(
    capture: Capture, scene: EncodedScene, windows: list[Window], thresholds: Thresholds
) -> Refined:
    """Carry the model's correction of its small views over to the capture's pixels.

    The correction (at most 20 cm) is interpolated and added to the sensor's depth; pixels that the
    sensor left out take the model's depth where that is confident.
    """
    cells, sensed = scene.cells(), scene.inputs.depth
    dense = dense_depth(cells, sensed, thresholds.smoothing, thresholds.trust)
    confidence = upsample(cells.confidence)
    least = max(thresholds.least_confidence, _LEAST_CONFIDENCE)
    change = np.where((sensed > 0) & (dense > 0), dense - sensed, 0)
    change = np.clip(change, -LARGEST_CORRECTION_M, LARGEST_CORRECTION_M)
    depth = capture.depth.copy()
    sure = np.full(depth.shape, UNREAD, np.float32)
    for view, window in reversed(list(enumerate(windows))):
        part = (
            window.frame,
            slice(window.top, window.top + window.height),
            slice(window.left, window.left + window.width),
        )
        shape = (window.height, window.width)
        raw = capture.depth[part]
        trusted = _nearest(confidence[view], shape)
        filled = np.where(trusted >= least, _nearest(dense[view], shape), 0)
        depth[part] = np.where(raw > 0, raw + _linear(change[view], shape), filled)
        depth[part][trusted < thresholds.least_confidence] = 0
        sure[part] = trusted
    return Refined(np.where(depth > 0.05, depth, 0), sure)


def _grid(shape: tuple[int, int], small: tuple[int, ...]) -> list[np.ndarray]:
    return [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, small, strict=True)]


def _linear(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring [h, w] to `shape`, linearly between pixel centres."""
    places = np.meshgrid(*_grid(shape, values.shape), indexing="ij")
    return ndimage.map_coordinates(values, places, order=1, mode="nearest").astype(np.float32)


def _nearest(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring [h, w] to `shape` by the pixel that holds each place."""
    rows, columns = (np.round(place).astype(int) for place in _grid(shape, values.shape))
    limit = np.array(values.shape) - 1
    return values[np.ix_(np.clip(rows, 0, limit[0]), np.clip(columns, 0, limit[1]))]


def coloured_points(capture: Capture, refined: Refined) -> Cloud:
    """Return the coloured points of all frames, one a cell of 1 cm, the first frame's first."""
    step = max(1, round(capture.size[0] / _POINTS_A_ROW))
    rows, columns = (np.arange(step // 2, n, step) for n in capture.depth.shape[1:])
    points, colours, confidence, frames = [], [], [], []
    for frame in range(len(capture)):
        depth = refined.depth[frame][np.ix_(rows, columns)]
        seen = depth > 0
        camera = capture.intrinsics[frame], capture.pose[frame]
        points.append(lift_pixels(depth, rows[:, None], columns, *camera)[seen])
        colours.append(capture.rgb[frame][np.ix_(rows, columns)][seen])
        confidence.append(refined.confidence[frame][np.ix_(rows, columns)][seen])
        frames.append(np.full(int(seen.sum()), frame, np.int32))
    every = np.concatenate(points).astype(np.float32)
    kept = thin(every) if len(every) else np.zeros(0, int)
    joined = (np.concatenate(part)[kept] for part in (colours, confidence, frames))
    return Cloud(every[kept], *joined)


@dataclass(frozen=True)
class _Quads:
    """A frame's depth as a grid of quads: corner places and pixels, and each quad's quality.

    points f64[R, C, 3]; pixels f64[R, C, 2]; quality f64[R-1, C-1]: cosine of the view over the
    distance, 0 where the quad is no surface.
    """

    points: np.ndarray
    pixels: np.ndarray
    quality: np.ndarray


def textured_surface(capture: Capture, refined: Refined) -> tuple[TexturedPart, ...]:
    """Mesh every frame's depth and keep each piece of surface in the frame that sees it best.

    The texture is the frame's own image, so it is as sharp as the capture.
    """
    grids = [_quads(capture, refined.depth[frame], frame) for frame in range(len(capture))]
    parts = []
    for frame, grid in enumerate(grids):
        keep = grid.quality > 0
        corners = grid.points
        middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
        for other, rival in enumerate(grids):
            if other != frame:
                better = _rival_quality(middle, capture, refined.depth[other], rival, other)
                # Of equals the earlier frame keeps the surface.
                keep &= better < grid.quality if other < frame else better <= grid.quality
        if keep.any():
            parts.append(_part(capture, frame, grid, keep))
    return tuple(parts)


def _quads(capture: Capture, depth: np.ndarray, frame: int) -> _Quads:
    step = max(1, round(capture.size[0] / _QUADS_A_ROW))
    rows, columns = (np.arange(step // 2, n, step) for n in depth.shape)
    sampled = depth[np.ix_(rows, columns)]
    camera = capture.intrinsics[frame], capture.pose[frame]
    points = lift_pixels(sampled, rows[:, None], columns, *camera)
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), -1)
    across, down = np.diff(points, axis=1), np.diff(points, axis=0)
    valid = sampled > 0
    whole = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:] & valid[1:, 1:]
    cosine = np.ones(whole.shape)
    # Both triangles of a quad must face the camera, or the quad spans an edge.
    for first, second, corner in (
        (across[:-1], down[:, :-1], points[:-1, :-1]),
        (across[1:], down[:, 1:], points[1:, 1:]),
    ):
        normal = np.cross(first, second)
        ray = corner - capture.pose[frame, :3, 3]
        lengths = np.linalg.norm(normal, axis=-1) * np.linalg.norm(ray, axis=-1)
        slant = np.abs((normal * ray).sum(-1)) / np.maximum(lengths, 1e-12)
        cosine = np.minimum(cosine, slant)
    quality = np.where(whole & (cosine > _LEAST_COSINE), cosine, 0)
    distance = np.maximum(sampled[:-1, :-1], 0.1)
    return _Quads(points, pixels, quality / distance)


def _rival_quality(
    places: np.ndarray, capture: Capture, depth: np.ndarray, rival: _Quads, other: int
) -> np.ndarray:
    """Return how well frame `other` sees the surface at places [R, C, 3]; 0 where it does not."""
    pose, matrix = capture.pose[other], capture.intrinsics[other]
    local = to_camera(places, pose)
    z = np.maximum(local[..., 2], 0.05)
    pixel = local[..., :2] / z[..., None] * matrix[[0, 1], [0, 1]] + matrix[:2, 2]
    limit = np.array([depth.shape[1], depth.shape[0]])
    inside = ((pixel >= 0) & (pixel < limit)).all(-1) & (local[..., 2] > 0.05)
    at = np.clip(pixel, 0, limit - 1).astype(int)
    seen = depth[at[..., 1], at[..., 0]]
    inside &= (seen > 0) & (np.abs(seen - z) < _SAME_M + _SAME_SHARE * z)
    step = rival.pixels[0, 1, 0] - rival.pixels[0, 0, 0]
    quad = np.floor((np.clip(pixel, 0, limit - 1) - rival.pixels[0, 0]) / step).astype(int)
    quad = np.clip(quad, 0, np.array(rival.quality.shape[::-1]) - 1)
    return np.where(inside, rival.quality[quad[..., 1], quad[..., 0]], 0)


def _part(capture: Capture, frame: int, grid: _Quads, keep: np.ndarray) -> TexturedPart:
    """Make two triangles of every kept quad, wound to face the camera."""
    number = np.arange(grid.points[..., 0].size).reshape(grid.points.shape[:2])
    a, b = number[:-1, :-1][keep], number[:-1, 1:][keep]
    c, d = number[1:, 1:][keep], number[1:, :-1][keep]
    faces = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    used, renamed = np.unique(faces, return_inverse=True)
    width, height = capture.size
    uv = grid.pixels.reshape(-1, 2)[used] / [width, height]
    uv[:, 1] = 1 - uv[:, 1]
    return TexturedPart(
        capture.names[frame],
        grid.points.reshape(-1, 3)[used].astype(np.float32),
        renamed.reshape(-1, 3).astype(np.int32),
        uv.astype(np.float32),
        capture.rgb[frame],
    )
