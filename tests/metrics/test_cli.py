"""The command line: what it prints, its exit statuses, and that it needs no torch."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.__main__ import main
from metrics.files import InputError
from metrics.prepare import prepare
from metrics.registry import METRICS
from metrics.submission.writer import SubmissionWriter
from tests.metrics import toy_truth
from tests.paths import REPOSITORY

ROOT = REPOSITORY
# Stands for an environment in which only the base dependencies are installed.
BARE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "transformers", "pytorch3d", "g2vlm",
                                  "baselines", "matplotlib", "seaborn", "sklearn", "skimage",
                                  "snakemake", "jinja2", "PIL", "dvc"}:
            raise ImportError("not in the base set: " + name)
sys.meta_path.insert(0, Refuse())
from metrics.__main__ import entry
entry()
"""


def bare(*words: str | Path, **options) -> subprocess.CompletedProcess:
    line = [sys.executable, "-c", BARE, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        line, capture_output=True, text=True, check=False, env=environment, **options
    )


@pytest.fixture
def experiment(tmp_path: Path, truth_dir: Path) -> Path:
    """An experiment's folder, with the truth of one split."""
    prepare(truth_dir)
    shutil.copytree(truth_dir, tmp_path / "experiment" / "truth" / "toy")
    return tmp_path / "experiment"


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    """A submission that answers one question of nine, and is one of another method."""
    with SubmissionWriter(tmp_path / "poor", "poor", 0, "toy", True, ["answers"]) as out:
        out.answer("toy-0000", "q00", "3")
    return tmp_path / "poor"


def printed(capsys, *words: str | Path) -> tuple[int, str]:
    status = main([str(word) for word in words])
    return status, capsys.readouterr().out


def test_list_names_every_metric(capsys):
    status, text = printed(capsys, "list")
    assert status == 0
    for name in METRICS:
        assert f"\n{name}  [" in f"\n{text}"
    assert "accuracy_m  [m, lower is better, worst scene diagonal, floor: measured" in text
    output = json.loads(printed(capsys, "list", "--json")[1])
    assert {metric["name"] for metric in output} == set(METRICS)
    keys = {"unit", "higher_is_better", "worst", "floor", "source", "description"}
    assert all(keys <= set(metric) for metric in output)


def test_geometry(capsys, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 3)))
    np.save(tmp_path / "b.npy", np.array([[3.0, 4.0, 0.0]]))
    status, text = printed(capsys, "geometry", tmp_path / "a.npy", tmp_path / "b.npy", "--json")
    assert status == 0 and json.loads(text)["values"]["chamfer_l2sq_m2_exact"] == 50
    toy = toy_truth.box_mesh([0, 0, 0, 1, 1, 1])
    np.savez(tmp_path / "c.npz", vertices=toy[0], faces=toy[1])
    words = ["geometry", tmp_path / "c.npz", tmp_path / "c.npz", "--samples", "1000"]
    status, text = printed(capsys, *words, "--thresholds", "0.2", "0.1")
    head, *lines = text.splitlines()
    assert head.split() == ["metric", "value", "floor"]
    assert all(len(line.split()) == 3 for line in lines) and len(lines) == 22


def test_geometry_without_the_memory_for_it_is_one_line(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("metrics.reconstruction.compare_files.compare_surfaces", fail)
    np.save(tmp_path / "a.npy", np.zeros((1, 3)))
    with pytest.raises(InputError, match="a.npy needs more memory than there is; thin the clouds"):
        main(["geometry", str(tmp_path / "a.npy"), str(tmp_path / "a.npy")])


def test_validate(capsys, oracle_dir, experiment, truth_dir, poor):
    assert printed(capsys, "validate", oracle_dir) == (0, "no faults\n")
    for data in (experiment, truth_dir, experiment / "truth"):
        words = ["validate", oracle_dir, "--data", data, "--split", "toy"]
        assert printed(capsys, *words) == (0, "no faults\n")
    status, text = printed(capsys, "validate", poor, "--data", experiment)
    assert status == 1 and text.endswith("\n8 faults\n")
    assert text.startswith("answers.jsonl: scene toy-0000, question q01: questions declared and m")
    (poor / "manifest.json").write_text("{}")
    status, text = printed(capsys, "validate", poor, "--data", experiment, "--json")
    output = json.loads(text)
    assert status == 1 and output["sound"] is False
    assert set(output["faults"][0]) == {"file", "row", "item", "what", "fix"}


def test_score_and_compare(capsys, tmp_path, oracle_dir, experiment, poor):
    tables = []
    for folder in (oracle_dir, poor):
        tables.append(tmp_path / f"{folder.name}.parquet")
        words = ["score", folder, "--data", experiment, "--split", "toy", "--out", tables[-1]]
        status, text = printed(capsys, *words)
        assert status == 0 and f"rows: {tables[-1]}" in text
    assert "some items failed: python -m metrics validate lists why" in text
    row = next(line for line in text.splitlines() if line.startswith("answer_score"))
    assert row.split() == ["answer_score", "^", "0.1111", "0%"]
    output = json.loads(printed(capsys, "score", oracle_dir, "--data", experiment, "--json")[1])
    cell = output["summary"]["ref_pick"]["all"]
    assert cell["mean"] == cell["succeeded"] == cell["mean_succeeded"] == 1
    assert output["floors"]["accuracy_m"] > 0
    assert pd.read_parquet(tables[0]).method.unique() == ["oracle"]
    words = ["compare", *tables, "--reference", "oracle", "--out", tmp_path / "statistics"]
    status, text = printed(capsys, *words)
    assert status == 0 and "differences, a minus b" in text
    assert (tmp_path / "statistics" / "estimates.parquet").exists()
    output = json.loads(printed(capsys, "compare", *tables, "--reference", "oracle", "--json")[1])
    pair = [row for row in output["differences"] if row["metric"] == "answer_score"][0]
    assert pair["difference"] == pytest.approx(8 / 9)
    with pytest.raises(InputError, match="no method 'nobody'; choose from"):
        main(["compare", *map(str, tables), "--reference", "nobody"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "statistics: {familes: {}}",
            "unknown key `familes` of the statistics; known keys: referen",
        ),
        ("statistics: 5", "`statistics` must hold keys and values"),
        ("smallest_effect: {spq@0.5: .nan}", "`smallest_effect.spq@0.5` is nan; give a number ab"),
        ("smallest_effect: {spq@0.5: -1}", "`smallest_effect.spq@0.5` is -1; give a number above"),
        ("equivalence_share: 2", "`equivalence_share` is 2; give a number between 0 and 1"),
        ("smallest_effect: {spq: 0.1}", "names the unknown metric 'spq'; `python -m metrics list`"),
        (
            "families: {f: {split: toy, claims: {c: {a: m, against: [n], facets: {x: {primary: "
            "iou, secondary: [acc]}}}}}}\nsmallest_effect: {iou: 0.1}",
            "names the unknown metric 'iou'",
        ),
        (
            "generalisation: {splits: [a, b], methods: [m], metrics: [iou]}",
            "the unknown metric 'iou'",
        ),
        ("families: &f {g: *f}", "row 1: the alias `*f` is not allowed"),
        ("reference: a\nreference: b", "row 2: key `reference` is written twice"),
    ],
)
def test_a_config_of_compare_is_checked(tmp_path, text, words):
    rows = {"split": "toy", "scene": ["a", "b"], "metric": "mine", "value": [0.1, 0.2], "seed": 0}
    rows |= {"method": "m", "query": "", "subset": "all", "kind": "item", "succeeded": True}
    pd.DataFrame(rows).to_parquet(tmp_path / "m.parquet")
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    with pytest.raises(InputError) as refused:
        main(["compare", str(tmp_path / "m.parquet"), "--config", str(config)])
    assert str(refused.value).startswith(f"{config}: ") and words in str(refused.value)
    # A metric of the tables may be one that the registry lacks.
    config.write_text("smallest_effect: {mine: 0.1}")
    assert main(["compare", str(tmp_path / "m.parquet"), "--config", str(config)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required"),
        (["dance"], "invalid choice"),
        (["score", "here"], "--data"),
        (["score", "nowhere", "--data", "x"], "nowhere: no such folder"),
        (["score", "{oracle}", "--data", "nowhere"], "has no truth/toy/annotations.jsonl"),
        (["score", "{oracle}", "--data", "{truth}", "--split", "val"], "is split 'toy', not 'val'"),
        (["geometry", "a.ply", "b.ply"], "a.ply: no such file"),
        (["geometry", "a", "b", "--samples", "0"], "must be an integer from 1 to"),
        (["geometry", "a", "b", "--samples", "many"], "must be an integer from 1 to"),
        (["geometry", "a", "b", "--thresholds", "-1"], "must be a length"),
        (["geometry", "a", "b", "--thresholds", "nan"], "must be a length"),
        (["geometry", "a", "b", "--align", "sim4"], "invalid choice"),
        (["compare", "nothing.parquet"], "nothing.parquet: no score table"),
        (["controls", "--data", "nowhere"], "give --split"),
    ],
)
def test_errors_are_one_line(words, message, oracle_dir, truth_dir):
    filled = [word.format(oracle=oracle_dir, truth=truth_dir) for word in words]
    with pytest.raises(InputError) as error:
        main(filled)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_without_torch_from_another_folder(tmp_path, oracle_dir, truth_dir):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert bare("list", cwd=tmp_path).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    table = tmp_path / "oracle.parquet"
    for words in (
        ["validate", oracle_dir, "--data", truth_dir],
        ["score", oracle_dir, "--data", truth_dir, "--out", table],
        ["compare", table],
        ["geometry", "--help"],
    ):
        found = bare(*words, cwd=tmp_path)
        assert found.returncode == 0 and found.stderr == "", found.stderr
    found = bare("score", tmp_path, "--data", truth_dir)
    assert found.returncode == 2 and found.stderr.count("\n") == 1
    assert found.stderr.startswith("error: ") and "manifest.json" in found.stderr


def test_a_closed_pipe_ends_quietly():
    line = f"{sys.executable} -m metrics list --json | head -n 1"
    found = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.stdout == "[\n" and found.stderr == ""
