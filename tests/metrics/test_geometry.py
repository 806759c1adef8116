"""Geometry against independent formulas, and its promise to keep the dtype of its input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrics import geometry as geo

INTRINSICS = np.array([[80.0, 0.0, 32.5], [0.0, 70.0, 24.0], [0.0, 0.0, 1.0]])


def random_poses(count: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, random_state=5).as_matrix()
    poses[:, :3, 3] = np.random.default_rng(5).normal(size=(count, 3))
    return poses


def test_vectors_agree_with_numpy():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 50, 3))
    np.testing.assert_allclose(geo.lengths(a), np.linalg.norm(a, axis=1))
    np.testing.assert_allclose(geo.dots(a, b), (a * b).sum(1))
    np.testing.assert_array_equal(geo.bounds(a), (a.min(0), a.max(0)))
    np.testing.assert_allclose(np.linalg.norm(geo.unit(a), axis=1), 1)
    assert geo.unit(np.zeros((2, 3), np.float32)).tolist() == [[0, 0, 0]] * 2


def test_moving_to_a_camera_and_back_changes_nothing():
    pose = random_poses(1)[0]
    points = np.random.default_rng(1).normal(size=(20, 3))
    homogeneous = np.concatenate([points, np.ones((20, 1))], axis=1)
    local = geo.to_camera(points, pose)
    np.testing.assert_allclose(local, (homogeneous @ np.linalg.inv(pose).T)[:, :3], atol=1e-12)
    np.testing.assert_allclose(geo.transform(local, pose), points, atol=1e-12)


def test_a_quaternion_is_the_rotation_of_scipy():
    for quaternion in Rotation.random(10, random_state=2).as_quat():
        expected = Rotation.from_quat(quaternion).as_matrix()
        np.testing.assert_allclose(geo.rotation_of_quaternion(*quaternion), expected, atol=1e-12)


def test_lifted_pixels_project_to_their_centres():
    generator = np.random.default_rng(3)
    depth = generator.uniform(1, 4, (3, 6, 8))
    poses = random_poses(3)
    points = geo.to_frame(geo.lift_depth(depth, np.tile(INTRINSICS, (3, 1, 1)), np.float64), poses)
    for view, pose in enumerate(poses):
        local = geo.to_camera(points[view], pose)
        image = local @ INTRINSICS.T
        rows, columns = np.mgrid[:6, :8] + 0.5
        np.testing.assert_allclose(image[..., 0] / image[..., 2], columns)
        np.testing.assert_allclose(image[..., 1] / image[..., 2], rows)
        np.testing.assert_allclose(local[..., 2], depth[view])
        row, column = np.array([[0, 5, 2], [7, 0, 3]])
        chosen = geo.lift_pixels(depth[view, row, column], row, column, INTRINSICS, pose)
        np.testing.assert_allclose(chosen, points[view, row, column])


def test_rows_and_columns_are_broadcast():
    rows, columns = np.arange(4), np.arange(5)
    depth = np.ones((4, 5))
    grid = geo.lift_pixels(depth, *np.ix_(rows, columns), INTRINSICS, np.eye(4))
    dense = geo.lift_depth(depth[None], INTRINSICS[None], np.float64)[0]
    np.testing.assert_array_equal(grid, dense)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype):
    points = geo.lift_depth(np.ones((1, 2, 2), np.float32), INTRINSICS[None], dtype)
    assert points.dtype == dtype
    assert geo.to_frame(points, random_poses(1)).dtype == dtype
    assert geo.unit(points).dtype == dtype
    assert geo.face_crosses(np.zeros((1, 3, 3), dtype)).dtype == dtype


def test_a_box_has_its_eight_corners():
    box = np.array([1.0, 2.0, 3.0, 0.2, 0.4, 0.6])
    corners = geo.box_corners(box)
    assert len(np.unique(corners, axis=0)) == 8
    np.testing.assert_allclose(corners.min(0), box[:3] - box[3:] / 2)
    np.testing.assert_allclose(corners.max(0), box[:3] + box[3:] / 2)


def test_barycentric_weights_are_uniform_in_the_triangle():
    weights = geo.random_barycentric(np.random.default_rng(4), 20_000)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights.mean(0), 1 / 3, atol=0.01)
    # Each corner's quarter of the triangle holds a quarter of the points.
    np.testing.assert_allclose((weights > 0.5).mean(0), 0.25, atol=0.01)


@pytest.mark.parametrize("spread", [1.0, 1e12])
def test_points_share_a_key_where_they_share_a_cell(spread):
    """Also where cells are too far apart to be numbered by their position."""
    points = np.random.default_rng(6).integers(-2, 3, (300, 3)) * spread + 0.5
    keys = geo.cell_keys(points, 1.0)
    cells = np.floor(points)
    same_cell = (cells[:, None] == cells[None]).all(-1)
    np.testing.assert_array_equal(keys[:, None] == keys[None], same_cell)
    assert keys.min() >= 0 and keys.max() < 2**geo.KEY_BITS
    kept = geo.first_in_cells(points, 1.0)
    earlier = np.tril(same_cell, -1).any(1)
    np.testing.assert_array_equal(kept, np.flatnonzero(~earlier))


def test_no_points_have_no_keys():
    assert geo.cell_keys(np.zeros((0, 3)), 0.1).shape == (0,)
    assert geo.first_in_cells(np.zeros((0, 3)), 0.1).shape == (0,)


@pytest.mark.parametrize("most", [1, 50, 2**51, 2**62])
def test_the_order_of_keys_is_that_of_a_stable_sort(most):
    keys = np.random.default_rng(6).integers(0, most, 5000)
    np.testing.assert_array_equal(geo.sorting_order(keys), np.argsort(keys, kind="stable"))
    assert geo.sorting_order(keys[:0]).shape == (0,)


def test_runs_start_where_values_change():
    values = np.random.default_rng(7).integers(0, 3, 200)
    starts = [i for i in range(200) if i == 0 or values[i] != values[i - 1]]
    assert geo.run_starts(values).tolist() == starts
    assert geo.run_starts(values[:0]).shape == (0,)


def test_cells_too_far_apart_for_one_integer_have_distinct_keys():
    cells = np.array([[0.0, 1e30, 0.0, -1e30], [0, 0, 0, 5], [0, 0, 0, 5]])
    a, b, c, d = geo.keys_of_cells(cells).tolist()
    assert a == c and len({a, b, d}) == 3 and min(a, b, d) >= 0
