"""How large a trained model is: parameters by part, widths and depths, patches and points."""

import math
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from g2vlm.models.config import CELL, PATCH
from g2vlm.models.file_format import current_name, read_config
from metrics.files import InputError

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


def parameters_by_part(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Return {name of a part: number of its parameters} of a model folder.

    Only the header of model.safetensors is read. Means and deviations of frozen features are saved
    with the weights but are no parameters.

    Raises:
        InputError: where the file is missing or holds no model.
    """
    path, found = Path(folder) / "model.safetensors", dict.fromkeys(PARTS, 0)
    version = read_config(folder)["version"]
    try:
        with safe_open(path, framework="np") as weights:
            for stored in weights.keys():  # noqa: SIM118 (not a mapping)
                name = current_name(stored, version)
                if ".standard_" not in name:
                    shape = weights.get_slice(stored).get_shape()
                    found[name.split(".")[0]] += math.prod(shape)
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
