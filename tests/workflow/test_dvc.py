"""DVC runs the same study, and its metrics and experiments work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from g2vlm.run.config import merge
from tests.workflow.tiny import ROOT, TINY, clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("data").is_dir(), reason="needs data/: make data"),
]


def call(root, *command):
    """Run a command of the environment in the clone and return what it printed."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    names = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "PATH": path, "HOME": str(root)}
    names |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t", "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=root, env=names, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A committed clone whose default experiment is tiny, reproduced by DVC once."""
    root = clone(tmp_path_factory.mktemp("dvc") / "clone")
    (root / "tiny.yaml").unlink()
    default = yaml.safe_load((root / "config" / "cpu.yaml").read_text())
    (root / "config" / "cpu.yaml").write_text(
        yaml.safe_dump(merge(default, TINY) | {"experiment": "cpu"}, sort_keys=False)
    )
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    call(root, "git", "init", "-q")
    call(root, "dvc", "init", "-q")
    call(root, "dvc", "add", "--quiet", "data")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "a tiny study")
    call(root, "dvc", "repro", "-q")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "its results")
    return root


def test_a_reproduced_study_is_up_to_date_for_both_tools(repository):
    assert json.loads(call(repository, "dvc", "status", "--json")) == {}
    output = call(repository, "snakemake", "--cores", "2", "reproduce", "-n")
    assert "Nothing to be done" in output or output == ""


def test_metrics_and_plots_are_shown(repository):
    metrics = json.loads(call(repository, "dvc", "metrics", "show", "--json"))
    means = metrics[""]["data"]["results/cpu/metrics.json"]["data"]
    assert 0 <= means["dev_scene"]["full"]["fscore@5cm"] <= 1
    call(repository, "dvc", "plots", "show", "-o", "plots")
    assert "forest.png" in (repository / "plots" / "index.html").read_text()


def test_an_experiment_sets_a_key_and_its_metrics_differ(repository):
    call(repository, "dvc", "exp", "run", "-S", "config/cpu.yaml:train.stage2_steps=8")
    config = yaml.safe_load((repository / "config" / "cpu.yaml").read_text())
    assert config["train"]["stage2_steps"] == 8
    differ = json.loads(call(repository, "dvc", "metrics", "diff", "--json"))
    changed = differ["results/cpu/metrics.json"]
    assert any(name.startswith("dev_scene.full") for name in changed)
    assert not any(name.startswith("dev_scene.oracle") for name in changed)
