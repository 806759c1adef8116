"""A toy experiment folder: three splits of box rooms, their truth and sentence features."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from baselines.contract import load
from tests.baselines.toy import write_split

SPLITS = {"train": 4, "val": 2, "dev_scene": 2}


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with scenes/, truth/ and features/ of toy rooms at 48x36."""
    folder = tmp_path_factory.mktemp("toy")
    for split, count in SPLITS.items():
        write_split(folder / "scenes", folder / "truth", split, count, 48, 36)
    write_text_features(folder)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict]:
    """The config that a baseline is run with: a tiny model's folder where it needs one."""
    built: dict[str, dict] = {}

    def config(name: str) -> dict:
        if not getattr(load(name), "PRETRAINED", False):
            return {}
        if name not in built:
            from tests.baselines.tiny_models import BY_BASELINE

            folder = BY_BASELINE[name](tmp_path_factory.mktemp(name))
            built[name] = {"pretrained": {name: str(folder)}}
        return built[name]

    return config


def write_text_features(folder: Path) -> None:
    """Write one random unit vector a question text, in the layout of `TextFeatures`."""
    lines = (folder / "scenes" / "train" / "000.jsonl").read_text(encoding="utf-8").splitlines()
    texts = sorted({row["text"] for line in lines for row in json.loads(line)["questions"]})
    pooled = np.stack([_vector(text) for text in texts]).astype(np.float16)
    tensors = {
        "states": pooled,
        "offsets": np.arange(len(texts) + 1, dtype=np.int64),
        "pooled": pooled,
    }
    part = folder / "features" / "texts"
    part.mkdir(parents=True)
    save_file(tensors, part / "000.safetensors")
    (part / "000.json").write_text(json.dumps({"texts": texts}), encoding="utf-8")


def _vector(text: str) -> np.ndarray:
    vector = np.random.default_rng(zlib.crc32(text.encode())).normal(size=384)
    return vector / np.linalg.norm(vector)
