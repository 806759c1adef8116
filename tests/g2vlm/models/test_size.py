"""The size of a model folder."""

import pytest

from g2vlm.models.checkpoint import save_model
from g2vlm.models.file_format import PARTS, parameters_by_part, sentence, table
from metrics.files import InputError
from tests.g2vlm.models.build import small_model


@pytest.mark.parametrize("method", ["full", "reconstruction_only"])
def test_parts_add_up_to_the_model(tmp_path, method):
    model = small_model(method)
    save_model(model, tmp_path, {})
    found = parameters_by_part(tmp_path)
    for part, name in PARTS.items():
        assert found[name] == sum(p.numel() for p in getattr(model, part).parameters()), part
    total = f"{sum(p.numel() for p in model.parameters()):,}"
    assert f"The network {method} has {total} parameters" in sentence(tmp_path)
    assert table(tmp_path).splitlines()[-1] == f"| all | {total} |"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        parameters_by_part(tmp_path)
    save_model(small_model(), tmp_path, {})
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: not the weights of a model"):
        parameters_by_part(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.safetensors: not the weights of a model"):
        parameters_by_part(tmp_path)
