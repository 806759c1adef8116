"""The training objective: batches of a step and the weighted sum of the losses in `LOSSES`."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import SceneBatch, stack_scenes
from g2vlm.models.model import G2VLM
from g2vlm.training import loss_functions
from g2vlm.training.data import (
    GeometryTargets,
    LanguageTargets,
    ObjectTargets,
    StepOutputs,
    TrainSet,
    fixed_share,
    geometry_batch,
    language_batch,
    object_batch,
)
from g2vlm.training.losses import LOSSES
from g2vlm.training.settings import TrainSettings
from g2vlm.training.targets import SceneLabels
from metrics.files import rng
from metrics.scene_graph.predicates import LABELS


def relation_weights(scenes: Iterable[SceneLabels]) -> dict[str, Tensor]:
    """Return {relation family: [K]} weights of labels: inverse root frequency, mean 1."""
    counts = {family: np.ones(len(names)) for family, names in LABELS.items()}
    for scene in scenes:
        for family, count in counts.items():
            labels = scene.relations[family]
            count += np.bincount(labels[labels >= 0].astype(int), minlength=len(count))
    weights = {family: (count.sum() / count) ** 0.5 for family, count in counts.items()}
    return {
        family: torch.from_numpy((weight / weight.mean()).astype(np.float32))
        for family, weight in weights.items()
    }


# Inputs, dense targets and, in stage 2, targets of objects and of sentences.
Batch = tuple[SceneBatch, GeometryTargets, ObjectTargets | None, LanguageTargets | None]


class Objective:
    """Samples the batches of a step and computes their losses.

    A thread reads and samples the batch of the next step while this one is computed. A batch
    depends on its step alone, so the thread changes no result.
    """

    def __init__(self, model: G2VLM, data: TrainSet, settings: TrainSettings, seed: int) -> None:
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        # Whose 3D labels may be used, bool [scenes].
        self.supervised = fixed_share(
            data.scenes.names, model.config.supervision_3d, "supervision_3d"
        )
        self.device = next(model.parameters()).device
        self.weights = {
            family: weight.to(self.device)
            for family, weight in relation_weights(
                data.scenes.labels(row) for row in data.measured
            ).items()
        }
        self._thread = ThreadPoolExecutor(1)
        self._ahead: dict[tuple[int, int], Future[Batch]] = {}

    def batch(self, step: int, part: int) -> Batch:
        """Return batch number `part` of a step, on the model's device."""
        settings, model = self.settings, self.model
        random = rng(self.seed, "step", f"{step}.{part}")
        chosen = self.data.order(
            self.seed, step * settings.accumulation + part, settings.batch_scenes
        )
        scenes = [self.data.scenes[row] for row in chosen.tolist()]
        geometry = geometry_batch(
            scenes,
            self.supervised[chosen],
            len(model.config.classes),
            settings.occupancy_queries,
            random,
        )
        inputs = stack_scenes([scene.inputs for scene in scenes], model.config).to(self.device)
        if step < settings.stage1_steps:
            return inputs, geometry.to(self.device), None, None
        objects, language = object_batch(scenes).to(self.device), None
        if model.config.language:
            language = language_batch(
                self.data,
                scenes,
                model.vocabulary,
                {
                    "references": settings.references,
                    "questions": settings.questions,
                    "captions": settings.captions_per_scene,
                    "phrases": settings.phrases_per_scene,
                },
                random,
            ).to(self.device)
        return inputs, geometry.to(self.device), objects, language

    def next_batch(self, step: int, part: int) -> Batch:
        """Return `batch(step, part)`, and let the thread sample the next."""
        ready = self._ahead.pop((step, part), None)
        batch = ready.result() if ready else self.batch(step, part)
        if step + 1 < self.settings.steps:
            self._ahead[step + 1, part] = self._thread.submit(self.batch, step + 1, part)
        return batch

    def losses(self, step: int, part: int) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of a batch's losses, and all losses and parts by name."""
        settings, (inputs, *targets) = self.settings, self.next_batch(step, part)
        with torch.autocast(self.device.type, torch.bfloat16, settings.precision == "bf16"):
            state = self.model.encode(inputs)
            values, parts = self.terms(StepOutputs(self.model, state, *targets, self.weights))
        total = sum(settings.loss_weights[name] * value for name, value in values.items())
        logged = {"total": total, **values, **parts}
        return total, {name: float(value.detach()) for name, value in logged.items()}

    def terms(self, outputs: StepOutputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the losses by name, in the order of summation, and their parts.

        Losses of several parts are computed first. Autograd adds up gradients in the reverse order
        of computation, so another order would change the last bits of every trained weight.
        """
        stage, config = 1 if outputs.objects is None else 2, self.model.config
        active = [
            loss
            for loss in LOSSES
            if loss.stage <= stage and all(getattr(config, name) for name in loss.switches)
        ]
        values: dict[str, Tensor] = {}
        parts: dict[str, Tensor] = {}
        for loss in sorted(active, key=lambda loss: (loss.stage, not loss.parts)):
            value = getattr(loss_functions, loss.function)(outputs)
            if loss.parts:
                parts |= {f"{loss.name}/{name}": part for name, part in value.items()}
                value = sum(value.values())
            values[loss.name] = value
        return {loss.name: values[loss.name] for loss in active}, parts
