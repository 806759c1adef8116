"""Sources: two ways to get them, pinned checksums, and one line for each error."""

from __future__ import annotations

import zipfile

import pytest

from g2vlm.scenes.assets import sources
from g2vlm.scenes.assets.catalog import (
    REVIEWED,
    Catalog,
    open_catalog,
    read_models,
    read_properties,
)
from g2vlm.scenes.build import build
from metrics.files import InputError
from tests.g2vlm.scenes.conftest import archive


def test_sources_are_fetched_from_a_local_folder(furniture, tmp_path):
    sources.fetch(tmp_path / "in", str(furniture))
    names = sorted(p.name for p in (tmp_path / "in" / "furniture").iterdir())
    assert names == sorted(f"{name}.sh3f" for name in sources.CATALOGS)
    assert (tmp_path / "in" / "textures" / "woodenFloor.jpg").read_bytes() == b"woodenFloor"


def test_a_missing_source_names_two_ways(tmp_path):
    with pytest.raises(InputError, match="two ways: let `make data` fetch"):
        sources.fetch(tmp_path / "in", str(tmp_path / "nowhere"))


def test_without_apt_the_other_ways_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt-get: not on this machine. There are two ways"):
        sources.fetch(tmp_path / "in")


def test_a_corrupt_catalog_is_named_and_earlier_data_kept(furniture, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "kept").write_text("earlier")
    broken = furniture / "Scopia.sh3f"
    broken.write_bytes(broken.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"Scopia\.sh3f: corrupt or another version.*fetch it"):
        build(data, str(furniture), {"train": 1}, "none")
    assert (data / "kept").read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_opening_a_truncated_catalog_is_one_line(furniture):
    path = furniture / "Scopia.sh3f"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="no readable zip archive") as caught:
        open_catalog(path)
    assert "\n" not in str(caught.value)


def test_properties_are_latin_1_and_a_malformed_line_is_skipped(tmp_path):
    path = tmp_path / "a.sh3f"
    text = "name=Caf\xe9\nid#1=A#caf\xe9\ndropOnTopElevation#-1\nwidth#1=10.5\n"
    path.write_bytes(archive({"PluginFurnitureCatalog.properties": text.encode("latin-1")}))
    with zipfile.ZipFile(path) as handle:
        entries = read_properties(handle)
    assert entries == {1: {"id": "A#caf\xe9", "width": "10.5"}}


def test_an_unknown_model_is_named(tmp_path):
    (tmp_path / "models.csv").write_bytes(REVIEWED.read_bytes())
    with pytest.raises(InputError, match="no model Scopia#unicorn"):
        Catalog(tmp_path).open("Scopia#unicorn")


def test_a_malformed_row_is_named(tmp_path):
    lines = REVIEWED.read_text().splitlines()
    lines[4] = lines[4].replace(",train,", ",train,x", 1).rsplit(",", 8)[0] + ",tall,,,,,,,"
    (tmp_path / "models.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="row 5 is malformed"):
        read_models(tmp_path / "models.csv")
