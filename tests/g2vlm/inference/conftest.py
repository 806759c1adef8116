"""An untrained model, cached features and a store of synthetic rooms, shared by the tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from g2vlm.features.readers import ImageFeatures, TextFeatures
from g2vlm.models.probe import RetrievalProbe
from metrics.files import write_json
from tests.g2vlm.inference.synthetic import CLASSES, HEIGHT, TEXTS, WIDTH, Store


@dataclass(frozen=True)
class Case:
    """Everything `predict` takes, of a model that was never trained."""

    model_dir: Path
    store: Store
    images: ImageFeatures
    texts: TextFeatures


def write_features(folder: Path, ids: list[str]) -> None:
    """Write random features in the layout of the encode stage."""
    random = np.random.default_rng(0)
    patches, cells = (HEIGHT // 16) * (WIDTH // 16), (HEIGHT // 4) * (WIDTH // 4)
    tensors = {}
    for scene in ids:
        tensors[f"{scene}/tokens"] = random.normal(size=(4, patches, 416)).astype(np.float16)
        tensors[f"{scene}/points"] = random.normal(size=(4, cells, 96)).astype(np.float16)
    for name in ("images", "texts"):
        (folder / name).mkdir()
    save_file(tensors, folder / "images" / "000.safetensors")
    counts = random.integers(3, 9, len(TEXTS))
    save_file(
        {
            "states": random.normal(size=(counts.sum(), 384)).astype(np.float16),
            "offsets": np.cumsum([0, *counts], dtype=np.int64),
            "pooled": random.normal(size=(len(TEXTS), 384)).astype(np.float16),
        },
        folder / "texts" / "000.safetensors",
    )
    write_json(folder / "texts" / "000.json", {"texts": TEXTS})


def write_model(folder: Path, **switches: object) -> Path:
    """Write an untrained model of a variant."""
    import torch

    from g2vlm.models.checkpoint import save_model
    from g2vlm.models.decoder import build_words
    from g2vlm.models.model import G2VLM
    from tests.g2vlm.models.build import model_config

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = build_words(["two chairs and 1 table", "34.5"])
    config = model_config(
        height=HEIGHT,
        width=WIDTH,
        classes=CLASSES,
        words=words,
        token_features=416,
        point_features=96,
        text_features=384,
    )
    folder.mkdir(parents=True, exist_ok=True)
    model = G2VLM(replace(config, **switches))
    save_model(model, folder, {"seed": 3})
    write_probe(folder, 2 * (config.hidden + len(config.classes) + 1), config.text_features)
    return folder


def write_probe(folder: Path, scene: int, text: int) -> None:
    """Write a probe of random scenes and texts."""
    random = np.random.default_rng(0)
    texts = [random.normal(size=(1, text)).astype(np.float32) for _ in range(20)]
    RetrievalProbe.fit(random.normal(size=(20, scene)).astype(np.float32), texts).save(folder)


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("inference")
    store = Store()
    write_features(folder, store.ids)
    return Case(
        write_model(folder / "full"),
        store,
        ImageFeatures(folder / "images"),
        TextFeatures(folder),
    )
