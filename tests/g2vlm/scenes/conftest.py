"""A few synthetic scenes, shared by the tests of the data."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2vlm.scenes.assets import sources
from g2vlm.scenes.assets.catalog import REVIEWED, ModelRow, read_models
from g2vlm.scenes.build import draw_scenes
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.real import source
from tests.g2vlm.scenes.real import captures

COUNTS = {"train": 10, "val": 2, "test_scene": 4, "test_asset": 4}


@dataclass(frozen=True)
class Drawn:
    models: dict[str, ModelRow]
    recipes: list[dict[str, Any]]
    pixels: list[np.ndarray]
    language: list[dict[str, Any]]

    def split(self, name: str) -> list[dict[str, Any]]:
        return [r for r in self.recipes if r["split"] == name]


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    models = read_models(REVIEWED)
    rows = list(draw_scenes(models, COUNTS))
    language = [generate_language(recipe, models, pixels) for recipe, pixels in rows]
    return Drawn(models, [r for r, _ in rows], [p for _, p in rows], language)


def archive(entries: dict[str, bytes]) -> bytes:
    """Return a zip file of `entries`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for name, data in entries.items():
            handle.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def furniture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with placeholder catalogs and jar, whose sha256 replace the pinned ones."""
    folder = tmp_path / "furniture"
    folder.mkdir()
    pins = {}
    for name in sources.CATALOGS:
        data = archive({"PluginFurnitureCatalog.properties": f"name={name}\n".encode()})
        (folder / f"{name}.sh3f").write_bytes(data)
        pins[name] = hashlib.sha256(data).hexdigest()
    floors = {name: name.encode() for name in sources.TEXTURES}
    entries = {f"{sources.TEXTURE_FOLDER}{n}.jpg": data for n, data in floors.items()}
    (folder / sources.JAR).write_bytes(archive(entries))
    monkeypatch.setattr(sources, "CATALOGS", pins)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in floors.items()}
    monkeypatch.setattr(sources, "TEXTURES", hashes)
    return folder


@pytest.fixture
def captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plain room under each capture's name, and its sha256 in place of theirs."""
    folder = tmp_path / "package"
    folder.mkdir()
    data = json.dumps(captures.capture()).encode()
    for name in source.CAPTURES:
        (folder / f"{name}.json").write_bytes(data)
        monkeypatch.setitem(source.CAPTURES, name, hashlib.sha256(data).hexdigest())
    return folder
