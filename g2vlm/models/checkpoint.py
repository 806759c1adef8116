"""Model folders: model.safetensors and config.json, no pickle."""

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from g2vlm.models.config import ModelConfig
from g2vlm.models.file_format import FORMAT, VERSION, read_config
from g2vlm.models.model import G2VLM
from metrics.files import InputError, atomic_path, require_regular, write_json
from metrics.schemas import short_repr

_LARGEST_FILE = 1 << 36


def save_model(model: G2VLM, folder: str | os.PathLike[str], meta: dict[str, Any]) -> None:
    """Write weights (float32) and config.json; `meta` tells how the model was trained."""
    with atomic_path(Path(folder) / "model.safetensors") as temporary:
        weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        save_file(weights, temporary, metadata={"format": FORMAT})
    write_json(
        Path(folder) / "config.json",
        {"format": FORMAT, "version": VERSION, "model": asdict(model.config), **meta},
    )


def load_model(folder: str | os.PathLike[str]) -> G2VLM:
    """Read a model folder for inference: eval mode, float32 (float16 weights are widened).

    Raises:
        InputError: for a missing, damaged or foreign file.
    """
    document = read_config(folder)
    source = f"{folder}/config.json"
    config = ModelConfig.from_json(document["model"], source)
    path = Path(folder) / "model.safetensors"
    stored = read_tensors(path, "train the model again")
    weights = {name: value.float() for name, value in stored.items()}
    fault = f"{path}: does not fit config.json"
    # The sizes in config.json may be any numbers: shapes are compared before memory is used.
    with torch.device("meta"), _Undrawn(), warnings.catch_warnings(action="ignore"):
        load_weights(_build(config, source), weights, fault, "train again")
    model = _build(config, source)
    load_weights(model, weights, fault, "train again")
    return model.eval()


class _Undrawn(TorchFunctionMode):
    """Builds networks without drawing their first weights.

    On the meta device a tensor has no values, but PyTorch imports its compiler for normal draws,
    which takes 2 seconds.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is nn.init.normal_:
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs or {})


def _build(config: ModelConfig, source: str) -> G2VLM:
    try:
        return G2VLM(config)
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{source}: its sizes make no network ({error}); train the model again"
        ) from error


def load_weights(
    model: nn.Module, weights: Mapping[str, torch.Tensor], fault: str, fix: str
) -> None:
    """Load all weights of a model.

    Raises:
        InputError: "<fault> (<detail>); <fix>" where names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{fault} ({detail}); {fix}") from error


def read_tensors(path: Path, fix: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file of finite numbers.

    Raises:
        InputError: ending with `fix`, for a missing or damaged file, and for NaN or infinity in it.
    """
    require_regular(path, fix, limit=_LARGEST_FILE)
    try:
        tensors = load_file(path)
    # A tensor of more than 64 axes is a RuntimeError.
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: damaged ({error}); {fix}") from error
    for name, values in tensors.items():
        if values.is_floating_point() and not torch.isfinite(values.float()).all():
            raise InputError(f"{path}: {short_repr(name)} is not finite; {fix}")
    return tensors
