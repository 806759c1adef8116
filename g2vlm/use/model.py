"""A trained checkpoint that runs on a capture: `G2VLMModel.from_pretrained(folder).run(...)`."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from g2vlm.captures.capture import Capture
from g2vlm.inference.grounding import chosen_boxes
from g2vlm.inference.network import EncodedScene, Network
from g2vlm.inference.scene import (
    FoundObjects,
    found_rows,
    scene_objects,
    scene_points,
    scene_ranks,
    scene_solids,
)
from g2vlm.inference.surface import Mesh
from g2vlm.inference.thresholds import FILE as THRESHOLDS
from g2vlm.inference.thresholds import Thresholds, read_thresholds
from g2vlm.models.detection import Detection, member_masks
from g2vlm.models.probe import FILE as PROBE
from g2vlm.use import ood_score
from g2vlm.use.processor import G2VLMProcessor
from g2vlm.use.results import Answer, DetectedObject, GroundedBox, Grounding, Relation, Result
from g2vlm.use.surfaces import coloured_points, refine, textured_surface
from metrics.files import InputError, atomic_path

DEFAULT_MODEL = Path("results/reference/cpu/checkpoint")
MODEL_HELP = "train one by `make reproduce` and give --model results/cpu/models/full/0"
SOLIDS_VOXEL_M = 0.1
NEIGHBOURS = 3
Say = Callable[[str], None]


class G2VLMModel:
    """A model folder ready to be used on captures.

    The folder holds config.json and model.safetensors; thresholds.json and
    ood_score.safetensors beside them where they were chosen and calibrated.
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
    ) -> G2VLMModel:
        """Load a model folder; raises `InputError` that says how to get one.

        A folder of a study, `results/<experiment>/models/<method>/<seed>`, takes the thresholds
        that the study chose on val. `threads` is all usable cores by default.
        """
        path = Path(folder)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: no trained model here; {MODEL_HELP}")
        processor = processor or G2VLMProcessor.from_pretrained(path)
        cores = threads or len(os.sched_getaffinity(0))
        network = Network(path, processor.texts, device, cores)
        config = network.config
        if not (config.language and config.votes and config.lifts):
            raise InputError(
                f"{path}: method {config.method!r} has no objects, language or depth of its own; "
                "give a model of method full"
            )
        thresholds, notes = _thresholds(path)
        calibration = path / ood_score.FILE
        ood_scorer = ood_score.OODScorer(calibration) if calibration.is_file() else None
        if ood_scorer is None:
            notes += (
                "This checkpoint has no calibration of the out-of-distribution score "
                "(python -m g2vlm publish writes it).",
            )
        return cls(network, processor, thresholds, ood_scorer, notes)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Copy the model, its thresholds and its calibration into one folder of their own."""
        from g2vlm.inference.thresholds import write_thresholds

        source = self.network.folder
        with atomic_path(folder, folder=True) as temporary:
            for name in ("config.json", "model.safetensors", "cost.json", PROBE, ood_score.FILE):
                if (source / name).is_file():
                    shutil.copyfile(source / name, temporary / name)
            write_thresholds(temporary / THRESHOLDS, self.thresholds)

    def run(
        self,
        capture: Capture,
        questions: Sequence[str] = (),
        phrases: Sequence[str] = (),
        say: Say | None = None,
    ) -> Result:
        """Reconstruct a capture, find its objects and relations, answer and ground.

        `questions` are answered, `phrases` ("the chair nearest the table") are pointed at; `say`
        is called with a line at each stage. The model reads as many views as it was trained with
        (4); all frames of the capture go into points and surfaces.
        """
        say = say or (lambda line: None)
        asked = self.processor.sentences(questions, "ask")
        sought = self.processor.sentences(phrases, "find")
        say("reading the views with the frozen image encoder")
        prepared = self.processor(capture)
        scene = self.network.encode(prepared.inputs, prepared.features)
        say("finding objects and relations")
        every = scene_objects(scene)
        limits = self.thresholds
        kept = every.over(limits.object_score, limits.triplet_score)
        names = _names(kept.objects, scene.network.config.classes)
        if asked or sought:
            say(f"reading {len(asked) + len(sought)} sentences")
        answers = scene.answers(asked, [()] * len(asked), *found_rows(scene, every.objects))
        grounded = self._ground(scene, kept, names, sought)
        say("points, surfaces and solids")
        refined = refine(capture, scene, prepared.windows, limits)
        read = sorted({window.frame for window in prepared.windows})
        return Result(
            capture=capture,
            method=scene.network.config.method,
            objects=_objects(scene, kept.objects, names),
            relations=tuple(
                Relation(names[s], predicate, names[o], round(score, 4))
                for s, predicate, o, score in kept.triplets
            ),
            answers=tuple(Answer(q, a) for q, a in zip(asked, answers, strict=True)),
            grounded=grounded,
            captions=tuple(self.network.captions([scene.state])),
            cloud=coloured_points(capture, refined),
            surfaces=textured_surface(capture, refined),
            solids=self._solids(scene),
            ood_score=(
                self.ood_scorer(prepared.inputs, prepared.features) if self.ood_scorer else None
            ),
            views=tuple(capture.names[frame] for frame in read),
            notes=(*capture.notes, *self.notes, *_view_notes(capture, read)),
        )

    def _solids(self, scene: EncodedScene) -> Mesh:
        dense = scene_points(scene, self.thresholds)
        return scene_solids(scene, dense, self.thresholds, SOLIDS_VOXEL_M)[1]

    def _ground(
        self,
        scene: EncodedScene,
        kept: FoundObjects,
        names: list[str],
        phrases: list[str],
    ) -> tuple[Grounding, ...]:
        """Point every phrase at detected objects, or at its likeliest points if there are none."""
        owner = {item.box.tobytes(): name for item, name in zip(kept.objects, names, strict=True)}
        out = []
        ranks = scene_ranks(scene, kept.objects, phrases)
        for phrase, (ranked, zero) in zip(phrases, ranks, strict=True):
            nothing = zero > self.thresholds.zero_logit
            boxes = chosen_boxes(ranked, zero, np.inf, self.thresholds.multi_logit)
            logits = {box.tobytes(): logit for box, logit in zip(*_rows(ranked), strict=True)}
            found = tuple(
                GroundedBox(
                    _box(box),
                    round(float(1 / (1 + np.exp(-logits[box.tobytes()]))), 4),
                    owner.get(box.tobytes()),
                )
                for box in boxes
            )
            out.append(Grounding(phrase, found, nothing))
        return tuple(out)


def _rows(ranked) -> tuple[np.ndarray, np.ndarray]:
    return ranked.boxes, ranked.logits


def _box(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def _thresholds(path: Path) -> tuple[Thresholds, tuple[str, ...]]:
    """Read the thresholds of a model folder, or those that its study chose."""
    resolved = path.resolve()
    seed, method, models = resolved.name, resolved.parent.name, resolved.parent.parent
    study = models.parent / "predictions" / method / seed / THRESHOLDS
    for place in (path / THRESHOLDS, study):
        if place.is_file() and (place != study or models.name == "models"):
            return read_thresholds(place), ()
    return Thresholds(), ("No thresholds were chosen for this checkpoint: defaults are used.",)


def _view_notes(capture: Capture, read: list[int]) -> tuple[str, ...]:
    left = [name for frame, name in enumerate(capture.names) if frame not in read]
    if not left:
        return ()
    return (
        f"The model read {len(read)} of {len(capture)} frames; {', '.join(left)} went into points "
        "and surfaces alone.",
    )


def _names(found: list[Detection], classes: Sequence[str]) -> list[str]:
    """Return a unique name for each detection: "chair 1", "chair 2", best first."""
    seen: Counter[str] = Counter()
    names = []
    for item in found:
        kind = classes[item.label]
        seen[kind] += 1
        names.append(f"{kind} {seen[kind]}")
    return names


@torch.inference_mode()
def _objects(
    scene: EncodedScene, found: list[Detection], names: list[str]
) -> tuple[DetectedObject, ...]:
    """Type the detections, each with the others of the nearest descriptors."""
    if not found:
        return ()
    network = scene.network
    masks = torch.from_numpy(member_masks(found, scene.masks.shape[1]))[None]
    boxes = torch.from_numpy(np.stack([item.box for item in found]))[None]
    embedded = network.model.embed_objects(
        scene.state, masks.to(network.device), boxes.to(network.device)
    )[0]
    cosine = (embedded @ embedded.T).cpu().numpy()
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(found) - 1)]
    return tuple(
        DetectedObject(
            name,
            network.config.classes[item.label],
            round(float(item.score), 4),
            _box(item.box),
            tuple((names[k], round(float(cosine[row, k]), 4)) for k in order[row]),
        )
        for row, (item, name) in enumerate(zip(found, names, strict=True))
    )
