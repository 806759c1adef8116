"""Names in the files of a model folder, and the size of a model.

This module imports no PyTorch.
"""

import math
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from g2vlm.models.config import CELL, PATCH
from metrics.files import InputError, read_json
from metrics.schemas import short_repr

# The model's parts by the names of their weights.
PARTS = {
    "encoder": "geometry encoder",
    "point_heads": "points and classes",
    "class_embedding": "classes of patches",
    "box_head": "box head",
    "occupancy_head": "occupancy head",
    "relation_head": "relation head",
    "descriptors": "descriptors",
    "fusion": "fusion",
    "referring_head": "referring head",
    "qa_context": "question context",
    "decoder": "decoder",
}

# Parts of the names of tensors that are measured on the training scenes, not trained.
MEASURED = (".standard_", ".means")

FORMAT = "g2vlm-model"
# Of the names of tensors and settings.
VERSION = 3


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the config.json of a model folder.

    Raises:
        InputError: for a missing file, another format or another version.
    """
    path = Path(folder) / "config.json"
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{path}: not a {FORMAT} configuration; train the model again")
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(
            f"{path}: version is {short_repr(version)}, must be {VERSION}; train the model again"
        )
    _require_types(document, path)
    return document


def _require_types(document: dict[str, Any], path: Path) -> None:
    """Raise `InputError` where a part of config.json that the code uses has another type."""
    seed, encoders = document.get("seed", 0), document.get("encoders", {})
    valid = {
        "model": isinstance(document.get("model"), dict),
        "train": isinstance(document.get("train", {}), dict),
        "seed": type(seed) is int and seed >= 0,
        "encoders": isinstance(encoders, dict)
        and encoders.keys() <= {"image", "text"}
        and all(isinstance(name, str) for name in encoders.values()),
    }
    for key, fits in valid.items():
        if not fits:
            raise InputError(
                f"{path}: {key} is {short_repr(document.get(key))}; train the model again"
            )


def parameters_by_part(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Return {name of a part: number of its parameters} of a model folder.

    Only the header of model.safetensors is read. What is measured on the training scenes is saved
    with the weights but is no parameter.

    Raises:
        InputError: where the file is missing or holds no model.
    """
    path, found = Path(folder) / "model.safetensors", dict.fromkeys(PARTS, 0)
    read_config(folder)
    try:
        with safe_open(path, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                if not any(part in name for part in MEASURED):
                    found[name.split(".")[0]] += math.prod(weights.get_slice(name).get_shape())
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{path}: not the weights of a model ({error}); train it again") from error
    return {PARTS[part]: count for part, count in found.items()}


def sentence(folder: str | os.PathLike[str]) -> str:
    """Return one sentence on the size of a model folder's network."""
    config, parts = read_config(folder)["model"], parameters_by_part(folder)
    height, width, views = config["height"], config["width"], config["views"]
    patches = views * math.ceil(height / PATCH) * math.ceil(width / PATCH)
    points = views * (height // CELL) * (width // CELL)
    listed = ", ".join(f"{name} {count:,}" for name, count in parts.items())
    return (
        f"The network {config['method']} has {sum(parts.values()):,} parameters ({listed}); width "
        f"{config['hidden']}, {config['point_hidden']} for points, {config['heads']} heads; "
        f"{config['layers']} layers of the encoder, {config['fusion_layers']} of fusion, "
        f"{config['decoder_layers']} of the decoder; {patches:,} patches and {points:,} points of "
        f"{views} views."
    )


def table(folder: str | os.PathLike[str]) -> str:
    """Return the parameters by part as a Markdown table."""
    parts = parameters_by_part(folder)
    parts["all"] = sum(parts.values())
    rows = [f"| {name} | {count:,} |" for name, count in parts.items()]
    return "\n".join(["| part | parameters |", "| --- | ---: |", *rows, ""])
