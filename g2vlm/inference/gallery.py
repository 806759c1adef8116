"""What is written of a split's scenes together: captions, and score matrices of retrieval."""

from __future__ import annotations

import numpy as np

from g2vlm.inference.network import EncodedScene, Network
from g2vlm.models.probe import RetrievalProbe
from metrics.files import InputError
from metrics.submission.writer import SubmissionWriter

# A step of the decoder costs much the same for one scene and for many.
CAPTIONS_A_BATCH = 16


class ProbedGallery:
    """Captions against scenes by the linear probe, which every variant has."""

    def __init__(self, network: Network, writer: SubmissionWriter) -> None:
        self._network, self._writer = network, writer
        self._probe = RetrievalProbe.load(network.folder)
        self._scenes: dict[str, np.ndarray] = {}
        self._captions: dict[str, str] = {}

    def add(self, scene: EncodedScene) -> None:
        """Take in one scene."""
        inputs = scene.inputs
        self._scenes[inputs.scene] = scene.pooled()
        self._captions |= {f"{inputs.scene}/{name}": text for name, text in inputs.captions}

    def close(self) -> None:
        """Write the matrix."""
        texts = self._network.read_texts(list(self._captions.values()))
        scores = self._probe.scores(texts, np.stack(list(self._scenes.values())))
        self._writer.probed_retrieval(list(self._captions), list(self._scenes), scores)


class Gallery:
    """What the model says of the split: captions, and cosines of its own embeddings."""

    def __init__(self, network: Network, writer: SubmissionWriter) -> None:
        self._network, self._writer = network, writer
        self._waiting: list[EncodedScene] = []
        self._scenes: list[str] = []
        self._scene_rows: list[np.ndarray] = []
        self._objects: list[str] = []
        self._object_rows: list[np.ndarray] = []
        self._captions: dict[str, str] = {}
        self._phrases: dict[str, str] = {}

    def add(self, scene: EncodedScene) -> None:
        """Take in one scene."""
        inputs = scene.inputs
        self._waiting.append(scene)
        if len(self._waiting) == CAPTIONS_A_BATCH:
            self._describe()
        self._scenes.append(inputs.scene)
        self._scene_rows.append(scene.embedding())
        if inputs.gt_indices:
            self._objects += [f"{inputs.scene}:{index}" for index in inputs.gt_indices]
            self._object_rows.append(scene.object_embeddings())
        self._captions |= {f"{inputs.scene}/{name}": text for name, text in inputs.captions}
        self._phrases |= {f"{inputs.scene}/{name}": text for name, text in inputs.phrases}

    def _describe(self) -> None:
        texts = self._network.captions([scene.state for scene in self._waiting])
        for scene, text in zip(self._waiting, texts, strict=True):
            self._writer.caption(scene.inputs.scene, text)
        self._waiting.clear()

    def close(self) -> None:
        """Write what is left: the last captions and both matrices, cosines of embeddings."""
        if not self._scenes or not self._object_rows:
            raise InputError(
                f"{self._writer.folder}: the split has no scene or no object; render it again"
            )
        if self._waiting:
            self._describe()
        captions = self._network.embed_texts(list(self._captions.values()))
        scores = captions @ np.stack(self._scene_rows).T
        self._writer.retrieval(list(self._captions), self._scenes, scores)
        phrases = self._network.embed_texts(list(self._phrases.values()), phrases=True)
        scores = phrases @ np.concatenate(self._object_rows).T
        self._writer.grounding_retrieval(list(self._phrases), self._objects, scores)
