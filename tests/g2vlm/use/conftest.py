"""An untrained model and a ray-traced capture, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2vlm.captures import Capture, load_capture
from metrics.files import write_json
from tests.g2vlm.captures.scans import scan, write_declared
from tests.g2vlm.inference.synthetic import CLASSES, HEIGHT, WIDTH


def write_model(folder: Path) -> Path:
    """Write an untrained model of small views in the layout of a model folder."""
    import torch

    from g2vlm.inference.calibrate import Thresholds
    from g2vlm.models.checkpoint import save_model
    from g2vlm.models.decoder import build_words
    from g2vlm.models.model import G2VLM
    from tests.g2vlm.models.build import model_config

    torch.manual_seed(0)
    words = build_words(["two chairs and 1 table", "34.5"])
    folder.mkdir(parents=True)
    save_model(
        G2VLM(
            model_config(
                height=HEIGHT,
                width=WIDTH,
                classes=CLASSES,
                words=words,
                token_features=416,
                point_features=96,
                text_features=384,
            )
        ),
        folder,
        {"seed": 3},
    )
    write_json(folder / "thresholds.json", Thresholds(occupancy_logit=-1.0).to_json())
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "full")


@pytest.fixture(scope="session")
def capture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_declared(tmp_path_factory.mktemp("capture") / "room", scan(5))


@pytest.fixture(scope="session")
def capture(capture_folder: Path) -> Capture:
    return load_capture(capture_folder)
