"""Rooms, models and batches shared by the model's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture
def toy_study(tmp_path):
    """A folder with the files that a training hashes; what they hold is not read."""
    (tmp_path / "scenes" / "train").mkdir(parents=True)
    (tmp_path / "features" / "images").mkdir(parents=True)
    for name in ("scenes/train/000.jsonl", "features/images/train.safetensors"):
        (tmp_path / name).write_text("toy")
    (tmp_path / "features" / "text.safetensors").write_text("toy")
    return tmp_path
