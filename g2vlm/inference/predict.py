"""The predict stage: run a trained model over a split, write one submission or only its scores."""

import gc
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.features.readers import ImageFeatures
from g2vlm.inference.calibrate import FILE, Thresholds, read_thresholds
from g2vlm.inference.corrupt import CorruptedStore
from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.scene import (
    count_targets,
    gt_relations,
    masks_and_boxes,
    object_rows,
    scene_graph,
    scene_points,
    scene_queries,
    scene_solids,
)
from g2vlm.models.config import ModelConfig
from g2vlm.models.detection import Detection
from g2vlm.models.probe import RetrievalProbe
from g2vlm.run.memory import peak_memory_mb
from g2vlm.scenes.dataset import SceneStore
from metrics.files import InputError
from metrics.submission.writer import SubmissionWriter

# A step of the caption decoder costs much the same for one scene and for many.
CAPTIONS_A_BATCH = 16
_OBJECTS = ("points", "mesh", "occupancy", "objects", "graph", "given_relations")
_LANGUAGE = ("grounding", "picks", "retrieval", "grounding_retrieval", "answers", "captions")


def predict(
    network: Network,
    store: SceneStore,
    image_features: ImageFeatures,
    out_dir: str | Path,
    split: str,
    config: dict[str, Any],
    thresholds: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the submission of a trained model on one split.

    Args:
        network: a trained model.
        store, image_features: the split's scenes and the cached features.
        out_dir: the submission's folder; an earlier one is replaced at the end.
        split: name of the split.
        config: the experiment's config; reads predict.mesh_voxel_m (finest cell, metres).
        thresholds: file of `calibrate_thresholds`; by default thresholds.json of the model.
        progress: called with (scenes done, scenes in all).

    Raises:
        InputError: the features are of other scenes, or the thresholds or the probe are missing.
    """
    # The imported modules are many objects; unfrozen, each garbage collection would visit them all.
    gc.freeze()
    reasons = missing_tasks(network.config)
    limits = read_thresholds(thresholds or network.folder / FILE)
    voxel = float(config["predict"]["mesh_voxel_m"])
    with SubmissionWriter(
        out_dir,
        network.config.method,
        network.seed,
        split,
        True,
        [task for task in (*_OBJECTS, *_LANGUAGE, "probed_retrieval") if task not in reasons],
        reasons,
        None if "mesh" in reasons else "solids",
        compact=True,
    ) as writer:
        writer.thresholds = limits.to_json()
        of_split = SplitWriter(network, writer)
        started = time.perf_counter()
        for done, scene in enumerate(store.ids, 1):
            encoded = network.encode(store.inputs(scene), image_features[scene])
            write_scene(writer, encoded, limits, voxel)
            of_split.add(encoded)
            if progress:
                progress(done, len(store.ids))
        of_split.close()
        seconds = (time.perf_counter() - started) / max(1, len(store.ids))
        writer.cost |= {
            "parameters": sum(p.numel() for p in network.model.parameters()),
            "train_seconds": network.cost.get("train_seconds"),
            "seconds_per_scene": round(seconds, 4),
            "peak_memory_mb": peak_memory_mb(),
        }


def evaluate_model(
    network: Network,
    store: SceneStore | CorruptedStore,
    image_features: ImageFeatures | CorruptedStore,
    thresholds: str | Path,
    truth_dir: Path,
    table: str | Path,
    config: dict[str, Any],
    metrics: Collection[str],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the score table of a trained model on the split whose truth is in `truth_dir`.

    The table holds only those reconstruction metrics that `metrics` names, which saves half of the
    scoring time or more.

    Args:
        network, config: as for `predict`.
        metrics: names of metrics.
        store, image_features: the split's scenes and their features; a `CorruptedStore` is both.
        thresholds: file of `calibrate_thresholds`.
        truth_dir: the split's truth; its name is the split's.
        table: Parquet file of `metrics.score.score_submission`. The predictions, as large as a
            submission, are in a folder next to it until they are scored.
        progress: called with (scenes predicted, scenes in all).

    Raises:
        InputError: as `predict` and `score_submission`.
    """
    from metrics.score import score_submission

    folder = Path(table).with_suffix(".predictions")
    predict(
        network,
        store,
        image_features,
        folder,
        truth_dir.name,
        config,
        thresholds,
        progress=progress,
    )
    score_submission(folder, truth_dir, table, truth_dir, metrics)
    shutil.rmtree(folder)


def missing_tasks(config: ModelConfig) -> dict[str, str]:
    """Return the tasks that a model of this configuration does not produce, with the reasons."""
    reasons: dict[str, str] = {}
    if not config.votes:
        no_field = "the model has no occupancy field: no solids are labels of its training"
        reasons |= {"mesh": no_field, "occupancy": no_field}
    if not config.language:
        no_language = "a model without language: no sentence is read or written"
        reasons |= dict.fromkeys(_LANGUAGE, no_language)
    return reasons


def write_scene(
    writer: SubmissionWriter, scene: EncodedScene, limits: Thresholds, voxel: float
) -> None:
    """Write the predictions that belong to one scene alone; `voxel` is the finest cell, metres."""
    name = scene.inputs.scene
    dense = scene_points(scene, limits.smoothing, limits.trust, limits.least_confidence)
    writer.points(name, dense.points, dense.colours, dense.pixels, dense.confidence)
    if "occupancy" in writer.produces:
        grid, mesh = scene_solids(scene, dense, limits.occupancy_logit, voxel)
        writer.occupancy(name, grid.solid, grid.origin, grid.voxel)
        writer.mesh(name, mesh.vertices, mesh.faces, mesh.colours)
    detected = _write_objects(writer, scene, limits)
    if "answers" in writer.produces:
        _write_language(writer, scene, limits, detected)


def _write_objects(
    writer: SubmissionWriter, scene: EncodedScene, limits: Thresholds
) -> list[Detection]:
    """Write objects, triplets and relations; return all detections."""
    inputs, name = scene.inputs, scene.inputs.scene
    graph = scene_graph(scene, limits.triplet_score)
    kept = graph.above(limits.object_score, limits.triplet_score)
    writer.objects(
        name,
        object_rows(kept.objects, scene.network.config.classes),
        [list(triplet) for triplet in kept.triplets],
    )
    relations = []
    if inputs.gt_indices:
        probabilities = scene.relations(scene.masks, scene.gt_object_boxes)
        relations = gt_relations(inputs.gt_indices, probabilities)
    writer.relations(name, relations)
    return graph.objects


def _write_language(
    writer: SubmissionWriter, scene: EncodedScene, limits: Thresholds, detected: list[Detection]
) -> None:
    """Write references and answers. They read all detections, also those below the object score."""
    inputs, name = scene.inputs, scene.inputs.scene
    for query, ranked, zero_logit, picked in scene_queries(scene, detected):
        count = count_targets(ranked, zero_logit, limits.zero_logit, limits.multi_logit)
        writer.grounding(name, query, ranked.boxes[:count], picked)
    answers = scene.answers(
        [question[1] for question in inputs.questions],
        [question[4] for question in inputs.questions],
        *masks_and_boxes(scene, detected),
    )
    for question, answer in zip(inputs.questions, answers, strict=True):
        writer.answer(name, question[0], answer)


class SplitWriter:
    """Writes what needs all scenes: captions in batches, and scores of texts against scenes.

    Every model has the scores of the linear probe. Those of the model's own embeddings, which are
    cosines, and the captions need a model with language.
    """

    def __init__(self, network: Network, writer: SubmissionWriter) -> None:
        self._network, self._writer = network, writer
        self._probe = RetrievalProbe.load(network.folder)
        self._pooled: dict[str, np.ndarray] = {}
        self._captions: dict[str, str] = {}
        self._uncaptioned: list[EncodedScene] = []
        self._scene_embeddings: list[np.ndarray] = []
        self._objects: list[str] = []
        self._object_embeddings: list[np.ndarray] = []
        self._phrases: dict[str, str] = {}

    def add(self, scene: EncodedScene) -> None:
        """Collect one scene."""
        inputs = scene.inputs
        self._pooled[inputs.scene] = scene.pooled()
        self._captions |= {f"{inputs.scene}/{name}": text for name, text in inputs.captions}
        if not self._network.config.language:
            return
        self._uncaptioned.append(scene)
        if len(self._uncaptioned) == CAPTIONS_A_BATCH:
            self._write_captions()
        self._scene_embeddings.append(scene.embedding())
        if inputs.gt_indices:
            self._objects += [f"{inputs.scene}:{index}" for index in inputs.gt_indices]
            self._object_embeddings.append(scene.embed_objects(scene.masks, scene.gt_object_boxes))
        self._phrases |= {f"{inputs.scene}/{name}": text for name, text in inputs.phrases}

    def _write_captions(self) -> None:
        texts = self._network.captions([scene.state for scene in self._uncaptioned])
        for scene, text in zip(self._uncaptioned, texts, strict=True):
            self._writer.caption(scene.inputs.scene, text)
        self._uncaptioned.clear()

    def close(self) -> None:
        """Write the last captions and all matrices."""
        names, scenes = list(self._captions), list(self._pooled)
        captions = list(self._captions.values())
        scores = self._probe.scores(
            self._network.read_texts(captions), np.stack(list(self._pooled.values()))
        )
        self._writer.probed_retrieval(names, scenes, scores)
        if not self._network.config.language:
            return
        if not self._objects:
            raise InputError(
                f"{self._writer.folder}: the split has no scene or no object; render it again"
            )
        if self._uncaptioned:
            self._write_captions()
        texts = self._network.embed_texts(captions)
        self._writer.retrieval(names, scenes, texts @ np.stack(self._scene_embeddings).T)
        phrases = self._network.embed_texts(list(self._phrases.values()), phrases=True)
        scores = phrases @ np.concatenate(self._object_embeddings).T
        self._writer.grounding_retrieval(list(self._phrases), self._objects, scores)
