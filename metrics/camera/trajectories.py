"""Errors of camera paths: ATE after an alignment, and RPE between neighbouring views.

Poses are camera to world [V, 4, 4], in the order of the path; NaN for a view without a pose.
"""

import numpy as np

from metrics.camera.poses import (
    checked_poses,
    registered_centres,
    rotation_angles,
    world_to_camera,
)
from metrics.files import InputError
from metrics.geometry import lengths
from metrics.reconstruction.alignment import Similarity, umeyama

ALIGNMENTS = ("se3", "sim3")
# Fewer centres follow nearly any path: an alignment has 6 or 7 free numbers.
MIN_CENTRES = 8
# Centres whose spread across their main line is this share of the spread along it lie on a line.
COLLINEAR = 1e-6


def ate_rmse(predicted: np.ndarray, true: np.ndarray, align: str) -> float:
    """Return the root mean square distance of aligned predicted centres to the true ones, metres.

    Views without a pose are left out; `registered_share` says how many. After "sim3" the error is
    at most `poses.centre_spread` of the true centres.

    Args:
        predicted: [V, 4, 4] camera to world.
        true: [V, 4, 4] camera to world, metres.
        align: "se3", or "sim3" which fits the scale too.

    Raises:
        InputError: fewer than `MIN_CENTRES` registered views, centres of either side on one line,
            or matrices that are no poses.

    Source: Sturm et al. 2012 (TUM RGB-D), with the alignment of Umeyama 1991.
    """
    centres, true_centres = registered_centres(predicted, true)
    aligned = align_centres(centres, true_centres, align).apply(centres)
    return root_mean_square(lengths(aligned - true_centres))


def align_centres(centres: np.ndarray, true: np.ndarray, align: str) -> Similarity:
    """Return the least-squares alignment of camera centres to the true ones.

    Args:
        centres: [N, 3], any unit.
        true: [N, 3] metres; row i of both is one view.
        align: "se3" or "sim3".

    Raises:
        InputError: as of `ate_rmse`.
    """
    if align not in ALIGNMENTS:
        raise InputError(f"alignment {align!r}: unknown; give one of {', '.join(ALIGNMENTS)}")
    if len(centres) < MIN_CENTRES:
        raise InputError(
            f"predicted poses: {len(centres)} registered centres vs at least {MIN_CENTRES} for a "
            f"trajectory error; use the angles of pairs of views instead"
        )
    for side, points in (("predicted", centres), ("true", true)):
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] <= COLLINEAR * spread[0] or spread[0] == 0:
            raise InputError(
                f"{side} poses: all centres lie on one line or in one place, which fixes no "
                f"rotation; use the angles of pairs of views instead"
            )
    found = umeyama(centres, true, with_scale=align == "sim3")
    if found is None:
        raise InputError(
            "predicted poses: the centres do not follow the true ones in any direction but one, "
            "which fixes no rotation; use the angles of pairs of views instead"
        )
    return found


def relative_errors(
    predicted: np.ndarray, true: np.ndarray, delta: int = 1, align: str = "se3"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of the motion over `delta` views, translation [P] m and rotation [P] deg.

    The error of a step from view i to view i + delta is D = M*⁻¹ M with M = P_i⁻¹ P_(i+delta);
    M* is the true motion. All starts i count, so steps overlap. Steps with a view without a pose
    are left out.

    Args:
        predicted: [V, 4, 4] camera to world, in the order of the path.
        true: [V, 4, 4] camera to world, metres.
        delta: views from the start to the end of a step.
        align: "se3" takes motions as they are, since they do not depend on the frame; "sim3" first
            multiplies the predicted centres by the scale that `align_centres` finds.

    Raises:
        InputError: no step has both poses, or what `ate_rmse` refuses where align is "sim3".

    Source: Sturm et al. 2012 (TUM RGB-D).
    """
    predicted, true, seen = checked_poses(predicted, true)
    if align not in ALIGNMENTS:
        raise InputError(f"alignment {align!r}: unknown; give one of {', '.join(ALIGNMENTS)}")
    if delta < 1:
        raise InputError(f"step of {delta} views: must be at least 1")
    if align == "sim3":
        centres = predicted[seen, :3, 3]
        predicted = predicted.copy()
        predicted[:, :3, 3] *= align_centres(centres, true[seen, :3, 3], align).scale
    start = np.flatnonzero(seen[:-delta] & seen[delta:])  # (P,)
    if not len(start):
        raise InputError(
            f"predicted poses: no two views {delta} apart both have a pose; a relative pose error "
            f"needs one such step"
        )
    motion = world_to_camera(predicted[start]) @ predicted[start + delta]  # (P, 4, 4)
    true_motion = world_to_camera(true[start]) @ true[start + delta]
    difference = world_to_camera(true_motion) @ motion
    turn = difference[:, :3, :3]
    upright = np.broadcast_to(np.eye(3), turn.shape)
    return lengths(difference[:, :3, 3]), rotation_angles(upright, turn)


def trajectory_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return ATE after both alignments and RPE over one view, as root mean squares by name.

    Args:
        predicted: [V, 4, 4] camera to world, in the order of the path.
        true: [V, 4, 4] camera to world, metres.

    Raises:
        InputError: as of `ate_rmse` and `relative_errors`.
    """
    scores = {f"ate_rmse_{align}_m": ate_rmse(predicted, true, align) for align in ALIGNMENTS}
    for align in ALIGNMENTS:
        translation, rotation = relative_errors(predicted, true, align=align)
        scores[f"rpe_translation_rmse_{align}_m"] = root_mean_square(translation)
    return scores | {"rpe_rotation_rmse_deg": root_mean_square(rotation)}


def root_mean_square(values: np.ndarray) -> float:
    """Return the root of the mean of squares.

    >>> root_mean_square(np.array([1.0, 7.0]))
    5.0
    """
    return float(np.sqrt((values**2).mean()))
