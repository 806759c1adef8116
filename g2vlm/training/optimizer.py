"""The optimizer, Muon for large matrices and AdamW for everything else, and its learning rate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from g2vlm.training.settings import TrainSettings

BETAS = (0.9, 0.98)
# Added to the root of AdamW's second moment.
EPSILON = 1e-8
# Best on `val` of momenta 0.8 to 0.95 and step sizes 0.1 to 1.6.
MOMENTUM = 0.85
STEP_SIZE = 0.8
# Smaller matrices (gates, scores) have too few directions for orthogonalisation to help.
LEAST_SIDE = 32
# Odd polynomials a x + b x^3 + c x^5 that, in turn, move singular values x in 0.003..1 to
# 0.80..1.20. Each is the best on the range that the ones before leave (Amsel et al. 2025, "The
# Polar Express").
POLYNOMIALS = (
    (8.3837, -24.7659, 18.3571),
    (4.0434, -3.0115, 0.5695),
    (3.5056, -2.6267, 0.5257),
    (2.4901, -1.8343, 0.4368),
)


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = max(1, round(settings.warmup * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * (0.01 + 0.99 * falling_cosine(done))


def falling_cosine(done: float) -> float:
    """Return a factor that falls from 1 to 0 along a half cosine as `done` rises from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2


def make_optimizer(model: nn.Module, settings: TrainSettings) -> "Optimizer":
    """Return the optimizer of a model's parameters: Muon and AdamW, or AdamW alone.

    Vectors (biases, norms, constants) have no weight decay.
    """
    decay = settings.weight_decay
    matrices = large_matrices(model) if settings.optimizer == "muon" else []
    orthogonalised = {id(one) for one in matrices}
    others = [one for one in model.parameters() if id(one) not in orthogonalised]
    return Optimizer(
        [
            Group(matrices, decay, orthogonalised=True),
            Group([one for one in others if one.ndim > 1], decay),
            Group([one for one in others if one.ndim <= 1], 0.0),
        ],
        BETAS,
    )


def large_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of linear layers with at least `LEAST_SIDE` rows and columns."""
    return [
        one.weight
        for one in model.modules()
        if isinstance(one, nn.Linear) and min(one.weight.shape) >= LEAST_SIDE
    ]


@dataclass(frozen=True)
class Group:
    """Parameters that are stepped alike.

    Attributes:
        parameters: of the group.
        decay: decoupled weight decay.
        orthogonalised: whether the parameters are matrices for Muon.
    """

    parameters: Sequence[nn.Parameter]
    decay: float
    orthogonalised: bool = False


class Optimizer:
    """Steps parameters as AdamW does, and matrices along their orthogonalised momentum (Muon).

    The momentum with Nesterov's look-ahead gives a direction. All its singular values are moved to
    about 1, so that rare directions are learned as fast as common ones. An entry of a matrix moves
    by `STEP_SIZE` times the rate (root mean square), which makes the rate comparable to AdamW's.

    PyTorch's optimizer classes are not used. They import its compiler at the first step, which
    takes 2 seconds, and PyTorch's `Muon` takes matrices one by one in bfloat16, which a CPU without
    such instructions computes 15 times slower. Here, matrices of equal shape share a product in
    float32.

    Args:
        groups: of parameters.
        betas: AdamW's decay rates of the moments.

    Source: AdamW of Loshchilov & Hutter 2019; Muon of Jordan et al. 2024; its step size after Liu
        et al. 2025.
    """

    def __init__(self, groups: Sequence[Group], betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.groups, self.betas = groups, betas
        self.parameters = [one for group in groups for one in group.parameters]
        self._state: dict[nn.Parameter, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for one in self.parameters:
            one.grad = None

    @torch.no_grad()
    def step(self, rate: float, first_beta: float | None = None) -> None:
        """Step every parameter that has a gradient.

        A direction has no length. Where the gradient of a matrix is 0, the matrix therefore still
        moves a whole step along its momentum, as in PyTorch's implementation. Skipping such steps
        made the one method that meets them (3D labels in a tenth of the scenes) reconstruct worse.

        Args:
            rate: learning rate.
            first_beta: decay rate of AdamW's first moment, by default that of `betas`.
        """
        for group in self.groups:
            moved = [one for one in group.parameters if one.grad is not None]
            if group.orthogonalised:
                self._step_matrices(moved, rate, group.decay)
            elif moved:
                self._step_adamw(moved, rate, group.decay, first_beta or self.betas[0])

    def _step_adamw(
        self, moved: list[nn.Parameter], rate: float, decay: float, first_beta: float
    ) -> None:
        names = ("exp_avg", "exp_avg_sq")
        for one in moved:
            if one not in self._state:
                self._state[one] = {name: torch.zeros_like(one) for name in names}
                self._state[one]["step"] = torch.zeros((), device=one.device)
        adamw(
            moved,
            [one.grad for one in moved],
            *([self._state[one][name] for one in moved] for name in names),
            [],
            [self._state[one]["step"] for one in moved],
            fused=True,
            amsgrad=False,
            beta1=first_beta,
            beta2=self.betas[1],
            lr=rate,
            weight_decay=decay,
            eps=EPSILON,
            maximize=False,
        )

    def _step_matrices(self, moved: list[nn.Parameter], rate: float, decay: float) -> None:
        by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
        for one in moved:
            by_shape.setdefault((min(one.shape), max(one.shape)), []).append(one)
        for (_, long), group in by_shape.items():
            # (K, short, long)
            moves = orthogonalise(torch.stack([wide(self._direction(one)) for one in group]))
            for one, move in zip(group, moves.unbind(), strict=True):
                move = move if one.shape == move.shape else move.T
                # An orthogonal [short, long] matrix has entries of root mean square 1 / sqrt(long).
                one.mul_(1 - rate * decay).add_(move, alpha=-rate * STEP_SIZE * long**0.5)

    def _direction(self, one: nn.Parameter) -> Tensor:
        """Return the gradient mixed with the momentum, which is updated (Nesterov)."""
        state = self._state.setdefault(one, {})
        if not state:
            state["momentum"] = torch.zeros_like(one)
        return one.grad.lerp(state["momentum"].lerp_(one.grad, 1 - MOMENTUM), MOMENTUM)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of every parameter as "<number>/<name>"."""
        return {
            f"{number}/{name}": value
            for number, one in enumerate(self.parameters)
            for name, value in self._state.get(one, {}).items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from the result of `tensors`."""
        self._state = {}
        for key, value in tensors.items():
            number, name = key.split("/")
            one = self.parameters[int(number)]
            self._state.setdefault(one, {})[name] = value.to(one.device)


def wide(matrix: Tensor) -> Tensor:
    """Return the matrix, transposed if it has more rows than columns."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return matrices [K,n,m], n <= m, with their singular values moved to 0.8..1.2.

    A Newton-Schulz iteration applies odd polynomials to the singular values; the singular vectors
    stay. Values below 0.003 of the norm stay smaller.
    """
    # Dividing by the Frobenius norm brings all singular values below 1, where it converges.
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for a, b, c in POLYNOMIALS:
        square = x @ x.mT  # (K, n, n)
        # a x + (b s + c s s) x with s = x x^T
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x
