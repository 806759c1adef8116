"""How unlike its training rooms a capture is, calibrated on the validation split.

Two summaries of a scene's inputs are judged: its look (the frozen image features, averaged) and
its shape (depths, heights, normals, how the cameras stand). Each is held against a probabilistic
principal subspace of the training rooms (Moghaddam and Pentland 1997): the distance inside it in
standard deviations, and what is left outside. The validation rooms, which the fit never saw, say
how large such distances usually are; the share of them at least as far is a conformal p-value
(Vovk et al. 2005).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from metrics.files import InputError, atomic_path

if TYPE_CHECKING:
    from g2vlm.features.readers import ImageFeatures, SceneFeatures
    from g2vlm.scenes.dataset import SceneInputs, SceneStore

FILE = "familiarity.safetensors"
KINDS = ("look", "shape")
_COMPONENTS = 24
# What hardly varies in training must not make every other value infinitely strange: least spread of
# a summary's number, and of a direction in standardised numbers.
_LEAST_SCALE, _LEAST_DEVIATION = 0.02, 0.2
_LEAST_SHARE = 0.05
_LEAST_ROOMS = 4


@dataclass(frozen=True)
class Familiarity:
    """distance: 1 = farther from training than 95 % of validation rooms; look, shape: the same of
    each summary; share: of validation rooms at least as far; unfamiliar: share under 5 %; says: a
    sentence.
    """

    distance: float
    look: float
    shape: float
    share: float
    unfamiliar: bool
    says: str


@dataclass(frozen=True)
class Subspace:
    """Where a summary of D numbers lies over the training rooms.

    mean, scale f64[D]; basis f64[K, D]; deviation f64[K]; rest: typical length outside the basis.
    """

    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    deviation: np.ndarray
    rest: float

    @staticmethod
    def fit(rows: np.ndarray, components: int = _COMPONENTS) -> Subspace:
        """Fit to rows f64[N, D]."""
        mean, scale = rows.mean(0), rows.std(0) + _LEAST_SCALE
        values = (rows - mean) / scale
        _, sizes, basis = np.linalg.svd(values, full_matrices=False)
        count = max(1, min(components, len(rows) // 3, rows.shape[1] - 1))
        left = values - (values @ basis[:count].T) @ basis[:count]
        rest = float(np.sqrt(np.mean((left**2).sum(1))))
        deviation = np.maximum(sizes[:count] / np.sqrt(len(rows)), _LEAST_DEVIATION)
        return Subspace(mean, scale, basis[:count], deviation, max(rest, _LEAST_DEVIATION))

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Return how far rows f64[N, D] lie from the training rooms, about 1 for these."""
        values = (rows - self.mean) / self.scale
        inside = values @ self.basis.T
        left = values - inside @ self.basis
        total = ((inside / self.deviation) ** 2).sum(1) + (left**2).sum(1) / self.rest**2
        return np.sqrt(total / (len(self.deviation) + 1))


def describe(inputs: SceneInputs, features: SceneFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's look f64[C + 6] and shape f64[19]."""
    from g2vlm.models.batch import scene_arrays

    arrays = scene_arrays(inputs, features.tokens, features.points)
    tokens = arrays.tokens.astype(float)
    look = np.concatenate([tokens.mean(0), arrays.rgb.mean(0), arrays.rgb.std(0)])
    seen = arrays.depth > 0
    depth = arrays.depth[seen] if seen.any() else np.ones(1)
    normal = arrays.normal[(arrays.normal != 0).any(1)]
    normal = normal if len(normal) else np.zeros((1, 3))
    pose, matrix = inputs.pose, inputs.intrinsics
    shape = [
        seen.mean(),
        len(normal) / len(seen),
        *np.log(np.quantile(depth, [0.05, 0.25, 0.5, 0.75, 0.95])),
        *np.quantile(_heights(inputs), [0.02, 0.25, 0.5, 0.75, 0.98]),
        (normal[:, 2] > 0.9).mean(),
        (normal[:, 2] < -0.9).mean(),
        (np.abs(normal[:, 2]) < 0.2).mean(),
        pose[:, 2, 3].mean(),
        pose[:, 2, 2].mean(),
        np.linalg.norm(pose[:, :2, 3].std(0)),
        np.log(inputs.rgb.shape[2] / (2 * matrix[:, 0, 0])).mean(),
    ]
    return look, np.array(shape)


def _heights(inputs: SceneInputs) -> np.ndarray:
    """Return the heights above the floor of what was measured, f64[M], M >= 1."""
    from g2vlm.inference.points import lift

    heights = lift(inputs.depth, inputs.intrinsics, inputs.pose)[..., 2][inputs.depth > 0]
    return heights if len(heights) else np.zeros(1)


class Judge:
    """Judges captures by a calibration that `calibrate` wrote.

    Raises `InputError` naming the file when it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            stored = load_file(path)
            self._spaces = {
                kind: Subspace(
                    *(stored[f"{kind}/{name}"] for name in ("mean", "scale", "basis", "deviation")),
                    float(stored[f"{kind}/rest"][0]),
                )
                for kind in KINDS
            }
            self._usual = {kind: stored[f"{kind}/val"] for kind in KINDS}
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: no calibration ({error}); write it by `python -m g2vlm familiarity`"
            ) from error

    def __call__(self, inputs: SceneInputs, features: SceneFeatures) -> Familiarity:
        """Judge one scene's inputs."""
        far = {}
        for kind, summary in zip(KINDS, describe(inputs, features), strict=True):
            space = self._spaces[kind]
            if summary.shape != space.mean.shape:
                raise InputError(
                    f"{FILE}: made for {len(space.mean)} features, the encoder gives "
                    f"{len(summary)}; calibrate with the model's own encoder"
                )
            limit = np.quantile(self._usual[kind], 1 - _LEAST_SHARE)
            far[kind] = float(space.distance(summary[None])[0] / limit)
        usual = self.usual()
        total = max(far.values())
        share = (1 + int((usual >= total).sum())) / (1 + len(usual))
        distance = total / float(np.quantile(usual, 1 - _LEAST_SHARE))
        strange = share < _LEAST_SHARE or total > float(usual.max())
        values = (round(v, 3) for v in (distance, far["look"], far["shape"], share))
        return Familiarity(*values, strange, _sentence(strange, distance, far))

    def usual(self) -> np.ndarray:
        """Return the validation rooms' distances f64[N], the farther of both kinds."""
        each = [v / np.quantile(v, 1 - _LEAST_SHARE) for v in self._usual.values()]
        return np.max(each, axis=0)


def _sentence(strange: bool, distance: float, far: dict[str, float]) -> str:
    if not strange:
        return "The capture is like the rooms the model was trained on."
    what = " and ".join(kind for kind in KINDS if far[kind] > 1) or "look"
    return (
        f"The capture is unlike the rooms the model was trained on in its {what} "
        f"({distance:.1f} times the usual distance): take names, relations and answers as guesses."
    )


def calibrate(
    train: tuple[SceneStore, ImageFeatures],
    val: tuple[SceneStore, ImageFeatures],
    out: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fit on the train split's inputs, measure the val split's distances and write both.

    Each split is its scenes and their cached image features; `out` is `familiarity.safetensors`
    of a model folder. Truth is not read. Raises `InputError` with fewer than 4 rooms.
    """
    total = len(train[0].ids) + len(val[0].ids)
    rows: dict[str, list] = {"train": [], "val": []}
    done = 0
    for name, (store, features) in (("train", train), ("val", val)):
        if len(store.ids) < _LEAST_ROOMS:
            raise InputError(f"{store.folder}: {len(store.ids)} rooms are too few to calibrate on")
        for scene in store.ids:
            rows[name].append(describe(store.inputs(scene), features[scene]))
            done += 1
            if progress:
                progress(done, total)
    tensors: dict[str, np.ndarray] = {}
    for index, kind in enumerate(KINDS):
        space = Subspace.fit(np.stack([row[index] for row in rows["train"]]))
        usual = space.distance(np.stack([row[index] for row in rows["val"]]))
        tensors |= {
            f"{kind}/mean": space.mean,
            f"{kind}/scale": space.scale,
            f"{kind}/basis": np.ascontiguousarray(space.basis),
            f"{kind}/deviation": space.deviation,
            f"{kind}/rest": np.array([space.rest]),
            f"{kind}/val": usual,
        }
    with atomic_path(out) as temporary:
        save_file({k: v.astype(np.float32) for k, v in tensors.items()}, temporary)


def calibrate_experiment(
    results: str | os.PathLike[str],
    out: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Calibrate on a finished experiment's folder (`results/cpu`): its scenes and features."""
    from g2vlm.features.readers import ImageFeatures
    from g2vlm.scenes.dataset import SceneStore

    root = Path(results)
    splits = [
        (
            SceneStore(root / "scenes" / split),
            ImageFeatures(root / "features" / "images" / f"{split}.safetensors"),
        )
        for split in ("train", "val")
    ]
    calibrate(*splits, out, progress)
