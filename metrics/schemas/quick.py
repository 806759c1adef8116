"""A fast yes for values that fit a schema.

jsonschema explains what is wrong, at some 20 microseconds a number; a submission holds a million
numbers of which nearly all are right. A yes here is a yes of jsonschema; a no only means: ask it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
KNOWN = {
    *("description", "type", "minimum", "maximum", "minLength", "maxLength", "pattern"),
    *("minItems", "maxItems", "items", "prefixItems", "required", "properties"),
    "additionalProperties",
}


def quick_check(schema: dict[str, Any]) -> Check:
    """Return a test of values; where the schema has a rule it does not know, it says no."""
    choices = schema.get("enum")
    if choices is not None and set(schema) <= {"description", "enum"}:
        words = frozenset(choice for choice in choices if isinstance(choice, str))
        return lambda value: type(value) is str and value in words
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not set(schema) <= KNOWN or not set(kinds) <= set(_MAKERS):
        return lambda value: False
    checks = [_MAKERS[kind](schema) for kind in kinds]
    return checks[0] if len(checks) == 1 else lambda value: any(check(value) for check in checks)


def _number(schema: dict[str, Any]) -> Check:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return lambda value: (type(value) is float or type(value) is int) and low <= value <= high


def _integer(schema: dict[str, Any]) -> Check:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return lambda value: type(value) is int and low <= value <= high


def _string(schema: dict[str, Any]) -> Check:
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    form = re.compile(schema.get("pattern", ""))
    return lambda value: (
        type(value) is str and low <= len(value) <= high and form.search(value) is not None
    )


def _array(schema: dict[str, Any]) -> Check:
    low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    first = [quick_check(part) for part in schema.get("prefixItems", [])]
    rest = quick_check(schema["items"]) if "items" in schema else None
    count = len(first)

    def check(value: Any) -> bool:
        if type(value) is not list or not low <= len(value) <= high:
            return False
        if not all(part(item) for part, item in zip(first, value, strict=False)):
            return False
        return rest is None or all(map(rest, value[count:] if count else value))

    return check


def _object(schema: dict[str, Any]) -> Check:
    parts = {name: quick_check(part) for name, part in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    closed = schema.get("additionalProperties") is False

    def check(value: Any) -> bool:
        # Without a closed list of keys the others may have rules of their own: ask jsonschema.
        if type(value) is not dict or not closed or not required <= value.keys():
            return False
        return all(name in parts and parts[name](item) for name, item in value.items())

    return check


_MAKERS: dict[str, Callable[[dict[str, Any]], Check]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "array": _array,
    "object": _object,
    "null": lambda schema: lambda value: value is None,
}
