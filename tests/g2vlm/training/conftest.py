"""PyTorch on one thread and the files that a training hashes, for the tests of training."""

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture
def toy_study(tmp_path):
    """A folder with the files that a training hashes; their content is not read."""
    for name in ("training/000.safetensors", "scenes/train/000.jsonl", "features/texts/000.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("toy")
    return tmp_path
