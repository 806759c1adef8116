"""Conversion of a depth model's output to metres, with one scale and shift fitted on train."""

from dataclasses import dataclass, replace

import numpy as np

METRIC, DEPTH, INVERSE = "metric", "depth", "inverse_depth"


@dataclass(frozen=True)
class Calibration:
    """Conversion of a model's output p to z-depth in metres.

    Attributes:
        form: "metric" for p itself, "depth" for scale * p + shift, or "inverse_depth" for
            1 / (scale * p + shift).
        scale: the fitted scale.
        shift: the fitted shift.
        near: smallest true depth in the fit, metres; fitted depth is clipped to it.
        far: largest true depth in the fit, metres; fitted depth is clipped to it.
        error: median relative error on training scenes that were not in the fit.

    Source: Ranftl et al. 2022 (MiDaS), whose followers predict inverse depth.
    """

    form: str
    scale: float = 1.0
    shift: float = 0.0
    near: float = 0.0
    far: float = 0.0
    error: float | None = None

    def metres(self, output: np.ndarray) -> np.ndarray:
        """Return the depth f32 of outputs of any shape; 0 where a metric output is not positive."""
        if self.form == METRIC:
            return np.where(np.isfinite(output) & (output > 0), output, 0).astype(np.float32)
        value = self.scale * np.nan_to_num(output) + self.shift
        if self.form == INVERSE:
            value = 1 / np.clip(value, 1 / self.far, 1 / self.near)
        return np.clip(value, self.near, self.far).astype(np.float32)


def fit(form: str, output: np.ndarray, true: np.ndarray) -> Calibration:
    """Fit one scale and shift by least squares.

    The error is that of depth for the form "depth" and that of inverse depth for "inverse_depth".
    A constant output gets scale 0 and the mean as its shift.

    Args:
        form: "depth" or "inverse_depth".
        output: the model's outputs, [N].
        true: true depths, [N], metres.
    """
    output, true = output.astype(np.float64), true.astype(np.float64)
    target = 1 / true if form == INVERSE else true
    centred = output - output.mean()
    spread = (centred**2).sum()
    scale = float((centred * (target - target.mean())).sum() / spread) if spread > 0 else 0.0
    shift = float(target.mean() - scale * output.mean())
    return Calibration(form, scale, shift, float(true.min()), float(true.max()))


def select_calibration(output: list[np.ndarray], true: list[np.ndarray]) -> Calibration:
    """Fit both forms on every second training scene and return the better one on the others.

    A single scene serves for both.

    Args:
        output: the model's outputs, one array [N] per scene.
        true: true depths, one array [N] per scene, metres.
    """
    best = None
    for form in (DEPTH, INVERSE):
        fitted = fit(form, np.concatenate(output[::2]), np.concatenate(true[::2]))
        held_out = np.concatenate(true[1::2] or true)
        predicted = fitted.metres(np.concatenate(output[1::2] or output))
        error = float(np.median(np.abs(predicted - held_out) / held_out))
        if best is None or error < best.error:
            best = replace(fitted, error=error)
    return best
