"""A truth folder that is damaged or contradicts itself is refused before anything is scored."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from metrics.files import InputError
from metrics.prepare import open_truth
from metrics.truth import Truth


@pytest.fixture
def truth(tmp_path: Path, truth_dir: Path) -> Path:
    """A copy of a valid truth, to be damaged."""
    return Path(shutil.copytree(truth_dir, tmp_path / "truth"))


def refused(folder: Path, words: str, read: Callable[[Path], Any] = open_truth) -> None:
    with pytest.raises(InputError) as caught:
        read(folder)
    assert str(folder) in str(caught.value) and words in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.pop("phrases"), "row 2: the value has no `phrases`"),
        (lambda line: line.update(scene=5), "row 2: scene is 5"),
        (lambda line: line.update(scene="toy-0000"), "scene toy-0000 has two rows"),
        (lambda line: line.update(split="other"), "has rows of splits other, toy"),
        (lambda line: line["relations"].append([0, 1]), "row 2: relations.5 is [0, 1]"),
        (lambda line: line["relations"].append([0, [1], "on"]), "relations.5.1 is [1]"),
        (lambda line: line["relations"].append([0, 9, "on"]), "void: object 9 is not eligible"),
        (lambda line: line["void"].append([4, 0, "side"]), "void: object 4 is not eligible"),
        (lambda line: line["given"].append(line["given"][0]), "given: object 0 is named twice"),
        (
            lambda line: line["references"][0]["targets"].extend([1, 1]),
            "references: object 1 is named twice",
        ),
        (lambda line: line["relations"].append([0, 1, "x"]), "relations.5.2 is 'x'"),
        (lambda line: line["void"].append([0, 1, "x"]), "row 2: void.11.2 is 'x'"),
        (lambda line: line["given"].append(4), "given: object 4 is not"),
        (lambda line: line["objects"][0].update(state="seen"), "objects.0.state is 'seen'"),
        (lambda line: line["objects"][0].update(index=1), "two objects have the same index"),
        (lambda line: line["objects"][0].update({"class": 0.5}), "objects.0.class is 0.5"),
        (lambda line: line["objects"][0]["box"].__setitem__(0, "x"), "objects.0.box.0 is 'x'"),
        (lambda line: line["objects"][0]["box"].__setitem__(5, 0), "objects.0.box.5 is 0"),
        (lambda line: line["objects"][0]["box"].__setitem__(0, np.nan), "NaN is no number of JS"),
        (lambda line: line["questions"][0].update(answer="many"), "answer to q00 is not a number"),
        (lambda line: line["questions"][1].update(id="q00"), "two questions have the same id"),
        (lambda line: line.update(relevance={}), "relevance lacks c00"),
    ],
)
def test_annotations_that_cannot_be_scored(
    change: Callable[[dict], Any], words: str, truth: Path
) -> None:
    path = truth / "annotations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines[1])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused(truth, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no scenes"),
        ("5\n", "row 1: the value is 5"),
        ("[" * 100_000, "row 1 is not valid JSON (nested too deeply)"),
        ('{"scene": "a", "scene": "b"}\n', "row 1 is not valid JSON (key 'scene' occurs twice)"),
        ('{"scene": "\\ud800"}\n', "half of a surrogate pair"),
    ],
)
def test_annotations_that_are_no_rows(text: str, words: str, truth: Path) -> None:
    (truth / "annotations.jsonl").write_text(text)
    refused(truth, words)


def test_annotations_that_are_no_file(truth: Path) -> None:
    (truth / "annotations.jsonl").unlink()
    os.mkfifo(truth / "annotations.jsonl")
    refused(truth, "is not a regular file")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("surface", None, "no tensor toy-0001/surface"),
        ("surface", np.zeros((5, 2), np.float32), "surface is float32 [5, 2]; give float32 [S, 3]"),
        ("surface_flag", np.zeros(5, np.uint8), "surface_flag is uint8 [5]"),
        ("occupancy_points", np.full((2000, 3), np.inf, np.float32), "is not finite or beyond"),
        ("held_pose", np.zeros((4, 4, 4)), "held_pose is float64"),
        ("diagonal", np.zeros(1, np.float32), "toy-0001/diagonal is 0"),
    ],
)
def test_tensors_that_cannot_be_scored(
    name: str, value: np.ndarray | None, words: str, truth: Path
) -> None:
    path = truth / "geometry.safetensors"
    tensors = load_file(path)
    tensors.pop(f"toy-0001/{name}")
    if value is not None:
        tensors[f"toy-0001/{name}"] = value
    save_file(tensors, path)
    refused(truth, words, lambda folder: Truth(folder).geometry("toy-0001"))


def test_geometry_that_is_missing(truth: Path) -> None:
    (truth / "geometry.safetensors").unlink()
    refused(truth, "geometry.safetensors: no such file")
