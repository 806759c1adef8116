"""How large a trained model is: parameters by part, widths and depths, patches and points."""

from __future__ import annotations

import math
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from metrics.files import InputError, read_json

# The model's parts by the names of their weights.
PARTS = {
    "encoder": "geometry encoder",
    "points": "points and classes",
    "kind": "classes of patches",
    "boxes": "boxes",
    "solids": "solids",
    "relation": "relations",
    "descriptors": "descriptors",
    "fusion": "fusion",
    "reader": "object reader",
    "findings": "findings",
    "decoder": "answers and captions",
}


def parameters_by_part(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Parameters of each part of a model folder, by what the part is called.

    Means and deviations of the frozen features are kept with the weights and are no parameters.
    Reads the header of model.safetensors alone; raises `InputError` where it is not a model's.
    """
    path, found = Path(folder) / "model.safetensors", dict.fromkeys(PARTS, 0)
    try:
        with safe_open(path, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                if ".standard_" not in name:
                    found[name.split(".")[0]] += math.prod(weights.get_slice(name).get_shape())
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{path}: not the weights of a model ({error}); train it again") from error
    return {PARTS[part]: count for part, count in found.items()}


def sentence(folder: str | os.PathLike[str]) -> str:
    """One sentence on a model folder's size."""
    config, parts = read_json(Path(folder) / "config.json")["model"], parameters_by_part(folder)
    height, width, views = config["height"], config["width"], config["views"]
    patches = views * math.ceil(height / 16) * math.ceil(width / 16)
    points = views * (height // 4) * (width // 4)
    told = ", ".join(f"{name} {count:,}" for name, count in parts.items())
    return (
        f"The network {config['method']} has {sum(parts.values()):,} parameters ({told}); width "
        f"{config['hidden']}, {config['point_hidden']} for points, {config['heads']} heads; "
        f"{config['layers']} layers of the encoder, {config['fusion_layers']} of fusion, "
        f"{config['decoder_layers']} of the decoder; {patches:,} patches and {points:,} points of "
        f"{views} views."
    )


def table(folder: str | os.PathLike[str]) -> str:
    """The parameters by part as a Markdown table."""
    parts = parameters_by_part(folder)
    rows = [f"| {name} | {count:,} |" for name, count in parts.items()]
    rows.append(f"| all | {sum(parts.values()):,} |")
    return "\n".join(["| part | parameters |", "| --- | ---: |", *rows, ""])
