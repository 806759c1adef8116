"""The training section of the configuration, with its defaults, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import nn

from g2vlm.training.muon import Muon, large_matrices
from metrics.files import InputError

OPTIMIZERS = ("muon", "adamw", "sgd")
BETAS = (0.9, 0.98)

WEIGHTS = {
    "depth": 1.0,
    "normal": 0.2,
    "smoothness": 0.05,
    "reconstruction": 1.0,
    "align": 0.5,
    "spatial": 1.0,
    "text": 0.3,
}


@dataclass(frozen=True)
class TrainSettings:
    """How to train. `queries_per_scene` sentences (two references to each question) and
    `occupancy_queries` 3D points are drawn for each scene of each step; `warmup` is a share of all
    steps; `accumulation` batches make one optimizer step, shared by `processes`; `clip` bounds the
    gradient's norm. On the trained model's objects `refit_steps` fit the box head, `reader_steps`
    the object reader and `answer_steps` what answers are read from. With `precision` bf16 matrix
    products are in bfloat16 (autocast), but for positions and similarities."""

    stage1_steps: int = 22
    stage2_steps: int = 158
    batch_scenes: int = 3
    queries_per_scene: int = 6
    occupancy_queries: int = 256
    captions_per_scene: int = 2
    phrases_per_scene: int = 4
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    dropout: float = 0.1
    optimizer: str = "muon"
    accumulation: int = 1
    refit_steps: int = 2400
    reader_steps: int = 260
    answer_steps: int = 330
    processes: int = 1
    precision: str = "fp32"
    clip: float = 1.0
    checkpoint_seconds: float = 20.0
    loss_weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    @property
    def steps(self) -> int:
        """Optimizer steps of both stages."""
        return self.stage1_steps + self.stage2_steps

    @property
    def questions(self) -> int:
        """Questions a scene and step."""
        return max(1, self.queries_per_scene // 3)

    @property
    def references(self) -> int:
        """References a scene and step."""
        return max(1, self.queries_per_scene - self.questions)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_config(values: Mapping[str, Any], source: str = "config") -> TrainSettings:
        """Read the `train` section; raises `InputError` for a key or weight it does not know."""
        known = {one.name for one in fields(TrainSettings)}
        for name in values:
            if name not in known:
                raise InputError(f"{source}: unknown training setting {name!r}; take it out")
        weights = dict(WEIGHTS) | dict(values.get("loss_weights", {}))
        if unknown := sorted(set(weights) - set(WEIGHTS)):
            raise InputError(f"{source}: unknown loss {unknown[0]!r}; use {', '.join(WEIGHTS)}")
        if values.get("optimizer", OPTIMIZERS[0]) not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise InputError(f"{source}: optimizer {values['optimizer']!r}; use one of {known}")
        if values.get("precision", "fp32") not in ("fp32", "bf16"):
            raise InputError(f"{source}: precision {values['precision']!r}; use fp32 or bf16")
        return TrainSettings(**(dict(values) | {"loss_weights": weights}))


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    warm = max(1, round(settings.warmup * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Muon, AdamW or SGD with momentum; vectors (biases, norms, constants) do not decay."""
    rate, decay = settings.learning_rate, settings.weight_decay
    matrices = large_matrices(model) if settings.optimizer == "muon" else []
    apart = {id(one) for one in matrices}
    others = [one for one in model.parameters() if id(one) not in apart]
    groups = [
        {"params": [one for one in others if one.ndim > 1], "weight_decay": decay},
        {"params": [one for one in others if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)
    return Muon(matrices, groups, rate, decay, BETAS)
