"""The processes that share one training, started by `accelerate launch`.

They share the `accumulation` batches of a step, so that a study's result does not depend on how
many there are. Hugging Face Accelerate is imported only where there is more than one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from g2vlm.features.device import device_or_best
from metrics.files import InputError


class Team:
    """This process's place among those that train one model.

    Attributes:
        size: how many they are, by the environment's WORLD_SIZE.
        rank: this one's number from 0; the first one writes.
        device: where its model belongs.
    """

    def __init__(self) -> None:
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), 0
        self.device = torch.device(device_or_best())
        if self.size > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.rank, self.device = self._accelerator.process_index, self._accelerator.device

    @property
    def first(self) -> bool:
        """Whether this process shows progress and writes files."""
        return self.rank == 0

    def parts(self, accumulation: int) -> range:
        """Return which of a step's batches are this process's own.

        Raises `InputError` where the processes would not have equally many.
        """
        if accumulation % self.size:
            raise InputError(
                f"train.accumulation: {accumulation} batches a step cannot be shared by "
                f"{self.size} processes; set it to a multiple of them"
            )
        return range(self.rank, accumulation, self.size)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes; one that no process has stays None."""
        if self.size == 1:
            return
        every = list(parameters)
        mine = torch.tensor([float(p.grad is not None) for p in every], device=self.device)
        there = self._accelerator.reduce(mine, "sum").tolist()
        held = [p for p, count in zip(every, there, strict=True) if count]
        flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in held]
        joined = self._accelerator.reduce(torch.cat([g.reshape(-1) for g in flat]), "sum")
        for p, gradient in zip(held, joined.split([p.numel() for p in held]), strict=True):
            p.grad = gradient.view_as(p)

    def sum_losses(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Add up losses by name; every process has the same names."""
        if self.size == 1:
            return dict(losses)
        mine = torch.tensor(list(losses.values()), dtype=torch.float64, device=self.device)
        total = self._accelerator.reduce(mine, "sum").tolist()
        return dict(zip(losses, total, strict=True))

    def leave(self) -> None:
        """Close the connections between the processes."""
        if self.size > 1:
            self._accelerator.end_training()
