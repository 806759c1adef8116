"""The `statistics` section of a config: what may stand in it, and the check of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metrics.files import InputError, read_json
from metrics.schemas import describe_error, printable, short_repr
from metrics.statistics.families import parse_families
from metrics.statistics.measures import metric_group

_NAME = {"type": "string", "minLength": 1, "description": "give a name"}
_NAMES = {"type": "array", "items": _NAME, "description": "give a list of names"}


def _section(
    description: str, required: list[str] | None = None, **properties: Any
) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [*properties] if required is None else required,
        "additionalProperties": False,
    }


def _by_name(description: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": of}


SCHEMA = _section(
    "see config/cpu.yaml",
    required=[],
    reference=_NAME,
    families=_by_name(
        "give {family: {split, claims}}",
        _section(
            "give {split, claims: {claim: {a, against, facets}}}",
            split=_NAME,
            claims=_by_name(
                "give {claim: {a, against, facets}}",
                _section(
                    "give {a, against, facets}",
                    a=_NAME,
                    against={**_NAMES, "minItems": 1},
                    facets=_by_name(
                        "give {facet: {primary}}",
                        _section(
                            "give {primary}, and if wanted {secondary, controls}",
                            required=["primary"],
                            primary=_NAME,
                            secondary=_NAMES,
                            controls=_NAMES,
                        ),
                    ),
                ),
            ),
        ),
    ),
    smallest_effect=_by_name(
        "give {metric: number}", {"type": "number", "description": "give a number above 0"}
    ),
    equivalence_share={"type": "number", "description": "give a number between 0 and 1"},
    controls=_NAMES,
    lower_bound=_NAME,
    upper_bound=_NAME,
    descriptive=_NAMES,
    paired={"type": "array", "items": _NAMES, "description": "give a list of lists of names"},
    deterministic=_NAMES,
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
        >>> check_settings({"smallest_effect": {"spq@0.5": -1}}, "mine.yaml")
        Traceback (most recent call last):
        ...
        metrics.files.InputError: mine.yaml: `smallest_effect.spq@0.5` is -1; give a number above 0
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
    share = settings.get("equivalence_share", 0.5)
    # NaN is within every bound of a JSON schema.
    if not 0 < share < 1:
        what = f"`equivalence_share` is {short_repr(share)}"
        raise InputError(f"{source}: {what}; give a number between 0 and 1")
    for metric, effect in settings.get("smallest_effect", {}).items():
        if not 0 < effect < math.inf:
            what = f"`smallest_effect.{printable(metric)}` is {short_repr(effect)}"
            raise InputError(f"{source}: {what}; give a number above 0")
    check_families(settings, source)


def check_families(settings: Mapping[str, Any], source: str) -> None:
    """Check that the families of a `statistics` section give each difference one place.

    Raises:
        InputError: a difference is declared twice, or a primary metric has no smallest effect.
    """
    for claim in parse_families(settings.get("families", {}), source):
        for facet in claim.facets:
            for test in facet.primary:
                if test.metric not in settings.get("smallest_effect", {}):
                    raise InputError(
                        f"{source}: `smallest_effect` lacks {printable(test.metric)}, the primary "
                        f"metric of {printable(claim.name)}; declare the least difference that "
                        "counts"
                    )


def read_gate(file: str) -> dict[str, dict[str, str]]:
    """Return {method: {group: reason}} of the methods that a gate file calls unfit for a task.

    Args:
        file: JSON, {method: {task: {"fit": bool, "reason": text, "metric": name}}}. A metric stands
            for its group (`measures.metric_group`); without one, the group is the task.

    Raises:
        InputError: the file has another form.
    """
    content = read_json(Path(file), "run the gate again")
    unfit: dict[str, dict[str, str]] = {}
    for method, tasks in content.items() if isinstance(content, dict) else [("", None)]:
        for task, found in tasks.items() if isinstance(tasks, dict) else [("", None)]:
            fit = found.get("fit") if isinstance(found, dict) else None
            reason = found.get("reason", "") if isinstance(found, dict) else None
            if not isinstance(fit, bool) or not isinstance(reason, str):
                what = f"`{printable(method)}.{printable(task)}` is {short_repr(found)}"
                raise InputError(f"{file}: {what}; give {{fit: true or false, reason: text}}")
            if not fit:
                metric = found.get("metric")
                group = metric_group(metric) if isinstance(metric, str) else task
                unfit.setdefault(method, {})[group] = reason or "no reason given"
    return unfit
