"""Catalogs that are damaged, packed otherwise or hold broken images are refused by name."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from g2vlm.scenes.assets.catalog import PROPERTIES, REVIEWED, open_catalog, read_models
from g2vlm.scenes.assets.objfile import FIX
from g2vlm.scenes.assets.textures import read_texture
from g2vlm.scenes.render.meshes import read_rotations
from metrics.files import InputError
from metrics.zip_file import read_entry


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "a.sh3f"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PROPERTIES, "id#1=a\n" * 50)
    return path


def refused(path: Path, words: str) -> None:
    """Check that a catalog is refused by its name and these words."""
    with pytest.raises(InputError) as caught, open_catalog(path) as archive:
        read_rotations(archive)
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
        (
            lambda data: _overwritten(data, data.index(b"PK\1\2") + 10, b"\x63"),
            "packed by method 99",
        ),
        # bzip2 and LZMA unpack without a limit
        (lambda data: _overwritten(data, data.index(b"PK\1\2") + 10, b"\x0c"), "by deflate"),
        # a stored entry of 2 GiB
        (
            lambda data: _overwritten(
                data, data.index(b"PK\1\2") + 10, bytes(10) + struct.pack("<2I", 2**31, 2**27)
            ),
            "more packed bytes than its archive",
        ),
        # a name marked as UTF-8
        (
            lambda data: _overwritten(data, data.index(b"PK\1\2") + 8, b"\0\x08").replace(
                b"PluginF", b"Plugin\xff"
            ),
            "no readable zip archive",
        ),
        (lambda data: data[:-30], "no readable zip archive"),
    ],
)
def test_damaged_archives(change: Callable[[bytes], bytes], words: str, catalog: Path) -> None:
    data = catalog.read_bytes()
    changed = change(data)
    assert changed != data
    catalog.write_bytes(changed)
    refused(catalog, words)


def test_an_entry_that_unpacks_to_too_much(catalog: Path) -> None:
    with zipfile.ZipFile(catalog) as archive:
        assert len(read_entry(archive, PROPERTIES, FIX, 350)) == 350
        with pytest.raises(InputError, match="larger than"):
            read_entry(archive, PROPERTIES, FIX, 349)


def test_a_catalog_without_properties(catalog: Path) -> None:
    with zipfile.ZipFile(catalog, "w") as archive:
        archive.writestr("a.obj", "")
    refused(catalog, f"a catalog without {PROPERTIES}")


def test_a_folder_and_a_missing_catalog(tmp_path: Path) -> None:
    refused(tmp_path, "is not a regular file")
    refused(tmp_path / "gone.sh3f", "no such file")


@pytest.mark.parametrize("text", ["1 0 0", "1 0 0 0 1 0 0 0 x", "1 0 0 0 1 0 0 0 nan", "\x1b[2J"])
def test_a_rotation_that_is_none(text: str, catalog: Path) -> None:
    with zipfile.ZipFile(catalog, "w") as archive:
        archive.writestr(PROPERTIES, f"id#1=a\nmodelRotation#1={text}\n")
    refused(catalog, "not nine numbers")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.decode().encode("utf-16"), "is UTF-16 text"),
        (lambda text: text + b"\xff\n", "not UTF-8 text"),
        (lambda text: text + b"x" * 200_000 + b"\n", "is malformed"),
    ],
)
def test_tables_of_models_that_cannot_be_read(
    change: Callable[[bytes], bytes], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "models.csv"
    path.write_bytes(change(REVIEWED.read_bytes()))
    with pytest.raises(InputError, match=rf"models\.csv: .*{words}"):
        read_models(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"P6 99999 99999 255\n"])
def test_images_that_cannot_be_decoded(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^a\.zip:a\.png: unreadable image"):
        read_texture(content, "a.zip:a.png")
