"""The loop that fits heads on cached features, and the sampling of objects for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from g2vlm.models.referring_head import ObjectSet

# A scene's objects, and their indices in its annotation (-1 = none of them).
IndexedSet = tuple[ObjectSet, np.ndarray]


def fit_one_cycle(
    parameters: Iterable[nn.Parameter],
    sample_losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    steps: int,
    rate: float,
    decay: float,
) -> dict[str, float]:
    """Fit parameters by AdamW under one cycle of the learning rate, with clipped gradients.

    Args:
        parameters: what is fitted.
        sample_losses: samples a batch and returns its losses by name.
        weights: weight of each loss in the sum.
        steps: optimizer steps.
        rate: peak learning rate.
        decay: weight decay.

    Returns:
        the mean losses of the last tenth of the steps.
    """
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    return minimise(optimizer, schedule, steps, sample_losses, weights, clip=1.0)


def minimise(
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    steps: int,
    sample_losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    clip: float | None = None,
) -> dict[str, float]:
    """Take optimizer steps along the weighted sum of sampled losses.

    Args:
        optimizer: over what is fitted.
        schedule: its learning rate.
        steps: optimizer steps.
        sample_losses: samples a batch and returns its losses by name.
        weights: weight of each loss in the sum.
        clip: largest norm of the gradient, None = any.

    Returns:
        the mean losses of the last tenth of the steps.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    log = []
    for _ in range(steps):
        losses = sample_losses()
        total = sum(weights[name] * value for name, value in losses.items())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        schedule.step()
        log.append({name: float(value.detach()) for name, value in losses.items()})
    last = log[-max(1, steps // 10) :]
    return {name: float(np.mean([losses[name] for losses in last])) for name in last[0]}


def sample_sets(
    random: np.random.Generator,
    sets: Sequence[Sequence[IndexedSet]],
    usable: Sequence[int],
    count: int,
) -> tuple[list[int], list[IndexedSet]]:
    """Sample `count` of the `usable` scenes, and one set of objects of each.

    Returns:
        the scenes' rows, and their sets.
    """
    rows = random.permutation(usable)[:count].tolist()
    return rows, [sets[row][random.integers(len(sets[row]))] for row in rows]


def stack_sets(chosen: Sequence[IndexedSet]) -> ObjectSet:
    """Return the objects of several scenes as one padded batch."""
    columns = zip(*(vars(objects).values() for objects, _ in chosen), strict=True)
    return ObjectSet(*(pad_sequence(list(column), batch_first=True) for column in columns))
