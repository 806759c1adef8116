"""A loss is added by editing two files: its function and its row in the table of losses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pandas as pd

from tests.paths import REPOSITORY

# (file, text before which to insert, inserted text)
EDITS = [
    (
        "g2vlm/training/loss_functions.py",
        "def reconstruction_loss(",
        '''def height_loss(step: StepOutputs) -> Tensor:
    """Return the mean absolute height of the predicted points."""
    return step.state.points[..., 2].abs().mean()


''',
    ),
    (
        "g2vlm/training/losses.py",
        '    Loss(\n        "text",',
        '    Loss("height", "", "height_loss", stage=2, weight=0.25),\n',
    ),
]

SETTINGS = """
import json
from g2vlm.settings import section_schema
from g2vlm.training.settings import TrainSettings
from tests.g2vlm.models.build import train_settings

schema = section_schema(TrainSettings)["properties"]["loss_weights"]["properties"]
print(json.dumps({"schema": schema["height"], "weight": train_settings().loss_weights["height"]}))
"""


def test_two_edits_add_a_loss(tmp_path):
    for folder in ("g2vlm", "metrics", "config", "tests"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    for name, before, text in EDITS:
        source = (tmp_path / name).read_text(encoding="utf-8")
        assert source.count(before) == 1, (name, before)
        (tmp_path / name).write_text(source.replace(before, text + before), encoding="utf-8")
    study = tmp_path / "study"
    for name in ("training/000.safetensors", "scenes/train/000.jsonl", "features/texts/000.json"):
        (study / name).parent.mkdir(parents=True)
        (study / name).write_text("toy")

    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    script = tmp_path / "tests" / "g2vlm" / "training" / "shared_training.py"
    for call in ((str(script), str(study), "out", "1"), ("-c", SETTINGS)):
        done = subprocess.run(
            [sys.executable, *call],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    settings = json.loads(done.stdout)
    assert settings["schema"].items() >= {"type": "number", "minimum": 0}.items()
    assert settings["weight"] == 0.25

    losses = pd.read_parquet(study / "out" / "losses.parquet")
    assert losses["height"].notna().tolist() == [stage == 2 for stage in losses["stage"]]
    weights = json.loads((study / "out" / "config.json").read_text())["train"]["loss_weights"]
    weighted = sum(weight * losses[name].fillna(0) for name, weight in weights.items())
    pd.testing.assert_series_equal(weighted, losses["total"], check_names=False, rtol=1e-5)
