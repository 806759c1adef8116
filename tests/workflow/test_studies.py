"""A study's training differs from its method only in what the study changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from g2vlm.run import studies
from g2vlm.run.config import load_method
from tests.configs import load_config
from tests.workflow.tiny import TINY, clone

CONFIG = load_config()
METHODS = {name: load_method(name) for name in CONFIG["methods"]}


def test_variants_differ_only_in_share_weights_or_rate():
    trainings = dict(studies.variant_trainings(CONFIG, METHODS))
    tenth = trainings["no_geometry_at_10"]
    assert tenth == METHODS["no_geometry"] | {"based_on": "no_geometry", "scenes": 0.1}
    plain, without = trainings["full_balance"]["train"], trainings["full_align_x0"]["train"]
    assert without["loss_weights"] == plain["loss_weights"] | {"align": 0}
    rest = {k: v for k, v in plain.items() if k != "loss_weights"}
    assert rest == {k: v for k, v in without.items() if k != "loss_weights"}
    for steps in ("stage2_steps", "box_head_steps", "qa_head_steps"):
        assert plain[steps] == round(CONFIG["train"][steps] / 2)
    assert trainings["full_depth_x2"]["train"]["loss_weights"]["depth"] == 2
    losses = len(CONFIG["train"]["loss_weights"])
    faster = trainings["no_align_loss_rate_x2"]["train"]
    assert faster == CONFIG["train"] | {"learning_rate": 2 * CONFIG["train"]["learning_rate"]}
    assert "full_rate_x0_5" in trainings
    assert len(trainings) == 2 * 3 + 1 + 2 * losses + 2 * len(METHODS)


def test_the_last_share_is_the_experiments_own_training():
    shares = studies.data_efficiency_trainings(CONFIG)
    assert list(shares)[-1] == "100% of the scenes"
    assert shares["100% of the scenes"] == {"full": "full", "no_geometry": "no_geometry"}
    assert shares["25% of the scenes"]["full"] == "full_at_25"


@pytest.mark.slow
@pytest.mark.skipif(not Path("data").is_dir(), reason="needs data/: make data")
def test_every_study_runs_to_its_tables(tmp_path):
    root = clone(tmp_path / "clone")
    small = {
        "data_efficiency": {"shares": [0.5]},
        "robustness": {"noise": [4], "holes": [], "views": [1, 8], "focal": []},
        "loss_balance": {"factors": [0], "seeds": 1},
        "tuning": {"factors": [2]},
    }
    config = TINY | {"methods": ["full", "no_geometry"], "seeds": 1, "studies": small}
    (root / "tiny.yaml").write_text(yaml.safe_dump(config))
    targets = ["data_efficiency", "robustness", "loss_balance", "subgroups", "tuning"]
    call = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        *targets,
        "--configfile",
        "tiny.yaml",
    ]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    folder = root / "results" / "tiny" / "studies"
    rows = {name: pd.read_csv(folder / name / "estimates.csv") for name in targets}
    assert set(rows["data_efficiency"]["condition"]) == {"50% of the scenes", "100% of the scenes"}
    labels = {"as rendered", "depth noise ×4", "1 view", "8 views"}
    assert set(rows["robustness"]["condition"]) == labels
    assert rows["loss_balance"]["condition"].nunique() == 1 + len(CONFIG["train"]["loss_weights"])
    assert "all" in set(rows["subgroups"]["condition"])
    assert set(rows["tuning"]["method"]) == {"full", "no_geometry"}
    assert {"val, rate ×2", "test, rate as configured"} < set(rows["tuning"]["condition"])
    assert not list(folder.glob("**/*.predictions"))
    assert all((folder / name / "figure.png").is_file() for name in targets)
