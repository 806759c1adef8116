"""Relative pose angles against quaternions and loops, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.transform import Rotation

from metrics.camera.poses import (
    area_under_curve,
    focal_error,
    pair_errors,
    pose_scores,
    registered_share,
    scale_error,
    scale_factor,
    share_below,
)
from metrics.files import InputError
from tests.metrics.camera.made import cameras, cube, disturbed, line, regauged, without


def loop_errors(predicted, true):
    """Return both angles by SciPy's rotations and whole matrices, pair by pair."""
    rotation, translation = [], []
    for i in range(len(true)):
        for j in range(len(true)):
            if i == j:
                continue
            pair, true_pair = (
                np.linalg.inv(poses[j]) @ np.linalg.inv(np.linalg.inv(poses[i]))
                for poses in (predicted, true)
            )
            turn = Rotation.from_matrix(pair[:3, :3] @ true_pair[:3, :3].T)
            rotation.append(np.degrees(turn.magnitude()))
            one, two = pair[:3, 3], true_pair[:3, 3]
            cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            translation.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(rotation), np.array(translation)


@pytest.mark.parametrize("seed", range(40))
def test_angles_agree_with_whole_matrices(seed):
    true = cameras(2 + seed % 5, seed)
    predicted = regauged(disturbed(true, 0.3, 0.3, seed), 0.5, seed + 100)
    errors = pair_errors(predicted, true, min_baseline=0)
    rotation, translation = loop_errors(predicted, true)
    np.testing.assert_allclose(errors.rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(errors.translation, translation, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 90.0, 179.9999999, 180.0])
def test_rotation_angle_keeps_its_digits(angle):
    true = line(2)
    predicted = line(2)
    predicted[1, :3, :3] = Rotation.from_rotvec([0, np.radians(angle), 0]).as_matrix()
    assert pair_errors(predicted, true).rotation == pytest.approx(angle, abs=1e-9)


def test_same_cameras_in_another_gauge_are_perfect():
    true = cameras(5)
    scores = pose_scores(regauged(true), true)
    for name in ("pose_rra@5deg", "pose_rta@5deg", "pose_registered_share"):
        assert scores[name] == 1
    assert scores["pose_auc@3deg"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 0], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]])
def test_order_of_views_does_not_matter(order):
    true = cameras(6)
    predicted = without(disturbed(true, 0.15, 0.2), 2)
    assert pose_scores(predicted[order], true[order]) == pytest.approx(
        pose_scores(predicted, true), abs=1e-12
    )


def test_reversed_motion_is_wrong_by_180_degrees():
    predicted = line(3)
    predicted[:, 0, 3] *= -1
    errors = pair_errors(predicted, line(3))
    np.testing.assert_array_equal(errors.translation, 180)
    np.testing.assert_array_equal(errors.rotation, 0)


def test_missing_view_counts_as_180_in_all_its_pairs():
    true = cameras(4)
    errors = pair_errors(without(true, 1), true)
    # 6 of 12 ordered pairs hold view 1; NumPy lists pairs row by row.
    assert (errors.rotation > 179).sum() == (errors.translation > 179).sum() == 6
    scores = pose_scores(without(true, 1), true)
    assert scores["pose_rra@5deg"] == scores["pose_rta@5deg"] == 0.5
    assert scores["pose_auc@30deg"] == pytest.approx(0.5)
    assert scores["pose_registered_share"] == 0.75


def test_no_registered_view_scores_zero():
    scores = pose_scores(np.full((3, 4, 4), np.nan), cameras(3))
    assert set(scores.values()) == {0.0}


def test_short_true_baselines_have_no_translation_angle():
    true = line(3)
    true[1, 0, 3] = 0.04  # 4 cm from view 0
    errors = pair_errors(disturbed(true, 0, 0.5), true)
    assert np.isnan(errors.translation).sum() == 2
    assert np.isnan(pair_errors(true, true, min_baseline=0.01).translation).sum() == 0


@pytest.mark.parametrize("min_baseline", [0.0, 0.05])
def test_one_place_has_rotations_alone(min_baseline):
    true = cameras(4)
    true[:, :3, 3] = 1
    errors = pair_errors(disturbed(true, 0, 0.1), true, min_baseline)
    assert np.isnan(errors.translation).all()
    scores = pose_scores(disturbed(true, 0, 0.1), true)
    assert "pose_rta@5deg" not in scores
    assert scores["pose_auc@3deg"] == pytest.approx(1, abs=1e-9)
    with pytest.raises(InputError, match="no pair of views has this angle"):
        share_below(errors.translation, 5)


def test_predicted_centres_in_one_place_have_the_worst_direction():
    true = cameras(4)
    predicted = true.copy()
    predicted[:, :3, 3] = 1e6
    np.testing.assert_array_equal(pair_errors(predicted, true).translation, 180)


def test_directions_of_tiny_units_count():
    predicted = line(3)
    predicted[:, :3, 3] *= 1e-100
    np.testing.assert_array_equal(pair_errors(predicted, line(3)).translation, 0)


def test_area_is_the_integral_of_the_share():
    angles = np.random.default_rng(0).uniform(0, 40, 30)
    for threshold in (3, 30):
        inside = angles[angles < threshold]
        area, _ = quad(lambda t: (angles < t).mean(), 0, threshold, points=inside, limit=200)
        assert area_under_curve(angles, threshold) == pytest.approx(area / threshold, abs=1e-6)


def test_shares_are_strict():
    assert share_below(np.array([4.999, 5.0, 5.001, 180.0]), 5) == 0.25


def test_scale_is_that_of_the_path():
    assert scale_factor(regauged(cube(), 1.25), cube()) == pytest.approx(1.25, abs=1e-9)
    assert scale_error(regauged(cube(), 0.5), cube()) == pytest.approx(0.5, abs=1e-9)
    assert scale_error(without(regauged(cube(), 1.5), 0, 7), cube()) == pytest.approx(0.5, abs=1e-9)
    one_place = cube()
    one_place[:, :3, 3] = 5
    assert scale_error(one_place, cube()) == 1
    with pytest.raises(InputError, match="fixes no scale"):
        scale_error(cube(), one_place)
    with pytest.raises(InputError, match=r"1 registered view\(s\) fix no scale"):
        scale_error(without(cube(), *range(7)), cube())


def test_focal_error():
    true = np.tile(np.diag([100.0, 200.0, 1.0]), (2, 1, 1))
    predicted = np.tile(np.diag([110.0, 180.0, 1.0]), (2, 1, 1))
    assert focal_error(predicted, true) == pytest.approx(0.1)
    assert focal_error(without(predicted, 1), true) == pytest.approx(0.55)
    predicted[0, 0, 0] = 0
    with pytest.raises(InputError, match="predicted intrinsics: a focal length is not positive"):
        focal_error(predicted, true)
    with pytest.raises(InputError, match="true intrinsics"):
        focal_error(true, -true)
    with pytest.raises(InputError, match="for the same views"):
        focal_error(predicted[:1], true)
    with pytest.raises(InputError, match="at least one"):
        focal_error(predicted[:0], true[:0])


def scaled(poses):
    poses[1, :3, :3] *= 1.01
    return poses


def zero(poses):
    poses[1, :3, :3] = 0
    return poses


def mirrored(poses):
    poses[1, :3, 0] *= -1
    return poses


def half_missing(poses):
    poses[1, 0, 3] = np.nan
    return poses


def projective(poses):
    poses[1, 3, 0] = 1
    return poses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled, "view 1 is no rigid transform"),
        (zero, "view 1 is no rigid transform"),
        (mirrored, "view 1 is a reflection"),
        (half_missing, "view 1 has numbers that are not finite"),
        (projective, "view 1 is no rigid transform"),
        (lambda poses: poses[:, :3], r"predicted poses: shape \[4, 3, 4\]"),
        (lambda poses: poses[:3], "3 views vs 4 of the truth"),
    ],
)
def test_predictions_that_are_no_poses_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        pair_errors(change(cameras(4)), cameras(4))


def test_true_poses_must_be_complete():
    with pytest.raises(InputError, match="true poses: view 2 has numbers that are not finite"):
        pair_errors(cameras(4), without(cameras(4), 2))


@pytest.mark.parametrize("views", [0, 1])
def test_fewer_than_two_views_are_refused(views):
    with pytest.raises(InputError, match="make no pair; give at least 2"):
        pair_errors(cameras(4)[:views], cameras(4)[:views])


def test_share_of_no_views_is_refused():
    with pytest.raises(InputError, match="no views"):
        registered_share(np.empty((0, 4, 4)))


def test_rounded_rotations_are_accepted():
    true = cameras(4)
    errors = pair_errors(true.astype(np.float32), true)
    assert errors.rotation.max() < 1e-4
