"""PyTorch on one thread and the files that a training hashes, for the tests of training."""

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture
def toy_study(tmp_path):
    """A folder with the files that a training hashes; their content is not read."""
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    (tmp_path / "features" / "images").mkdir(parents=True)
    for name in ("scenes/train/000.jsonl", "features/images/train.safetensors"):
        (tmp_path / name).write_text("toy")
    (tmp_path / "features" / "text.safetensors").write_text("toy")
    return tmp_path
