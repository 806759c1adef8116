"""Muon for the network's large matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Of momenta .8 to .95, step sizes .1 to 1.6 and 3 or 5 iterations the best on val.
MOMENTUM = 0.85
STEP_SIZE = 0.8
ITERATIONS = 5
# Smaller matrices (gates, scores) have few directions to hold apart.
LEAST_SIDE = 32
# a x + b x³ + c x⁵ moves singular values x fast to about 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.775, 2.0315)


def large_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Weights of the linear layers whose sides are both at least `LEAST_SIDE`."""
    weights = [one.weight for one in model.modules() if isinstance(one, nn.Linear)]
    return [weight for weight in weights if min(weight.shape) >= LEAST_SIDE]


class Muon(torch.optim.Optimizer):
    """Steps `matrices` along their orthogonalised momentum, other parameters as AdamW does.

    Momentum and Nesterov's look ahead make a direction; with all its singular values moved to
    about 1, rare directions are learned as fast as common ones (Muon, Jordan et al. 2024). An entry
    of a matrix moves by `STEP_SIZE` of the rate (root mean square; the match to AdamW's rate after
    Liu et al. 2025). PyTorch's own `Muon` takes matrices one by one in bfloat16, which a CPU
    without such instructions computes 15 times slower; here equal shapes share a product in
    float32.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Iterable[dict[str, Any]],
        rate: float,
        decay: float,
        betas: tuple[float, float],
    ) -> None:
        first = {"params": list(matrices), "weight_decay": decay}
        super().__init__([first, *others], {"lr": rate})
        self._adamw = torch.optim.AdamW(self.param_groups[1:], lr=rate, betas=betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step of every parameter that has a gradient.

        A direction has no length: where a matrix's gradient is 0, as PyTorch's own does, this goes
        on along the momentum by a whole step. To stand still there made the one method that meets
        it, with 3D truth in a tenth of the scenes, reconstruct worse.
        """
        # Rates are set, and a checkpoint is loaded, in this optimizer's groups and state alone.
        self._adamw.param_groups, self._adamw.state = self.param_groups[1:], self.state
        self._adamw.step(closure)
        self._step_matrices(**self.param_groups[0])

    def _step_matrices(
        self, params: Sequence[nn.Parameter], lr: float, weight_decay: float, **_: object
    ) -> None:
        alike: dict[tuple[int, int], list[nn.Parameter]] = {}
        for one in params:
            if one.grad is not None:
                alike.setdefault((min(one.shape), max(one.shape)), []).append(one)
        for (_, long), some in alike.items():
            turned = orthogonalise(torch.stack([flat(self._ahead(one)) for one in some]))
            for one, move in zip(some, turned.unbind(), strict=True):
                move = move if one.shape == move.shape else move.T
                one.mul_(1 - lr * weight_decay).add_(move, alpha=-lr * STEP_SIZE * long**0.5)

    def _ahead(self, one: nn.Parameter) -> Tensor:
        """The parameter's gradient, led by its momentum."""
        state = self.state[one]
        if not state:
            state["momentum"] = torch.zeros_like(one)
        momentum = state["momentum"].lerp_(one.grad, 1 - MOMENTUM)
        return one.grad.lerp(momentum, MOMENTUM)


def flat(matrix: Tensor) -> Tensor:
    """The matrix, lying: no more rows than columns."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices [K,n,m], n <= m, with singular values moved to about 1 (.7 to 1.2).

    A Newton-Schulz iteration: the singular vectors stay; values under some thousandth of the
    norm stay small.
    """
    a, b, c = QUINTIC
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x
