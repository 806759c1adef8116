"""The optimizer, Muon for large matrices and AdamW for everything else, and its learning rate."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from g2vlm.training.settings import TrainSettings

BETAS = (0.9, 0.98)
# Best on `val` of momenta 0.8 to 0.95, step sizes 0.1 to 1.6, and 3 or 5 iterations.
MOMENTUM = 0.85
STEP_SIZE = 0.8
ITERATIONS = 5
# Smaller matrices (gates, scores) have too few directions for orthogonalisation to help.
LEAST_SIDE = 32
# a x + b x^3 + c x^5 moves singular values x in 0..1 quickly to about 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.775, 2.0315)


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = max(1, round(settings.warmup * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return Muon or AdamW over a model's parameters.

    Vectors (biases, norms, constants) have no weight decay.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    matrices = large_matrices(model) if settings.optimizer == "muon" else []
    orthogonalised = {id(one) for one in matrices}
    others = [one for one in model.parameters() if id(one) not in orthogonalised]
    groups = [
        {"params": [one for one in others if one.ndim > 1], "weight_decay": decay},
        {"params": [one for one in others if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)
    return Muon(matrices, groups, rate, decay, BETAS)


def large_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of linear layers with at least `LEAST_SIDE` rows and columns."""
    return [
        one.weight
        for one in model.modules()
        if isinstance(one, nn.Linear) and min(one.weight.shape) >= LEAST_SIDE
    ]


class Muon(torch.optim.Optimizer):
    """Steps `matrices` along their orthogonalised momentum, other parameters as AdamW does.

    The momentum with Nesterov's look-ahead gives a direction. All its singular values are moved to
    about 1, so that rare directions are learned as fast as common ones. An entry of a matrix moves
    by `STEP_SIZE` times the rate (root mean square), which makes the rate comparable to AdamW's.

    PyTorch's own `Muon` takes matrices one by one in bfloat16, which a CPU without such
    instructions computes 15 times slower. Here, matrices of equal shape share a product in float32.

    Args:
        matrices: parameters to orthogonalise.
        others: parameter groups for AdamW.
        rate: learning rate of all groups.
        decay: weight decay of the matrices.
        betas: AdamW's decay rates of the moments.

    Source: Muon of Jordan et al. 2024; step size after Liu et al. 2025.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Iterable[dict[str, Any]],
        rate: float,
        decay: float,
        betas: tuple[float, float],
    ) -> None:
        super().__init__([{"params": list(matrices), "weight_decay": decay}, *others], {"lr": rate})
        self._adamw = torch.optim.AdamW(self.param_groups[1:], lr=rate, betas=betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Step every parameter that has a gradient.

        A direction has no length. Where the gradient of a matrix is 0, the matrix therefore still
        moves a whole step along its momentum, as in PyTorch's implementation. Skipping such steps
        made the one method that meets them (3D labels in a tenth of the scenes) reconstruct worse.
        """
        # Schedules and checkpoints change the groups and the state of this optimizer alone.
        self._adamw.param_groups, self._adamw.state = self.param_groups[1:], self.state
        self._adamw.step(closure)
        self._step_matrices(**self.param_groups[0])

    def _step_matrices(
        self, params: Sequence[nn.Parameter], lr: float, weight_decay: float, **_: object
    ) -> None:
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for one in params:
            if one.grad is not None:
                by_shape.setdefault((min(one.shape), max(one.shape)), []).append(one)
        for (_, long), group in by_shape.items():
            # (K, short, long)
            moves = orthogonalise(torch.stack([wide(self._direction(one)) for one in group]))
            for one, move in zip(group, moves.unbind(), strict=True):
                move = move if one.shape == move.shape else move.T
                # An orthogonal [short, long] matrix has entries of root mean square 1 / sqrt(long).
                one.mul_(1 - lr * weight_decay).add_(move, alpha=-lr * STEP_SIZE * long**0.5)

    def _direction(self, one: nn.Parameter) -> Tensor:
        """Return the gradient mixed with the momentum, which is updated (Nesterov)."""
        state = self.state[one]
        if not state:
            state["momentum"] = torch.zeros_like(one)
        return one.grad.lerp(state["momentum"].lerp_(one.grad, 1 - MOMENTUM), MOMENTUM)


def wide(matrix: Tensor) -> Tensor:
    """Return the matrix, transposed if it has more rows than columns."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return matrices [K,n,m], n <= m, with their singular values moved to 0.7..1.2.

    A Newton-Schulz iteration applies an odd polynomial to the singular values; the singular vectors
    stay. Values below about a thousandth of the norm stay small.
    """
    a, b, c = QUINTIC
    # Dividing by the Frobenius norm brings all singular values below 1, where it converges.
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT  # (K, n, n)
        # a x + (b s + c s s) x with s = x x^T
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x
