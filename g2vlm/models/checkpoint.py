"""Model folders: model.safetensors and config.json, no pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from g2vlm.models.config import ModelConfig
from g2vlm.models.model import G2VLM
from metrics.files import InputError, atomic_path, read_json, write_json

FORMAT = "g2vlm-model"
VERSION = 1


def save_model(model: G2VLM, folder: str | os.PathLike[str], meta: dict[str, Any]) -> None:
    """Write weights (fp32) and config.json; `meta` says how it was trained."""
    with atomic_path(Path(folder) / "model.safetensors") as temporary:
        weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        save_file(weights, temporary, metadata={"format": FORMAT})
    document = {"format": FORMAT, "version": VERSION, "model": model.config.to_json(), **meta}
    write_json(Path(folder) / "config.json", document)


def load_model(folder: str | os.PathLike[str]) -> G2VLM:
    """Read a model folder for inference (eval mode, fp32; fp16 weights are widened).

    Raises `InputError` for a missing, damaged or foreign file.
    """
    path = Path(folder) / "config.json"
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{path}: not a {FORMAT} configuration; train the model again")
    if document.get("version") != VERSION:
        raise InputError(f"{path}: version {document.get('version')} is not {VERSION}; train again")
    model = G2VLM(ModelConfig.from_json(document["model"], str(path)))
    weights = read_tensors(Path(folder) / "model.safetensors", "train the model again")
    weights = {k: v.float() for k, v in weights.items()}
    wrong = f"{folder}/model.safetensors: does not fit config.json"
    load_weights(model, weights, wrong, "train again")
    return model.eval()


def load_weights(
    model: nn.Module, weights: Mapping[str, torch.Tensor], wrong: str, mend: str
) -> None:
    """Load all weights; raises `InputError` of what is `wrong`, where, and the mend, if names or
    shapes are not the model's."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{wrong} ({detail}); {mend}") from error


def read_tensors(path: Path, mend: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file; raises `InputError` with the mend when it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {mend}") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); {mend}") from error
