"""Configs: what the three experiments hold, and faults said in one line."""

from pathlib import Path

import pytest
import yaml

from g2vlm.run import config as settings
from metrics.files import InputError

CONFIGS = sorted(Path("config").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_named_as_its_file(path):
    config = settings.load_config(path)
    assert config["experiment"] == path.stem
    assert {"train", "val", "test_scene", "test_asset", "real_rooms"} == set(
        config["data"]["splits"]
    )


def test_sizes_are_those_of_the_design():
    smoke, gpu = (settings.load_config(f"config/{name}.yaml") for name in ("smoke", "gpu"))
    assert list(smoke["data"]["splits"].values()) == [24, 8, 8, 8, 2]
    assert list(gpu["data"]["splits"].values()) == [4000, 200, 300, 300, 5]
    assert (smoke["seeds"], gpu["seeds"]) == (2, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": 3}, ["unknown key `sedes`", "did you mean `seeds`?"]),
        ({"train": {"stage1_stepps": 3}}, ["`train.stage1_stepps`", "stage1_steps"]),
        ({"train": {"loss_weights": {"dept": 1}}}, ["`train.loss_weights.dept`", "`depth`"]),
        ({"seeds": 0}, ["`seeds`", "minimum"]),
        ({"data": {"splits": {"val": "many"}}}, ["`data.splits.val`", "integer"]),
    ],
)
def test_a_slip_names_file_key_and_mend(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(change))
    with pytest.raises(InputError) as fault:
        settings.load_config(path)
    message = str(fault.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert all(word in message for word in words)


def test_a_slip_on_the_command_line_is_told_from_one_in_a_file():
    config = settings.load_config() | {"sedes": 3}
    with pytest.raises(InputError, match=r"^--config on the command line: unknown key `sedes`"):
        settings.check_config(config, ["config/cpu.yaml"])


def test_broken_yaml_and_missing_files_are_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1")
    with pytest.raises(InputError, match="broken.yaml: not valid YAML"):
        settings.read_yaml(path)
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        settings.read_yaml("nowhere.yaml")
    with pytest.raises(InputError, match="no such method"):
        settings.load_method("fulll")


def test_every_method_of_the_default_experiment_has_its_file():
    for name in settings.load_config()["methods"]:
        assert isinstance(settings.load_method(name), dict)


def test_merging_lays_mappings_on_one_another_and_replaces_lists():
    merged = settings.merge({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}})
    assert merged == {"a": {"b": 1, "c": [3]}, "d": 1}


def test_digest_ignores_key_order_and_sees_values():
    assert settings.digest({"a": 1, "b": 2}) == settings.digest({"b": 2, "a": 1})
    assert settings.digest({"a": 1}) != settings.digest({"a": 2})
