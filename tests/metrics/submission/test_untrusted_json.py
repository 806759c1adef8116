"""JSON that readers take differently: the validator and the scorer refuse the same submissions."""

from __future__ import annotations

import codecs
import json
import time

import pytest

from metrics.files import InputError
from metrics.schemas import MOST_FAULTS, schema_faults
from metrics.score import score_submission
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from tests.metrics.submission.corrupted import SCENE, faults, only_fault, sealed


def with_value(key, text):
    """Return a change of a manifest's text: the JSON `text` becomes the value of a key."""

    def change(manifest):
        return json.dumps(json.loads(manifest) | {key: "<here>"}).replace('"<here>"', text)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_value("thresholds", '{"graph": NaN}'), "thresholds.graph is NaN; give a finite"),
        (
            with_value("thresholds", '{"a": {"b": [1, -Infinity]}}'),
            "thresholds.a.b[1] is -Infinity",
        ),
        (with_value("thresholds", '{"graph": 1e999}'), "thresholds.graph is inf"),
        (with_value("cost", '{"tokens": -1e400}'), "cost.tokens is -inf"),
        (with_value("cost", '{"parameters": 1e999}'), "cost.parameters: inf is greater than"),
        (with_value("seed", "1" * 500), "an integer of 500 characters"),
        (with_value("method", r'"a\ud800"'), "half of a surrogate pair"),
        (with_value("thresholds", r'{"\udfff": 1}'), "half of a surrogate pair"),
        (with_value("reasons", r'{"points": "\uD83D"}'), "half of a surrogate pair"),
        (with_value("thresholds", "[" * 100 + "]" * 100), "nested too deeply"),
        (with_value("thresholds", '{"a":' * 2000 + "1" + "}" * 2000), "nested too deeply"),
        (with_value("thresholds", '{"a": 1, "a": 2}'), "key 'a' occurs twice"),
        (lambda text: text.replace("{", '{"method": "other", ', 1), "key 'method' occurs twice"),
        (lambda text: text.encode("utf-16"), "is UTF-16 text"),
        (lambda text: text.encode("utf-16-le"), "holds NUL bytes, so it is UTF-16"),
        (lambda text: text.encode("utf-32"), "is UTF-32 text"),
        (
            lambda text: text.replace("oracle", "orácle").encode("latin-1"),
            "not UTF-8 text (byte 0xe1",
        ),
    ],
)
def test_the_validator_and_the_scorer_refuse_the_same_manifests(
    folder, truth_dir, tmp_path, change, words
):
    path = folder / "manifest.json"
    changed = change(path.read_text())
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    found = [str(fault) for fault in validate(folder).faults if fault.file == "manifest.json"]
    assert len(found) == 1 and words in found[0] and found[0].isascii()
    with pytest.raises(InputError) as refused:
        score_submission(folder, truth_dir, tmp_path / "scores.parquet")
    assert str(refused.value) == f"{folder}/{found[0]}"
    assert not (tmp_path / "scores.parquet").exists()


def test_a_byte_order_mark_is_no_fault_for_either(folder, truth_dir, tmp_path):
    for name in ("answers.jsonl", "objects.jsonl", "retrieval.json"):
        (folder / name).write_bytes(codecs.BOM_UTF8 + (folder / name).read_bytes())
    sealed(folder)
    path = folder / "manifest.json"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert faults(folder, truth_dir) == []
    score_submission(folder, truth_dir, tmp_path / "scores.parquet")
    cell = json.loads((tmp_path / "scores.json").read_text())["summary"]["answer_score"]["all"]
    assert cell["succeeded"] == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            '{"scene": "toy-0000", "question": "q00", "answer": "3", "answer": "4"}',
            "'answer' occurs",
        ),
        (
            r'{"scene": "toy-0000", "question": "q00", "answer": "\ud800"}',
            "half of a surrogate pair",
        ),
        ('{"scene": "toy-0000", "question": "q00", "answer": 1e999}', "inf is not of type"),
        ('{"scene": "toy-0000", "question": "q00", "answer": NaN}', "NaN is not of type"),
    ],
)
def test_such_a_row_fails_alone(folder, row, words):
    path = folder / "answers.jsonl"
    _, *rest = path.read_text().splitlines()
    path.write_text("\n".join([row, *rest]) + "\n")
    sealed(folder)
    assert words in only_fault(folder)
    contents = Submission(folder)
    assert len(contents.rows("answers.jsonl").items) == len(rest)
    assert contents.answer(SCENE, "q01") is not None


def test_rows_in_another_encoding_are_refused_by_name(folder):
    path = folder / "answers.jsonl"
    path.write_bytes(path.read_text().encode("utf-16"))
    sealed(folder)
    assert any("is UTF-16 text" in fault for fault in faults(folder))


@pytest.mark.parametrize(
    ("part", "row", "words"),
    [
        ("objects", {"objects": [{"box": [0] * 6, "class": "x"}] * 400_000}, "objects: has 400000"),
        ("objects", {"objects": [], "triplets": [0] * 1_000_001}, "triplets: has 1000001 items"),
        ("grounding", {"query": "r", "boxes": [[0]] * 1_000_000}, "boxes: has 1000000 items"),
        ("grounding", {"query": "r", "boxes": 10_000 * [[]]}, "boxes[0]: [] is too short"),
        ("objects", {"objects": [{"box": "x"}] * 10_000}, "objects[0].box: 'x' is not of type"),
    ],
)
def test_a_million_boxes_are_refused_in_seconds(part, row, words):
    began = time.process_time()
    found = schema_faults(part, {"scene": "a"} | row)
    assert time.process_time() - began < 5
    assert 1 <= len(found) <= MOST_FAULTS and found[0][0].startswith(words.split(":")[0])
    assert any(what.startswith(words) for what, _ in found)
