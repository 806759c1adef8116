"""Untrusted files: changed, unknown, linked, too large, or with a false header."""

from __future__ import annotations

import json
import os
import shutil
import struct

import pytest

from metrics.files import InputError
from metrics.submission import parsing
from metrics.submission import validate as checking
from metrics.submission.reader import Submission
from metrics.submission.validate import require_valid, validate, validate_cache
from tests.metrics.submission.corrupted import SCENE, faults, manifest, only_fault, sealed


def test_files_and_their_sha256(folder):
    (folder / "answers.jsonl").write_text("")
    (folder / "captions.jsonl").write_text("")
    (folder / "relations.jsonl").unlink()
    (folder / "notes.txt").write_text("")
    (folder / "sub").mkdir()
    assert faults(folder) == [
        "notes.txt: not a file of the format; remove it",
        "sub: not a file of the format; remove it",
        "relations.jsonl: in the manifest's files and missing; write it",
        "answers.jsonl: differs from the manifest's sha256; write it again",
        "captions.jsonl: not in the manifest's files; add it with its sha256",
    ]


@pytest.mark.parametrize("change", ["missing", "nan"])
def test_a_run_stops_at_a_missing_file_and_at_nan(folder, change):
    require_valid(folder, "predict again")
    if change == "missing":
        (folder / "relations.jsonl").unlink()
        expected = r"relations.jsonl: in the manifest's files and missing; write it \(fault 1 of 1;"
    else:
        rows = [json.loads(line) for line in (folder / "objects.jsonl").open()]
        rows[0]["objects"][0]["score"] = float("nan")
        (folder / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sealed(folder)
        expected = "objects.jsonl.*NaN"
    with pytest.raises(InputError, match=rf"{folder}/{expected}.*; predict again"):
        require_valid(folder, "predict again")


def test_validated_bytes_are_not_validated_again(folder, monkeypatch):
    validate_cache(folder, require_valid(folder, "predict again"))
    validated = []
    monkeypatch.setattr(
        checking, "validate", lambda where: validated.append(where) or validate(where)
    )
    require_valid(folder, "predict again")
    assert validated == []
    answers = (folder / "answers.jsonl").read_text()
    (folder / "answers.jsonl").write_text("")
    with pytest.raises(InputError, match=r"answers\.jsonl: differs from the manifest's sha256"):
        require_valid(folder, "predict again")
    assert validated == [folder]
    # The record holds neither for other bytes nor with one more file.
    (folder / "answers.jsonl").write_text(answers)
    (folder / "notes.txt").symlink_to("answers.jsonl")
    with pytest.raises(InputError, match=r"notes\.txt: "):
        require_valid(folder, "predict again")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../b", "manifest.json"])
def test_names_outside_the_folder_are_refused(folder, name):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    manifest(folder, files=files | {name: "0" * 64})
    assert "is not one of ['geometry.safetensors'" in only_fault(folder)


def test_links_and_pipes_are_not_read(folder, tmp_path, truth_dir):
    secret = tmp_path / "secret.jsonl"
    shutil.move(folder / "answers.jsonl", secret)
    (folder / "answers.jsonl").symlink_to(secret)
    (folder / "captions.jsonl").symlink_to("/dev/zero")
    (folder / "objects.jsonl").unlink()
    os.mkfifo(folder / "objects.jsonl")
    found = faults(folder, truth_dir)
    for name, kind in (("answers", "a link"), ("captions", "a link"), ("objects", "not a regular")):
        assert any(f.startswith(f"{name}.jsonl: is {kind}") for f in found)
    shutil.move(folder / "manifest.json", tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="is a link"):
        Submission(folder)


def test_oversized_files_are_not_read(folder, truth_dir, monkeypatch):
    sizes = dict.fromkeys(parsing.LIMITS, 1 << 30) | {"answers.jsonl": 10}
    monkeypatch.setattr(parsing, "LIMITS", sizes)
    assert "answers.jsonl: larger than 0 MiB; write fewer scenes" in faults(folder)[0]


def test_headers_that_announce_too_much(folder):
    path = folder / "geometry.safetensors"
    entry = {"dtype": "F32", "shape": [1 << 40, 3], "data_offsets": [0, 12 << 40]}
    text = json.dumps({f"{SCENE}/points": entry}).encode()
    for data in (
        struct.pack("<Q", len(text)) + text + b"\0" * 12,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 90 << 20) + b"{" * 100,
        b"\x80\x04\x95pickle",
        b"",
    ):
        path.write_bytes(data)
        sealed(folder)
        assert faults(folder)[0].startswith("geometry.safetensors: ")


def test_a_tensor_that_is_written_twice_is_named(folder):
    entry = '{"dtype": "F32", "shape": [1, 3], "data_offsets": [0, 12]}'
    text = f'{{"{SCENE}/points": {entry}, "{SCENE}/points": {entry}}}'.encode()
    (folder / "geometry.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 12)
    sealed(folder)
    assert f"(key '{SCENE}/points' occurs twice); write it again" in only_fault(folder)


def test_tensor_types_without_numpy_arrays_are_named(folder):
    header = {f"{SCENE}/points": {"dtype": "BF16", "shape": [1, 3], "data_offsets": [0, 6]}}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"\0" * 6
    (folder / "geometry.safetensors").write_bytes(data)
    sealed(folder)
    assert "is BF16; write F32" in only_fault(folder)


def test_archives_are_not_opened(tmp_path, folder):
    archive = shutil.make_archive(str(tmp_path / "theirs"), "zip", folder)
    with pytest.raises(InputError, match="an archive: unpack it"):
        validate(archive)
    with pytest.raises(InputError, match="no such folder"):
        validate(tmp_path / "nowhere")
