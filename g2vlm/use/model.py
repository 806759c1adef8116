"""A trained checkpoint that runs on a capture: `G2VLMModel.from_pretrained(folder).run(...)`."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from g2vlm.captures import Capture
from g2vlm.inference.calibrate import FILE as THRESHOLDS
from g2vlm.inference.calibrate import Thresholds, read_thresholds
from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.scene import (
    count_targets,
    masks_and_boxes,
    rank_boxes,
    scene_graph,
    scene_points,
    scene_solids,
)
from g2vlm.models.detection import Detection
from g2vlm.models.probe import FILE as PROBE
from g2vlm.use import ood_score
from g2vlm.use.processor import G2VLMProcessor
from g2vlm.use.results import Answer, DetectedObject, GroundedBox, Grounding, Relation, Result
from g2vlm.use.surfaces import coloured_points, refine, textured_surface
from metrics.files import InputError, atomic_path, write_json

DEFAULT_MODEL = Path("results/reference/cpu/checkpoint")
MODEL_HELP = "train one by `make reproduce` and give --model results/cpu/models/full/0"
SOLIDS_VOXEL_M = 0.1
NEIGHBOURS = 3


class G2VLMModel:
    """A model folder ready to run on captures; `from_pretrained` makes one.

    The folder holds config.json and model.safetensors, and, where they were calibrated,
    thresholds.json and ood_score.safetensors.
    """

    def __init__(
        self,
        network: Network,
        processor: G2VLMProcessor,
        thresholds: Thresholds,
        ood_scorer: ood_score.OODScorer | None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.network, self.processor = network, processor
        self.thresholds, self.ood_scorer, self.notes = thresholds, ood_scorer, notes

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str] = DEFAULT_MODEL,
        processor: G2VLMProcessor | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> "G2VLMModel":
        """Load a model folder.

        Args:
            folder: a published model, or a model of an experiment
                (`results/<experiment>/models/<method>/<seed>`), which uses the thresholds that the
                experiment calibrated on val.
            processor: by default the one of the folder.
            device: a torch device; by default the GPU where there is one.
            threads: CPU threads; by default all usable cores.

        Raises:
            InputError: the folder has no such model; the message says how to get one.
        """
        path = Path(folder)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: no trained model here; {MODEL_HELP}")
        processor = processor or G2VLMProcessor.from_pretrained(path)
        network = Network(path, processor.texts, device, threads or len(os.sched_getaffinity(0)))
        config = network.config
        if not (config.language and config.votes and config.lifts):
            raise InputError(
                f"{path}: method {config.method!r} has no objects, language or depth of its own; "
                "give a model of method full"
            )
        thresholds, notes = _find_thresholds(path)
        calibration = path / ood_score.FILE
        ood_scorer = ood_score.OODScorer(calibration) if calibration.is_file() else None
        if ood_scorer is None:
            notes += (
                "This checkpoint has no calibration of the out-of-distribution score "
                "(python -m g2vlm publish writes it).",
            )
        return cls(network, processor, thresholds, ood_scorer, notes)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Copy the model with its thresholds and its calibration into a folder of its own."""
        source = self.network.folder
        with atomic_path(folder, folder=True) as temporary:
            for name in ("config.json", "model.safetensors", "cost.json", PROBE, ood_score.FILE):
                if (source / name).is_file():
                    shutil.copyfile(source / name, temporary / name)
            write_json(temporary / THRESHOLDS, self.thresholds.to_json())

    def run(
        self,
        capture: Capture,
        questions: Sequence[str] = (),
        phrases: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Result:
        """Reconstruct a capture, detect objects and relations, answer questions, ground phrases.

        The model reads as many views as it was trained with (4); points and surfaces use all
        frames.

        Args:
            capture: the frames.
            questions: sentences to answer.
            phrases: descriptions of objects to find, e.g. "the chair nearest the table".
            progress: called with a line at the start of each stage.

        Raises:
            InputError: a sentence is empty or too long.
        """
        progress = progress or (lambda line: None)
        questions = self.processor.sentences(questions, "ask")
        phrases = self.processor.sentences(phrases, "find")
        progress("encoding the views with the frozen image encoder")
        prepared = self.processor(capture)
        scene = self.network.encode(prepared.inputs, prepared.features)
        progress("detecting objects and relations")
        limits = self.thresholds
        graph = scene_graph(scene)
        kept = graph.above(limits.object_score, limits.triplet_score)
        names = _unique_names(kept.objects, scene.network.config.classes)
        if questions or phrases:
            progress(f"reading {len(questions) + len(phrases)} sentences")
        # Questions read all detections, also those below the object score.
        choices = [()] * len(questions)
        answers = scene.answers(questions, choices, *masks_and_boxes(scene, graph.objects))
        grounded = self._ground(scene, kept.objects, names, phrases)
        progress("computing points, surfaces and solids")
        refined = refine(capture, scene, prepared.windows, limits)
        dense = scene_points(scene, limits.smoothing, limits.trust, limits.least_confidence)
        solids = scene_solids(scene, dense, limits.occupancy_logit, SOLIDS_VOXEL_M)[1]
        read = sorted({window.frame for window in prepared.windows})
        notes = capture.notes + self.notes
        unread = [name for frame, name in enumerate(capture.names) if frame not in read]
        if unread:
            notes += (
                f"The model read {len(read)} of {len(capture)} frames; points and surfaces also "
                f"use {', '.join(unread)}.",
            )
        score = None
        if self.ood_scorer:
            score = self.ood_scorer(prepared.inputs, prepared.features)
        return Result(
            capture=capture,
            method=scene.network.config.method,
            objects=_typed_objects(scene, kept.objects, names),
            relations=tuple(
                Relation(names[s], predicate, names[o], round(score, 4))
                for s, predicate, o, score in kept.triplets
            ),
            answers=tuple(Answer(q, a) for q, a in zip(questions, answers, strict=True)),
            grounded=grounded,
            captions=tuple(self.network.captions([scene.state])),
            cloud=coloured_points(capture, refined),
            surfaces=textured_surface(capture, refined),
            solids=solids,
            ood_score=score,
            views=tuple(capture.names[frame] for frame in read),
            notes=notes,
        )

    def _ground(
        self, scene: EncodedScene, objects: list[Detection], names: list[str], phrases: list[str]
    ) -> tuple[Grounding, ...]:
        """Ground every phrase in detected objects, or in its likeliest points without any."""
        groundings = []
        ranks = rank_boxes(scene, objects, phrases)
        for phrase, (ranked, zero_logit) in zip(phrases, ranks, strict=True):
            # No zero threshold here: a phrase without a target still gets its best guess.
            count = count_targets(ranked, zero_logit, np.inf, self.thresholds.multi_logit)
            scores = 1 / (1 + np.exp(-ranked.logits))
            boxes = tuple(
                GroundedBox(
                    _rounded(ranked.boxes[k]),
                    round(float(scores[k]), 4),
                    names[ranked.objects[k]] if ranked.objects else None,
                )
                for k in range(count)
            )
            groundings.append(Grounding(phrase, boxes, zero_logit > self.thresholds.zero_logit))
        return tuple(groundings)


def _rounded(box: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in box)


def _find_thresholds(path: Path) -> tuple[Thresholds, tuple[str, ...]]:
    """Read the thresholds of a model folder or of its experiment; returns them and notes."""
    if (path / THRESHOLDS).is_file():
        return read_thresholds(path / THRESHOLDS), ()
    # An experiment keeps them next to its predictions: results/cpu/predictions/full/0.
    model = path.resolve()
    models = model.parent.parent
    calibrated = models.parent / "predictions" / model.parent.name / model.name / THRESHOLDS
    if models.name == "models" and calibrated.is_file():
        return read_thresholds(calibrated), ()
    return Thresholds(), ("No thresholds were calibrated for this checkpoint: defaults are used.",)


def _unique_names(objects: list[Detection], classes: Sequence[str]) -> list[str]:
    """Return a unique name for each detection: "chair 1", "chair 2", best first."""
    count: Counter[str] = Counter()
    names = []
    for item in objects:
        label = classes[item.label]
        count[label] += 1
        names.append(f"{label} {count[label]}")
    return names


def _typed_objects(
    scene: EncodedScene, objects: list[Detection], names: list[str]
) -> tuple[DetectedObject, ...]:
    """Return the detections, each with the other objects of the nearest descriptors."""
    if not objects:
        return ()
    embeddings = scene.embed_objects(*masks_and_boxes(scene, objects))  # (N, E), unit length
    cosine = embeddings @ embeddings.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(objects) - 1)]
    return tuple(
        DetectedObject(
            name,
            scene.network.config.classes[item.label],
            round(float(item.score), 4),
            _rounded(item.box),
            tuple((names[k], round(float(cosine[row, k]), 4)) for k in nearest[row]),
        )
        for row, (item, name) in enumerate(zip(objects, names, strict=True))
    )
