"""Protocols of others, under their names, each with what differs from ours.

They exist to compare with published numbers and to show where a protocol decides a rank. Poses are
camera to world here too; each protocol converts them to its own form.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrics.camera.depth import checked_depth, depth_errors, valid_depth
from metrics.camera.poses import (
    AUC_ANGLES,
    checked_pairs,
    registered_centres,
    rotation_angles,
    world_to_camera,
)
from metrics.camera.trajectories import root_mean_square
from metrics.files import InputError
from metrics.geometry import dots, lengths
from metrics.reconstruction.alignment import umeyama

# Fewest scored pixels of an image, as in the evaluation of Depth Anything V2.
MONODEPTH_PIXELS = 10


@dataclass(frozen=True)
class Protocol:
    """A named protocol.

    Attributes:
        name: identifies it.
        source: paper and code that define it.
        difference: one sentence, what differs from the metric of ours that it resembles.
        compute: takes prediction and truth, and returns values by name.
    """

    name: str
    source: str
    difference: str
    compute: Callable[[np.ndarray, np.ndarray], dict[str, float]]


def pose_auc_vggt(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return AUC at 3, 5, 15 and 30 degrees as VGGT's evaluation on Co3D forms it.

    Relative poses are E_i E_j⁻¹ of world-to-camera matrices, for i < j.

    Args:
        predicted: [V, 4, 4] camera to world, NaN for a missing view, which misses every threshold.
        true: [V, 4, 4] camera to world.

    Raises:
        InputError: fewer than 2 views, or matrices that are no poses.

    Source: Wang et al. 2025 (VGGT), after Wang et al. 2023 (PoseDiffusion).
    """
    return _binned_auc(predicted, true, lambda E, i, j: E[i] @ world_to_camera(E[j]))


def pose_auc_da3(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return AUC at 3, 5, 15 and 30 degrees as the benchmark of Depth Anything 3 forms it.

    World-to-camera matrices are first made relative to the first view's, E_k E_0⁻¹; relative poses
    are E_i⁻¹ E_j of those, for i < j. That product is in the first camera's frame, not in a
    camera's of the pair, so the errors depend on which view comes first.

    Arguments and errors as of `pose_auc_vggt`.

    Source: Lin et al. 2025 (Depth Anything 3), `bench/utils.py` of depth-anything-3 0.1.1.
    """

    def relative(E: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        local = E @ world_to_camera(E[:1])
        return world_to_camera(local[i]) @ local[j]

    return _binned_auc(predicted, true, relative)


def binned_auc(angles: np.ndarray, threshold: int) -> float:
    """Return the mean of the cumulative histogram over bins of 1 degree.

    An error counts from the lower edge of its bin; the last bin includes the threshold itself.

    Args:
        angles: [P] degrees; NaN lies in no bin.
        threshold: degrees, the number of bins.

    Example:
        >>> round(binned_auc(np.array([0.0, 0.9, 3.0]), 3), 6)  # (2/3 + 2/3 + 3/3) / 3
        0.777778
    """
    counts, _ = np.histogram(angles, bins=np.arange(threshold + 1))
    return float(np.cumsum(counts / len(angles)).mean())


def evo_ate(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the RMSE of camera centres after rigid and after similarity alignment, metres.

    Args:
        predicted: [V, 4, 4] camera to world; views of NaN are left out.
        true: [V, 4, 4] camera to world, metres.

    Raises:
        InputError: centres that fix no rotation, as evo refuses them, or no poses.

    Source: Grupp 2017 (evo), `evo_ape --align` and `--align --correct_scale`.
    """
    centres, true_centres = registered_centres(predicted, true)
    values = {}
    for name, with_scale in (("se3", False), ("sim3", True)):
        found = umeyama(centres, true_centres, with_scale)
        if found is None:
            raise InputError(
                f"predicted poses: {len(centres)} registered centres fix no rotation; evo aligns "
                f"at least 3 that do not lie on one line"
            )
        aligned = found.apply(centres)
        values[f"evo_ate_{name}_m"] = root_mean_square(lengths(aligned - true_centres))
    return values


def monodepth(
    predicted: np.ndarray, true: np.ndarray, nearest: float = 1e-3, farthest: float = 20.0
) -> dict[str, float]:
    """Return the errors of metric depth as the evaluation of Depth Anything V2 forms them.

    Nothing is aligned or clipped. Images with fewer than `MONODEPTH_PIXELS` scored pixels are left
    out, and the others averaged.

    Args:
        predicted: [V, H, W] z-depth in metres.
        true: [V, H, W] z-depth in metres; scored within [nearest, farthest].
        nearest: metres.
        farthest: metres; 20 is its limit for rooms (Hypersim), 80 for streets.

    Raises:
        InputError: no image has enough pixels, or a scored pixel's prediction is not positive, for
            which the original gives NaN.

    Source: Yang et al. 2024 (Depth Anything V2), `metric_depth/util/metric.py`.
    """
    predicted, true = checked_depth(predicted, true)
    rows, scored = [], valid_depth(true, nearest, farthest)
    for image, truth, kept in zip(predicted, true, scored, strict=True):
        if kept.sum() < MONODEPTH_PIXELS:
            continue
        if not (np.isfinite(image[kept]) & (image[kept] > 0)).all():
            raise InputError(
                "predicted depth: a scored pixel is not positive, so its logarithm is undefined in "
                "this protocol; fill holes, or use the metric of ours that counts them"
            )
        rows.append(depth_errors(image[kept], truth[kept]))
    if not rows:
        raise InputError(
            f"true depth: no image has {MONODEPTH_PIXELS} pixels within {nearest:g} to "
            f"{farthest:g} m; give z-depth in metres"
        )
    names = {
        "absrel": "abs_rel",
        "sqrel_m": "sq_rel",
        "rmse_m": "rmse",
        "rmse_log": "rmse_log",
        "log10": "log10",
        "silog0.5": "silog",
        "delta1": "d1",
        "delta2": "d2",
        "delta3": "d3",
    }
    return {theirs: float(np.mean([row[ours] for row in rows])) for ours, theirs in names.items()}


PROTOCOLS = (
    Protocol(
        name="pose_auc_vggt",
        source="Wang et al. 2025 (VGGT), evaluation/test_co3d.py",
        difference=(
            "Errors are rounded down to whole degrees, the translation angle ignores the sign, and "
            "each pair counts in one order, whereas ours integrates exactly, keeps the sign and "
            "takes both orders."
        ),
        compute=pose_auc_vggt,
    ),
    Protocol(
        name="pose_auc_da3",
        source="Lin et al. 2025 (Depth Anything 3), bench/utils.py",
        difference=(
            "Besides the bins and the lost sign of VGGT's form, relative poses are E_i⁻¹ E_j of "
            "world-to-camera matrices in the first camera's frame, so the order of views changes "
            "the score; ours is E_j E_i⁻¹."
        ),
        compute=pose_auc_da3,
    ),
    Protocol(
        name="evo_ate",
        source="Grupp 2017 (evo), evo_ape",
        difference=(
            "It accepts 3 or more centres that are not on one line, whereas ours asks for 8 and "
            "refuses fewer; the formula is the same."
        ),
        compute=evo_ate,
    ),
    Protocol(
        name="monodepth",
        source="Yang et al. 2024 (Depth Anything V2), metric_depth/util/metric.py",
        difference=(
            "Predictions are not clipped, a missing one makes the score undefined, and images with "
            "fewer than 10 scored pixels are left out, whereas ours clips and counts a missing "
            "pixel as the nearest depth."
        ),
        compute=monodepth,
    ),
)


def _line_angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles [N] in degrees, 0 to 90, between the lines of vectors [N, 3].

    The constant in the divisor is the protocols': it puts vectors far shorter than 1e-15 at 90
    degrees to everything, even to themselves.
    """
    first, second = (v / (lengths(v) + 1e-15)[:, None] for v in (first, second))
    return np.degrees(np.arccos(np.minimum(np.abs(dots(first, second)), 1)))


def _binned_auc(
    predicted: np.ndarray,
    true: np.ndarray,
    relative: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, float]:
    """Return binned AUC of relative poses that a function of E [V, 4, 4], i [P] and j [P] forms."""
    predicted, true, _ = checked_pairs(predicted, true)
    first, second = np.triu_indices(len(true), 1)  # (P,) each
    pair = relative(world_to_camera(predicted), first, second)  # (P, 4, 4)
    true_pair = relative(world_to_camera(true), first, second)
    rotation = rotation_angles(pair[:, :3, :3], true_pair[:, :3, :3])
    larger = np.maximum(rotation, _line_angles(pair[:, :3, 3], true_pair[:, :3, 3]))
    # Pairs of a missing view are NaN, which lies in no bin.
    return {f"auc@{at}deg": binned_auc(larger, at) for at in AUC_ANGLES}
