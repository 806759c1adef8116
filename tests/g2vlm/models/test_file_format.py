"""Model folders of version 1 load with unchanged weights."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from g2vlm.models.checkpoint import load_model, save_model
from g2vlm.models.file_format import VERSION, current_name, parameters_by_part, read_config
from metrics.files import InputError
from tests.g2vlm.models.build import small_model
from tests.paths import REPOSITORY

OLD = REPOSITORY / "results" / "reference" / "cpu" / "checkpoint"


def test_the_committed_checkpoint_of_version_1_loads():
    """Names change one to one; weights, shapes and their order stay."""
    assert json.loads((OLD / "config.json").read_text())["version"] == 1
    stored, model = load_file(OLD / "model.safetensors"), load_model(OLD)
    loaded = model.state_dict()
    names = {current_name(name, 1): name for name in stored}
    assert len(names) == len(stored) and names.keys() == loaded.keys()
    assert all(torch.equal(loaded[new], stored[old].float()) for new, old in names.items())
    counts = parameters_by_part(OLD)
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())


def test_settings_of_version_1_have_their_present_names():
    old = json.loads((OLD / "config.json").read_text())["train"]
    new = read_config(OLD)["train"]
    pairs = {
        "refit_steps": "box_head_steps",
        "reader_steps": "referring_head_steps",
        "answer_steps": "qa_head_steps",
    }
    assert new == {pairs.get(name, name): value for name, value in old.items()}
    assert pairs.keys() <= old.keys()


def test_a_model_saved_now_has_the_same_weights_after_loading(tmp_path):
    model = small_model()
    save_model(model, tmp_path, {})
    assert read_config(tmp_path)["version"] == VERSION
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_unknown_versions_and_mixed_names_are_refused(tmp_path):
    save_model(small_model(), tmp_path, {})
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(document | {"version": 3}))
    with pytest.raises(InputError, match=r"config\.json: version 3 is unknown, the latest is 2"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(document))
    weights = load_file(tmp_path / "model.safetensors")
    weights["kind.bias"] = weights.pop("class_embedding.bias")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors: does not fit config\.json"):
        load_model(tmp_path)
