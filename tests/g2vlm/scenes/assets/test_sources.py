"""Sources: three ways to get them, pinned checksums, and one line for each error."""

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
from g2vlm.scenes.build import build, check_sides
from metrics.files import InputError
from tests.g2vlm.scenes.conftest import archive


def test_sources_are_fetched_from_a_local_folder(furniture, tmp_path):
    sources.fetch(tmp_path / "in", str(furniture))
    names = sorted(p.name for p in (tmp_path / "in" / "furniture").iterdir())
    assert names == sorted(f"{name}.sh3f" for name in sources.CATALOGS)
    assert (tmp_path / "in" / "textures" / "woodenFloor.jpg").read_bytes() == b"woodenFloor"


def test_sources_are_fetched_from_an_archive(furniture, tmp_path):
    packed = tmp_path / "models.zip"
    packed.write_bytes(archive({f"x/{p.name}": p.read_bytes() for p in furniture.iterdir()}))
    sources.fetch(tmp_path / "in", str(packed))
    assert len(list((tmp_path / "in" / "furniture").iterdir())) == len(sources.CATALOGS)


@pytest.mark.parametrize("entry", ["../up.txt", "/etc/up.txt", "a/../../up.txt", "..\\\\up.txt"])
def test_an_archive_with_an_entry_outside_its_folder_is_refused(furniture, tmp_path, entry):
    packed = tmp_path / "models.zip"
    files = {p.name: p.read_bytes() for p in furniture.iterdir()}
    packed.write_bytes(archive({**files, entry: b"x"}))
    with pytest.raises(InputError, match=r"models\.zip: its entry .* lies outside its folder"):
        build(tmp_path / "data", str(packed), {"train": 1})
    assert {p.name for p in tmp_path.iterdir()} == {"models.zip", "furniture"}


def test_a_truncated_archive_is_named(furniture, tmp_path):
    packed = tmp_path / "models.zip"
    packed.write_bytes(archive({p.name: p.read_bytes() for p in furniture.iterdir()})[:-30])
    with pytest.raises(InputError, match=r"models\.zip: holds no .*, or is cut short"):
        sources.fetch(tmp_path / "in", str(packed))
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(InputError, match=r"models\.zip: not a zip archive"):
        sources.fetch(tmp_path / "in", str(packed))
    assert not (tmp_path / "in").exists()


def test_a_catalog_with_an_entry_outside_its_folder_is_refused(tmp_path):
    path = tmp_path / "a.sh3f"
    path.write_bytes(archive({"PluginFurnitureCatalog.properties": b"", "../up.obj": b""}))
    with pytest.raises(InputError, match=r"a\.sh3f: its entry \.\./up\.obj lies outside"):
        open_catalog(path)


def test_a_missing_source_names_three_ways(tmp_path):
    with pytest.raises(InputError, match="three ways: let `make data` fetch"):
        sources.fetch(tmp_path / "in", str(tmp_path / "nowhere"))


def test_without_apt_the_other_ways_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt-get: not on this machine. There are three ways"):
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
    with pytest.raises(InputError, match="corrupt catalog") as caught:
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


def test_groups_stay_on_one_side_and_kinds_have_both():
    models = read_models(REVIEWED)
    check_sides(models)
    name = next(n for n, r in models.items() if r.group == "g001")
    twin = type(models[name])(**{**vars(models[name]), "model": "twin", "side": "held"})
    with pytest.raises(InputError, match="group g001 is on both sides"):
        check_sides({**models, "twin": twin})
