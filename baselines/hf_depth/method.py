"""Pretrained monocular depth, lifted to points with the true cameras."""

import inspect
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from baselines.contract import Context
from baselines.pretrained import Pretrained, open_pretrained, to_pil
from metrics.files import InputError
from metrics.geometry import lift_depth, to_frame

DESCRIPTION = "Pretrained depth from each RGB image alone, lifted to points by the given cameras"
PRODUCES = ("points",)
REASONS = {
    "mesh": "gives points without a surface between them",
    "occupancy": "gives points without a volume",
}
DEFAULT_REASON = "reads no language and finds no objects"
GEOMETRY_INPUTS = ("poses", "intrinsics")
PIXELS = True
PRETRAINED = True
THREADS = 4
USES_GPU = True

# Model types that always predict metres. Others declare it in their config or are calibrated.
METRIC_TYPES = ("zoedepth", "depth_pro", "glpn")
# Forms of a model's output.
METRIC, DEPTH, INVERSE = "metric", "depth", "inverse_depth"
TRAIN_SCENES = 40
PIXELS_PER_VIEW = 500


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


def predict(context: Context) -> None:
    """Write every pixel of the four input views as a point.

    The sensor's depth is never read. The output of a model that predicts metres is used unchanged;
    any other output gets one scale and shift for all images, fitted on training scenes.
    """
    pretrained = open_pretrained(
        context, "MODEL_FOR_DEPTH_ESTIMATION_MAPPING", "AutoImageProcessor", "depth model"
    )
    start = time.perf_counter()
    calibration = calibrate(pretrained, context)
    fit_seconds = time.perf_counter() - start
    for split, scenes in context.splits.items():
        with context.writer(split, fit_seconds) as writer:
            writer.cost["parameters"] = pretrained.parameters
            writer.thresholds |= pretrained.record | {"calibration": asdict(calibration)}
            for scene in scenes.ids:
                _write(writer, scenes.inputs(scene), pretrained, calibration)


def _write(writer: Any, inputs: Any, pretrained: Pretrained, calibration: Calibration) -> None:
    """Write one scene; a scene without any depth is left out, which is scored as a failure."""
    depth = calibration.metres(predict_depth(pretrained, inputs.rgb))
    valid = depth > 0
    if valid.any():
        points = to_frame(lift_depth(depth, inputs.intrinsics), inputs.pose)[valid]
        writer.points(inputs.scene, points, inputs.rgb[valid], pixels=np.argwhere(valid))


def calibrate(pretrained: Pretrained, context: Context) -> Calibration:
    """Return how the model's output becomes metres, fitted on the training split if necessary."""
    config = pretrained.model.config
    if (
        config.model_type in METRIC_TYPES
        or getattr(config, "depth_estimation_type", None) == METRIC
    ):
        return Calibration(METRIC)
    train = context.need("train")
    rows = np.unique(np.linspace(0, len(train.ids) - 1, TRAIN_SCENES).round().astype(int))
    outputs, depths = [], []
    for row in rows:
        rgb = train.inputs(train.ids[row]).rgb
        true = train.views(train.ids[row]).depth[: len(rgb)].reshape(len(rgb), -1)  # (V, H*W)
        output = predict_depth(pretrained, rgb).reshape(true.shape)
        step = max(true.shape[1] // PIXELS_PER_VIEW, 1)
        true, output = true[:, ::step], output[:, ::step]
        valid = (true > 0) & np.isfinite(output)
        outputs.append(output[valid])
        depths.append(true[valid])
    if not sum(map(len, outputs)):
        raise InputError(
            f"{pretrained.folder}: the model predicts no finite depth; use another or save it again"
        )
    return select_calibration(outputs, depths)


def predict_depth(pretrained: Pretrained, rgb: np.ndarray) -> np.ndarray:
    """Return the model's output f32[V, H, W] at the size of the images u8[V, H, W, 3]."""
    import torch

    sizes = [rgb.shape[1:3]] * len(rgb)
    with torch.inference_mode():
        outputs = pretrained.model(**pretrained.inputs(images=to_pil(rgb)))
        finish = getattr(pretrained.processor, "post_process_depth_estimation", None)
        if finish is None:
            depth = torch.nn.functional.interpolate(
                outputs.predicted_depth[:, None], rgb.shape[1:3], mode="bicubic"
            )[:, 0]
        else:
            # ZoeDepth pads its images and removes the margin again if it knows their size.
            padded = "source_sizes" in inspect.signature(finish).parameters
            extra = {"source_sizes": sizes} if padded else {}
            finished = finish(outputs, target_sizes=sizes, **extra)
            depth = torch.stack([view["predicted_depth"] for view in finished])
    return depth.float().cpu().numpy()
