"""An experiment has the rooms of the sealed test once the seal is opened, and not before."""

import copy

import pytest

from g2vlm.run import seal
from metrics.files import InputError
from tests.configs import CPU

CLOSED = seal.Seal(seal.NOT_FROZEN, "0" * 64)
OPENED = seal.Seal(seal.OPENED, "0" * 64, seed="5e" * 32, commit="c" * 40, rooms={"cpu": "ab" * 32})


def test_a_closed_seal_changes_no_config():
    config = copy.deepcopy(CPU)
    seal.add_sealed_splits(config, CLOSED)
    assert config == CPU


def test_an_opened_seal_adds_its_splits_and_moves_the_declared_tests():
    config = copy.deepcopy(CPU)
    for _ in range(2):
        seal.add_sealed_splits(config, OPENED)
    for stage in ("predict", "score"):
        new = ["test_scene", "test_asset", "test_shift"]
        assert config[stage]["splits"] == CPU[stage]["splits"] + new
    assert config["data"]["splits"]["test_shift"] == CPU["sealed"]["splits"]["test_shift"]
    families = config["statistics"]["families"].values()
    assert {family["split"] for family in families} == {"test_scene"}
    assert config["statistics"]["generalisation"]["splits"] == ["test_asset", "test_scene"]
    assert config["report"]["main_split"] == "test_scene"


def test_rooms_that_differ_from_those_of_the_opening_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(seal, "draw_rooms", lambda *arguments: "cd" * 32)
    with pytest.raises(InputError, match="differs from the rooms of the opening"):
        seal.redraw_rooms({"experiment": "cpu"}, OPENED, tmp_path, tmp_path / "sealed")
    seal.redraw_rooms({"experiment": "smoke"}, OPENED, tmp_path, tmp_path / "sealed")
