"""Errors of depth images, with the alignment before them as a part of every name.

Depth is the distance along the camera's z axis, never along the ray, in metres. A prediction may
instead be disparity, 1 / depth up to the factor (and the shift) that the alignment removes.

One `DepthAlignment` says what is fitted, in which space, and over what; it names the scores, such
as "depth_absrel_scale_shift_disparity_image". Errors are means over the pixels of an image, then
over images.
"""

from dataclasses import dataclass

import numpy as np

from metrics.files import InputError

FITS = ("none", "median", "scale", "scale_shift")
SPACES = ("depth", "disparity")
SCOPES = ("image", "sequence")
# Truth outside is not scored, and aligned predictions are clipped to it, metres: a room's range.
NEAREST, FARTHEST = 1e-3, 10.0
DELTA = 1.25
INLIER_RATIO = 1.03


@dataclass(frozen=True)
class DepthAlignment:
    """What is fitted to the truth before depth is compared.

    Attributes:
        fit: "none"; "median", one factor from the two medians; "scale", one factor by least
            squares; "scale_shift", a factor and a shift by least squares.
        space: what the prediction holds and the fit compares, "depth" or "disparity".
        scope: what shares one fit, each "image" or the whole "sequence".
    """

    fit: str
    space: str
    scope: str

    def __post_init__(self) -> None:
        for name, value, known in (
            ("fit", self.fit, FITS),
            ("space", self.space, SPACES),
            ("scope", self.scope, SCOPES),
        ):
            if value not in known:
                raise InputError(
                    f"depth alignment: {name} {value!r} is unknown; give one of {', '.join(known)}"
                )

    @property
    def name(self) -> str:
        """Return the last part of the names of scores, such as "median_depth_sequence".

        Without a fit the scope has no effect and is left out.
        """
        scope = "" if self.fit == "none" else f"_{self.scope}"
        return f"{self.fit}_{self.space}{scope}"


def depth_scores(
    predicted: np.ndarray,
    true: np.ndarray,
    alignment: DepthAlignment,
    nearest: float = NEAREST,
    farthest: float = FARTHEST,
) -> dict[str, float]:
    """Return the errors of depth images by name, and the share of scored pixels with a prediction.

    A pixel of the truth counts if it is finite and within [nearest, farthest]; images without such
    pixels are left out. A pixel without a prediction counts as `nearest`, so that leaving out hard
    pixels never helps.

    Args:
        predicted: [V, H, W] depth or disparity, as alignment.space says. Not finite: no
            prediction; so is a number that is not positive, unless a shift is fitted.
        true: [V, H, W] z-depth in metres; 0 or not finite = none.
        alignment: fitted before the comparison.
        nearest: metres, lower limit of the truth and of the aligned prediction.
        farthest: metres, upper limit of both.

    Raises:
        InputError: the sides differ in shape, no pixel of the truth counts, or none of them has a
            prediction.
    """
    predicted, true = checked_depth(predicted, true)
    valid = valid_depth(true, nearest, farthest)
    if not valid.any():
        raise InputError(
            f"true depth: no pixel lies within {nearest:g} to {farthest:g} m; give z-depth in "
            "metres"
        )
    given = has_prediction(predicted, alignment)
    if not (valid & given).any():
        raise InputError(
            "predicted depth: no pixel with true depth has a prediction; give finite numbers, "
            "positive ones where no shift is fitted"
        )
    aligned = align_depth(predicted, true, alignment, nearest, farthest)
    rows = [
        depth_errors(image[kept], truth[kept])
        for image, truth, kept in zip(aligned, true, valid, strict=True)
        if kept.any()
    ]
    shares = [float(g[kept].mean()) for g, kept in zip(given, valid, strict=True) if kept.any()]
    scores = {
        f"depth_{name}_{alignment.name}": float(np.mean([row[name] for row in rows]))
        for name in rows[0]
    }
    return scores | {f"depth_predicted_share_{alignment.name}": float(np.mean(shares))}


def align_depth(
    predicted: np.ndarray,
    true: np.ndarray,
    alignment: DepthAlignment,
    nearest: float = NEAREST,
    farthest: float = FARTHEST,
) -> np.ndarray:
    """Return aligned depth [V, H, W] in metres, clipped to [nearest, farthest] after the shift.

    Arguments and errors as of `depth_scores`.
    """
    predicted, true = checked_depth(predicted, true)
    given = has_prediction(predicted, alignment)
    usable = valid_depth(true, nearest, farthest) & given  # pixels that the fit reads
    # A pixel that is not usable may hold 0; its target is never read.
    target = true if alignment.space == "depth" else 1 / np.where(usable, true, 1)
    groups = [slice(None)] if alignment.scope == "sequence" else list(range(len(true)))
    fitted = np.where(given, predicted, 0)
    for group in groups:
        kept = usable[group]
        factor, shift = fit_depth(predicted[group][kept], target[group][kept], alignment.fit)
        fitted[group] = factor * fitted[group] + shift
    if alignment.space == "depth":
        depth = np.clip(fitted, nearest, farthest)
    else:
        depth = 1 / np.clip(fitted, 1 / farthest, 1 / nearest)
    return np.where(given, depth, nearest)


def fit_depth(predicted: np.ndarray, target: np.ndarray, fit: str) -> tuple[float, float]:
    """Return the factor and the shift that take predictions to their targets.

    Args:
        predicted: [N] pixels, depth or disparity; without any the factor is 1.
        target: [N] the same pixels of the truth, in the same space.
        fit: one of `FITS`. With a shift the factor is negative where the two run against each
            other, and 0 for a constant prediction, which the shift takes to the mean target.

    Source: median: Zhou et al. 2017 (SfMLearner); scale and shift: Ranftl et al. 2020 (MiDaS).

    Example:
        >>> fit_depth(np.array([1.0, 2.0]), np.array([3.0, 5.0]), "median")
        (2.6666666666666665, 0.0)
    """
    if fit == "none" or not len(predicted):
        return 1.0, 0.0
    # Squares of very large or small numbers would leave the range of float64.
    size = float(np.abs(predicted).max()) or 1.0
    predicted = predicted / size
    if fit == "median":
        return float(np.median(target) / np.median(predicted)) / size, 0.0
    if fit == "scale":
        return float((predicted * target).sum() / (predicted**2).sum()) / size, 0.0
    # Centred sums: the normal equations of raw ones lose half the digits.
    mean, target_mean = predicted.mean(), target.mean()
    off = predicted - mean
    variance = (off**2).sum()
    # A variance of rounding alone is that of a constant prediction.
    flat = variance <= 1e-24 * (predicted**2).sum()
    factor = 0.0 if flat else float((off * (target - target_mean)).sum() / variance)
    return factor / size, float(target_mean - factor * mean)


def depth_errors(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return the errors of positive depths.

    Args:
        predicted: [N] metres, N at least 1.
        true: [N] metres.

    Returns:
        "absrel" and "log10" without unit, "sqrel_m" and "rmse_m" in metres, "rmse_log" of natural
        logarithms, "silog0.5" and "silog1" √(mean d² - λ (mean d)²) of d = ln p - ln g with their
        λ (KITTI prints 100 times silog1), "delta1" to "delta3" shares with
        max(p / g, g / p) < 1.25, 1.25², 1.25³, "inlier@1.03" likewise.

    Source: Eigen et al. 2014; SILog with λ = 0.5 as in Depth Anything V2 (Yang et al. 2024), with
        λ = 1 as in KITTI; inlier ratio: Schröppel et al. 2022 (Robust MVD).

    Example:
        >>> errors = depth_errors(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
        >>> errors["absrel"], errors["sqrel_m"], errors["delta1"], round(errors["silog1"], 6)
        (0.75, 1.25, 0.0, 0.693147)
    """
    difference = predicted - true
    logs = np.log(predicted) - np.log(true)
    ratio = np.maximum(predicted / true, true / predicted)
    square, mean = float((logs**2).mean()), float(logs.mean())
    return {
        "absrel": float((np.abs(difference) / true).mean()),
        "sqrel_m": float((difference**2 / true).mean()),
        "rmse_m": float(np.sqrt((difference**2).mean())),
        "rmse_log": square**0.5,
        "log10": float(np.abs(logs).mean() / np.log(10)),
        # Rounding can leave less than 0 of a variance of 0.
        "silog0.5": max(square - 0.5 * mean**2, 0.0) ** 0.5,
        "silog1": max(square - mean**2, 0.0) ** 0.5,
        "delta1": float((ratio < DELTA).mean()),
        "delta2": float((ratio < DELTA**2).mean()),
        "delta3": float((ratio < DELTA**3).mean()),
        f"inlier@{INLIER_RATIO}": float((ratio < INLIER_RATIO).mean()),
    }


def valid_depth(true: np.ndarray, nearest: float, farthest: float) -> np.ndarray:
    """Return which pixels of the truth are scored, booleans of its shape."""
    return np.isfinite(true) & (true >= nearest) & (true <= farthest)


def has_prediction(predicted: np.ndarray, alignment: DepthAlignment) -> np.ndarray:
    """Return which pixels have a prediction, booleans of its shape.

    A prediction with a free shift may be 0 or negative; others of that kind are no depth.
    """
    finite = np.isfinite(predicted)
    return finite if alignment.fit == "scale_shift" else finite & (predicted > 0)


def checked_depth(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as float64 [V, H, W].

    Raises:
        InputError: the sides differ in shape, or are no images.
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if true.ndim != 3 or predicted.shape != true.shape:
        raise InputError(
            f"predicted depth: shape {list(predicted.shape)} vs {list(true.shape)} of the truth; "
            f"give [views, height, width] at the size of the truth"
        )
    return predicted, true
