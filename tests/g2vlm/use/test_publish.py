"""Publishing a trained model as a folder of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from safetensors.numpy import load_file

from g2vlm.__main__ import main
from g2vlm.features import readers
from g2vlm.models.probe import RetrievalProbe
from g2vlm.use import G2VLMModel
from metrics.files import InputError
from tests.g2vlm.use.test_ood_score import Rooms

HEADER = ["method", "seed", "split", "scene", "query", "subset", "metric", "value", "kind"]


@pytest.fixture
def study(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished experiment of one untrained model."""
    results = tmp_path / "results" / "toy"
    shutil.copytree(model_folder, results / "models" / "full" / "0")
    chosen = results / "predictions" / "full" / "0" / "thresholds.json"
    chosen.parent.mkdir(parents=True)
    shutil.move(results / "models" / "full" / "0" / "thresholds.json", chosen)
    (results / "models" / "full" / "0" / "cost.json").write_text("{}")
    draw = np.random.default_rng(0)
    probe = RetrievalProbe.fit(draw.normal(size=(9, 6)), list(draw.normal(size=(9, 1, 5))))
    probe.save(results / "models" / "full" / "0")
    rows = [
        ("full", 0, "dev_scene", f"room-{k}", query, subset, "ref_pick", value, "item")
        for k in range(6)
        for query, subset, value in (("a", "all", 1.0), ("b", "all", 0.0), ("b", "multi", 0.0))
    ]
    table = results / "scores" / "full" / "0" / "dev_scene.parquet"
    table.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=HEADER).to_parquet(table)

    rooms = {"train": Rooms(40, 1), "val": Rooms(20, 2)}
    monkeypatch.setattr(readers, "open_split", lambda _, split: (rooms[split],) * 2)
    return results


def test_a_published_folder_is_complete_and_loads(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    assert main(["publish", str(study), "--out", str(out)]) == 0
    files = {"model.safetensors", "config.json", "cost.json", "thresholds.json", "scores.json"}
    assert {f.name for f in out.iterdir()} == files | {
        "ood_score.safetensors",
        "probe.safetensors",
        "README.md",
    }
    full = load_file(study / "models" / "full" / "0" / "model.safetensors")
    halves = load_file(out / "model.safetensors")
    assert {v.dtype for v in halves.values()} == {np.dtype("float16")}
    for name, value in full.items():
        np.testing.assert_allclose(halves[name], value, rtol=1e-3, atol=1e-6)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["scenes"] == {f"room-{k}": {"ref_pick": 0.5} for k in range(4)}
    model = G2VLMModel.from_pretrained(out, threads=1)
    assert model.ood_scorer is not None and model.notes == ()
    assert model.thresholds.occupancy_logit == -1.0
    card = (out / "README.md").read_text()
    assert "# Model card" in card and "| referring head |" in card


def test_an_unfinished_experiment_publishes_nothing(study: Path, tmp_path: Path) -> None:
    (study / "scores" / "full" / "0" / "dev_scene.parquet").unlink()
    with pytest.raises(InputError, match=r"dev_scene\.parquet: no such file; finish the run"):
        main(["publish", str(study), "--out", str(tmp_path / "shared")])
    assert not (tmp_path / "shared").exists()
