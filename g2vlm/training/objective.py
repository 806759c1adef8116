"""One step's losses by the article's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import SceneBatch
from g2vlm.models.model import G2VLM
from g2vlm.models.state import SceneState
from g2vlm.training import geometry_losses as geometry
from g2vlm.training import language_losses as language
from g2vlm.training.data import (
    GeometryTargets,
    LanguageTargets,
    TrainSet,
    geometry_batch,
    input_batch,
    language_batch,
)
from g2vlm.training.settings import TrainSettings
from g2vlm.training.targets import TrainScene
from metrics.files import rng
from metrics.scene_graph.predicates import LABELS


def relation_weights(scenes: Sequence[TrainScene]) -> dict[str, Tensor]:
    """Weight of each label by family: inverse root frequency among judged pairs, mean 1."""
    out = {}
    for family, names in LABELS.items():
        count = np.ones(len(names))
        for scene in scenes:
            labels = scene.relations[family]
            count += np.bincount(labels[labels >= 0].astype(int), minlength=len(names))
        weight = (count.sum() / count) ** 0.5
        out[family] = torch.from_numpy((weight / weight.mean()).astype(np.float32))
    return out


@dataclass(frozen=True)
class Batch:
    """What one batch is: inputs, dense truth and, in the second stage, objects and sentences."""

    inputs: SceneBatch
    truth: GeometryTargets
    targets: LanguageTargets | None


class Objective:
    """Draws a step's batch and computes its losses.

    On a GPU a thread draws the next step's batch while this one is computed. A batch depends on its
    step alone, so that changes no result.
    """

    def __init__(self, model: G2VLM, data: TrainSet, settings: TrainSettings, seed: int) -> None:
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.supervised = data.supervised(model.config.supervision_3d)
        self.device = next(model.parameters()).device
        weights = relation_weights(data.scenes)
        self.weights = {k: v.to(self.device) for k, v in weights.items()}
        self._thread = None if self.device.type == "cpu" else ThreadPoolExecutor(1)
        self._ahead: dict[tuple[int, int], Future[Batch]] = {}

    def batch(self, step: int, part: int) -> Batch:
        """Batch `part` of `step`, on the model's device."""
        settings, model = self.settings, self.model
        draw = rng(self.seed, "step", f"{step}.{part}")
        chosen = self.data.order(
            self.seed, step * settings.accumulation + part, settings.batch_scenes
        )
        scenes = [self.data.scenes[row] for row in chosen]
        classes = len(model.config.classes)
        truth = geometry_batch(
            scenes, self.supervised[chosen], classes, settings.occupancy_queries, draw
        )
        inputs = input_batch(scenes, model.config).to(self.device)
        targets = None
        if step >= settings.stage1_steps and model.config.language:
            targets = language_batch(self.data, scenes, model.vocabulary, self.counts(), draw)
            targets = targets.to(self.device)
        return Batch(inputs, truth.to(self.device), targets)

    def next_batch(self, step: int, part: int) -> Batch:
        """The same, drawn ahead where there is a thread for it."""
        if self._thread is None:
            return self.batch(step, part)
        ready = self._ahead.pop((step, part), None)
        found = ready.result() if ready else self.batch(step, part)
        if step + 1 < self.settings.steps:
            self._ahead[step + 1, part] = self._thread.submit(self.batch, step + 1, part)
        return found

    def losses(self, step: int, part: int) -> tuple[Tensor, dict[str, float]]:
        """Total loss of batch `part` of `step`, and every loss by name for the log."""
        settings, drawn = self.settings, self.next_batch(step, part)
        with torch.autocast(self.device.type, torch.bfloat16, settings.precision == "bf16"):
            state = self.model.encode(drawn.inputs)
            named, parts = self.first_stage(state, drawn.truth)
            if drawn.targets is not None:
                more, more_parts = self.second_stage(state, drawn.truth, drawn.targets)
                named, parts = named | more, parts | more_parts
        total = sum(settings.loss_weights[name] * value for name, value in named.items())
        shown = {"total": total, **named, **parts}
        return total, {name: float(value.detach()) for name, value in shown.items()}

    def counts(self) -> dict[str, int]:
        """How many sentences of each kind a scene and step."""
        settings = self.settings
        return {
            "references": settings.references,
            "questions": settings.questions,
            "captions": settings.captions_per_scene,
            "phrases": settings.phrases_per_scene,
        }

    def first_stage(
        self, state: SceneState, truth: GeometryTargets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """L_depth, L_normal, L_surface_smoothness, L_reconstruction, and the last one's parts."""
        rows = state.grid.cells[0]
        occupancy = self.model.occupancy(state, truth.queries)
        parts = geometry.reconstruction_loss(state, truth, occupancy)
        named = {
            "depth": geometry.depth_loss(state, truth),
            "normal": geometry.normal_loss(state, truth, rows),
            "smoothness": geometry.smoothness_loss(state, rows),
            "reconstruction": parts["pointmap"] + parts["occupancy"] + parts["colour"],
        }
        return named, {f"reconstruction/{k}": v for k, v in parts.items()}

    def second_stage(
        self, state: SceneState, truth: GeometryTargets, targets: LanguageTargets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """L_spatial, L_text and, unless it is switched off, L_align, and their parts."""
        model = self.model
        ground = model.ground(state, targets.sentences)
        boxes = model.object_boxes(state, targets.masks)
        relations = model.relations(state, targets.masks, boxes.detach())
        spatial: Mapping[str, Tensor] = {
            "class": language.class_loss(state, truth),
            "name": language.name_loss(state, targets),
            "vote": language.vote_loss(state, truth),
            "box": language.object_loss(boxes, truth.supervised, targets),
            "relation": language.relation_loss(relations, targets, self.weights),
            "front": 0.1 * language.front_loss(relations, targets),
            **language.grounding_loss(model, ground, targets),
        }
        text = language.text_loss(model, state, ground, targets)
        named = {"spatial": sum(spatial.values()), "text": sum(text.values())}
        if model.config.align_loss:
            named["align"] = language.align_loss(model, state, boxes.detach(), targets)
        parts = {f"spatial/{k}": v for k, v in spatial.items()}
        return named, parts | {f"text/{k}": v for k, v in text.items()}
