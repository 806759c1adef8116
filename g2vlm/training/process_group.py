"""The processes that train one model together, started by `accelerate launch`.

They share the `accumulation` batches of a step, so the result of a training does not depend on how
many there are. Hugging Face Accelerate is imported only where there is more than one.
"""

import os
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from g2vlm.features.packages import device_or_best
from metrics.files import InputError


class ProcessGroup:
    """This process and the others that train the same model.

    Attributes:
        size: number of processes, from the environment variable WORLD_SIZE.
        rank: number of this process, from 0.
        is_main: whether this process reports progress and writes files.
        device: where its copy of the model belongs.
    """

    def __init__(self) -> None:
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), 0
        self.device = torch.device(device_or_best())
        if self.size > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.rank, self.device = self._accelerator.process_index, self._accelerator.device
        self.is_main = self.rank == 0

    def parts(self, accumulation: int) -> range:
        """Return the numbers of the batches in a step that this process computes.

        Raises:
            InputError: where the processes cannot have equally many.
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
        parameters = list(parameters)
        has_gradient = torch.tensor([float(p.grad is not None) for p in parameters])
        counts = self._accelerator.reduce(has_gradient.to(self.device), "sum")
        # Processes must exchange tensors of the same sizes, so a missing gradient counts as zero
        # where another process has one.
        shared = [p for p, count in zip(parameters, counts.tolist(), strict=True) if count]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
        joined = self._accelerator.reduce(torch.cat([g.reshape(-1) for g in gradients]), "sum")
        gradients = joined.split([p.numel() for p in shared])
        for p, gradient in zip(shared, gradients, strict=True):
            p.grad = gradient.view_as(p)

    def sum_losses(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Add up losses by name; every process has the same names."""
        if self.size == 1:
            return dict(losses)
        mine = torch.tensor(list(losses.values()), dtype=torch.float64, device=self.device)
        return dict(zip(losses, self._accelerator.reduce(mine, "sum").tolist(), strict=True))

    def leave(self) -> None:
        """Close the connections between the processes."""
        if self.size > 1:
            self._accelerator.end_training()
