"""Settings as dataclasses: each field states its meaning, type and bounds, once.

The config schema (`section_schema`), the checks of values (`read_section`) and the tables of the
documentation (`setting_rows`) follow from the fields. Bounds are JSON Schema keywords.
"""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field, fields
from typing import Any, get_type_hints

from metrics.files import InputError
from metrics.schemas import printable, short_repr

JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def setting(description: str, **bounds: Any) -> Any:
    """Declare a dataclass field that a config sets; config/cpu.yaml holds its default value.

    Args:
        description: one sentence on what the setting does.
        bounds: JSON Schema keywords, such as `minimum=1` or `enum=["a", "b"]`.
    """
    return field(metadata={"description": description, **bounds})


def section_schema(settings: type) -> dict[str, Any]:
    """Return the JSON Schema of the config section that the dataclass `settings` describes.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Example:
    ...     steps: int = setting("Optimizer steps.", minimum=1)
    >>> schema = section_schema(Example)
    >>> schema["required"], schema["properties"]["steps"]["minimum"]
    (['steps'], 1)
    """
    types = get_type_hints(settings)
    properties = {
        one.name: {"type": JSON_TYPES.get(types[one.name], "object"), **one.metadata}
        for one in fields(settings)
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def read_section(
    settings: type, values: Mapping[str, Any], section: str, source: str
) -> dict[str, Any]:
    """Return the values of a config section after checking them against its dataclass.

    Args:
        settings: the dataclass.
        values: the section as read from YAML.
        section: its name, for messages.
        source: the file that holds it, for messages.

    Raises:
        InputError: for the first unknown, missing or invalid key, or a section without keys.
    """
    if not isinstance(values, Mapping):
        raise InputError(
            f"{source}: `{section}` is {short_repr(values)}; write its keys, one a line"
        )
    fault = first_fault(section_schema(settings), dict(values))
    if fault is not None:
        raise InputError(f"{source}: {describe_fault(fault, section)}")
    return dict(values)


def first_fault(schema: Mapping[str, Any], value: Any) -> Any:
    """Return the first `jsonschema.ValidationError` of a value by its place, None if it is valid.

    Integers must be written as such: 2.0 is none, although JSON Schema takes it for one.
    """
    from jsonschema import Draft202012Validator, validators

    def is_integer(_: Any, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer)
    validator = validators.extend(Draft202012Validator, type_checker=types)
    faults = validator(schema).iter_errors(value)
    return min(faults, key=lambda one: list(map(str, one.absolute_path)), default=None)


def describe_fault(fault: Any, section: str = "") -> str:
    """Return what is wrong in a `jsonschema` error of a config, and how to fix it.

    Args:
        fault: the `jsonschema.ValidationError`.
        section: the section that was checked; "" where it was the whole config.
    """
    path = [section] * bool(section) + [printable(str(part)) for part in fault.absolute_path]
    where = ".".join(path) or "the top level"
    if fault.validator == "additionalProperties":
        known = list(fault.schema.get("properties", {}))
        unknown = next(key for key in fault.instance if key not in known)
        hint = suggest(str(unknown), known, "known keys")
        return f"unknown key `{'.'.join([*path, printable(str(unknown))])}`; {hint}"
    if fault.validator == "required":
        missing = next(key for key in fault.validator_value if key not in fault.instance)
        return f"key `{'.'.join([*path, missing])}` is missing; add it"
    message = fault.message.replace(repr(fault.instance), short_repr(fault.instance))
    fix = fault.schema.get("description", "see config/cpu.yaml")
    if fault.validator == "type" and isinstance(fault.instance, str):
        with suppress(ValueError):
            # Such as 4e-3: YAML needs a point and a sign.
            fix = f"YAML reads this as text, so write {float(fault.instance)!r}"
    return f"`{where}`: {message}; {fix}"


def suggest(name: str, known: Sequence[str], heading: str) -> str:
    """Return the known name nearest to a misspelt one as a question, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean `{near[0]}`?" if near else f"{heading}: {', '.join(known)}"


def setting_rows(settings: type) -> list[list[str]]:
    """Return a row [name, description] for each setting of a dataclass, for a table of the docs."""
    return [[f"`{one.name}`", one.metadata["description"]] for one in fields(settings)]
