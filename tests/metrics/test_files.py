"""Files of others are read within limits, and every refusal is one line that names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics.files import InputError, read_bytes, read_json, read_text


def refused(read: Callable[..., object], path: Path, *words: str, **limits: object) -> str:
    with pytest.raises(InputError) as caught:
        read(path, "write it again", **limits)
    text = str(caught.value)
    assert text.isprintable() and len(text.splitlines()) == 1
    for word in (path.name, *words):
        assert word in text, text
    return text


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    for name in ("pipe", "folder"):
        refused(read_bytes, tmp_path / name, "no regular file; write it again")
    refused(read_bytes, Path("/dev/zero"), "no regular file")
    refused(read_bytes, tmp_path / "none", "no such file")
    refused(read_bytes, tmp_path / "file" / "below", "no such file")
    for limits in ({}, {"root": tmp_path}):
        refused(read_bytes, tmp_path / "loop", **limits)
    with pytest.raises(InputError, match=r"a\\x00b: not the name of a file"):
        read_bytes(tmp_path / "a\0b", "write it again")
    with pytest.raises(InputError, match="cannot be read"):
        read_bytes(tmp_path / ("n" * 300), "write it again")


def test_a_root_holds_its_files(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_text("s")
    (inner / "own").write_text("own")
    (inner / "link").symlink_to("own")
    (inner / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "door").symlink_to(inner)
    assert read_text(inner / "link", "", inner) == "own"
    assert read_text(tmp_path / "door" / "own", "", tmp_path / "door") == "own"
    refused(read_bytes, inner / "out", "leads out of", root=inner)
    refused(read_bytes, inner / ".." / "secret", "leads out of", root=inner)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 1 << 40)
    refused(read_bytes, path, "larger than 256 MiB")
    path.write_bytes(b"x" * (1 << 20))
    assert len(read_bytes(path, "", limit=1 << 20)) == 1 << 20
    refused(read_bytes, path, "larger than 0 MiB", limit=(1 << 20) - 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("1 2 ü".encode(encoding))
    name = {"latin-1": "not UTF-8", "utf-32": "UTF-32"}.get(encoding, "UTF-16")
    refused(read_text, path, name, "save it as UTF-8")
    refused(read_json, path, name, "save it as UTF-8")


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_text(path, "") == '{"a": 1}'
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 70 + "]" * 70, "nested too deeply"),
        ('{"a": ' * 70 + "1" + "}" * 70, "nested too deeply"),
        ("9" * 5000, "an integer of 5000 characters"),
        ("[-" + "1" * 400 + "]", "an integer of 401 characters"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' occurs twice"),
        ('{"name": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_malformed_json(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(read_json, path, words, "write it again")


def test_json_within_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"pair": "\U0001f600", "deep": json.loads("[" * 60 + "]" * 60), "long": 10**39}
    path.write_text(json.dumps(value))
    assert read_json(path) == value
    path.write_text("7")
    assert read_json(path) == 7


def test_messages_are_one_printable_line(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31m\u202eb\udcff"
    with pytest.raises(InputError) as caught:
        read_bytes(path, "write it again")
    text = str(caught.value)
    assert r"a\n\x1b[31m\u202eb\udcff: no such file" in text
    assert text.isprintable()
    assert text.encode()
