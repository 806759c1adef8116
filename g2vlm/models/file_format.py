"""Names in the files of a model folder, and the conversion of older files.

This module imports no PyTorch.
"""

import os
import re
from pathlib import Path
from typing import Any

from metrics.files import InputError, read_json

FORMAT = "g2vlm-model"
# Version 1 had other names of tensors and of settings; `current_name` and `read_config` convert it.
VERSION = 2

# Settings of version 1 under `train` in config.json.
_RENAMED_SETTINGS = {
    "refit_steps": "box_head_steps",
    "reader_steps": "referring_head_steps",
    "answer_steps": "qa_head_steps",
}
# Parts of the network in version 1, then beginnings of tensor names in them (regular expressions).
_RENAMED_PARTS = {
    "points": "point_heads",
    "kind": "class_embedding",
    "boxes": "box_head",
    "solids": "occupancy_head",
    "relation": "relation_head",
    "reader": "referring_head",
    "findings": "qa_context",
}
_RENAMED_LAYERS = {
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
    if version == VERSION:
        return name
    part, _, rest = name.partition(".")
    name = f"{_RENAMED_PARTS.get(part, part)}.{rest}"
    for old, new in _RENAMED_LAYERS.items():
        if re.match(old, name):
            return re.sub(f"^{old}", new, name)
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
    if document.get("version") not in range(1, VERSION + 1):
        raise InputError(
            f"{path}: version {document.get('version')} is unknown, the latest is {VERSION}; "
            "train the model again"
        )
    if "train" in document:
        document["train"] = {
            _RENAMED_SETTINGS.get(name, name): value for name, value in document["train"].items()
        }
    return document
