"""Damaged or hostile model folders are refused in one line, before memory is used for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from g2vlm.inference.calibrate import Thresholds, read_thresholds
from g2vlm.models.checkpoint import load_model, save_model
from g2vlm.use.ood_score import OODScorer
from metrics.files import InputError, write_json
from tests.g2vlm.models.build import small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(small_model(), tmp_path, {"seed": 3, "encoders": {"image": "mobilenet_v2"}})
    return tmp_path


def refused(read: Callable[[Path], object], path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(path)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 1000
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_not_finite(value: float, half: bool, folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = sorted(weights)[len(weights) // 2]
    weights[name].view(-1)[-1] = value
    save_file({k: v.half() if half else v for k, v in weights.items()}, path)
    refused(load_model, folder, "model.safetensors", name, "not finite")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 65536),
        ("hidden", 10**30),
        ("hidden", 0),
        ("hidden", -64),
        ("hidden", 33),
        ("hidden", 32.0),
        ("hidden", "32"),
        ("hidden", None),
        ("point_hidden", 15),
        ("heads", 5),
        ("layers", 10**9),
        ("decoder_layers", 200),
        ("neighbours", 10**6),
        ("views", 10**6),
        ("height", 10**6),
        ("embedding", 60_000),
        ("words", []),
        ("words", ["a", 5]),
        ("words", "abc"),
        ("classes", {"a": 1}),
        ("dropout", 1e9),
        ("dropout", float("nan")),
        ("depth", 1),
        ("depth", "yes"),
        ("supervision_3d", -1),
        ("method", 5),
        ("unknown\n\x1b[31m", 1),
    ],
)
def test_settings_that_make_no_network(name: str, value: object, folder: Path) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    document["model"][name] = value
    path.write_text(json.dumps(document))
    refused(load_model, folder, str(folder))


@pytest.mark.parametrize(("name", "divisor"), [("hidden", "4"), ("point_hidden", "2")])
def test_a_width_that_does_not_divide_is_named(name: str, divisor: str, folder: Path) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    document["model"][name] = 31
    path.write_text(json.dumps(document))
    refused(load_model, folder, f"setting {name} is 31, not a multiple of {divisor}; train the")


def test_settings_that_are_missing(folder: Path) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    for name in asdict(small_model().config):
        changed = json.loads(json.dumps(document))
        del changed["model"][name]
        path.write_text(json.dumps(changed))
        refused(load_model, folder, "config.json", name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", None),
        ("model", [1]),
        ("seed", "three"),
        ("seed", 1e300),
        ("seed", -1),
        ("encoders", ["mobilenet_v2"]),
        ("encoders", {"image": 5}),
        ("encoders", {"other": "mobilenet_v2"}),
        ("train", 5),
        ("version", [1]),
        ("version", True),
        ("version", 10**30),
    ],
)
def test_parts_of_another_type(key: str, value: object, folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    refused(load_model, folder, "config.json", key)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 99, b"\xff" * 99, b"[" * 99_999, (1 << 60).to_bytes(8, "little") + b"{}"]
)
def test_damaged_files(name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)
    refused(load_model, folder, name)


def test_files_that_are_no_regular_files(folder: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        refused(load_model, folder, name, "not a regular file")
        (folder / name).unlink()
        (folder / name).write_bytes(data)
    load_model(folder)


def test_tensors_of_other_names_and_shapes(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = sorted(weights)[0]
    for changed in (
        {k: v for k, v in weights.items() if k != name},
        weights | {"extra": torch.zeros(3)},
        weights | {name: torch.zeros(1, 2, 3)},
        weights | {name: torch.zeros(0)},
    ):
        save_file(changed, path)
        refused(load_model, folder, "does not fit config.json")


@pytest.mark.parametrize("value", ["0.5", True, [1], {}, 1e999, float("nan")])
def test_thresholds_that_are_no_numbers(value: object, tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    write_json(path, Thresholds().to_json())
    assert read_thresholds(path) == Thresholds()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trust": value}))
    refused(read_thresholds, path, "thresholds.json", "trust")
    path.write_text(json.dumps([value]))
    refused(read_thresholds, path, "thresholds.json", "holds no thresholds")


def calibration(width: int = 5, count: int = 2) -> dict[str, torch.Tensor]:
    parts = {"mean": torch.zeros(width), "scale": torch.ones(width), "rest": torch.ones(1)}
    parts |= {"basis": torch.eye(width)[:count], "deviation": torch.ones(count)}
    parts |= {"val": torch.ones(9)}
    return {f"{name}/{part}": v.clone() for name in ("look", "shape") for part, v in parts.items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("look/mean", torch.zeros(4)),
        ("look/mean", torch.full((5,), torch.nan)),
        ("look/scale", torch.zeros(5)),
        ("look/basis", torch.eye(5)[0]),
        ("look/basis", torch.full((2, 5), torch.inf)),
        ("shape/deviation", torch.ones(3)),
        ("shape/rest", torch.zeros(0)),
        ("shape/rest", torch.tensor([torch.nan])),
        ("shape/rest", torch.tensor(1.0)),
        ("shape/val", torch.zeros(9)),
        ("shape/val", torch.ones(0)),
        ("shape/val", torch.ones(8)),
        ("shape/val", None),
    ],
)
def test_calibrations_of_other_shapes_or_numbers(
    name: str, value: torch.Tensor | None, tmp_path: Path
) -> None:
    path = tmp_path / "ood_score.safetensors"
    tensors = calibration()
    save_file(tensors, path)
    OODScorer(path)
    changed = tensors | {name: value}
    save_file({k: v for k, v in changed.items() if v is not None}, path)
    refused(OODScorer, path, "ood_score.safetensors", "python -m g2vlm publish")
    path.unlink()
    os.mkfifo(path)
    refused(OODScorer, path, "not a regular file")
