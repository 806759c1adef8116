"""A metric is added by editing one module: its function and its entry in that module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas as pd

from tests.paths import REPOSITORY

MODULE = "metrics/language/answers.py"
ENTRY = """    _metric(
        "answer_given",
        lambda question: float(bool(question.answer)),
        subsets=("all", "type"),
        description="share of questions with an answer that is not empty",
        source="a test",
    ),
"""
SCORE = """
import sys
from pathlib import Path
from metrics.score import score_submission
from tests.metrics import toy_truth

folder = Path(sys.argv[1])
truth = toy_truth.write_truth(folder / "truth", 2, samples=200, points=50)
submission = toy_truth.write_oracle(folder / "oracle", truth)
score_submission(submission, truth, folder / "scores.parquet")
"""
PAGE = "import docs.hooks; print(docs.hooks.metrics())"


def test_one_edit_adds_a_metric(tmp_path):
    for folder in ("metrics", "tests", "docs"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    # The pages of the site print their tables with the report's writer.
    shutil.copytree(REPOSITORY / "report", tmp_path / "report")
    path = tmp_path / MODULE
    start = "METRICS = (\n"
    source = path.read_text(encoding="utf-8")
    assert source.count(start) == 1
    path.write_text(source.replace(start, start + ENTRY), encoding="utf-8")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run("-c", SCORE, str(tmp_path))
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    rows = scores[scores["metric"] == "answer_given"]
    assert set(rows["subset"]) > {"all"} and (rows["value"] == 1.0).all()
    assert "answer_given" in run("-m", "metrics", "list")
    assert "| `answer_given` |" in run("-c", PAGE)
    contract = "tests/metrics/test_contract.py"
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-k", "answer_given")
    assert "passed" in run("-m", "pytest", *options, contract)
