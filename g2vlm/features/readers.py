"""Readers of cached features; they need only numpy and safetensors."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from g2vlm.scenes.dataset import SceneStore
from metrics.files import InputError, read_json

TOKEN_PIXELS = 16
POINT_PIXELS = 4


def grid_shape(height: int, width: int, cell: int) -> tuple[int, int]:
    """Return rows and columns of the `cell`-pixel cells that cover an image."""
    return math.ceil(height / cell), math.ceil(width / cell)


@dataclass(frozen=True)
class SceneFeatures:
    """Frozen image features of one scene's input views.

    Args:
        tokens: f16[4, T, C], one per 16-pixel patch, row-major, T = ceil(H/16) * ceil(W/16).
        points: f16[4, P, 96], one per 4-pixel cell, row-major, P = ceil(H/4) * ceil(W/4).
    """

    tokens: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class TextStates:
    """Frozen token states of Q texts, padded to length L.

    Args:
        states: f32[Q, L, C], 0 in the padding.
        mask: bool[Q, L], true at tokens.
        pooled: f32[Q, C], mean state at unit length.
    """

    states: np.ndarray
    mask: np.ndarray
    pooled: np.ndarray


def _open(path: Path):
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the encode stage") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: unreadable features ({error}); run encode again") from error


class ImageFeatures:
    """Cached image features of one split; each scene is read from the file when it is needed.

    Raises:
        InputError: the file is missing or damaged, or a scene is not in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        keys = self._file.keys()
        self.ids = sorted(key.rsplit("/", 1)[0] for key in keys if key.endswith("/tokens"))
        if not self.ids:
            raise InputError(f"{self.path}: holds no scene; run encode again")

    def __getitem__(self, scene: str) -> SceneFeatures:
        if scene not in self.ids:
            raise InputError(f"{self.path}: no features of scene {scene!r}; run encode again")
        return SceneFeatures(
            self._file.get_tensor(f"{scene}/tokens"), self._file.get_tensor(f"{scene}/points")
        )


class TextFeatures:
    """Cached token states of every text of an experiment, by text.

    Args:
        folder: holds text.safetensors and text.json.

    Raises:
        InputError: a file is missing or damaged, or a text was never encoded.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "text.safetensors"
        handle = _open(self.path)
        self._states, self._offsets, self._pooled = (
            handle.get_tensor(name) for name in ("states", "offsets", "pooled")
        )
        names = Path(folder) / "text.json"
        texts = read_json(names)["texts"]
        if len(texts) + 1 != len(self._offsets) or len(texts) != len(self._pooled):
            raise InputError(f"{names}: rows differ from {self.path}; run encode again")
        self._rows = {text: row for row, text in enumerate(texts)}
        self.width = int(self._states.shape[1])

    def gather(self, texts: Sequence[str], length: int | None = None) -> TextStates:
        """Return the states of Q texts, padded to `length` or else to the longest of them.

        Without texts the arrays have Q = 0 and L = `length` or 1.
        """
        try:
            rows = np.array([self._rows[text] for text in texts], dtype=np.int64)
        except KeyError as error:
            raise InputError(
                f"{self.path}: text {error} was not encoded; run encode again"
            ) from error
        counts = self._offsets[rows + 1] - self._offsets[rows]
        columns = length or int(counts.max(initial=1))
        position = np.arange(columns)
        mask = position[None, :] < counts[:, None]  # (Q, L)
        # Padding reads row 0 and is cleared below.
        index = np.where(mask, self._offsets[rows][:, None] + position, 0)
        states = self._states[index].astype(np.float32)
        states[~mask] = 0.0
        return TextStates(states, mask, self._pooled[rows].astype(np.float32))


def open_split(results: str | os.PathLike[str], split: str) -> tuple[SceneStore, ImageFeatures]:
    """Open the scenes of a split of a finished experiment, and their image features."""
    return (
        SceneStore(Path(results, "scenes", split)),
        ImageFeatures(Path(results, "features", "images", f"{split}.safetensors")),
    )
