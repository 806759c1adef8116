"""Relative pose errors over all pairs of views, and scale, focal length and registration.

Poses are camera to world [V, 4, 4] in any gauge: angles between two views change neither with the
world's frame nor with the order of the views. A view that a method did not register is a matrix of
NaN; it counts as 180 degrees in every pair, so leaving out a hard view never helps.
"""

from dataclasses import dataclass

import numpy as np

from metrics.files import InputError
from metrics.geometry import dots, lengths, unit

# Degrees at which shares (RRA, RTA) and areas under curves (AUC) are reported.
ACCURACY_ANGLES = (5, 15, 30)
AUC_ANGLES = (3, 5, 15, 30)
# Two true centres closer than this have no direction worth an angle, metres.
MIN_BASELINE = 0.05
# Error of every pair of a view without a pose, degrees: the largest angle.
WORST_ANGLE = 180.0
# Largest entry of R Rᵀ - I that still is rounding: float32 matrices stay below 1e-5.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PairErrors:
    """Angles between predicted and true relative poses, one row an ordered pair of views.

    Attributes:
        rotation: [P] degrees, from 0 to 180; P = V (V - 1).
        translation: [P] degrees, from 0 to 180; NaN where the true baseline is too short.
    """

    rotation: np.ndarray
    translation: np.ndarray

    def larger(self) -> np.ndarray:
        """Return the larger angle [P] of each pair; the rotation where there is no direction."""
        return np.fmax(self.rotation, self.translation)


def pair_errors(
    predicted: np.ndarray, true: np.ndarray, min_baseline: float = MIN_BASELINE
) -> PairErrors:
    """Return the angles of relative poses over all ordered pairs of views.

    The relative pose from view i to view j is E_j E_i⁻¹ with world-to-camera matrices E, so its
    translation is the direction of camera i as camera j sees it. Both orders of a pair count,
    because that direction differs between them; so the errors do not depend on the order of views.

    Args:
        predicted: [V, 4, 4] camera to world, any gauge and scale; NaN for a missing view.
        true: [V, 4, 4] camera to world, metres.
        min_baseline: pairs of true centres closer than this have no translation angle, metres.

    Raises:
        InputError: fewer than 2 views, other views than the truth, or matrices that are no poses.

    Source: PoseDiffusion (Wang et al. 2023) and VGGT (Wang et al. 2025); differs from them in the
        angle of translations, which tells a direction from its opposite, and in that both orders
        of a pair count.
    """
    predicted, true, seen = checked_pairs(predicted, true)
    first, second = np.nonzero(~np.eye(len(true), dtype=bool))  # (P,) each
    turn, direction = _relative(predicted, first, second)
    true_turn, true_direction = _relative(true, first, second)
    missing = ~(seen[first] & seen[second])  # (P,)

    rotation = rotation_angles(turn, true_turn)
    rotation[missing] = WORST_ANGLE
    translation = direction_angles(direction, true_direction)
    translation[missing] = WORST_ANGLE
    baseline = lengths(true_direction)
    translation[(baseline < min_baseline) | (baseline == 0)] = np.nan
    return PairErrors(rotation, translation)


def rotation_angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles [N] in degrees of the rotations that take the first to the second.

    Args:
        first: rotations [N, 3, 3]; NaN gives NaN.
        second: rotations [N, 3, 3].

    Source: the axis-angle form. The arc tangent keeps its digits near 0 and near 180 degrees,
        where the arc cosine of the trace loses half of them.

    Example:
        >>> turn = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
        >>> rotation_angles(np.eye(3)[None], turn)
        array([90.])
    """
    between = second @ first.transpose(0, 2, 1)  # (N, 3, 3)
    skew = between - between.transpose(0, 2, 1)
    sine = lengths(np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1))  # 2 sin
    cosine = np.trace(between, axis1=1, axis2=2) - 1  # 2 cos
    return np.degrees(np.arctan2(sine, cosine))


def direction_angles(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the angles [N] in degrees, 0 to 180, between vectors of any length.

    Args:
        predicted: [N, 3]; a zero vector names no direction and gets the worst angle.
        true: [N, 3].

    Example:
        >>> direction_angles(np.array([[1.0, 0, 0], [0, 0, 0]]), np.array([[-1.0, 0, 0]] * 2))
        array([180., 180.])
    """
    # Scaled to length 1 first: products of very short vectors would be 0.
    predicted, true = unit(predicted), unit(true)
    angles = np.degrees(np.arctan2(lengths(np.cross(predicted, true)), dots(predicted, true)))
    angles[lengths(predicted) == 0] = WORST_ANGLE
    return angles


def share_below(angles: np.ndarray, threshold: float) -> float:
    """Return the share of angles below a threshold: RRA of rotations, RTA of translations.

    Args:
        angles: [P] degrees; NaN (no direction) is left out.
        threshold: degrees.

    Raises:
        InputError: no pair has an angle.

    Source: RelPose (Zhang et al. 2022) and PoseDiffusion.

    Example:
        >>> share_below(np.array([4.0, 5.0, np.nan]), 5)
        0.5
    """
    return float((_defined(angles) < threshold).mean())


def area_under_curve(angles: np.ndarray, threshold: float) -> float:
    """Return the area under the share of angles below t, for t from 0 to a threshold, from 0 to 1.

    An error e adds the stretch (threshold - e) / threshold, so the integral is exact and needs no
    bins.

    Args:
        angles: [P] degrees; NaN is left out.
        threshold: degrees.

    Raises:
        InputError: no pair has an angle.

    Source: Jin et al. 2021 (Image Matching Challenge); differs in that it has no bins.

    Example:
        >>> area_under_curve(np.array([0.0, 2.5, 9.0]), 5)
        0.5
    """
    return float(np.clip(1 - _defined(angles) / threshold, 0, None).mean())


def pose_scores(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return RRA, RTA, AUC and the share of registered views by name.

    RTA is absent where no pair of true centres is `MIN_BASELINE` apart; AUC then rests on
    rotations alone.

    Arguments and errors as of `pair_errors`.
    """
    errors = pair_errors(predicted, true)
    larger = errors.larger()
    scores = {f"pose_rra@{at}deg": share_below(errors.rotation, at) for at in ACCURACY_ANGLES}
    if np.isfinite(errors.translation).any():
        scores |= {
            f"pose_rta@{at}deg": share_below(errors.translation, at) for at in ACCURACY_ANGLES
        }
    scores |= {f"pose_auc@{at}deg": area_under_curve(larger, at) for at in AUC_ANGLES}
    return scores | {"pose_registered_share": registered_share(predicted)}


def registered_share(predicted: np.ndarray) -> float:
    """Return the share of views that have a pose.

    Args:
        predicted: [V, 4, 4], NaN for a missing view.

    Raises:
        InputError: there is no view.
    """
    if not len(predicted):
        raise InputError("predicted poses: no views; give one matrix for each view of the truth")
    return float(np.isfinite(predicted).all(axis=(1, 2)).mean())


def scale_factor(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the predicted size of the camera path over its true size; 1 is right.

    The size is the root of the mean squared distance of centres to their mean, over registered
    views. It depends on neither frame, and unlike the factor of a least-squares alignment noise
    does not shrink it.

    Args:
        predicted: [V, 4, 4] camera to world, NaN for a missing view.
        true: [V, 4, 4] camera to world, metres.

    Raises:
        InputError: fewer than 2 registered views, or true centres less than `MIN_BASELINE` apart.

    Source: Horn 1987, section 2.5 (symmetric scale).
    """
    centres, true_centres = registered_centres(predicted, true)
    if len(centres) < 2:
        raise InputError(
            f"predicted poses: {len(centres)} registered view(s) fix no scale; at least 2 are "
            "needed"
        )
    size = centre_spread(true_centres)
    if size < MIN_BASELINE / 2:
        raise InputError(
            f"true poses: the registered centres lie within {size:.3g} m of their mean, which "
            "fixes no scale; leave the scale error out for views of one place"
        )
    return centre_spread(centres) / size


def scale_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return |s - 1| of `scale_factor` s: the relative error of metric poses.

    Arguments and errors as of `scale_factor`.

    Source: the relative scale error of MapAnything (Keetha et al. 2025); differs from it in that
        the scale is that of camera centres, not of points.
    """
    return abs(scale_factor(predicted, true) - 1)


def centre_spread(centres: np.ndarray) -> float:
    """Return the root mean square distance of centres [N, 3] to their mean, in their unit.

    Example:
        >>> centre_spread(np.array([[0.0, 0, 0], [6, 8, 0]]))
        5.0
    """
    return float(np.sqrt(((centres - centres.mean(axis=0)) ** 2).sum(axis=1).mean()))


def focal_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean of |f - f*| / f* over views and both axes.

    A view without intrinsics (NaN) counts as 1, the error of a focal length of 0.

    Args:
        predicted: [V, 3, 3] pixels, of images of the truth's size.
        true: [V, 3, 3] pixels.

    Raises:
        InputError: another number of views, no view, or a focal length that is not positive.

    Example:
        >>> focal_error(np.diag([90.0, 110, 1])[None], np.diag([100.0, 100, 1])[None])
        0.1
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if true.ndim != 3 or true.shape[1:] != (3, 3) or not len(true) or true.shape != predicted.shape:
        raise InputError(
            f"predicted intrinsics: shape {list(predicted.shape)} vs {list(true.shape)} of the "
            f"truth; give [views, 3, 3] for the same views, at least one"
        )
    focal, true_focal = predicted[:, [0, 1], [0, 1]], true[:, [0, 1], [0, 1]]  # (V, 2) each
    if not (np.isfinite(true_focal) & (true_focal > 0)).all():
        raise InputError("true intrinsics: a focal length is not positive; give pixels above 0")
    missing = np.isnan(predicted).all(axis=(1, 2))
    if not (np.isfinite(focal) & (focal > 0))[~missing].all():
        raise InputError(
            "predicted intrinsics: a focal length is not positive; give pixels above 0, or a "
            "matrix of NaN for a view without intrinsics"
        )
    errors = np.abs(focal - true_focal) / true_focal
    errors[missing] = 1
    return float(errors.mean())


def checked_poses(
    predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both sides as float64 [V, 4, 4] with exact rotations, and the registered views [V].

    Raises:
        InputError: the sides differ in views, or a matrix is no rigid transform. A matrix that is
            NaN throughout is a missing view of the prediction.
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    for side, poses in (("predicted", predicted), ("true", true)):
        if poses.ndim != 3 or poses.shape[1:] != (4, 4):
            raise InputError(
                f"{side} poses: shape {list(poses.shape)}; give camera-to-world matrices "
                f"[views, 4, 4]"
            )
    if len(predicted) != len(true):
        raise InputError(
            f"predicted poses: {len(predicted)} views vs {len(true)} of the truth; give one matrix "
            f"for each view, NaN for a view without a pose"
        )
    seen = ~np.isnan(predicted).all(axis=(1, 2))
    every = np.ones(len(true), bool)
    return _rigid(predicted, seen, "predicted"), _rigid(true, every, "true"), seen


def checked_pairs(
    predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `checked_poses` does, of two views at least.

    Raises:
        InputError: fewer than 2 views, or as of `checked_poses`.
    """
    sides = checked_poses(predicted, true)
    if len(true) < 2:
        raise InputError(f"true poses: {len(true)} view(s) make no pair; give at least 2")
    return sides


def registered_centres(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera centres [N, 3] of the registered views, predicted and true.

    Arguments and errors as of `checked_poses`.
    """
    predicted, true, seen = checked_poses(predicted, true)
    return predicted[seen, :3, 3], true[seen, :3, 3]


def world_to_camera(poses: np.ndarray) -> np.ndarray:
    """Return the inverses [V, 4, 4] of rigid transforms [V, 4, 4]."""
    inverse = np.zeros_like(poses)
    turned = poses[:, :3, :3].transpose(0, 2, 1)  # (V, 3, 3)
    inverse[:, :3, :3] = turned
    inverse[:, :3, 3] = -(turned @ poses[:, :3, 3:])[..., 0]
    inverse[:, 3, 3] = 1
    return inverse


def _relative(
    poses: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation [P, 3, 3] and translation [P, 3] of E_second E_first⁻¹."""
    inward = poses[second, :3, :3].transpose(0, 2, 1)  # world to second camera, (P, 3, 3)
    # Centres are subtracted before the turn, so that a distant origin costs no digits.
    between = (poses[first, :3, 3] - poses[second, :3, 3])[..., None]  # (P, 3, 1)
    return inward @ poses[first, :3, :3], (inward @ between)[..., 0]


def _rigid(poses: np.ndarray, seen: np.ndarray, side: str) -> np.ndarray:
    """Return poses with the nearest exact rotation in each seen view; see `checked_poses`."""
    for view in np.flatnonzero(seen):
        if not np.isfinite(poses[view]).all():
            raise InputError(
                f"{side} poses: view {view} has numbers that are not finite; give a whole matrix, "
                f"or NaN throughout for a predicted view without a pose"
            )
        turn = poses[view, :3, :3]
        off = np.abs(turn @ turn.T - np.eye(3)).max()
        if off > ROTATION_TOLERANCE or np.abs(poses[view, 3] - [0, 0, 0, 1]).max() > 1e-6:
            raise InputError(
                f"{side} poses: view {view} is no rigid transform (R Rᵀ differs from I by "
                f"{off:.2g}); remove scale and shear, and end with the row 0 0 0 1"
            )
        if np.linalg.det(turn) < 0:
            raise InputError(
                f"{side} poses: view {view} is a reflection; convert its axes to OpenCV's (x "
                f"right, y down, z forward), with a determinant of 1"
            )
    exact = poses.copy()
    left, _, right = np.linalg.svd(poses[seen, :3, :3])
    exact[seen, :3, :3] = left @ right
    return exact


def _defined(angles: np.ndarray) -> np.ndarray:
    """Return the angles that are not NaN, at least one."""
    kept = angles[~np.isnan(angles)]
    if not len(kept):
        raise InputError(
            "true poses: no pair of views has this angle; leave the metric out where all views "
            "are at one place"
        )
    return kept
