"""The views of a capture that the model reads, at the size that it was trained at."""

import math
from dataclasses import dataclass

import numpy as np

from g2vlm.captures import Capture
from g2vlm.scenes.dataset import SceneInputs
from g2vlm.scenes.render.sensor import partial_cloud
from metrics.files import rng
from metrics.geometry import cell_keys, lift_pixels

# Windows show the same surface where they have points in the same cell of this side.
_CELL_M = 0.1
# Points along each side of a window to measure its surface.
_SAMPLES = 64
_ASPECT_TOLERANCE = 0.02
_PARTIAL_POINTS = 512
# Of the 9 samples in a pixel's footprint at least this many must have depth.
_LEAST_MEASURED = 4


@dataclass(frozen=True)
class Window:
    """A part of a frame with the model's aspect ratio; sizes in the frame's pixels."""

    frame: int
    left: int
    top: int
    width: int
    height: int


def windows_of(frame: int, size: tuple[int, int], aspect: float) -> list[Window]:
    """Cover an image of `size` (width, height) with as few windows of `aspect` as possible."""
    width, height = size
    if abs(width / height / aspect - 1) < _ASPECT_TOLERANCE:
        return [Window(frame, 0, 0, width, height)]
    if width / height > aspect:
        part = round(height * aspect)
        return [Window(frame, left, 0, part, height) for left in _starts(width, part)]
    part = round(width / aspect)
    return [Window(frame, 0, top, width, part) for top in _starts(height, part)]


def _starts(length: int, part: int) -> list[int]:
    """Return where the fewest parts that cover a length start, evenly spaced."""
    return np.linspace(0, length - part, math.ceil(length / part)).round().astype(int).tolist()


def choose_windows(capture: Capture, count: int, aspect: float) -> list[Window]:
    """Choose `count` windows that together show the most surface; the first is of frame 0.

    A capture with fewer windows repeats them.

    Source: Nemhauser, Wolsey and Fisher, "Analysis of approximations for maximizing submodular set
    functions", 1978 (greedy cover).
    """
    windows = [w for frame in range(len(capture)) for w in windows_of(frame, capture.size, aspect)]
    points = [_window_points(capture, window, _SAMPLES)[0] for window in windows]
    keys = cell_keys(np.concatenate(points), _CELL_M)
    ends = np.cumsum([len(part) for part in points])
    cells = [set(part.tolist()) for part in np.split(keys, ends[:-1])]
    covered: set[int] = set()
    remaining = list(range(len(windows)))
    chosen: list[int] = []
    while remaining and len(chosen) < count:
        allowed = [index for index in remaining if chosen or windows[index].frame == 0]
        # Of windows that add as many cells, the earliest.
        best = max(allowed, key=lambda index: (len(cells[index] - covered), -index))
        covered |= cells[best]
        chosen.append(best)
        remaining.remove(best)
    return [windows[chosen[k % len(chosen)]] for k in range(count)]


def _window_points(capture: Capture, window: Window, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Lift `samples` x `samples` pixels of a window: points f64[M, 3] and colours u8[M, 3]."""
    frame = window.frame
    rows = _sample_pixels(window.top, window.height, samples)
    columns = _sample_pixels(window.left, window.width, samples)
    pixels = np.ix_(rows, columns)
    depth = capture.depth[frame][pixels]  # (samples, samples)
    points = lift_pixels(depth, *pixels, capture.intrinsics[frame], capture.pose[frame])
    return points[depth > 0], capture.rgb[frame][pixels][depth > 0]


def _sample_pixels(start: int, length: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Return the pixels at the centres of `count` equal parts of a side, moved by `shift` parts."""
    position = start + (np.arange(count) + 0.5 + shift) * length / count
    return np.clip(position.astype(int), start, start + length - 1)


def window_depth(depth: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Resample a window of z-depth [H, W] to `size` (width, height): f32[height, width].

    A pixel takes the lower median of nine samples in its footprint, so depths are never mixed over
    an edge.
    """
    shifts = (-1 / 3, 0.0, 1 / 3)
    samples = np.stack(
        [
            depth[
                np.ix_(
                    _sample_pixels(window.top, window.height, size[1], down),
                    _sample_pixels(window.left, window.width, size[0], across),
                )
            ]
            for down in shifts
            for across in shifts
        ]
    )
    order = np.sort(np.where(samples > 0, samples, np.inf), 0)  # (9, h, w), missing ones last
    count = np.isfinite(order).sum(0)
    median = np.take_along_axis(order, (np.maximum(count - 1, 0) // 2)[None], 0)[0]
    return np.where(count >= _LEAST_MEASURED, median, 0).astype(np.float32)


def scene_inputs(capture: Capture, windows: list[Window], size: tuple[int, int]) -> SceneInputs:
    """Return the windows as a scene of V views at `size` (width, height), without sentences."""
    from PIL import Image

    rgb, depth, matrices = [], [], []
    for window in windows:
        box = (window.left, window.top, window.left + window.width, window.top + window.height)
        image = Image.fromarray(capture.rgb[window.frame]).crop(box)
        rgb.append(np.asarray(image.resize(size, Image.Resampling.BOX)))
        depth.append(window_depth(capture.depth[window.frame], window, size))
        shift = np.array([[1, 0, -window.left], [0, 1, -window.top], [0, 0, 1.0]])
        scale = np.diag([size[0] / window.width, size[1] / window.height, 1.0])
        matrices.append(scale @ shift @ capture.intrinsics[window.frame])
    return SceneInputs(
        scene=capture.source,
        rgb=np.stack(rgb),
        depth=np.stack(depth),
        intrinsics=np.stack(matrices).astype(np.float32),
        pose=np.stack([capture.pose[window.frame] for window in windows]).astype(np.float32),
        partial=_partial(capture, windows),
        gt_masks=np.zeros((len(windows), size[1], size[0]), np.uint8),
        gt_indices=[],
        references=[],
        questions=[],
        captions=[],
        phrases=[],
    )


def _partial(capture: Capture, windows: list[Window]) -> np.ndarray:
    """Sample the partial point cloud f32[P, 6], an input of the model, from its views."""
    points, colours = [], []
    for window in dict.fromkeys(windows):
        window_points, window_colours = _window_points(capture, window, 2 * _SAMPLES)
        points.append(window_points)
        colours.append(window_colours)
    cloud = np.concatenate(points)
    if not len(cloud):
        return np.zeros((0, 6), np.float32)
    return partial_cloud(cloud, np.concatenate(colours), _PARTIAL_POINTS, rng(0, "partial"))
