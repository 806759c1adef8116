"""The predict stage: a trained model over a split, handed in as one submission."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g2vlm.inference.capabilities import capabilities
from g2vlm.inference.choose import choose_thresholds
from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.scene import SceneWriter
from g2vlm.inference.thresholds import FILE, read_thresholds
from metrics.files import InputError
from metrics.submission_writer import SubmissionWriter

if TYPE_CHECKING:
    from g2vlm.features import ImageFeatures, TextFeatures
    from g2vlm.scenes.dataset import SceneStore

__all__ = ["choose_thresholds", "predict"]

VOXEL_M = 0.1
# A step of the decoder costs much the same for one scene and for many.
CAPTIONS_A_BATCH = 16
Progress = Callable[[int, int], None]


def predict(
    model_dir: str | Path,
    store: SceneStore,
    image_features: ImageFeatures,
    text_features: TextFeatures,
    out_dir: str | Path,
    split: str,
    config: dict[str, Any],
    thresholds: str | Path | None = None,
    device: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write the submission of a trained model on one split.

    Args:
        model_dir: what training wrote (model.safetensors, config.json, cost.json).
        store, image_features, text_features: the split's scenes and the cached features.
        out_dir: the submission's folder; an earlier one is replaced at a clean end.
        config: the experiment's config; reads predict.mesh_voxel_m (finest cell, metres).
        thresholds: the file of `choose_thresholds`; by default thresholds.json in `model_dir`.
        device: a torch device; by default the GPU where there is one.
        progress: called with (scenes done, scenes in all).

    Raises `InputError` for a damaged model, features of other scenes or missing thresholds.
    """
    network = Network(model_dir, text_features, device, threads)
    # The imported modules are many objects; without this each collection walks them all.
    gc.freeze()
    able = capabilities(network.config)
    limits = read_thresholds(thresholds or Path(model_dir) / FILE)
    voxel = float(config.get("predict", {}).get("mesh_voxel_m", VOXEL_M))
    with SubmissionWriter(
        out_dir,
        network.config.method,
        network.seed,
        split,
        True,
        able.produces,
        able.reasons,
        able.mesh_kind,
    ) as writer:
        writer.thresholds = limits.to_json()
        scenes = SceneWriter(writer, limits, voxel)
        gallery = Gallery(network, writer)
        started = time.perf_counter()
        for done, scene in enumerate(store.ids, 1):
            encoded = network.encode(store.inputs(scene), image_features[scene])
            scenes.write(encoded)
            if network.config.language:
                gallery.add(encoded)
            if progress:
                progress(done, len(store.ids))
        if network.config.language:
            gallery.close()
        seconds = (time.perf_counter() - started) / max(1, len(store.ids))
        writer.cost |= _cost(network, seconds)


def _cost(network: Network, seconds_per_scene: float) -> dict[str, Any]:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "train_seconds": network.cost.get("train_seconds"),
        "seconds_per_scene": round(seconds_per_scene, 4),
        "peak_memory_mb": round(peak_kb / 1024, 1),
    }


class Gallery:
    """What is written of several scenes at once: captions, and score matrices of retrieval."""

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
        if inputs.given_indices:
            self._objects += [f"{inputs.scene}:{index}" for index in inputs.given_indices]
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
