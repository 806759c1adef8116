"""Linear retrieval probe on frozen trunk features.

A method without a retrieval loss has no head for retrieval, so all methods are compared by a linear
probe (Alain & Bengio 2016): ridge regression (Hoerl & Kennard 1970) from the pooled features of a
scene to the mean of the frozen text embeddings of its captions. The closed form leaves nothing to
tune by method.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from g2vlm.models.checkpoint import read_tensors
from metrics.files import InputError, atomic_path
from metrics.geometry import unit

FILE = "probe.safetensors"
# Ridge penalty per training scene, in units of a feature's variance. Among 1/60 to 16 it is best or
# nearly best on `val` for full, no_geometry and no_alignment alike.
PENALTY = 0.5
_LEAST_SPREAD = 1e-4


@dataclass(frozen=True)
class RetrievalProbe:
    """A linear map from scenes to texts, both standardised over the training set.

    Attributes:
        scene_mean: f32 [D].
        scene_spread: f32 [D], standard deviation.
        text_mean: f32 [W].
        text_spread: f32 [W], standard deviation.
        weights: f32 [D, W].
    """

    scene_mean: np.ndarray
    scene_spread: np.ndarray
    text_mean: np.ndarray
    text_spread: np.ndarray
    weights: np.ndarray

    @staticmethod
    def fit(scenes: np.ndarray, texts: Sequence[np.ndarray]) -> "RetrievalProbe":
        """Fit to scenes [N, D] and the texts [K, W] of each; scenes without a text are left out.

        Raises:
            InputError: where no scene has a text.
        """
        used = [row for row, rows in enumerate(texts) if len(rows)]
        if not used:
            raise InputError("train: no scene has a caption; build data/ again: make data")
        scene_mean, scene_spread = _moments(scenes)
        text_mean, text_spread = _moments(np.concatenate([texts[row] for row in used]))
        x = (scenes[used] - scene_mean) / scene_spread
        means = np.stack([texts[row].astype(np.float64).mean(0) for row in used])
        # Normal equations of ridge regression, (D, D).
        gram = x.T @ x + PENALTY * len(used) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ ((means - text_mean) / text_spread))
        return RetrievalProbe(
            *(
                part.astype(np.float32)
                for part in (scene_mean, scene_spread, text_mean, text_spread, weights)
            )
        )

    def scores(self, texts: np.ndarray, scenes: np.ndarray) -> np.ndarray:
        """Return cosines f32[Q, S] of texts [Q, W] and scenes [S, D]."""
        mapped = ((scenes - self.scene_mean) / self.scene_spread) @ self.weights  # (S, W)
        return unit((texts - self.text_mean) / self.text_spread) @ unit(mapped).T

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write probe.safetensors into a model's folder."""
        from safetensors.numpy import save_file

        with atomic_path(Path(folder) / FILE) as temporary:
            save_file({key: np.ascontiguousarray(v) for key, v in vars(self).items()}, temporary)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> "RetrievalProbe":
        """Read what `save` wrote.

        Raises:
            InputError: for a missing, damaged or foreign file.
        """
        path = Path(folder) / FILE
        found = read_tensors(path, "train the model again")
        try:
            return RetrievalProbe(*(found[field.name].numpy() for field in fields(RetrievalProbe)))
        except KeyError as error:
            raise InputError(f"{path}: damaged ({error}); train the model again") from error


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column; constant columns get a small one."""
    wide = rows.astype(np.float64)
    return wide.mean(0), np.maximum(wide.std(0), _LEAST_SPREAD)
