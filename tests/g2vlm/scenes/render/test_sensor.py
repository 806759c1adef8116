"""The depth sensor and the partial cloud."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm.scenes.render.sensor import depth_edges, measure, partial_cloud
from g2vlm.scenes.render.settings import SensorModel
from tests.configs import SENSOR

SHAPE = (1, 60, 80)


def sensor_model(**changes):
    return SensorModel(**(SENSOR | changes))


QUIET = sensor_model(axial_base_m=0, axial_slope=0, hole_rate=0, edge_drop=0)


def _measure(depth, model, cosine=1.0, opacity=1.0, seed=0):
    full = [np.full(SHAPE, value, np.float32) for value in (depth, cosine, opacity)]
    return measure(*full, model, np.random.default_rng(seed))


def test_disparity_steps_widen_with_the_square_of_depth():
    for depth in (1.5, 4.0):
        values = np.unique(_measure(depth, sensor_model(hole_rate=0))) / 1000.0
        step = np.diff(values).mean()
        assert step == pytest.approx(depth**2 * 0.125 / 45.0, rel=0.1)


def test_axial_noise_grows_with_depth():
    model = sensor_model(disparity_step_px=1e-4, hole_rate=0)
    for depth in (1.0, 3.0):
        spread = (_measure(depth, model) / 1000.0).std()
        assert spread == pytest.approx(0.0012 + 0.0019 * (depth - 0.4) ** 2, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "share"),
    [({"cosine": 0.1}, 1.0), ({"opacity": 0.5}, 0.8), ({"depth": 9.0}, 1.0), ({"depth": 0.0}, 1.0)],
)
def test_surfaces_that_the_sensor_cannot_measure_are_lost(changes, share):
    lost = (_measure(**({"depth": 2.0, "model": QUIET} | changes)) == 0).mean()
    assert lost == pytest.approx(share, abs=0.03)


def test_holes_cover_about_their_rate():
    model = sensor_model(axial_base_m=0, axial_slope=0, hole_rate=0.05)
    lost = np.mean([(_measure(2.0, model, seed=k) == 0).mean() for k in range(8)])
    assert lost == pytest.approx(0.05, abs=0.012)


def test_a_grazing_floor_has_no_edges_and_a_step_has():
    rows = np.arange(60)[::-1, None] + 0.5
    floor = np.broadcast_to(1.5 * 60 / (70 - rows), (60, 80))[None]
    assert np.ptp(floor) > 5 and not depth_edges(floor).any()
    step = np.full(SHAPE, 3.0)
    step[:, :, 40:] = 2.0
    assert depth_edges(step)[0].any(axis=0).nonzero()[0].tolist() == [39, 40]


def test_partial_cloud_is_near_the_seen_points_and_of_the_stated_size():
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 3, (4000, 3))
    colours = np.full((4000, 3), 128, np.uint8)
    for count in (64, 6000):
        cloud = partial_cloud(points, colours, count, np.random.default_rng(1))
        assert cloud.shape == (count, 6) and cloud.dtype == np.float32
        gaps = np.linalg.norm(cloud[:200, None, :3] - points[None], axis=2).min(axis=1)
        assert gaps.max() < 0.06
        assert cloud[:, 3:] == pytest.approx(128 / 255)
