"""Names in the files of a model folder, the conversion of older files, and the size of a model.

This module imports no PyTorch.
"""

import math
import os
import re
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

FORMAT = "g2vlm-model"
# Version 1 had other names of tensors and of settings; `current_name` and `read_config` convert it.
VERSION = 2

# Settings of version 1 under `train` in config.json.
_RENAMED_SETTINGS = {
    "refit_steps": "box_head_steps",
    "reader_steps": "referring_head_steps",
    "answer_steps": "qa_head_steps",
}
# Beginnings of tensor names in version 1 (regular expressions): parts of the network, then layers.
_RENAMED = {
    r"points\.": "point_heads.",
    r"kind\.": "class_embedding.",
    r"boxes\.": "box_head.",
    r"solids\.": "occupancy_head.",
    r"relation\.": "relation_head.",
    r"reader\.": "referring_head.",
    r"findings\.": "qa_context.",
    r"encoder\.place$": "encoder.patch_embedding",
    r"encoder\.first$": "encoder.first_view",
    r"encoder\.where\.": "encoder.position_embedding.",
    r"encoder\.fine\.": "encoder.fine_graph.",
    r"encoder\.wide\.": "encoder.coarse_graph.",
    r"encoder\.join\.": "encoder.join_scales.",
    r"point_heads\.patch_kinds\.": "point_heads.patch_classes.",
    r"point_heads\.point_kinds\.": "point_heads.point_classes.",
    r"box_head\.look\.": "box_head.appearance.",
    r"box_head\.face\.": "box_head.correction.",
    r"occupancy_head\.near\.": "occupancy_head.neighbour.",
    r"occupancy_head\.seen\.": "occupancy_head.projection.",
    r"occupancy_head\.views\.absent\.seen$": "occupancy_head.views.absent.projection",
    r"fusion\.whole\.": "fusion.sentence.",
    r"fusion\.slot$": "fusion.slot_embedding",
    r"fusion\.aims\.": "fusion.role_queries.",
    r"fusion\.scene_aims\.": "fusion.role_keys.",
    r"fusion\.own\.": "fusion.patch.",
    r"fusion\.findings\.": "fusion.readout.",
    r"(referring_head|qa_context)\.roles\.role$": r"\1.roles.role_embedding",
    r"(referring_head|qa_context)\.roles\.names\.": r"\1.roles.classes.",
    r"(referring_head|qa_context)\.roles\.painted\.": r"\1.roles.colours.",
    r"(referring_head|qa_context)\.roles\.paints\.": r"\1.roles.object_colours.",
    r"(referring_head|qa_context)\.roles\.alike\.": r"\1.roles.query.",
    r"(referring_head|qa_context)\.roles\.aimed\.": r"\1.roles.key.",
    r"(referring_head|qa_context)\.roles\.sharp\.": r"\1.roles.sharpness.",
    r"referring_head\.trust\.": "referring_head.class_weight.",
    r"qa_context\.told\.": "qa_context.numbers.",
    r"qa_context\.anchor\.": "qa_context.third_role.",
    r"qa_context\.looks\.": "qa_context.viewpoint.",
    r"qa_context\.named\.": "qa_context.label_embedding.",
    r"decoder\.words\.": "decoder.word_embedding.",
    r"decoder\.places$": "decoder.position_embedding",
    r"decoder\.layers\.(\d+)\.own\.": r"decoder.layers.\1.self_attention.",
}


def current_name(name: str, version: int) -> str:
    """Return today's name of a tensor of a model file.

    >>> current_name("reader.roles.alike.weight", 1), current_name("fusion.text.bias", 2)
    ('referring_head.roles.query.weight', 'fusion.text.bias')
    """
    if version < VERSION:
        for old, new in _RENAMED.items():
            name = re.sub(f"^{old}", new, name)
    return name


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the config.json of a model folder, with the settings' present names.

    `version` stays that of the files.

    Raises:
        InputError: for a missing file, another format or an unknown version.
    """
    path = Path(folder) / "config.json"
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{path}: not a {FORMAT} configuration; train the model again")
    version = document.get("version")
    if type(version) is not int or version not in range(1, VERSION + 1):
        raise InputError(
            f"{path}: version {short_repr(version)} is unknown, the latest is {VERSION}; "
            "train the model again"
        )
    _require_types(document, path)
    if "train" in document:
        document["train"] = {
            _RENAMED_SETTINGS.get(name, name): value for name, value in document["train"].items()
        }
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
                    found[name.split(".")[0]] += math.prod(weights.get_slice(stored).get_shape())
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
