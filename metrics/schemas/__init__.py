"""The submission format as a JSON schema, and the check of values against it.

Other software may use ``submission.schema.json`` itself; the reader uses `schema_faults`. It is of
draft 7, the newest that fastjsonschema knows. The ``description`` of each part is printed as the
fix of a fault.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema import Draft7Validator, ValidationError

SCHEMA_FILE = Path(__file__).with_name("submission.schema.json")
LONGEST_REPR = 80
# Faults of one value that are explained: one row of a file may have a million.
MOST_FAULTS = 100
# Items of a list without a limit of its own.
MOST_ITEMS = 1_000_000


def schema_faults(part: str, value: Any) -> list[tuple[str, str]]:
    """Return what is wrong with a parsed JSON value and how to fix it; [] for a valid value.

    Args:
        part: name under ``$defs``: manifest, objects, relations, grounding, answers, captions
            or retrieval.
        value: what a JSON parser returned. Every number of the schema has bounds, so infinities
            are refused. The parser must not return NaN (see `metrics.submission.parsing.parse`).

    Returns:
        Pairs (what is wrong, how to fix it), sorted, without duplicates, of the first
        `MOST_FAULTS` faults.

    Example:
        >>> schema_faults("captions", {"scene": "a", "text": 3})
        [("text: 3 is not of type 'string'", 'give a string')]
    """
    # Checked first, because both checks below read the whole list.
    too_long = list(_too_long(part, value))
    if too_long or is_valid(part, value):
        return too_long
    errors = islice(_validator(part).iter_errors(value), MOST_FAULTS)
    return sorted({describe_error(error, definition(part)) for error in errors})


def _too_long(part: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the lists of a value that are longer than the schema allows."""
    for key, rule in definition(part)["properties"].items():
        items = value.get(key) if isinstance(value, dict) else None
        most = rule.get("maxItems", MOST_ITEMS)
        if isinstance(items, list) and len(items) > most:
            yield f"{key}: has {len(items)} items", f"give at most {most}"


def is_valid(part: str, value: Any) -> bool:
    """Return whether a value is certainly valid; a False must be checked with jsonschema.

    jsonschema takes some 20 microseconds a number, and a submission holds a million numbers of
    which nearly all are valid. fastjsonschema takes less than one.
    """
    from fastjsonschema import JsonSchemaValueException

    try:
        _compiled(part)(value)
    except JsonSchemaValueException:
        return False
    return True


def short_repr(value: Any) -> str:
    """Return the representation of an untrusted value as short printable ASCII."""
    text = ascii(value)
    if len(text) <= LONGEST_REPR:
        return text
    return f"{text[: LONGEST_REPR // 2]}...{text[-LONGEST_REPR // 4 :]}"


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
def definition(part: str) -> dict[str, Any]:
    """Return the schema of one part without references, because resolving them is slow."""
    parts = schema()["$defs"]

    def inline(value: Any) -> Any:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("$ref"), str):
            return inline(parts[value["$ref"].rsplit("/", 1)[1]])
        return {key: inline(item) for key, item in value.items()}

    return inline(parts[part])


@cache
def _compiled(part: str) -> Callable[[Any], Any]:
    import fastjsonschema

    return fastjsonschema.compile(definition(part), use_default=False)


@cache
def _validator(part: str) -> Draft7Validator:
    from jsonschema import Draft7Validator

    return Draft7Validator(definition(part))


def describe_error(error: ValidationError, rules: dict[str, Any]) -> tuple[str, str]:
    """Return what is wrong with its place, as short printable ASCII, and how to fix it.

    Args:
        error: of a value.
        rules: the schema without references; the description nearest to the broken rule is the fix.
    """
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{printable(step)}"
        for step in error.absolute_path
    ).lstrip(".")
    if error.validator == "pattern":
        message = f"{short_repr(error.instance)} does not have the required form"
    else:
        message = error.message.replace(repr(error.instance), short_repr(error.instance))
    message = message.encode("ascii", "backslashreplace").decode()[: 4 * LONGEST_REPR]
    return (f"{place}: {message}" if place else message), _fix(error, rules)


def _fix(error: ValidationError, rule: Any) -> str:
    fix = "see docs/submission-format.md"
    for step in error.absolute_schema_path:
        if isinstance(rule, dict):
            fix = rule.get("description", fix)
            rule = rule.get(step)
        elif isinstance(rule, list) and isinstance(step, int):
            rule = rule[step]
    return fix
