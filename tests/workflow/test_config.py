"""Configs: the three experiments, their schema, and faults in one line."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from g2vlm.models.config import ModelSizes, Switches
from g2vlm.run import config as settings
from g2vlm.run.seal import RECORD
from g2vlm.scenes.render.settings import SensorModel
from g2vlm.training.settings import TrainSettings
from metrics.files import InputError
from tests.configs import CPU, load_config

CLAIM = {"family": "causes", "name": "depth", "claim": "Depth helps"}
CONFIGS = sorted(path for path in Path("config").glob("*.yaml") if path != RECORD)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_named_as_its_file(path):
    config = load_config(path)
    assert config["experiment"] == path.stem
    assert {"train", "val", "dev_scene", "dev_asset", "real_rooms"} == set(config["data"]["splits"])


def test_smoke_and_gpu_have_their_documented_sizes():
    smoke, gpu = (load_config(f"config/{name}.yaml") for name in ("smoke", "gpu"))
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
        ({"train": {"warmup": 2}}, ["`train.warmup`", "maximum", "rising learning rate"]),
        ({"model": {"heads": 7}}, ["model.hidden 160", "not a multiple of model.heads 7"]),
        (
            {"sealed": {"two_zones": {"fewest": 21}}},
            ["`sealed.two_zones.fewest` is 21", "`most` 20"],
        ),
        ({"render": {"sensor": {"fog": 1}}}, ["unknown key `render.sensor.fog`"]),
        ({"pretrained": {"oracle": "models/x"}}, ["unknown key `pretrained.oracle`", "hf_vlm"]),
        ({"submissions": [{"name": "theirs"}]}, ["`submissions.0.path` is missing"]),
        (
            {"statistics": {"reference": "ful"}},
            ["unknown method of this experiment `ful`", "did you mean `full`?"],
        ),
        (
            {"report": {"headline": ["fscore@5m"]}},
            ["`report.headline`", "did you mean `fscore@5cm`?"],
        ),
        (
            {"report": {"claims": [CLAIM | {"family": "artikel"}]}},
            ["unknown claim `artikel.depth`"],
        ),
    ],
)
def test_an_error_names_file_key_and_fix(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(change))
    with pytest.raises(InputError) as fault:
        load_config(path)
    message = str(fault.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert all(word in message for word in words)


def test_an_error_on_the_command_line_names_no_file():
    sources = settings.read_sources(["config/smoke.yaml"], {"sedes": 3})
    with pytest.raises(InputError, match=r"^--config on the command line: unknown key `sedes`"):
        settings.check_config(sources)


def keys(values, schema, path=""):
    """Yield the dotted names of all keys in a config, or in a schema if `values` is None."""
    properties = schema.get("properties", {})
    for name in properties if values is None else values:
        yield f"{path}{name}"
        below = properties.get(name, {})
        if "properties" in below:
            yield from keys(None if values is None else values[name], below, f"{path}{name}.")


def test_every_key_of_the_schema_has_its_default_in_cpu_yaml_and_no_other_key_is_there():
    schema = settings.config_schema()
    optional = {"statistics.data_efficiency"}
    in_schema = {
        name
        for name in keys(None, schema)
        if not name.startswith(tuple(optional)) and not name.startswith("pretrained.")
    }
    assert set(keys(CPU, schema)) == in_schema


@pytest.mark.parametrize("described", [TrainSettings, ModelSizes, Switches, SensorModel])
def test_settings_have_no_second_default(described):
    assert all(field.default is MISSING for field in fields(described))
    assert all(field.default_factory is MISSING for field in fields(described))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("normals: false\n", ["switch `normals` is at the top; move it under `switches:`"]),
        ("switches: {{normal: false, {rest}}}\n", ["unknown key `switches.normal`", "`normals`?"]),
        ("switches: {{{rest}}}\n", ["key `switches.normals` is missing"]),
        ("switches: {{normals: 0, {rest}}}\n", ["`switches.normals`", "boolean"]),
        ("swiches: {{}}\n", ["unknown key `swiches`"]),
        ("switches:\n", ["`switches.depth` is missing"]),
        ("scenes: 0.5\nswitches: {{normals: true, {rest}}}\n", ["key `scenes` is reserved"]),
    ],
)
def test_a_method_file_with_a_wrong_key_is_refused(tmp_path, text, words):
    full = yaml.safe_load(Path("config/methods/full.yaml").read_text())["switches"]
    rest = ", ".join(f"{k}: {str(v).lower()}" for k, v in full.items() if k != "normals")
    (tmp_path / "mine.yaml").write_text(text.format(rest=rest))
    with pytest.raises(InputError) as fault:
        settings.load_method("mine", tmp_path)
    message = str(fault.value)
    assert message.startswith(f"{tmp_path / 'mine.yaml'}: ") and "\n" not in message
    assert all(word in message for word in words)


def test_a_missing_method_file_is_named():
    with pytest.raises(InputError, match="fulll.yaml: no such file"):
        settings.load_method("fulll")


def test_every_method_of_the_default_experiment_has_its_file():
    for name in load_config()["methods"]:
        assert isinstance(settings.load_method(name), dict)


def test_digest_ignores_key_order_and_sees_values():
    assert settings.digest({"a": 1, "b": 2}) == settings.digest({"b": 2, "a": 1})
    assert settings.digest({"a": 1}) != settings.digest({"a": 2})
