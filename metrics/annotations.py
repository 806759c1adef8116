"""Check the annotations of a truth folder: a wrong truth would score every method wrongly."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from metrics.files import InputError
from metrics.language.numerals import exact
from metrics.scene_graph.predicates import FAMILIES, PREDICATES
from metrics.schemas import printable, short_repr

_FIX = "write the truth again"
# Far above any scene of this project; it bounds the memory and the time of a score.
_MOST_ITEMS = 100_000
_FARTHEST = 1e6
_TEXT = {"type": "string", "maxLength": 10_000}
_NAME = _TEXT | {"minLength": 1}
_INDEX = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
_NUMBER = {"type": "number", "minimum": -_FARTHEST, "maximum": _FARTHEST}
_SIDE = {"type": "number", "exclusiveMinimum": 0, "maximum": _FARTHEST}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": _MOST_ITEMS}


def _row(*items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list with one value of each kind."""
    sizes = {"minItems": len(items), "maxItems": len(items)}
    return {"type": "array", "items": list(items), **sizes}


def _record(optional: dict[str, Any] | None = None, **keys: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these keys, perhaps `optional` ones, and any other."""
    return {"type": "object", "properties": keys | (optional or {}), "required": list(keys)}


_RELEVANT = {"type": "object", "additionalProperties": _list(_NAME)}
# What is read of a line of annotations.jsonl; `metrics.truth` describes it.
SCHEMA = _record(
    scene=_NAME,
    split=_NAME,
    objects=_list(
        _record(
            # Without these, headings are not scored.
            {"size_mm": _row(_SIDE, _SIDE, _SIDE), "yaw": _NUMBER},
            **{"index": _INDEX, "class": _NAME},
            box=_row(_NUMBER, _NUMBER, _NUMBER, _SIDE, _SIDE, _SIDE),
            state={"enum": ["eligible", "void", "absent"]},
        )
    ),
    given=_list(_INDEX),
    relations=_list(_row(_INDEX, _INDEX, {"enum": [*PREDICATES]})),
    void=_list(_row(_INDEX, _INDEX, {"enum": [*FAMILIES]})),
    references=_list(_record(id=_NAME, targets=_list(_INDEX), kind=_NAME, tags=_list(_NAME))),
    questions=_list(
        _record(
            id=_NAME,
            type=_NAME,
            answer=_NAME,
            answer_kind={"enum": ["number", "word", "choice"]},
            choices=_list(_NAME),
        )
    ),
    captions=_list(_record(id=_NAME)),
    phrases=_list(_record(id=_NAME)),
    relevance=_RELEVANT,
    phrase_relevance=_RELEVANT,
)


def check_annotations(lines: Sequence[Any], path: Path) -> None:
    """Check the lines of annotations.jsonl.

    Args:
        lines: as parsed, without NaN.
        path: the file, for messages.

    Raises:
        InputError: a line lacks what scores need, contradicts itself, or repeats a scene.
    """
    if not lines:
        raise InputError(f"{path}: no scenes; {_FIX}")
    from fastjsonschema import JsonSchemaValueException

    valid = _compiled()
    for number, line in enumerate(lines, 1):
        try:
            valid(line)
        except JsonSchemaValueException as error:
            place = ".".join(map(str, error.path[1:]))
            what = f"{printable(place) or 'the value'} is {short_repr(error.value)}"
            if error.rule == "required":
                absent = [key for key in error.rule_definition if key not in error.value]
                what = f"{printable(place) or 'the value'} has no `{absent[0]}`"
            raise InputError(f"{path}: row {number}: {what}; {_FIX}") from error
        for what in _contradictions(line):
            raise InputError(f"{path}: row {number}: {what}; {_FIX}")
    repeated = [name for name, count in Counter(x["scene"] for x in lines).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: scene {printable(repeated[0])} has two rows; {_FIX}")
    splits = sorted({line["split"] for line in lines})
    if len(splits) > 1:
        raise InputError(f"{path}: has rows of splits {', '.join(map(printable, splits))}; {_FIX}")


def _contradictions(line: dict[str, Any]) -> Iterator[str]:
    """Find indices of other objects, names that occur twice, and answers that are no numbers."""
    objects = [item["index"] for item in line["objects"]]
    if len(set(objects)) < len(objects):
        yield "two objects have the same index"
    eligible = {item["index"] for item in line["objects"] if item["state"] == "eligible"}
    pairs = [*line["relations"], *line["void"]]
    targets = [item["targets"] for item in line["references"]]
    for name, indices in (
        ("given", line["given"]),
        ("relations and void", [index for pair in pairs for index in pair[:2]]),
        ("references", [index for one in targets for index in one]),
    ):
        foreign = sorted(set(indices) - eligible)
        if foreign:
            yield f"{name}: object {foreign[0]} is not eligible"
    for name, lists in (("given", [line["given"]]), ("references", targets)):
        for indices in lists:
            twice = [index for index, count in Counter(indices).items() if count > 1]
            if twice:
                yield f"{name}: object {twice[0]} is named twice"
    for name in ("references", "questions", "captions", "phrases"):
        names = [item["id"] for item in line[name]]
        if len(set(names)) < len(names):
            yield f"two {name} have the same id"
    for items, relevance in (("captions", "relevance"), ("phrases", "phrase_relevance")):
        for item in line[items]:
            if item["id"] not in line[relevance]:
                yield f"{relevance} lacks {printable(item['id'])}"
    for item in line["questions"]:
        if item["answer_kind"] == "number" and exact(item["answer"]) is None:
            yield f"the answer to {printable(item['id'])} is not a number"


@cache
def _compiled() -> Callable[[Any], Any]:
    import fastjsonschema

    return fastjsonschema.compile(SCHEMA, use_default=False)
