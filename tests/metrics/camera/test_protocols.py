"""Named protocols on cases worked by hand, and against their formulas written out otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrics.camera.protocols import (
    PROTOCOLS,
    binned_auc,
    evo_ate,
    monodepth,
    pose_auc_da3,
    pose_auc_vggt,
)
from metrics.camera.trajectories import ate_rmse
from metrics.files import InputError
from tests.metrics.camera.made import cameras, cube, disturbed, line, regauged, without


def quaternion_angle(first, second):
    """Return degrees by the inner product of unit quaternions."""
    product = Rotation.from_matrix(first).as_quat() @ Rotation.from_matrix(second).as_quat()
    return np.degrees(np.arccos(np.clip(2 * product**2 - 1, -1, 1)))


def line_angle(first, second):
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.sqrt(np.clip(cosine**2, 0, 1))))


def loop_auc(predicted, true, relative, threshold):
    """Return the mean of the shares of pairs in the bins below 1, 2, ... degrees."""
    outward, true_outward = np.linalg.inv(predicted), np.linalg.inv(true)
    errors = []
    for i in range(len(true)):
        for j in range(i + 1, len(true)):
            pair, true_pair = relative(outward, i, j), relative(true_outward, i, j)
            errors.append(
                max(
                    quaternion_angle(pair[:3, :3], true_pair[:3, :3]),
                    line_angle(pair[:3, 3], true_pair[:3, 3]),
                )
            )
    errors = np.array(errors)
    return np.mean([(errors < edge).mean() for edge in range(1, threshold + 1)])


def vggt_pair(E, i, j):
    return E[i] @ np.linalg.inv(E[j])


def da3_pair(E, i, j):
    first = np.linalg.inv(E[0])
    return np.linalg.inv(E[i] @ first) @ (E[j] @ first)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    ("protocol", "relative"), [(pose_auc_vggt, vggt_pair), (pose_auc_da3, da3_pair)]
)
def test_pose_protocols_agree_with_loops(seed, protocol, relative):
    true = cameras(2 + seed % 6, seed)
    predicted = disturbed(true, 0.02 * (1 + seed % 9), 0.1, seed)
    values = protocol(predicted, true)
    assert list(values) == ["auc@3deg", "auc@5deg", "auc@15deg", "auc@30deg"]
    for at in (3, 5, 15, 30):
        wanted = loop_auc(predicted, true, relative, at)
        assert values[f"auc@{at}deg"] == pytest.approx(wanted, abs=1e-6)


def test_bins_by_hand():
    # Shares below 1, 2 and 3 degrees: 1, 1 and 3 of 4, since the last bin [2, 3] is closed.
    assert binned_auc(np.array([0.5, 2.9, 3.0, 3.1]), 3) == pytest.approx(5 / 12)


def turned_by(degrees):
    """Return two views 1 m apart of which the second is turned by so many degrees."""
    poses = line(2)
    poses[1, :3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    return poses


def test_one_pair_by_hand():
    # A rotation error of 2.5 degrees about the baseline, which moves no direction: bin 2 of 3.
    assert pose_auc_vggt(turned_by(2.5), line(2))["auc@3deg"] == pytest.approx(1 / 3)
    assert pose_auc_vggt(turned_by(2.5), line(2))["auc@30deg"] == pytest.approx(28 / 30)


@pytest.mark.parametrize("protocol", [pose_auc_vggt, pose_auc_da3])
def test_degenerate_poses(protocol):
    true = cameras(4)
    assert set(protocol(true, true).values()) == {1.0}
    one_place = true.copy()
    one_place[:, :3, 3] = 0
    # A zero translation is at 90 degrees to every direction.
    assert set(protocol(one_place, true).values()) == {0.0}
    assert protocol(line(4), line(4))["auc@3deg"] == 1
    # So is one of rounding, even to itself.
    tiny = line(4)
    tiny[:, :3, 3] *= 1e-17
    assert set(protocol(tiny, tiny).values()) == {0.0}
    missing = protocol(without(true, 3), true)
    assert set(missing.values()) == {0.5}
    for views in (0, 1):
        with pytest.raises(InputError, match="make no pair"):
            protocol(true[:views], true[:views])


def test_trajectory_error_of_a_doubled_cube():
    double = cube()
    double[:, :3, 3] *= 2
    values = evo_ate(double, cube())
    assert values["evo_ate_se3_m"] == pytest.approx(np.sqrt(3), abs=1e-9)
    assert values["evo_ate_sim3_m"] == pytest.approx(0, abs=1e-9)


def test_trajectory_error_takes_three_centres():
    # Legs of 1 m vs 2 m: the best rotation is the identity, and each true centre is twice as far
    # from the mean as the predicted one.
    predicted, true = line(3), line(3)
    predicted[:, :3, 3] = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    true[:, :3, 3] = 2 * predicted[:, :3, 3]
    # Distances to the mean (1/3, 1/3): √2/3, √5/3, √5/3; their root mean square is 2/3.
    values = evo_ate(predicted, true)
    assert values["evo_ate_se3_m"] == pytest.approx(2 / 3, abs=1e-9)
    assert values["evo_ate_sim3_m"] == pytest.approx(0, abs=1e-9)
    for refused in (line(5), line(2), cameras(0)):
        with pytest.raises(InputError, match="fix no rotation"):
            evo_ate(refused, refused)


def test_trajectory_error_is_ours_where_ours_is_defined():
    true = cameras(12)
    predicted = regauged(disturbed(true, 0.1, 0.2))
    for align in ("se3", "sim3"):
        assert evo_ate(predicted, true)[f"evo_ate_{align}_m"] == ate_rmse(predicted, true, align)


def test_monodepth_by_hand():
    true = np.full((1, 2, 6), 2.0)
    predicted = np.where(np.arange(12).reshape(1, 2, 6) < 6, 1.0, 4.0)
    values = monodepth(predicted, true)
    log2 = np.log(2)
    wanted = {
        "abs_rel": 0.75,  # (1/2 + 2/2) / 2
        "sq_rel": 1.25,  # (1/2 + 4/2) / 2
        "rmse": np.sqrt(2.5),
        "rmse_log": log2,
        "log10": np.log10(2),
        "silog": log2,  # the mean of ±ln 2 is 0
        "d1": 0,
        "d2": 0,
        "d3": 0,
    }
    assert values == pytest.approx(wanted, abs=1e-9)
    assert monodepth(2 * true, true)["silog"] == pytest.approx(log2 * np.sqrt(0.5))


def test_monodepth_leaves_out_images_of_nine_pixels():
    true = np.full((2, 3, 4), 2.0)
    predicted = true.copy()
    predicted[1] = 3
    true[1, 0, :3] = 0
    assert monodepth(predicted, true)["abs_rel"] == 0
    true[1, 0, 0] = 2
    assert monodepth(predicted, true)["abs_rel"] == 0.25


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        (np.full((1, 3, 4), np.nan), np.ones((1, 3, 4)), "a scored pixel is not positive"),
        (np.zeros((1, 3, 4)), np.ones((1, 3, 4)), "a scored pixel is not positive"),
        (np.ones((1, 3, 4)), np.zeros((1, 3, 4)), "no image has 10 pixels"),
        (np.empty((0, 3, 4)), np.empty((0, 3, 4)), "no image has 10 pixels"),
        (np.ones((1, 3, 3)), np.ones((1, 3, 4)), "shape"),
    ],
)
def test_monodepth_refuses(predicted, true, message):
    with pytest.raises(InputError, match=message):
        monodepth(predicted, true)


def test_each_protocol_has_one_sentence_of_difference():
    assert [protocol.name for protocol in PROTOCOLS] == [
        "pose_auc_vggt",
        "pose_auc_da3",
        "evo_ate",
        "monodepth",
    ]
    for protocol in PROTOCOLS:
        assert protocol.difference.endswith(".")
        assert ". " not in protocol.difference
        assert protocol.source
