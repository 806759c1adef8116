"""The `statistics` section of a config: what may stand in it, and the check of one."""

from __future__ import annotations

import math
from typing import Any

from metrics.files import InputError
from metrics.schemas import describe_error, printable, short_repr

_NAME = {"type": "string", "minLength": 1, "description": "give a name"}
_NAMES = {"type": "array", "items": _NAME, "description": "give a list of names"}


def _section(description: str, required: bool = True, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [*properties] if required else [],
        "additionalProperties": False,
    }


SCHEMA = _section(
    "see config/cpu.yaml",
    required=False,
    reference=_NAME,
    families={
        "type": "object",
        "description": "give {family: {split, tests}}",
        "additionalProperties": _section(
            "give {split, tests: [{a, b, metrics}]}",
            split=_NAME,
            tests={
                "type": "array",
                "description": "give a list of {a, b, metrics}",
                "items": _section(
                    "give {a, b, metrics}",
                    a=_NAME,
                    b={**_NAMES, "type": ["array", "string"], "description": "give names"},
                    metrics=_NAMES,
                ),
            },
        ),
    },
    controls=_NAMES,
    lower_bound=_NAME,
    upper_bound=_NAME,
    descriptive=_NAMES,
    deterministic=_NAMES,
    margins={
        "type": "object",
        "description": "give {metric: number}",
        "additionalProperties": {"type": "number", "description": "give a number above 0"},
    },
    generalisation=_section(
        "give {splits, methods, metrics}",
        splits={**_NAMES, "minItems": 2, "maxItems": 2, "description": "give two splits"},
        methods=_NAMES,
        metrics=_NAMES,
    ),
    data_efficiency=_section(
        "give {less, split, metrics}",
        less={
            "type": "object",
            "description": "give {method: its name when trained with less data}",
            "additionalProperties": _NAME,
        },
        split=_NAME,
        metrics=_NAMES,
    ),
)


def check_settings(settings: Any, source: str) -> None:
    """Check a `statistics` section; every key may be left out.

    Args:
        settings: the section as read from a file.
        source: the file, for messages.

    Raises:
        InputError: naming the source, the place in it, what is wrong and how to fix it.

    Example:
        >>> check_settings({"margins": {"spq@0.5": -1}}, "mine.yaml")
        Traceback (most recent call last):
        ...
        metrics.files.InputError: mine.yaml: `margins.spq@0.5` is -1; give a number above 0
    """
    from jsonschema import Draft7Validator

    for key in settings if isinstance(settings, dict) else ():
        if key not in SCHEMA["properties"]:
            known = ", ".join(SCHEMA["properties"])
            raise InputError(
                f"{source}: unknown key `{printable(str(key))}` of the statistics; known keys: "
                f"{known}"
            )
    errors = Draft7Validator(SCHEMA).iter_errors(settings)
    first = min(errors, key=lambda error: list(map(str, error.absolute_path)), default=None)
    if first is not None:
        what, fix = describe_error(first, SCHEMA)
        raise InputError(f"{source}: statistics: {what}; {fix}")
    for metric, margin in settings.get("margins", {}).items():
        # NaN is within every bound of a JSON schema.
        if not 0 < margin < math.inf:
            what = f"`margins.{printable(metric)}` is {short_repr(margin)}"
            raise InputError(f"{source}: {what}; give a number above 0")
