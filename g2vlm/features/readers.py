"""Readers of cached features; they need only numpy and safetensors."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from g2vlm.features.names import SEALED_TEXTS, TEXTS
from g2vlm.scenes.dataset import SceneStore
from g2vlm.scenes.split_names import SEALED
from metrics.files import InputError, one_line, read_json

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


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file of a stage for the time of the block.

    An open file maps every page that was ever read from it, so a long job opens it for each scene.

    Raises:
        InputError: the file is missing or damaged, or a tensor is not in it.
    """
    fix = "delete it and run `snakemake` again"
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the stage that writes it") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({one_line(str(error))}); {fix}") from error


class ImageFeatures:
    """Cached image features of one split; each scene is read from its shard when it is needed.

    Args:
        folder: holds a safetensors file for each shard.

    Raises:
        InputError: a file is missing or damaged, or a scene is in none.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._shard_of: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            with open_tensors(path) as file:
                keys = [key.rsplit("/", 1) for key in file.keys()]  # noqa: SIM118 (no mapping)
            self._shard_of |= {scene: path for scene, name in keys if name == "tokens"}
        self.ids = sorted(self._shard_of)
        if not self.ids:
            raise InputError(f"{self.folder}: holds no features; run the encode stage")

    def __getitem__(self, scene: str) -> SceneFeatures:
        if scene not in self._shard_of:
            raise InputError(f"{self.folder}: no features of scene {scene!r}; run encode again")
        with open_tensors(self._shard_of[scene]) as file:
            return SceneFeatures(*(file.get_tensor(f"{scene}/{k}") for k in ("tokens", "points")))


class TextFeatures:
    """Cached token states of every text of an experiment, by text, read when they are needed.

    Args:
        folder: the experiment's features; its folder `texts` holds a JSON file of texts and a
            safetensors file of their states for each part.
        sealed: read the texts of the sealed test too, from `sealed_texts`.

    Raises:
        InputError: a file is missing or damaged, or a text was never encoded.
    """

    def __init__(self, folder: str | os.PathLike[str], sealed: bool = False) -> None:
        self.folder = Path(folder) / TEXTS
        # The part and the row of each text, and where each part's states of a text end.
        self._places: dict[str, tuple[Path, int]] = {}
        self._offsets: dict[Path, np.ndarray] = {}
        files = sorted(self.folder.glob("*.json"))
        if sealed:
            # First, so that a text in both has the states that the models were trained with.
            files = sorted(Path(folder, SEALED_TEXTS).glob("*.json")) + files
        for names in files:
            path, texts = names.with_suffix(".safetensors"), read_json(names)["texts"]
            with open_tensors(path) as file:
                self._offsets[path] = file.get_tensor("offsets")
                self.width = file.get_slice("states").get_shape()[1]
                count = file.get_slice("pooled").get_shape()[0]
            if not len(texts) == len(self._offsets[path]) - 1 == count:
                raise InputError(f"{names}: rows differ from {path}; run encode again")
            self._places |= {text: (path, row) for row, text in enumerate(texts)}
        if not self._places:
            raise InputError(f"{self.folder}: holds no texts; run the encode stage")

    def gather(self, texts: Sequence[str], length: int | None = None) -> TextStates:
        """Return the states of Q texts, padded to `length` or else to the longest of them.

        Without texts the arrays have Q = 0 and L = `length` or 1.
        """
        try:
            places = [self._places[text] for text in texts]
        except KeyError as error:
            raise InputError(
                f"{self.folder}: text {error} was not encoded; run encode again"
            ) from error
        ends = [self._offsets[path][row : row + 2].tolist() for path, row in places]
        columns = length or max((end - start for start, end in ends), default=1)
        states = np.zeros((len(texts), columns, self.width), np.float32)
        mask = np.zeros((len(texts), columns), bool)
        pooled = np.zeros((len(texts), self.width), np.float32)
        for part in dict.fromkeys(path for path, _ in places):
            with open_tensors(part) as file:
                of_states, of_pooled = file.get_slice("states"), file.get_slice("pooled")
                for query, (path, row) in enumerate(places):
                    if path != part:
                        continue
                    start, end = ends[query]
                    count = min(end - start, columns)
                    states[query, :count] = of_states[start : start + count]
                    mask[query, :count] = True
                    pooled[query] = of_pooled[row : row + 1][0]
        return TextStates(states, mask, pooled)


def open_texts(results: str | os.PathLike[str], splits: Iterable[str]) -> TextFeatures:
    """Open the encoded texts of an experiment that the splits need (`TextFeatures`)."""
    return TextFeatures(Path(results, "features"), any(split in SEALED for split in splits))


def open_split(results: str | os.PathLike[str], split: str) -> tuple[SceneStore, ImageFeatures]:
    """Open the scenes of a split of a finished experiment, and their image features."""
    return (
        SceneStore(Path(results, "scenes", split)),
        ImageFeatures(Path(results, "features", "images", split)),
    )
