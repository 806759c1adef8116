"""The JSON schema is valid, agrees with the lists of the code, and its fast check is right."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from fastjsonschema.draft07 import CodeGeneratorDraft07
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from metrics.scene_graph.predicates import FAMILIES, PREDICATES
from metrics.schemas import SCHEMA_FILE, definition, is_valid, schema, schema_faults
from metrics.submission.parsing import KEYS, LIMITS, parse
from metrics.submission.writer import FORMAT, FRAME, MESH_KINDS, POSE_CONVENTION, TASKS, VERSION

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
PARTS = ("objects", "relations", "grounding", "answers", "captions")
NUMBERS = st.one_of(st.integers(-2, 5), st.floats(allow_nan=False), st.just(10**400))
ODD = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=3), st.just([]), st.just({}))


def test_the_schema_is_a_schema():
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"].keys() >= {*PARTS, "manifest", "retrieval"}


def test_the_schema_has_the_lists_of_the_code():
    parts = SCHEMA["$defs"]
    manifest = parts["manifest"]["properties"]
    assert tuple(manifest["produces"]["items"]["enum"]) == TASKS
    assert tuple(manifest["mesh_kind"]["enum"]) == (*MESH_KINDS, None)
    constants = [
        manifest[key]["const"] for key in ("format", "version", "frame", "pose_convention")
    ]
    assert constants == [FORMAT, VERSION, FRAME, POSE_CONVENTION]
    assert {*manifest["files"]["propertyNames"]["enum"], "manifest.json"} == set(LIMITS)
    assert tuple(parts["predicate"]["enum"]) == PREDICATES
    pair = parts["pair_labels"]["properties"]
    assert {name: tuple(labels["enum"]) for name, labels in pair.items()} == {
        name: (*names, "none") for name, names in FAMILIES.items()
    }
    assert schema() == SCHEMA, "run `python -m metrics.schemas`"
    assert set(KEYS) == {f"{part}.jsonl" for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_what_a_real_method_writes_fits(part: str, oracle_dir: Path):
    path = oracle_dir / f"{part}.jsonl"
    rows = path.read_text().splitlines() if path.exists() else []
    assert rows or part == "captions"
    for row in rows:
        assert schema_faults(part, json.loads(row)) == []


GOOD = {
    "objects": {
        "scene": "a",
        "objects": [{"box": [0, 0, 0, 1, 1, 1.5], "class": "bed", "score": 0.5}],
        "triplets": [[0, "on", 0, 1.0]],
    },
    "relations": {"scene": "a", "pairs": [[0, 1, {"support": "on", "side": "none"}]]},
    "grounding": {"scene": "a", "query": "r", "boxes": [[0, 0, 0, 1, 1, 1]], "pick": None},
    "answers": {"scene": "a", "question": "q", "answer": "3"},
    "captions": {"scene": "a", "text": "a bed"},
}


def places(value, path=()):
    """Yield the path of every part of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def corrupted(draw):
    """Return a row of which one part was exchanged, removed or added to."""
    part = draw(st.sampled_from(PARTS))
    row = copy.deepcopy(GOOD[part])
    path = draw(st.sampled_from(list(places(row))))
    if not path:
        return part, draw(ODD)
    inner = row
    for key in path[:-1]:
        inner = inner[key]
    change = draw(st.sampled_from(["exchange", "remove", "add"]))
    if change == "exchange":
        inner[path[-1]] = draw(ODD)
    elif change == "remove":
        del inner[path[-1]]
    elif isinstance(inner, dict):
        inner[draw(st.text(max_size=3))] = draw(ODD)
    else:
        inner.append(draw(ODD))
    return part, row


@settings(max_examples=300, deadline=None)
@given(corrupted())
def test_the_fast_check_agrees_with_jsonschema(case):
    part, row = case
    schema = {"$ref": f"#/$defs/{part}", "$defs": SCHEMA["$defs"]}
    valid = Draft7Validator(schema).is_valid(row)
    assert (schema_faults(part, row) == []) == valid
    assert valid or not is_valid(part, row)
    for what, fix in schema_faults(part, row):
        assert what.isascii() and what.isprintable() and fix


@pytest.mark.parametrize("part", PARTS)
def test_the_fast_check_accepts_valid_rows(part):
    assert is_valid(part, GOOD[part])
    assert not is_valid(part, GOOD[part] | {"other": 1})


def keywords(schema):
    """Yield the keywords of a schema and of the schemas inside it."""
    for key, value in schema.items():
        yield key
        inner = value.values() if key in ("properties", "$defs") else [value]
        for part in inner:
            for item in part if isinstance(part, list) else [part]:
                if isinstance(item, dict):
                    yield from keywords(item)


@pytest.mark.parametrize("part", (*PARTS, "manifest", "retrieval"))
def test_the_fast_check_knows_every_keyword(part):
    """fastjsonschema ignores keywords that it does not know, and would accept too much."""
    generator = CodeGeneratorDraft07({}, resolver=None)
    known = {*generator._json_keywords_to_function, "$ref", "description", "then"}
    # Two keywords that are read with another one.
    known |= {"additionalItems", "additionalProperties"}
    assert set(keywords(definition(part))) <= known


def test_nan_and_infinity_are_not_numbers():
    row = parse(b'{"scene": "a", "objects": [{"box": [0,0,NaN,1,-Infinity,1], "class": "bed"}]}')
    found = [what for what, _ in schema_faults("objects", row)]
    assert found == [
        "objects[0].box[2]: NaN is not of type 'number'",
        "objects[0].box[4]: -Infinity is not of type 'number'",
    ]
