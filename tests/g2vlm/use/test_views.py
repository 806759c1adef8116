"""The views that the model reads cover the most surface and keep the geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from g2vlm.captures import Capture
from g2vlm.use.views import Window, choose_windows, scene_inputs, window_depth, windows_of
from metrics.geometry import lift_depth, to_frame


@pytest.mark.parametrize(
    ("size", "count"), [((640, 480), 1), ((1280, 720), 2), ((480, 640), 2), ((480, 1280), 4)]
)
def test_windows_cover_the_image_in_the_models_shape(size: tuple[int, int], count: int) -> None:
    windows = windows_of(0, size, 4 / 3)
    assert len(windows) == count
    seen = np.zeros(size[::-1], bool)
    for w in windows:
        assert w.width / w.height == pytest.approx(4 / 3, rel=0.01)
        assert 0 <= w.left <= size[0] - w.width
        assert 0 <= w.top <= size[1] - w.height
        seen[w.top : w.top + w.height, w.left : w.left + w.width] = True
    assert seen.all()


def test_the_first_window_is_the_first_frames(capture: Capture) -> None:
    chosen = choose_windows(capture, 4, 4 / 3)
    assert chosen[0].frame == 0
    assert len({window.frame for window in chosen}) == 4


def test_a_frame_without_new_surface_is_left_out(capture: Capture) -> None:
    order = [0, 0, 0, 1, 2]
    again = replace(
        capture,
        **{k: getattr(capture, k)[order] for k in ("rgb", "depth", "intrinsics", "pose")},
    )
    assert {w.frame for w in choose_windows(again, 3, 4 / 3)} == {0, 3, 4}


def test_few_frames_are_repeated(capture: Capture) -> None:
    one = replace(
        capture,
        **{k: getattr(capture, k)[:1] for k in ("rgb", "depth", "intrinsics", "pose")},
        names=("0",),
    )
    assert [w.frame for w in choose_windows(one, 4, 4 / 3)] == [0, 0, 0, 0]


def test_small_views_keep_the_geometry(capture: Capture) -> None:
    """Points lifted from a small view's window lie on the room's surface."""
    from tests.g2vlm.inference.synthetic import trace

    windows = [Window(1, 20, 10, 120, 90), Window(2, 0, 0, 160, 120)]
    inputs = scene_inputs(capture, windows, (40, 30))
    points = to_frame(lift_depth(inputs.depth, inputs.intrinsics), inputs.pose)
    for view in range(2):
        rays = points[view] - inputs.pose[view, :3, 3]
        exact, _ = trace(inputs.pose[view, :3, 3].astype(float), rays)
        # `trace` returns the distance to the room in lengths of the ray: 1 on the surface.
        assert np.median(np.abs(exact - 1)) < 0.02
    assert inputs.partial.shape == (512, 6)


def test_depth_is_never_mixed_over_an_edge() -> None:
    depth = np.full((12, 16), 1.0, np.float32)
    depth[:, 7:] = 3.0
    depth[0, :4] = 0
    small = window_depth(depth, Window(0, 0, 0, 16, 12), (4, 3))
    assert set(np.unique(small)) <= {0.0, 1.0, 3.0}
    assert small[0, 0] == 1.0
