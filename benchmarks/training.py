"""Requirements of training: its rate vs that of matrix products, and the data loader's share."""

from itertools import count
from pathlib import Path
from timeit import timeit

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Requirement, best
from g2vlm.models.model import G2VLM
from g2vlm.run.config import load_method
from g2vlm.training.objective import Objective
from g2vlm.training.optimizer import make_optimizer
from g2vlm.training.process_group import ProcessGroup
from g2vlm.training.settings import TrainSettings
from g2vlm.training.train import configure, keep_memory, load_train_set, one_step
from metrics.files import read_json

SIDE = 1024
STEPS = 8
SHARE_OF_SCENES = 0.1
LEAST_RATE = 0.6
MOST_LOADING = 0.03


def step(experiment: Path) -> list[Requirement]:
    """Time steps of the second stage of `full` on one core, on a finished experiment's scenes.

    Floating-point operations are those of the step's matrix products, as PyTorch counts them, with
    the backward pass and attention (as plain products), without the optimizer; the rate is that of
    a product of two 1024 x 1024 matrices in float32.
    """
    task = "a training step's rate / a matrix product's"
    if not (experiment / "features" / "images" / "train.safetensors").is_file():
        why = f"{experiment}/features: no such folder; name an experiment that keeps its features"
        return [Requirement(task, why, f">= {LEAST_RATE}", None)]
    torch.set_num_threads(1)
    keep_memory()
    objective = _objective(experiment)
    settings, model = objective.settings, objective.model
    optimizer, group = make_optimizer(model, settings), ProcessGroup()
    numbers = count(settings.stage1_steps)
    for _ in range(2):
        one_step(objective, optimizer, next(numbers), group)
    # PyTorch counts nothing in the CPU's fused attention.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        one_step(objective, optimizer, next(numbers), group)
    # One more step of the optimizer alone, to count its part of the operations.
    with FlopCounterMode(display=False) as of_optimizer:
        optimizer.step(settings.learning_rate)
    seconds = timeit(lambda: one_step(objective, optimizer, next(numbers), group), number=STEPS)
    seconds /= STEPS
    rate = (counter.get_total_flops() - of_optimizer.get_total_flops()) / seconds
    left, right = torch.randn(2, SIDE, SIDE)
    peak = 2 * SIDE**3 / best(lambda: left @ right, 10)
    loading = timeit(lambda: objective.batch(next(numbers), 0), number=STEPS) / STEPS / seconds
    measured = f"{rate / peak:.2f}: {rate / 1e9:.1f} of {peak / 1e9:.1f} GFLOP/s, {seconds:.3f} s"
    return [
        Requirement(task, measured, f">= {LEAST_RATE}", rate >= LEAST_RATE * peak),
        Requirement(
            "the data loader's share of a step",
            f"{loading:.1%}",
            f"<= {MOST_LOADING:.0%}",
            loading <= MOST_LOADING,
        ),
    ]


def _objective(experiment: Path) -> Objective:
    """Return the training objective of the experiment's full method over a tenth of its scenes."""
    config = read_json(experiment / "manifest.json")["config"]
    settings = TrainSettings.from_config(config["train"] | {"precision": "fp32"})
    data = load_train_set(experiment, SHARE_OF_SCENES)
    torch.manual_seed(0)
    model = G2VLM(configure(config, load_method("full") | {"name": "full"}, settings, data)).train()
    model.encoder.fit(
        (one.inputs, one.depth) for one in map(data.scenes.__getitem__, data.measured)
    )
    return Objective(model, data, settings, 0)
