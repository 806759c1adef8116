"""Model folders load with the weights that were saved; others are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from g2vlm.models.checkpoint import load_model, save_model
from g2vlm.models.file_format import VERSION, parameters_by_part, read_config
from metrics.files import InputError
from tests.g2vlm.models.build import small_model
from tests.paths import REPOSITORY

REFERENCE = REPOSITORY / "results" / "reference" / "cpu" / "checkpoint"


def test_the_committed_checkpoint_loads():
    stored, model = load_file(REFERENCE / "model.safetensors"), load_model(REFERENCE)
    loaded = model.state_dict()
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], value.float()) for name, value in stored.items())
    counts = parameters_by_part(REFERENCE)
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())


def test_a_model_saved_now_has_the_same_weights_after_loading(tmp_path):
    model = small_model()
    save_model(model, tmp_path, {})
    assert read_config(tmp_path)["version"] == VERSION
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("version", [1, VERSION + 1, True, str(VERSION), None])
def test_other_versions_are_refused(tmp_path, version):
    save_model(small_model(), tmp_path, {})
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(document | {"version": version}))
    with pytest.raises(InputError, match=r"config\.json: version is .+, must be \d; train"):
        load_model(tmp_path)


def test_names_of_other_tensors_are_refused(tmp_path):
    save_model(small_model(), tmp_path, {})
    weights = load_file(tmp_path / "model.safetensors")
    weights["kind.bias"] = weights.pop("class_embedding.bias")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors: does not fit config\.json"):
        load_model(tmp_path)
