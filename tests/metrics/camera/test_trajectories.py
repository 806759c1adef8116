"""ATE and RPE: worked by hand, against SciPy's alignment, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrics.camera.poses import centre_spread
from metrics.camera.trajectories import (
    ate_rmse,
    relative_errors,
    root_mean_square,
    trajectory_scores,
)
from metrics.files import InputError
from tests.metrics.camera.made import cameras, cube, disturbed, line, regauged, without


def test_cube_of_twice_the_size():
    # Each corner (±2, ±2, ±2) is √3 from (±1, ±1, ±1); a similarity takes one onto the other.
    double = cube()
    double[:, :3, 3] *= 2
    moved = regauged(double, 1.0)
    assert ate_rmse(moved, cube(), "se3") == pytest.approx(np.sqrt(3), abs=1e-9)
    assert ate_rmse(moved, cube(), "sim3") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_rigid_error_agrees_with_scipy(seed):
    true = cameras(8 + seed, seed)
    predicted = regauged(disturbed(true, 0.1, 0.3, seed), 1.0, seed)
    one, two = (p[:, :3, 3] - p[:, :3, 3].mean(axis=0) for p in (predicted, true))
    turn, residual = Rotation.align_vectors(two, one)
    assert ate_rmse(predicted, true, "se3") == pytest.approx(
        residual / np.sqrt(len(true)), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(20))
def test_similarity_error_is_the_least_over_scales(seed):
    true = cameras(8 + seed, seed)
    predicted = disturbed(true, 0.1, 0.5, seed)
    error = ate_rmse(predicted, true, "sim3")
    assert error <= centre_spread(true[:, :3, 3])
    scales = np.linspace(0.1, 1.5, 141)
    others = [ate_rmse(regauged(predicted, scale), true, "se3") for scale in scales]
    assert error <= min(others) + 1e-12
    assert min(others) - error < 1e-3


def test_views_in_another_order_give_the_same_error():
    true = cameras(9)
    predicted = disturbed(true, 0.1, 0.1)
    order = np.random.default_rng(0).permutation(9)
    assert ate_rmse(predicted[order], true[order], "sim3") == pytest.approx(
        ate_rmse(predicted, true, "sim3"), abs=1e-12
    )


def in_one_place(count):
    poses = line(count)
    poses[:, 0, 3] = 4
    return poses


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (cameras(7), cameras(7), "7 registered centres vs at least 8"),
        (cameras(0), cameras(0), "0 registered centres vs at least 8"),
        (without(cameras(9), 0, 3), cameras(9), "7 registered centres vs at least 8"),
        (cameras(9), line(9), "true poses: all centres lie on one line"),
        (line(9), cameras(9), "predicted poses: all centres lie on one line"),
        (regauged(line(9)), cameras(9), "predicted poses: all centres lie on one line"),
        (in_one_place(9), cameras(9), "predicted poses: all centres lie on one line or in one"),
        (cameras(9), in_one_place(9), "true poses: all centres lie on one line or in one"),
    ],
)
@pytest.mark.parametrize("align", ["se3", "sim3"])
def test_paths_that_fix_no_alignment_are_refused(predicted, true, message, align):
    with pytest.raises(InputError, match=message):
        ate_rmse(predicted, true, align)


def test_unknown_alignment_is_refused():
    with pytest.raises(InputError, match="alignment 'icp': unknown; give one of se3, sim3"):
        ate_rmse(cube(), cube(), "icp")
    with pytest.raises(InputError, match="alignment 'icp': unknown"):
        relative_errors(cube(), cube(), align="icp")


def test_relative_errors_by_hand():
    # Steps of 1, 1, 1 m truly; predicted 1, 2 (with a turn of 90 degrees at its end), 1 sideways.
    predicted = line(4)
    predicted[2:, 0, 3] = 3
    predicted[2:, :3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    predicted[3, :3, 3] = [3, 1, 0]
    translation, rotation = relative_errors(predicted, line(4))
    # The last step is 1 m along the camera's own x axis, as it should be.
    np.testing.assert_allclose(translation, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation, [0, 90, 0], atol=1e-9)
    translation, rotation = relative_errors(predicted, line(4), delta=3)
    # (3, 1) against (3, 0).
    np.testing.assert_allclose(translation, [1], atol=1e-12)
    np.testing.assert_allclose(rotation, [90], atol=1e-9)


def test_relative_errors_do_not_depend_on_the_frame():
    true = cameras(9)
    predicted = disturbed(true, 0.1, 0.1)
    moved = relative_errors(regauged(predicted, 1.0), true)
    np.testing.assert_allclose(moved, relative_errors(predicted, true), atol=1e-6)
    translation, _ = relative_errors(regauged(true, 7.0), true, align="sim3")
    np.testing.assert_allclose(translation, 0, atol=1e-9)


def test_rotations_that_are_rounded_are_made_exact():
    rounded = cube()
    rounded[:, :3, :3] *= 1.0004
    translation, _ = relative_errors(rounded, cube())
    np.testing.assert_allclose(translation, 0, atol=1e-12)


def test_steps_over_a_gap_are_left_out():
    translation, _ = relative_errors(without(line(5), 2), line(5))
    assert len(translation) == 2
    with pytest.raises(InputError, match="no two views 1 apart both have a pose"):
        relative_errors(without(line(3), 1), line(3))
    with pytest.raises(InputError, match="no two views 3 apart"):
        relative_errors(line(3), line(3), delta=3)
    with pytest.raises(InputError, match="must be at least 1"):
        relative_errors(line(3), line(3), delta=0)


def test_scores_of_a_path():
    scores = trajectory_scores(regauged(cube(), 2.0), cube())
    assert list(scores) == [
        "ate_rmse_se3_m",
        "ate_rmse_sim3_m",
        "rpe_translation_rmse_se3_m",
        "rpe_translation_rmse_sim3_m",
        "rpe_rotation_rmse_deg",
    ]
    # Steps of the cube's path in m²: 4, 8, 4, 12, 4, 8, 4, each doubled.
    steps = np.sqrt([4, 8, 4, 12, 4, 8, 4])
    assert scores["rpe_translation_rmse_se3_m"] == pytest.approx(root_mean_square(steps), abs=1e-9)
    assert scores["rpe_translation_rmse_sim3_m"] == pytest.approx(0, abs=1e-9)
    assert scores["rpe_rotation_rmse_deg"] == pytest.approx(0, abs=1e-6)
