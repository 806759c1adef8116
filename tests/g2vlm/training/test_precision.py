"""Training in bfloat16: the losses of float32, positions kept exact, on a CPU and on a GPU."""

import pytest
import torch

from g2vlm.models.config import model_sizes
from g2vlm.training.objective import Objective
from metrics.files import InputError
from tests.g2vlm.models.build import CPU, SMALL, scene_batch, small_model, train_set, train_settings

SETTINGS = {"stage1_steps": 0, "batch_scenes": 2, "queries_per_scene": 3, "occupancy_queries": 32}


def losses(method, precision, device):
    """One step's losses of a method on a device; its gradients are float32 and finite."""
    # Without dropout: a GPU draws other masks for other precisions.
    model = small_model(method, dropout=0.0, **SMALL).train().to(device)
    settings = train_settings(**SETTINGS, precision=precision)
    total, named = Objective(model, train_set(), settings, 0).losses(1, 0)
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients)
    return named


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("method", ["full", "no_geometry", "no_alignment", "reconstruction_only"])
def test_bfloat16_has_the_losses_of_float32(method, device):
    exact, rounded = losses(method, "fp32", device), losses(method, "bf16", device)
    assert exact.keys() == rounded.keys()
    assert exact != rounded
    for name, value in exact.items():
        # Neighbours of a pointmap that is a guess lie as far apart as rounding moves them.
        close = 0.08 if (method, name) == ("no_geometry", "normal") else 0.02
        assert rounded[name] == pytest.approx(value, rel=0.03, abs=close), name


@pytest.mark.parametrize(("method", "close"), [("full", 3e-3), ("no_depth", 0.03)])
def test_bfloat16_keeps_positions(method, close):
    """To millimetres where the sensor saw something; predicted depth differs by a hundredth."""
    model = small_model(method)
    batch = scene_batch(model)
    with torch.no_grad():
        exact = model.encode(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model.encode(batch)
    assert not torch.equal(exact.tokens, rounded.tokens)
    seen = (batch.depth > 0)[..., None]
    for one, other in (
        (exact.points, rounded.points),
        (exact.boxes[..., :3], rounded.boxes[..., :3]),
    ):
        assert one.dtype == other.dtype == torch.float32
    torch.testing.assert_close(exact.points * seen, rounded.points * seen, rtol=0, atol=close)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 9}, r"config: unknown key `model\.width`; known keys: hidden"),
        ({"layers": 0}, r"`model\.layers`: 0 is less than the minimum of 1"),
        ({"hidden": True}, r"`model\.hidden`: True is not of type 'integer'"),
        ({"point_hidden": 33}, r"`model\.point_hidden`: 33 is not a multiple of 2"),
        ({"hidden": 130}, r"model\.hidden 130 is not a multiple of model\.heads 4"),
    ],
)
def test_invalid_model_sizes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        model_sizes({"model": CPU["model"] | change})


def test_model_sizes_are_the_section_of_the_config():
    larger = CPU["model"] | {"hidden": 256, "heads": 8}
    assert model_sizes({"model": larger}) == larger
