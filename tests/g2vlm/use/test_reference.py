"""The committed checkpoint reproduces the scores of its experiment on a few scenes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.paths import REPOSITORY

pytest.importorskip("torch")

from tests.workflow.tiny import clone

ROOT = REPOSITORY
CHECKPOINT = ROOT / "results" / "reference" / "cpu" / "checkpoint"
pytestmark = pytest.mark.skipif(not (ROOT / "data").is_dir(), reason="needs data/: make data")
# Distances within 2 mm, scores within a hundredth; an answer or a pick that tips over moves a
# mean over some fifty sentences by a fiftieth.
LARGEST = {"chamfer_l1_m": 0.002, "ref_pick": 0.05, "ref_acc@0.25": 0.05, "answer_score": 0.05}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the scenes of scores.json with their truth and features, as the experiment did."""
    root = clone(tmp_path_factory.mktemp("reference") / "clone")
    count = len(json.loads((CHECKPOINT / "scores.json").read_text())["scenes"])
    sizes = {"train": 2, "val": 2, "dev_scene": count, "dev_asset": 2}
    changed = {"experiment": "few", "data": {"splits": sizes}}
    (root / "few.yaml").write_text(yaml.safe_dump(changed))
    few = "results/few"
    wanted = [f"{few}/features/images/dev_scene/000.safetensors"]
    wanted += [f"{few}/features/texts/000.safetensors"]
    wanted += [f"{few}/truth/dev_scene/prepared.safetensors"]
    call = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "few.yaml"]
    done = subprocess.run([*call, "--", *wanted], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return root / few


def test_the_checkpoint_reproduces_its_scores(rooms: Path, tmp_path: Path) -> None:
    from g2vlm.features.readers import ImageFeatures, TextFeatures
    from g2vlm.inference.network import Network
    from g2vlm.inference.predict import predict
    from g2vlm.scenes.dataset import SceneStore
    from g2vlm.use.publish import scene_scores
    from metrics.score import score_submission

    config = yaml.safe_load((ROOT / "config" / "cpu.yaml").read_text())
    features = rooms / "features"
    predict(
        Network(CHECKPOINT, TextFeatures(features)),
        SceneStore(rooms / "scenes" / "dev_scene"),
        ImageFeatures(features / "images" / "dev_scene"),
        tmp_path / "predicted",
        "dev_scene",
        config,
    )
    score_submission(
        tmp_path / "predicted", rooms / "truth" / "dev_scene", tmp_path / "scores.parquet"
    )
    was = json.loads((CHECKPOINT / "scores.json").read_text())["scenes"]
    now = scene_scores(tmp_path / "scores.parquet")["scenes"]
    assert now.keys() == was.keys()
    both = pd.concat([pd.DataFrame(was).mean(axis=1), pd.DataFrame(now).mean(axis=1)], axis=1)
    for metric, (before, after) in both.iterrows():
        assert after == pytest.approx(before, abs=LARGEST.get(metric, 0.01)), metric
