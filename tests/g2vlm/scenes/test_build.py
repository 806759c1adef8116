"""The whole build: it gives the same bytes each time, and is verified by its manifest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from g2vlm.run.data import verify, write_manifest
from g2vlm.scenes.build import build
from g2vlm.scenes.layout.recipes import load_recipes
from g2vlm.scenes.real import source
from metrics.files import InputError, read_json, read_lines
from tests.paths import REPOSITORY

COUNTS = {"train": 2, "val": 1, "test_scene": 1, "test_asset": 1}
ROOT = REPOSITORY


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_two_builds_give_the_same_bytes(furniture, tmp_path):
    for name in ("a", "b"):
        build(tmp_path / name, str(furniture), COUNTS, "none")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert {p.name for p in (tmp_path / "a").iterdir()} >= {
        "ATTRIBUTION.md",
        "DATASHEET.md",
        "language.jsonl",
        "models.csv",
        "scenes.jsonl",
        "sources",
        "splits.json",
    }
    lists = read_json(tmp_path / "a" / "splits.json")
    assert lists["scenes"]["test_asset"] == ["test_asset-0000"]


DIGEST = """
import hashlib, json, sys
from pathlib import Path
from g2vlm.scenes.assets.catalog import REVIEWED
from g2vlm.scenes.build import draw_scenes
from g2vlm.scenes.assets.catalog import read_models
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.real.layout import captured_recipe
models = read_models(REVIEWED)
scenes = draw_scenes(models, {"train": 5, "test_scene": 1})
rows = [(recipe, generate_language(recipe, models, pixels)) for recipe, pixels in scenes]
room, pixels = captured_recipe(Path(sys.argv[1]), "real_rooms-0000", "living", 7)
rows.append((room, generate_language(room, {}, pixels)))
print(hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest())
"""


# Settings that make this machine compute like another one, as far as possible.
OTHER = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 AVX512F AVX512_SKX AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "4242",
    "LC_ALL": "C",
}


def test_another_machine_does_not_change_the_bytes(captured):
    digests = []
    for changed in ({}, OTHER):
        environment = {k: v for k, v in os.environ.items() if k not in OTHER}
        environment |= {"PYTHONWARNINGS": "ignore", **changed}
        call = [sys.executable, "-c", DIGEST, str(captured / "living_room.json")]
        done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1] and len(digests[0]) == 65


def test_verify_names_the_first_file_that_differs(furniture, tmp_path):
    data, manifest = tmp_path / "data", tmp_path / "manifest.json"
    build(data, str(furniture), {"train": 1}, "none")
    write_manifest(data, manifest)
    assert verify(data, manifest) == len(read_json(manifest)["files"])
    with open(data / "scenes.jsonl", "a") as handle:
        handle.write("{}\n")
    with pytest.raises(InputError, match=r"scenes\.jsonl: differs"):
        verify(data, manifest)


def test_a_build_without_the_rooms_is_verified_by_the_rest(furniture, captured, tmp_path):
    """All other files are the same with and without them; a part of them is an error."""
    whole, rest, manifest = (tmp_path / name for name in ("whole", "rest", "manifest.json"))
    build(whole, str(furniture), {"train": 1}, str(captured))
    build(rest, str(furniture), {"train": 1}, "none")
    write_manifest(whole, manifest)
    assert verify(whole, manifest) == len(read_json(manifest)["files"])
    assert verify(rest, manifest) == len(contents(rest)) < len(contents(whole))
    assert {n: b for n, b in contents(whole).items() if n in contents(rest)} == contents(rest)
    lines = read_lines(whole / "real_rooms" / "scenes.jsonl")
    assert [line["capture"] for line in lines] == list(source.CAPTURES)
    credit = (rest / "ATTRIBUTION.md").read_text().split("## Captured rooms")[1]
    assert all(word in credit for word in ("`@iwer/sem` 2.4.0", "MIT", "Meta", *source.CAPTURES))
    with pytest.raises(InputError, match="built without the captured rooms"):
        load_recipes(rest, "real_rooms")
    (whole / "real_rooms" / "language.jsonl").unlink()
    with pytest.raises(InputError, match=r"real_rooms/language\.jsonl: missing"):
        verify(whole, manifest)


def test_the_command_ends_in_one_line(tmp_path):
    call = [sys.executable, "-m", "g2vlm.scenes", "build", "--out", str(tmp_path / "data")]
    call += ["--furniture", str(tmp_path / "nowhere")]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and not (tmp_path / "data").exists()
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
