"""The out-of-distribution score: how unlike the training rooms a capture is.

The score compares two summaries of a scene's inputs with the training rooms: its look (the mean of
the frozen image features, and colours) and its shape (depths, heights, normals, camera poses). A
probabilistic principal subspace (Moghaddam and Pentland 1997) describes each summary over the
training rooms. The distance of a scene is its distance inside the subspace, in standard deviations,
combined with its residual outside the subspace. The fit never saw the validation rooms, so their
distances are the reference: the share of them at least as far as the scene is a conformal p-value
(Vovk et al. 2005).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from g2vlm.features.readers import ImageFeatures, SceneFeatures
from g2vlm.scenes.dataset import SceneInputs, SceneStore
from metrics.files import InputError, atomic_path, require_regular
from metrics.geometry import lift_depth, to_frame

FILE = "ood_score.safetensors"
SUMMARIES = ("look", "shape")
_COMPONENTS = 24
# Lower limits of a number's spread and of a component's deviation. Without them a number that
# hardly varies in training would make every other value infinitely far.
_LEAST_SCALE, _LEAST_DEVIATION = 0.02, 0.2
# A scene is out of distribution when fewer validation rooms than this share are as far.
_SIGNIFICANCE = 0.05
_LEAST_ROOMS = 4
_FIX = "write the model folder again with `python -m g2vlm publish`"


@dataclass(frozen=True)
class OODScore:
    """How far a scene lies from the training rooms.

    Args:
        distance: 1 means farther than 95% of the validation rooms.
        look, shape: the distance of each summary, in the same unit.
        share: share of validation rooms that are at least as far.
        out_of_distribution: whether that share is under 5%.
        message: the verdict as a sentence.
    """

    distance: float
    look: float
    shape: float
    share: float
    out_of_distribution: bool
    message: str


@dataclass(frozen=True)
class Subspace:
    """Principal subspace of a summary of D numbers over the training rooms.

    Args:
        mean, scale: f64[D], of each number.
        basis: f64[K, D], orthonormal rows.
        deviation: f64[K], standard deviation along each row of `basis`.
        residual: root mean square length outside the basis.
    """

    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    deviation: np.ndarray
    residual: float

    @staticmethod
    def fit(rows: np.ndarray, components: int = _COMPONENTS) -> "Subspace":
        """Fit to rows f64[N, D]."""
        mean, scale = rows.mean(0), rows.std(0) + _LEAST_SCALE
        values = (rows - mean) / scale
        _, sizes, basis = np.linalg.svd(values, full_matrices=False)
        # With fewer than three rooms a component its deviation would be noise.
        count = max(1, min(components, len(rows) // 3, rows.shape[1] - 1))
        outside = values - (values @ basis[:count].T) @ basis[:count]  # (N, D)
        residual = float(np.sqrt(np.mean((outside**2).sum(1))))
        deviation = np.maximum(sizes[:count] / np.sqrt(len(rows)), _LEAST_DEVIATION)
        return Subspace(mean, scale, basis[:count], deviation, max(residual, _LEAST_DEVIATION))

    def is_valid(self) -> bool:
        """Return whether shapes and numbers are those of a fitted subspace."""
        count, width = self.basis.shape if self.basis.ndim == 2 else (0, 0)
        return (
            self.mean.shape == self.scale.shape == (width,)
            and self.deviation.shape == (count,)
            and bool(np.isfinite(self.mean).all() and np.isfinite(self.basis).all())
            and all(map(_are_positive, (self.scale, self.deviation, np.array([self.residual]))))
        )

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Return the distance f64[N] of rows f64[N, D], about 1 for training rooms."""
        values = (rows - self.mean) / self.scale
        inside = values @ self.basis.T  # (N, K)
        outside = values - inside @ self.basis  # (N, D)
        total = ((inside / self.deviation) ** 2).sum(1) + (outside**2).sum(1) / self.residual**2
        # The residual counts as one more component.
        return np.sqrt(total / (len(self.deviation) + 1))


def _are_positive(values: np.ndarray) -> bool:
    """Return whether the values [N] are one or more finite positive numbers."""
    return values.ndim == 1 and len(values) > 0 and bool(((values > 0) & (values < np.inf)).all())


def summarise(inputs: SceneInputs, features: SceneFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's look f64[C + 6] and shape f64[19]."""
    from g2vlm.models.batch import scene_arrays

    arrays = scene_arrays(inputs, features.tokens, features.points)
    tokens = arrays.tokens.astype(float)
    look = np.concatenate([tokens.mean(0), arrays.rgb.mean(0), arrays.rgb.std(0)])
    measured = arrays.depth > 0
    depth = arrays.depth[measured] if measured.any() else np.ones(1)
    normal = arrays.normal[(arrays.normal != 0).any(1)]
    normal = normal if len(normal) else np.zeros((1, 3))
    pose, matrix = inputs.pose, inputs.intrinsics
    # Heights above the floor of the measured points, (M,).
    heights = to_frame(lift_depth(inputs.depth, matrix), pose)[..., 2][inputs.depth > 0]
    shape = [
        measured.mean(),
        len(normal) / len(measured),
        *np.log(np.quantile(depth, [0.05, 0.25, 0.5, 0.75, 0.95])),
        *np.quantile(heights if len(heights) else np.zeros(1), [0.02, 0.25, 0.5, 0.75, 0.98]),
        # Shares of surface that face up, down and sideways.
        (normal[:, 2] > 0.9).mean(),
        (normal[:, 2] < -0.9).mean(),
        (np.abs(normal[:, 2]) < 0.2).mean(),
        # Height, pitch and spread of the cameras.
        pose[:, 2, 3].mean(),
        pose[:, 2, 2].mean(),
        np.linalg.norm(pose[:, :2, 3].std(0)),
        # Tangent of half the horizontal field of view.
        np.log(inputs.rgb.shape[2] / (2 * matrix[:, 0, 0])).mean(),
    ]
    return look, np.array(shape)


class OODScorer:
    """Scores scenes with a calibration that `calibrate` wrote.

    Raises:
        InputError: the calibration file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_regular(path, _FIX)
        try:
            stored = load_file(path)
            self._subspaces = {
                name: Subspace(
                    *(stored[f"{name}/{part}"] for part in ("mean", "scale", "basis", "deviation")),
                    float(stored[f"{name}/rest"][0]),
                )
                for name in SUMMARIES
            }
            self._val_distances = {name: stored[f"{name}/val"] for name in SUMMARIES}
        except (SafetensorError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is not a calibration ({error}); {_FIX}") from error
        for name, subspace in self._subspaces.items():
            if not subspace.is_valid() or not _are_positive(self._val_distances[name]):
                raise InputError(
                    f"{path}: {name} has other shapes or numbers than a calibration; {_FIX}"
                )
        if len({len(values) for values in self._val_distances.values()}) > 1:
            raise InputError(f"{path}: its summaries have different numbers of rooms; {_FIX}")

    def __call__(self, inputs: SceneInputs, features: SceneFeatures) -> OODScore:
        """Return the score of one scene."""
        relative = {}
        for name, summary in zip(SUMMARIES, summarise(inputs, features), strict=True):
            subspace = self._subspaces[name]
            if summary.shape != subspace.mean.shape:
                raise InputError(
                    f"{FILE}: fitted to {len(subspace.mean)} features, the encoder gives "
                    f"{len(summary)}; calibrate with the model's own encoder"
                )
            limit = np.quantile(self._val_distances[name], 1 - _SIGNIFICANCE)
            relative[name] = float(subspace.distance(summary[None])[0] / limit)
        # The distance of each validation room, the larger of both summaries, (N,).
        each = [v / np.quantile(v, 1 - _SIGNIFICANCE) for v in self._val_distances.values()]
        reference = np.max(each, axis=0)
        farther = max(relative.values())
        share = (1 + int((reference >= farther).sum())) / (1 + len(reference))
        distance = farther / float(np.quantile(reference, 1 - _SIGNIFICANCE))
        # With few validation rooms the share cannot get under 5%: then the largest distance counts.
        outside = share < _SIGNIFICANCE or farther > float(reference.max())
        message = "The capture is like the rooms the model was trained on."
        if outside:
            names = " and ".join(name for name in SUMMARIES if relative[name] > 1) or "look"
            message = (
                f"The capture is unlike the rooms the model was trained on in its {names} "
                f"({distance:.1f} times the usual distance): take names, relations and answers as "
                "guesses."
            )
        return OODScore(
            round(distance, 3),
            round(relative["look"], 3),
            round(relative["shape"], 3),
            round(share, 3),
            outside,
            message,
        )


def calibrate(
    train: tuple[SceneStore, ImageFeatures],
    val: tuple[SceneStore, ImageFeatures],
    out: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fit both subspaces to the train split, measure the val split and write the calibration.

    The calibration reads inputs only, never ground truth.

    Args:
        train, val: the split's scenes and their cached image features.
        out: the `ood_score.safetensors` of a model folder.
        progress: called with (scenes done, scenes in all).

    Raises:
        InputError: a split has fewer than 4 rooms.
    """
    total = len(train[0].ids) + len(val[0].ids)
    rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "val": []}
    for split, (store, features) in (("train", train), ("val", val)):
        if len(store.ids) < _LEAST_ROOMS:
            raise InputError(
                f"{store.folder}: {len(store.ids)} rooms are too few to calibrate on; render at "
                f"least {_LEAST_ROOMS}"
            )
        for scene in store.ids:
            rows[split].append(summarise(store.inputs(scene), features[scene]))
            if progress:
                progress(len(rows["train"]) + len(rows["val"]), total)
    tensors: dict[str, np.ndarray] = {}
    for index, name in enumerate(SUMMARIES):
        subspace = Subspace.fit(np.stack([row[index] for row in rows["train"]]))
        tensors |= {
            f"{name}/mean": subspace.mean,
            f"{name}/scale": subspace.scale,
            f"{name}/basis": np.ascontiguousarray(subspace.basis),
            f"{name}/deviation": subspace.deviation,
            f"{name}/rest": np.array([subspace.residual]),
            f"{name}/val": subspace.distance(np.stack([row[index] for row in rows["val"]])),
        }
    with atomic_path(out) as temporary:
        save_file({k: v.astype(np.float32) for k, v in tensors.items()}, temporary)
