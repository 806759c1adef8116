"""Which views of a capture the model reads, and those views at the size it was trained at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from g2vlm.captures.capture import Capture
from g2vlm.scenes.dataset import SceneInputs
from g2vlm.scenes.render.sensor import partial_cloud
from metrics.files import rng
from metrics.geometry import cell_keys, lift_pixels

# Surface that two windows share is counted on cells of this size.
_CELL_M = 0.1
_SAMPLES = 64
_ASPECT_TOLERANCE = 0.02
_PARTIAL_POINTS = 512
# Of the 9 places looked at in a pixel's footprint so many must hold a depth.
_LEAST_SEEN = 4


@dataclass(frozen=True)
class Window:
    """A part of a frame with the model's aspect ratio, in the frame's pixels."""

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
        count = math.ceil(width / part)
        starts = np.linspace(0, width - part, count).round().astype(int)
        return [Window(frame, int(left), 0, part, height) for left in starts]
    part = round(width / aspect)
    count = math.ceil(height / part)
    starts = np.linspace(0, height - part, count).round().astype(int)
    return [Window(frame, 0, int(top), width, part) for top in starts]


def choose_windows(capture: Capture, count: int, aspect: float) -> list[Window]:
    """Choose `count` windows that together see the most surface; the first is of frame 0.

    Greedy cover (Nemhauser et al. 1978). A capture with fewer windows repeats them.
    """
    every = [w for frame in range(len(capture)) for w in windows_of(frame, capture.size, aspect)]
    points = [_window_points(capture, window, _SAMPLES)[0] for window in every]
    keys = cell_keys(np.concatenate(points), _CELL_M)
    ends = np.cumsum([len(part) for part in points])
    seen = [set(part.tolist()) for part in np.split(keys, ends[:-1])]
    covered: set[int] = set()
    left = list(range(len(every)))
    chosen: list[int] = []
    while left and len(chosen) < count:
        pool = [index for index in left if chosen or every[index].frame == 0]
        best = max(pool, key=lambda index: (len(seen[index] - covered), -index))
        covered |= seen[best]
        chosen.append(best)
        left.remove(best)
    return [every[chosen[k % len(chosen)]] for k in range(count)]


def _window_points(capture: Capture, window: Window, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Lift `samples` x `samples` pixels of a window: points f64[M, 3] and colours u8[M, 3]."""
    frame = window.frame
    rows = _places(window.top, window.height, samples)
    columns = _places(window.left, window.width, samples)
    pixels = np.ix_(rows, columns)
    depth = capture.depth[frame][pixels]  # (samples, samples)
    points = lift_pixels(depth, *pixels, capture.intrinsics[frame], capture.pose[frame])
    return points[depth > 0], capture.rgb[frame][pixels][depth > 0]


def _places(start: int, length: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Return the pixels at the centres, moved by `shift`, of `count` equal parts of a side."""
    place = start + (np.arange(count) + 0.5 + shift) * length / count
    return np.clip(place.astype(int), start, start + length - 1)


def window_depth(depth: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Bring a window of z-depth [H, W] to `size` (width, height).

    The lower median of what a pixel's footprint measured, so no depth is mixed over an edge.
    """
    shifts = (-1 / 3, 0.0, 1 / 3)
    looked = np.stack(
        [
            depth[
                np.ix_(
                    _places(window.top, window.height, size[1], down),
                    _places(window.left, window.width, size[0], across),
                )
            ]
            for down in shifts
            for across in shifts
        ]
    )
    order = np.sort(np.where(looked > 0, looked, np.inf), 0)
    count = np.isfinite(order).sum(0)
    middle = np.take_along_axis(order, (np.maximum(count - 1, 0) // 2)[None], 0)[0]
    return np.where(count >= _LEAST_SEEN, middle, 0).astype(np.float32)


def scene_inputs(capture: Capture, windows: list[Window], size: tuple[int, int]) -> SceneInputs:
    """Return the windows as a scene of V views at `size` (width, height); no questions yet."""
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
    colour, measured = np.stack(rgb), np.stack(depth)
    return SceneInputs(
        scene=capture.source,
        rgb=colour,
        depth=measured,
        intrinsics=np.stack(matrices).astype(np.float32),
        pose=np.stack([capture.pose[window.frame] for window in windows]).astype(np.float32),
        partial=_partial(capture, windows),
        gt_masks=np.zeros(measured.shape, np.uint8),
        gt_indices=[],
        references=[],
        questions=[],
        captions=[],
        phrases=[],
    )


def _partial(capture: Capture, windows: list[Window]) -> np.ndarray:
    """Draw the partial points f32[P, 6] that the model was trained with, from its own views."""
    points, colours = [], []
    for window in dict.fromkeys(windows):
        lifted, shades = _window_points(capture, window, 2 * _SAMPLES)
        points.append(lifted)
        colours.append(shades)
    points = np.concatenate(points)
    if not len(points):
        return np.zeros((0, 6), np.float32)
    return partial_cloud(points, np.concatenate(colours), _PARTIAL_POINTS, rng(0, "partial"))
