"""Model folders: model.safetensors and config.json, no pickle."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from g2vlm.models.config import ModelConfig
from g2vlm.models.file_format import FORMAT, VERSION, current_name, read_config
from g2vlm.models.model import G2VLM
from metrics.files import InputError, atomic_path, write_json


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
    model = G2VLM(ModelConfig.from_json(document["model"], f"{folder}/config.json"))
    path = Path(folder) / "model.safetensors"
    weights = {
        current_name(name, document["version"]): value.float()
        for name, value in read_tensors(path, "train the model again").items()
    }
    load_weights(model, weights, f"{path}: does not fit config.json", "train again")
    return model.eval()


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
    """Read a safetensors file.

    Raises:
        InputError: ending with `fix`, for a missing or damaged file.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {fix}") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); {fix}") from error
