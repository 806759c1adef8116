"""An experiment has the rooms of the sealed test once the seal is opened, and not before."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from g2vlm.run import manifest, seal
from metrics.files import InputError, read_json, read_lines
from metrics.yaml_file import read_yaml
from tests.configs import CPU
from tests.paths import REPOSITORY

CLOSED = seal.Seal(seal.NOT_FROZEN, "0" * 64)
OPENED = seal.Seal(
    seal.OPENED,
    "0" * 64,
    seed="5e" * 32,
    commit="c" * 40,
    methods=seal.method_hashes(REPOSITORY),
    rooms={"cpu": "ab" * 32},
    classes_not_sealed=["rug", "sink"],
)


def test_a_closed_seal_changes_no_config():
    config = copy.deepcopy(CPU)
    seal.add_sealed_splits(config, CLOSED)
    assert config == CPU


def test_an_opened_seal_adds_its_splits_and_moves_the_declared_tests():
    config = copy.deepcopy(CPU)
    for _ in range(2):
        seal.add_sealed_splits(config, OPENED)
    new = ["test_scene", "test_asset", "test_shift"]
    assert config["score"]["splits"] == CPU["score"]["splits"] + new
    assert config["data"]["splits"]["test_shift"] == CPU["sealed"]["splits"]["test_shift"]
    families = config["statistics"]["families"].values()
    assert {family["split"] for family in families} == {"test_scene"}
    assert config["statistics"]["generalisation"]["splits"] == ["test_asset", "test_scene"]
    assert config["report"]["main_split"] == "test_scene"
    assert config["seal"]["splits"] == new and config["seal"]["classes_not_sealed"] == [
        "rug",
        "sink",
    ]
    assert config["seal"]["post_seal"] == []


def test_an_opened_seal_leaves_gate_studies_and_predicted_splits_as_they_are():
    config = copy.deepcopy(CPU)
    seal.add_sealed_splits(config, OPENED)
    for section in ("gate", "studies", "predict", "train", "model", "encode"):
        assert config[section] == CPU[section]


def test_a_method_that_is_new_or_changed_after_the_freeze_is_post_seal(tmp_path):
    for name in ("config/methods/full.yaml", "config/methods/other.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("geometry: true\n")
    baseline = tmp_path / "baselines" / "mean_room"
    baseline.mkdir(parents=True)
    (baseline / "method.py").write_text("PRODUCES = ()\n")
    record = replace(OPENED, methods=seal.method_hashes(tmp_path))
    assert list(record.methods) == ["full", "mean_room", "other"]

    def later():
        config = copy.deepcopy(CPU)
        seal.add_sealed_splits(config, record, tmp_path)
        return config["seal"]["post_seal"]

    assert later() == []
    (tmp_path / "config/methods/new.yaml").write_text("geometry: true\n")
    assert later() == ["new"]
    (baseline / "helper.py").write_text("BEST = 1\n")
    (tmp_path / "config/methods/other.yaml").unlink()
    assert later() == ["mean_room", "new"]


def test_predictions_made_elsewhere_are_post_seal_and_cover_the_test_rooms(tmp_path):
    config = copy.deepcopy(CPU) | {"submissions": [{"name": "theirs", "path": str(tmp_path)}]}
    with pytest.raises(InputError, match="holds no test_scene/manifest.json; the seal is opened"):
        seal.add_sealed_splits(copy.deepcopy(config), OPENED)
    for split in config["sealed"]["splits"]:
        (tmp_path / split).mkdir()
        (tmp_path / split / "manifest.json").write_text("{}")
    seal.add_sealed_splits(config, OPENED)
    assert config["seal"]["post_seal"] == ["theirs"]


def test_rooms_that_were_edited_after_they_were_drawn_are_refused(tmp_path):
    folder = tmp_path / "results" / "cpu" / "sealed"
    seal.verify_rooms({"experiment": "cpu"}, OPENED, tmp_path)  # not drawn here yet
    folder.mkdir(parents=True)
    for name in seal.ROOMS:
        (folder / name).write_text("{}\n")
    with pytest.raises(InputError, match="results/cpu/sealed: differs .* remove the folder"):
        seal.verify_rooms({"experiment": "cpu"}, OPENED, tmp_path)
    record = replace(OPENED, rooms={"cpu": seal.digest_files(folder, seal.ROOMS)})
    seal.verify_rooms({"experiment": "cpu"}, record, tmp_path)
    seal.verify_rooms({"experiment": "cpu"}, CLOSED, tmp_path)


def test_rooms_that_differ_from_those_of_the_opening_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(seal, "draw_rooms", lambda *arguments: ("cd" * 32, []))
    with pytest.raises(InputError, match="differs from the rooms of the opening"):
        seal.redraw_rooms({"experiment": "cpu"}, OPENED, tmp_path, tmp_path / "sealed")
    seal.redraw_rooms({"experiment": "smoke"}, OPENED, tmp_path, tmp_path / "sealed")


def test_dvc_runs_again_after_an_opening_and_asks_for_no_test_room_before():
    stage = read_yaml(REPOSITORY / "dvc.yaml")["stages"]["reproduce"]
    assert seal.RECORD.as_posix() in stage["deps"]
    assert not any("sealed" in str(out) for out in stage["outs"])


def test_the_record_of_a_run_names_the_seal_and_its_rooms(tmp_path):
    config = copy.deepcopy(CPU)
    assert "seal" not in manifest.origin(config)
    seal.add_sealed_splits(config, OPENED)
    assert manifest.origin(config)["seal"] == {
        key: getattr(OPENED, key) for key in ("digest", "commit", "opened", "seed")
    }
    (tmp_path / "data" / "sources").mkdir(parents=True)
    (tmp_path / "data" / "sources" / "a.zip").write_text("")
    assert manifest.hash_stages(tmp_path) == {}
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "scenes.jsonl").write_text("{}\n")
    (folder / "sources").symlink_to(tmp_path / "data" / "sources")
    assert list(manifest.hash_stages(tmp_path)) == ["sealed/scenes.jsonl"]


@pytest.mark.skipif(not Path("data").is_dir(), reason="needs data/: make data")
def test_rooms_are_drawn_again_byte_for_byte_from_the_recorded_seed(tmp_path):
    config = copy.deepcopy(CPU)
    config["sealed"]["splits"] = dict.fromkeys(config["sealed"]["splits"], 1)
    rooms, classes = seal.draw_rooms(config, OPENED.seed, REPOSITORY / "data", tmp_path / "first")
    record = replace(OPENED, rooms={"cpu": rooms})
    seal.redraw_rooms(config, record, REPOSITORY / "data", tmp_path / "second")
    scenes = read_lines(tmp_path / "second" / "scenes.jsonl")
    assert [scene["split"] for scene in scenes] == ["sealed_scene", "sealed_asset", "sealed_shift"]
    listed = read_json(tmp_path / "second" / "splits.json")["models"]
    assert listed["classes_not_sealed"] == classes and listed["sealed"]
