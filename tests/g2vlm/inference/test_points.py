"""Dense points: interpolation, correction, edges and thinning."""

from __future__ import annotations

import numpy as np

from g2vlm.inference.points import (
    CellMap,
    correction,
    dense_depth,
    dense_points,
    depth_edges,
    interpolation,
    thin,
    upsample,
)
from metrics.geometry import lift_depth, to_frame
from tests.g2vlm.inference.synthetic import HEIGHT, WIDTH, views


def cells_of(depth: np.ndarray) -> np.ndarray:
    return depth[:, 2::4, 2::4]


def cell_map(depth: np.ndarray, sensed: np.ndarray | None) -> CellMap:
    cells = cells_of(depth)
    sense = None if sensed is None else cells_of(sensed)
    return CellMap(np.zeros((*cells.shape, 3), "f4"), cells, sense, np.ones_like(cells))


def test_interpolation_is_exact_on_planes_and_sums_to_one() -> None:
    weights = interpolation(7)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    ramp = np.arange(28, dtype=np.float32)
    np.testing.assert_allclose((weights @ ramp[2::4])[2:27], ramp[2:27], atol=1e-5)
    plane = (ramp[None, :, None] + 2 * np.arange(36)[None, None, :]).astype(np.float32)
    np.testing.assert_allclose(upsample(cells_of(plane))[:, 2:27, 2:35], plane[:, 2:27, 2:35])
    np.testing.assert_allclose(upsample(cells_of(plane), extend=True), plane, atol=1e-4)
    pair = np.stack([plane, -plane], -1)
    np.testing.assert_allclose(upsample(pair[:, 2::4, 2::4])[..., 1], -upsample(cells_of(plane)))


def test_depth_edges_mark_the_step_alone() -> None:
    depth = np.full((1, 6, 6), 2.0, np.float32)
    depth[:, :, 3:] = 4.0
    found = depth_edges(depth)[0]
    # Cell centres at columns 10 and 14 bound the step.
    assert found[:, 10:14].all()
    assert not found[:, :10].any() and not found[:, 14:].any()


def test_slanted_planes_and_creases_are_no_edges() -> None:
    true, _, _ = views()
    room = np.where(true.instance == 1, true.depth, 0)[0, :16]
    assert (room > 0).all()
    assert not depth_edges(cells_of(room[None]))[:, 2:14, 8:56].any()
    assert depth_edges(cells_of(true.depth)).mean() < 0.35


def test_correction_moves_the_sensor_onto_the_truth() -> None:
    truth = np.full((1, 24, 24), 3.0, np.float32)
    sensor = truth + 0.08
    change = correction(cells_of(truth), cells_of(sensor))
    np.testing.assert_allclose(sensor + change, truth, atol=1e-5)
    wild = cells_of(sensor).copy()
    wild[0, 2, 2] = 9.0
    assert np.abs(correction(cells_of(truth), wild)).max() < 0.1


def test_smoothing_lowers_noise_on_surfaces_and_holes_are_filled() -> None:
    true, intrinsics, pose = views()
    sensor = true.depth + np.random.default_rng(0).normal(0, 0.02, true.depth.shape)
    sensor = sensor.astype(np.float32)
    sensor[:, 2:6, 20:24] = 0
    cells = CellMap(
        np.zeros((4, HEIGHT // 4, WIDTH // 4, 3), "f4"),
        cells_of(true.depth),
        cells_of(sensor),
        np.ones((4, HEIGHT // 4, WIDTH // 4), "f4"),
    )
    raw, smooth = (dense_depth(cells, sensor, s) for s in (0.0, 1.0))
    assert (raw[:, 2:6, 20:24] > 0).mean() > 0.5
    seen = sensor > 0
    error = [np.median(np.abs(d - true.depth)[seen]) for d in (raw, smooth)]
    assert error[1] < 0.7 * error[0]


def test_dense_points_lie_on_the_true_surface_with_their_pixels() -> None:
    true, intrinsics, pose = views()
    rgb = np.random.default_rng(0).integers(0, 255, (4, HEIGHT, WIDTH, 3)).astype(np.uint8)
    cells = cell_map(true.depth, true.depth)
    out = dense_points(cells, rgb, true.depth, intrinsics, pose, smoothing=0.0)
    v, r, c = out.pixels.T
    assert len(out.points) == true.depth.size
    assert (out.colours == rgb[v, r, c]).all()
    exact = to_frame(lift_depth(true.depth, intrinsics), pose)[v, r, c]
    assert np.abs(out.points - exact).max() < 1e-4
    nothing = dense_points(cells, rgb, true.depth, intrinsics, pose, least_confidence=2.0)
    assert len(nothing.points) == 0


def test_without_depth_edges_are_dropped() -> None:
    true, intrinsics, pose = views()
    rgb = np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)
    out = dense_points(cell_map(true.depth, None), rgb, true.depth * 0, intrinsics, pose)
    v, r, c = out.pixels.T
    exact = to_frame(lift_depth(true.depth, intrinsics), pose)[v, r, c]
    assert 0.4 < len(out.points) / true.depth.size < 1
    assert np.quantile(np.linalg.norm(out.points - exact, axis=1), 0.9) < 0.05


def test_thinning_keeps_one_point_a_centimetre() -> None:
    points = np.array([[0, 0, 0], [0.001, 0, 0], [0.5, 0, 0], [0.5, 0.011, 0]], np.float32)
    assert thin(points).tolist() == [0, 2, 3]
