"""Failing examples of the numbered defects in docs/camera-metrics.md."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.camera.poses import pose_scores
from metrics.camera.protocols import pose_auc_da3, pose_auc_vggt
from tests.metrics.camera.made import cameras, disturbed, reversed_motion

DEGREES = (3, 5, 15, 30)


def rolled_scores(score, predicted, true):
    """Return a score of the same views, each in turn put first."""
    views = range(len(true))
    return np.array([score(np.roll(predicted, k, 0), np.roll(true, k, 0)) for k in views])


@pytest.mark.parametrize("protocol", [pose_auc_vggt, pose_auc_da3])
def test_defect_1_reversed_motion_scores_one(protocol):
    true = cameras(6)
    wrong = protocol(reversed_motion(true), true)
    assert [wrong[f"auc@{at}deg"] for at in DEGREES] == [1, 1, 1, 1]
    ours = pose_scores(reversed_motion(true), true)
    assert [ours[f"pose_auc@{at}deg"] for at in DEGREES] == [0, 0, 0, 0]


def test_defect_2_the_first_view_moves_the_score():
    true = cameras(6, seed=16)
    predicted = disturbed(true, 0.15, 0.05)
    theirs = rolled_scores(lambda p, g: pose_auc_da3(p, g)["auc@30deg"], predicted, true)
    assert (theirs.min(), theirs.max()) == pytest.approx((0.389, 0.696), abs=5e-4)
    ours = rolled_scores(lambda p, g: pose_scores(p, g)["pose_auc@30deg"], predicted, true)
    assert np.ptp(ours) < 1e-12


def test_defect_3_the_order_of_a_pair_moves_the_score():
    true = cameras(6, seed=10)
    predicted = disturbed(true, 0.15, 0.05)
    forward = pose_auc_vggt(predicted, true)["auc@30deg"]
    backward = pose_auc_vggt(predicted[::-1], true[::-1])["auc@30deg"]
    assert (forward, backward) == pytest.approx((0.596, 0.636), abs=5e-4)
    ours = [pose_scores(p, g) for p, g in ((predicted, true), (predicted[::-1], true[::-1]))]
    assert ours[0]["pose_auc@30deg"] == pytest.approx(ours[1]["pose_auc@30deg"], abs=1e-12)


def test_defect_4_bins_add_up_to_one_degree():
    # Errors just below whole degrees: 2.9 counts as 2, so 1/3 in place of 1/30.
    true = cameras(2)
    turn = np.radians(2.9)
    predicted = true.copy()
    axis = true[0, :3, 3] - true[1, :3, 3]
    axis /= np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis).T
    # Turning the second camera about the baseline leaves the direction as it is seen by the first.
    rotation = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    predicted[1, :3, :3] = rotation @ true[1, :3, :3]
    assert pose_auc_vggt(predicted, true)["auc@3deg"] == pytest.approx(1 / 3)
    assert pose_scores(predicted, true)["pose_auc@3deg"] == pytest.approx(1 / 30, abs=1e-9)
