"""Muon against PyTorch's own, and AdamW for the other parameters."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import g2vlm.training.optimizer as optimizer_module
from g2vlm.training.optimizer import (
    EPSILON,
    LEAST_SIDE,
    MOMENTUM,
    STEP_SIZE,
    Group,
    Optimizer,
    large_matrices,
    make_optimizer,
    orthogonalise,
)
from tests.g2vlm.models.build import small_model, train_settings

RATE, DECAY, BETAS = 3e-3, 0.05, (0.9, 0.98)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(40, 64),
        nn.GELU(),
        nn.Linear(64, 64),
        nn.GELU(),
        nn.Linear(64, 40),
        nn.Linear(40, 3),
    )


def run(model: nn.Module, optimizer: Optimizer, steps: int = 4) -> None:
    torch.manual_seed(1)
    x, y = torch.randn(50, 40), torch.randn(50, 3)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step(RATE)


def others_of(model: nn.Module) -> list[nn.Parameter]:
    apart = {id(one) for one in large_matrices(model)}
    return [one for one in model.parameters() if id(one) not in apart]


def test_orthogonalised_matrices_keep_their_singular_vectors():
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(3, 32, 32))
    right, _ = torch.linalg.qr(torch.randn(3, 64, 32))
    # From 0.003 to 0.3 of the norm.
    values = torch.linspace(0.055, 5, 32)
    turned = left.mT @ orthogonalise(left * values @ right.mT) @ right
    kept = turned.diagonal(dim1=1, dim2=2)
    assert ((kept > 0.79) & (kept < 1.21)).all()
    assert (turned - torch.diag_embed(kept)).abs().max() < 1e-4


def test_a_matrix_of_rank_one_is_not_blown_up():
    """Its only singular value is its norm, the upper end of the polynomials' range."""
    row = torch.arange(1, 33.0)
    (moved,) = orthogonalise((row[:, None] * row)[None])
    assert 0.79 < torch.linalg.svdvals(moved)[0] < 1.21


def test_steps_are_those_of_pytorchs_muon_and_adamw(monkeypatch):
    # Those of PyTorch's implementation.
    monkeypatch.setattr(optimizer_module, "POLYNOMIALS", ((3.4445, -4.775, 2.0315),) * 5)
    ours, theirs = network(), network()
    start = copy.deepcopy(ours.state_dict())
    scale = STEP_SIZE / 0.2  # "match_rms_adamw" moves an entry by .2 of the rate.
    muon = torch.optim.Muon(
        large_matrices(theirs),
        lr=RATE * scale,
        weight_decay=DECAY / scale,
        momentum=MOMENTUM,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(others_of(theirs), RATE, BETAS, EPSILON, DECAY)
    groups = [Group(large_matrices(ours), DECAY, True), Group(others_of(ours), DECAY)]
    optimizer = Optimizer(groups, BETAS)
    for _ in range(4):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        optimizer.step(RATE)
        muon.step()
        adamw.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # Theirs iterates in bfloat16.
        assert (a - b).norm() < 0.05 * (b - start[name]).norm(), name


def test_only_large_matrices_of_linear_layers_are_orthogonalised():
    model = small_model("full")
    chosen = {id(one) for one in large_matrices(model)}
    named = {name: one for name, one in model.named_parameters() if id(one) in chosen}
    assert named
    assert all(one.ndim == 2 and min(one.shape) >= LEAST_SIDE for one in named.values())
    names = {name for name, _ in model.named_parameters()}
    others = {
        "decoder.word_embedding.weight",
        "decoder.position_embedding",
        "encoder.patch_embedding",
    }
    assert others <= names and not others & set(named)


def test_a_parameter_without_a_gradient_does_not_move():
    model = network()
    optimizer = make_optimizer(model, train_settings())
    before = copy.deepcopy(model.state_dict())
    model[0].requires_grad_(False)
    run(model, optimizer, 1)
    after = model.state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["2.weight"], after["2.weight"])


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_every_optimizer_continues_from_its_state(name):
    settings = train_settings(optimizer=name)
    whole, cut = network(), network()
    one = make_optimizer(whole, settings)
    run(whole, one, 2)
    run(whole, one, 2)
    first = make_optimizer(cut, settings)
    run(cut, first, 2)
    second = make_optimizer(cut, settings)
    second.load({name: value.clone() for name, value in first.tensors().items()})
    run(cut, second, 2)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_does_not_import_the_compiler():
    code = (
        "import sys, torch; from g2vlm.training.optimizer import Group, Optimizer;"
        "weight = torch.nn.Parameter(torch.ones(40, 40)); weight.grad = torch.ones(40, 40);"
        "Optimizer([Group([weight], 0.0, True)]).step(0.1);"
        "Optimizer([Group([weight], 0.0)]).step(0.1);"
        "torch.nn.utils.clip_grad_norm_([weight], 1.0); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
