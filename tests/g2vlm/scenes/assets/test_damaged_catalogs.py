"""Catalogs that are damaged, packed otherwise or hold broken images are refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from g2vlm.scenes.assets import objfile
from g2vlm.scenes.assets.catalog import PROPERTIES, open_catalog, read_properties
from g2vlm.scenes.assets.objfile import read_entry
from g2vlm.scenes.assets.textures import read_texture
from metrics.files import InputError


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "a.sh3f"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PROPERTIES, "id#1=a\n" * 50)
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(InputError) as caught, open_catalog(path) as archive:
        read_properties(archive)
    assert str(path) in str(caught.value) and words in str(caught.value), str(caught.value)


# Of the places that are overwritten, the last two are an entry's flag of encryption and its method.
def _overwritten(data: bytes, place: int, what: bytes) -> bytes:
    return data[:place] + what + data[place + len(what) :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"PK\0\0" + data[4:], "unreadable"),  # the entry's own header
        (lambda data: _overwritten(data, 30 + len(PROPERTIES), b"\xff\xff"), "unreadable"),
        (lambda data: _overwritten(data, data.index(b"PK\1\2") + 8, b"\1"), "unreadable"),
        (lambda data: _overwritten(data, data.index(b"PK\1\2") + 10, b"\x63"), "unreadable"),
        (lambda data: data[:-30], "corrupt"),
    ],
)
def test_damaged_archives(change: Callable[[bytes], bytes], words: str, catalog: Path) -> None:
    data = catalog.read_bytes()
    changed = change(data)
    assert changed != data
    catalog.write_bytes(changed)
    refused(catalog, words)


def test_an_entry_that_unpacks_to_too_much(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(catalog) as archive:
        assert len(read_entry(archive, PROPERTIES)) == 350
    monkeypatch.setattr(objfile, "LARGEST_FILE", 300)
    refused(catalog, "larger than")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"P6 99999 99999 255\n"])
def test_images_that_cannot_be_decoded(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^a\.zip:a\.png: unreadable image"):
        read_texture(content, "a.zip:a.png")
