"""The linear retrieval probe: what a trunk that stands still says of a scene, read by one map.

A method that was never taught to retrieve has no head for it. A linear probe (Alain & Bengio 2016)
asks every method the same: ridge regression (Hoerl & Kennard 1970) from the trunk's pooled vector
to the frozen text encoder's mean embedding of the scene's captions. It has a closed form, so no
method gets more tuning than another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from metrics.files import InputError, atomic_path

FILE = "probe.safetensors"
# The penalty for each training scene, in units of a feature's variance; of 1/60 to 16 the best or
# nearly so for full, no_geometry and no_alignment alike on val.
PENALTY = 0.5
_LEAST_SPREAD = 1e-4


@dataclass(frozen=True)
class RetrievalProbe:
    """A map from scenes [.., D] to texts [.., W], both standardised over the training set.

    scene_mean, scene_spread f32[D]; text_mean, text_spread f32[W]; weights f32[D, W].
    """

    scene_mean: np.ndarray
    scene_spread: np.ndarray
    text_mean: np.ndarray
    text_spread: np.ndarray
    weights: np.ndarray

    @staticmethod
    def fit(scenes: np.ndarray, texts: Sequence[np.ndarray]) -> RetrievalProbe:
        """Fit to scenes [N, D] and the texts [K, W] of each; scenes without a text are left out.

        Raises `InputError` when no scene has one.
        """
        told = [row for row, found in enumerate(texts) if len(found)]
        if not told:
            raise InputError("train: no scene has a caption; build data/ again: make data")
        scene_mean, scene_spread = _moments(scenes)
        text_mean, text_spread = _moments(np.concatenate([texts[row] for row in told]))
        x = (scenes[told] - scene_mean) / scene_spread
        means = np.stack([texts[row].astype(np.float64).mean(0) for row in told])
        gram = x.T @ x + PENALTY * len(told) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ ((means - text_mean) / text_spread))
        parts = (scene_mean, scene_spread, text_mean, text_spread, weights)
        return RetrievalProbe(*(part.astype(np.float32) for part in parts))

    def scores(self, texts: np.ndarray, scenes: np.ndarray) -> np.ndarray:
        """Return cosines f32[Q, S] of texts [Q, W] and scenes [S, D]."""
        read = ((scenes - self.scene_mean) / self.scene_spread) @ self.weights
        return _unit((texts - self.text_mean) / self.text_spread) @ _unit(read).T

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write probe.safetensors into a model's folder."""
        from safetensors.numpy import save_file

        with atomic_path(Path(folder) / FILE) as temporary:
            save_file({key: np.ascontiguousarray(v) for key, v in vars(self).items()}, temporary)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> RetrievalProbe:
        """Read what `save` wrote; raises `InputError` for a missing, damaged or foreign file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder) / FILE
        try:
            found = load_file(path)
            return RetrievalProbe(
                **{field.name: found[field.name] for field in fields(RetrievalProbe)}
            )
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file; train the model again") from error
        except (SafetensorError, OSError, KeyError) as error:
            raise InputError(f"{path}: damaged ({error}); train the model again") from error


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = rows.astype(np.float64)
    return wide.mean(0), np.maximum(wide.std(0), _LEAST_SPREAD)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-8)
