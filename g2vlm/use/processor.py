"""Captures and sentences as the model reads them: views, and features of the frozen encoders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from g2vlm.captures import Capture
from g2vlm.features.readers import SceneFeatures, TextStates
from g2vlm.models.config import ModelConfig
from g2vlm.models.file_format import read_config
from g2vlm.scenes.dataset import SceneInputs
from g2vlm.use.views import Window, choose_windows, scene_inputs
from metrics.files import InputError, one_line

if TYPE_CHECKING:
    from g2vlm.features.text_encoders import TextEncoder

MOST_LETTERS = 300


@dataclass(frozen=True)
class Prepared:
    """A capture as the model reads it; `windows[v]` is the part of a frame in view v."""

    inputs: SceneInputs
    features: SceneFeatures
    windows: list[Window]


class LiveTexts:
    """Token states of sentences, encoded when they are needed.

    Has the interface of `TextFeatures`, which reads cached states.
    """

    def __init__(self, encoder: str, width: int) -> None:
        self.path, self.width = encoder, width
        self._encoder: TextEncoder | None = None
        self._states: dict[str, np.ndarray] = {}

    def gather(self, texts: Sequence[str], length: int | None = None) -> TextStates:
        """Return the states of Q texts padded to `length` (default: the longest of them)."""
        self._encode([text for text in dict.fromkeys(texts) if text not in self._states])
        rows = [self._states[text] for text in texts]
        columns = length or max((len(row) for row in rows), default=1)
        states = np.zeros((len(rows), columns, self.width), np.float32)
        mask = np.zeros((len(rows), columns), bool)
        pooled = np.zeros((len(rows), self.width), np.float32)
        for index, row in enumerate(rows):
            states[index, : len(row)], mask[index, : len(row)] = row, True
            mean = row.mean(0)
            # Rounded to half precision like the cached features of training.
            pooled[index] = (mean / np.linalg.norm(mean)).astype(np.float16)
        return TextStates(states, mask, pooled)

    def _encode(self, texts: list[str]) -> None:
        """Encode new texts, rounded to half precision like the cached features of training."""
        if not texts:
            return
        if self._encoder is None:
            from g2vlm.features.text_encoders import TextEncoder

            self._encoder = TextEncoder(self.path)
        states = self._encoder.states(self._encoder.tokens(texts))
        for text, state in zip(texts, states, strict=True):
            if state.shape[1] != self.width:
                raise InputError(
                    f"{self.path}: states of {state.shape[1]} features for a model of "
                    f"{self.width}; give the text encoder it was trained with"
                )
            self._states[text] = state.half().float().numpy()


class G2VLMProcessor:
    """Prepares captures and sentences for models of one configuration.

    Args:
        config: of the model.
        image_encoder: name or folder of the image encoder that the model was trained with. It is
            loaded when first needed.
        text_encoder: the same for the text encoder.
    """

    def __init__(
        self,
        config: ModelConfig,
        image_encoder: str = "mobilenet_v2",
        text_encoder: str = "minilm",
    ) -> None:
        self.config = config
        self.image_encoder = image_encoder
        self.texts = LiveTexts(text_encoder, config.text_features)
        self._images = None

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], **encoders: str) -> G2VLMProcessor:
        """Return the processor of a model folder, with the encoders that it was trained with.

        Raises:
            InputError: the folder holds no model.
        """
        document = read_config(folder)
        trained_with = {f"{k}_encoder": v for k, v in document.get("encoders", {}).items()}
        config = ModelConfig.from_json(document["model"], f"{folder}/config.json")
        return cls(config, **(trained_with | encoders))

    def __call__(self, capture: Capture) -> Prepared:
        """Choose the views that the model reads and encode them.

        Raises:
            InputError: the encoder is not the one that the model was trained with.
        """
        from g2vlm.features.image_encoders import load_image_encoder, view_features

        if self._images is None:
            self._images = load_image_encoder(self.image_encoder)
        size = (self.config.width, self.config.height)
        windows = choose_windows(capture, self.config.views, size[0] / size[1])
        inputs = scene_inputs(capture, windows, size)
        features = view_features(self._images, inputs.rgb)
        widths = features.tokens.shape[-1], features.points.shape[-1]
        expected = self.config.token_features, self.config.point_features
        if widths != expected:
            raise InputError(
                f"{self.image_encoder}: {widths[0]} and {widths[1]} features (patches, cells) for "
                f"a model of {expected[0]} and {expected[1]}; give the image encoder that it was "
                "trained with, or train it again"
            )
        return Prepared(inputs, features, windows)

    @staticmethod
    def sentences(texts: Sequence[str], option: str) -> list[str]:
        """Return the texts with single spaces.

        Raises:
            InputError: a text is empty, too long or holds control characters; the message names the
                option.
        """
        sentences = [" ".join(str(text).split()) for text in texts]
        for text in sentences:
            if not text:
                raise InputError(f"--{option}: an empty text; write a sentence")
            if text != one_line(text):
                raise InputError(
                    f"--{option} {text[:40]!r}: holds control characters or is not UTF-8; write "
                    "plain text"
                )
            if len(text) > MOST_LETTERS:
                raise InputError(
                    f"--{option} {text[:40]!r}...: {len(text)} letters; write at most "
                    f"{MOST_LETTERS} (40 word pieces are read)"
                )
        return sentences
