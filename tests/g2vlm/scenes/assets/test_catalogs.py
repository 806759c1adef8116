"""The reviewed tables against each other, and against the real catalogs where data/ is built."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from g2vlm.scenes.assets.catalog import (
    REVIEWED,
    Catalog,
    open_catalog,
    read_models,
    read_properties,
)
from g2vlm.scenes.assets.classes import CLASSES
from g2vlm.scenes.assets.sources import CATALOGS
from g2vlm.scenes.build import EXCLUDED
from g2vlm.scenes.layout.furnish import EXTRAS
from g2vlm.scenes.render.meshes import ModelLibrary
from metrics.geometry import face_crosses, lengths
from tests.g2vlm.scenes.assets.duplicates import duplicate_pairs, sample_all, separated_pairs

DATA = Path("data")
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs data/: make data")
MATERIALS = (
    "",
    *("wood", "metal", "plastic", "fabric", "ceramic", "glass", "leather", "wicker"),
    *("paper", "cardboard", "stone"),
)


@pytest.fixture(scope="module")
def models():
    return read_models(REVIEWED)


@pytest.fixture(scope="module")
def columns():
    """All columns of the reviewed table, {model: row}."""
    with open(REVIEWED, encoding="utf-8", newline="") as handle:
        return {row["model"]: row for row in csv.DictReader(handle)}


def test_there_are_enough_models_and_each_class_has_some_on_both_sides(models):
    assert len(models) >= 500 and {row.cls for row in models.values()} == set(CLASSES)
    for cls in CLASSES:
        sides = [row.side for row in models.values() if row.cls == cls]
        assert 0.16 <= sides.count("held") / len(sides) <= 0.75, cls


def test_groups_are_on_one_side_and_kinds_on_both(models):
    for key, count in (("group", 1), ("kind", 2)):
        sides: dict[object, set[str]] = {}
        for row in models.values():
            sides.setdefault(getattr(row, key), set()).add(row.side)
        assert {len(used) for used in sides.values()} == {count}, key


def test_every_row_is_filled_in(models, columns):
    assert all(row["material"] in MATERIALS and row["name"] for row in columns.values())
    for row in models.values():
        assert row.colour and row.creator
        assert (
            row.licence
            and min(row.size_mm) > 0
            and row.placement in ("floor", "top", "wall", "ceiling")
        )
        assert row.carries_mm <= row.size_mm[2]


def test_rugs_are_thin_enough_for_furniture_to_stand_on(models):
    assert max(row.size_mm[2] for row in models.values() if row.cls == "rug") <= 10


def test_layouts_use_only_existing_models(models):
    kinds = {(row.cls, row.placement) for row in models.values() if row.side == "train"}
    assert {(cls, stands) for rows in EXTRAS.values() for cls, stands, _ in rows} <= kinds


@real
def test_every_catalog_entry_is_used_or_excluded_with_a_reason(models):
    with open(EXCLUDED, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    excluded = {row["model"] for row in rows}
    assert all(row["reason"] for row in rows) and len(excluded) == len(rows)
    assert not set(models) & excluded
    entries = set()
    for name in CATALOGS:
        with open_catalog(DATA / "sources" / "furniture" / f"{name}.sh3f") as archive:
            entries |= {fields["id"] for fields in read_properties(archive).values()}
    # The package's fifth catalog holds people only and is not used.
    people = {model for model in excluded if model.startswith("Reallusion#")}
    assert entries == set(models) | excluded - people and len(people) == 25


@real
def test_facts_of_the_table_are_those_of_the_catalogs(models):
    for name in CATALOGS:
        with open_catalog(DATA / "sources" / "furniture" / f"{name}.sh3f") as archive:
            for fields in read_properties(archive).values():
                row = models.get(fields["id"])
                if row:
                    assert row.path_in_zip == fields["model"].lstrip("/")
                    assert row.creator == fields["creator"]


@real
@pytest.mark.slow
def test_every_mesh_loads_with_the_stated_faces(columns):
    library = ModelLibrary(Catalog(DATA), capacity=1)
    for name, row in columns.items():
        model = library.model(name)
        assert len(model.faces) == int(row["faces"]) <= 120_000, name
        area = lengths(face_crosses(model.vertices[model.faces])).sum() / 2
        assert area > 0.5, name  # of a model fitted to the unit box


@real
@pytest.mark.slow
def test_duplicates_of_a_class_are_in_one_group(models):
    assert separated_pairs(models, list(duplicate_pairs(sample_all(DATA)))) == []
