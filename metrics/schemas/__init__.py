"""The submission format as a JSON schema, and what a value breaks of it, in one line each.

Strangers' software may use ``submission.schema.json`` itself; the reader uses it through
`schema_faults`. Each part's ``description`` is what a fault line gives as the mend.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.schemas.quick import Check, quick_check

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

SCHEMA_FILE = Path(__file__).with_name("submission.schema.json")
LONGEST_SHOWN = 80


def schema_faults(part: str, value: Any) -> list[tuple[str, str]]:
    """Return (what is wrong, the mend) of a parsed JSON value; [] when it fits.

    Args:
        part: name under ``$defs``: manifest, objects, relations, grounding, answers, captions
            or retrieval.
        value: what a JSON parser gave. Every number of the schema has bounds, so infinities fall
            out; NaN must not come through the parser (see `metrics.submission.parsing.parse`).

    >>> schema_faults("captions", {"scene": "a", "text": 3})
    [("text: 3 is not of type 'string'", 'give a string')]
    """
    if _quick(part)(value):
        return []
    errors = _validator(part).iter_errors(value)
    return sorted({(_what(error), _mend(part, error)) for error in errors})


def short_repr(value: Any) -> str:
    """Return the representation of an untrusted value as short printable ASCII."""
    text = ascii(value)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[: LONGEST_SHOWN // 2]}...{text[-LONGEST_SHOWN // 4 :]}"


def printable(text: str) -> str:
    """Return an untrusted text as short printable ASCII, without quotes."""
    return short_repr(text)[1:-1]


@cache
def schema() -> dict[str, Any]:
    """Return the schema: `SCHEMA_FILE` with the relations of `metrics.scene_graph.predicates`.

    The file holds a copy of them for other software; `python -m metrics.schemas` updates it.
    """
    from metrics.scene_graph.predicates import FAMILIES, NONE, PREDICATES

    document = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    families = {
        family: {
            "description": 'choose a predicate of the family, or "none"',
            "enum": [*predicates, NONE],
        }
        for family, predicates in FAMILIES.items()
    }
    document["$defs"]["predicate"]["enum"] = [*PREDICATES]
    document["$defs"]["pair_labels"]["properties"] = families
    return document


@cache
def _definitions() -> dict[str, Any]:
    parts = schema()["$defs"]
    return {name: _inlined(part, parts) for name, part in parts.items()}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """Put each referenced part where it is referenced: looking it up a million times is slow."""
    if isinstance(schema, list):
        return [_inlined(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return _inlined(parts[schema["$ref"].rsplit("/", 1)[1]], parts)
    return {key: _inlined(item, parts) for key, item in schema.items()}


@cache
def _quick(part: str) -> Check:
    return quick_check(_definitions()[part])


@cache
def _validator(part: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_definitions()[part])


def _what(error: ValidationError) -> str:
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{printable(step)}"
        for step in error.absolute_path
    ).lstrip(".")
    if error.validator == "pattern":
        message = f"{short_repr(error.instance)} has not the form that is asked"
    else:
        message = error.message.replace(repr(error.instance), short_repr(error.instance))
    message = message.encode("ascii", "backslashreplace").decode()[: 4 * LONGEST_SHOWN]
    return f"{place}: {message}" if place else message


def _mend(part: str, error: ValidationError) -> str:
    """Return the description nearest to the broken rule."""
    schema, found = _definitions()[part], "see docs/submission-format.md"
    for step in error.absolute_schema_path:
        if isinstance(schema, dict):
            found = schema.get("description", found)
            schema = schema.get(step)
        elif isinstance(schema, list) and isinstance(step, int):
            schema = schema[step]
    return found
