"""The loop that the reader and the answering parts are fitted by, on objects of drawn scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from g2vlm.models.referring_head import ObjectSet

# A scene's objects, and their indices in its annotation (-1 = none of them).
IndexedSet = tuple[ObjectSet, np.ndarray]


def fit_parts(
    parts: Iterable[nn.Parameter],
    losses_of: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    steps: int,
    rate: float,
    decay: float,
) -> dict[str, float]:
    """Fit parameters for `steps` by AdamW under one cycle of the rate, to the weighted sum of the
    losses that each call of `losses_of` draws.

    Returns the mean losses of the last tenth of the steps.
    """
    parts = list(parts)
    optimizer = torch.optim.AdamW(parts, lr=rate, weight_decay=decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    log = []
    for _ in range(steps):
        losses = losses_of()
        total = sum(weights[name] * value for name, value in losses.items())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
        schedule.step()
        log.append({name: float(value.detach()) for name, value in losses.items()})
    last = log[-max(1, steps // 10) :]
    return {name: float(np.mean([losses[name] for losses in last])) for name in last[0]}


def draw_sets(
    draw: np.random.Generator, sets: Sequence[Sequence[IndexedSet]], usable: np.ndarray, count: int
) -> tuple[list[int], list[IndexedSet]]:
    """Draw `count` of the `usable` scenes, and of each one of its sets of objects."""
    rows = draw.permutation(usable)[:count].tolist()
    return rows, [sets[row][draw.integers(len(sets[row]))] for row in rows]


def stack_sets(chosen: Sequence[IndexedSet]) -> ObjectSet:
    """Pad the objects of scenes to a batch."""
    columns = zip(*(vars(one).values() for one, _ in chosen), strict=True)
    return ObjectSet(*(pad_sequence(list(column), batch_first=True) for column in columns))
