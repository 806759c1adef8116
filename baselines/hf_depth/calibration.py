"""A depth model's output as metres: as it is, or by one scale and shift fitted on train."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

METRIC, DEPTH, INVERSE = "metric", "depth", "inverse_depth"


@dataclass(frozen=True)
class Calibration:
    """From a model's output p to z-depth in metres.

    `metric`: p itself; `depth`: scale * p + shift; `inverse_depth`: 1 / (scale * p + shift), as
    MiDaS and its followers predict (Ranftl et al. 2022). What is fitted is kept between `near` and
    `far`, the least and greatest true depth it was fitted on; `error` is its median relative error
    on the training scenes that it was not fitted on.
    """

    form: str
    scale: float = 1.0
    shift: float = 0.0
    near: float = 0.0
    far: float = 0.0
    error: float | None = None

    def metres(self, output: np.ndarray) -> np.ndarray:
        """Return the depth f32 of outputs of any shape; 0 where there is none."""
        if self.form == METRIC:
            return np.where(np.isfinite(output) & (output > 0), output, 0).astype(np.float32)
        value = self.scale * np.nan_to_num(output) + self.shift
        if self.form == INVERSE:
            value = 1 / np.clip(value, 1 / self.far, 1 / self.near)
        return np.clip(value, self.near, self.far).astype(np.float32)

    def record(self) -> dict[str, Any]:
        """Return the calibration as a submission records it."""
        return asdict(self)


def fit(form: str, output: np.ndarray, true: np.ndarray) -> Calibration:
    """Fit one scale and shift by least squares on outputs [N] and true depths [N] in metres.

    The squares are of depth for `depth` and of inverse depth for `inverse_depth`. A constant
    output gives scale 0 and the mean as shift.
    """
    output, true = output.astype(np.float64), true.astype(np.float64)
    target = 1 / true if form == INVERSE else true
    centred = output - output.mean()
    spread = (centred**2).sum()
    scale = float((centred * (target - target.mean())).sum() / spread) if spread > 0 else 0.0
    shift = float(target.mean() - scale * output.mean())
    return Calibration(form, scale, shift, float(true.min()), float(true.max()))


def choose(output: list[np.ndarray], true: list[np.ndarray]) -> Calibration:
    """Fit both forms on every other training scene and keep the one nearer on the others.

    `output` and `true` hold one array [N] a scene. With one scene alone it is fitted and judged on
    that one.
    """
    best = None
    for form in (DEPTH, INVERSE):
        found = fit(form, np.concatenate(output[::2]), np.concatenate(true[::2]))
        judged = np.concatenate(output[1::2] or output), np.concatenate(true[1::2] or true)
        error = float(np.median(np.abs(found.metres(judged[0]) - judged[1]) / judged[1]))
        if best is None or error < best.error:
            best = Calibration(form, found.scale, found.shift, found.near, found.far, error)
    return best
