"""The summary and the crate of a finished run."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from g2vlm.run.manifest import INPUTS, PROFILES, hash_results, write_crate, write_summary
from metrics.files import InputError, read_json, sha256_file, write_json


@pytest.fixture
def run(tmp_path):
    """A clone with a finished run: two tables, a record and a job's log."""
    root = tmp_path / "clone"
    results = root / "results" / "toy"
    for name in ("workflow/rules/a.smk", "g2vlm/b.py", "g2vlm/__pycache__/b.pyc", "data.dvc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("# code\n")
    for name in ("Snakefile", "data.manifest.json", "requirements.lock"):
        (root / name).write_text("x\n")
    (results / "tables").mkdir(parents=True)
    (results / "logs").mkdir()
    (results / "tables" / "a.csv").write_text("method,mean\nfull,0.5\n")
    (results / "headline.txt").write_text("full 0.5\n")
    (results / "logs" / "a.log").write_text("")
    record = {
        "experiment": "toy",
        "code": {"commit": "0123abc", "dirty": False},
        "results": hash_results(results, ["tables"]),
    }
    write_json(results / "manifest.json", record)
    return root, results, record


def test_a_crate_names_workflow_inputs_and_results(run, tmp_path):
    root, results, record = run
    path = tmp_path / "crate.zip"
    write_crate(root, results, record, path)
    crate_file = ROCrate(path)
    assert crate_file.mainEntity.id == "Snakefile" and crate_file.mainEntity["version"] == "0123abc"
    assert {entity.id for entity in crate_file.root_dataset["conformsTo"]} == set(PROFILES)
    action = crate_file.get("#run")
    assert action.type == "CreateAction" and action["instrument"] == crate_file.mainEntity
    assert {entity.id for entity in action["object"]} == set(INPUTS)
    made = {entity.id: entity for entity in action["result"]}
    assert set(made) == {
        "results/manifest.json",
        "results/tables/a.csv",
        "results/headline.txt",
    }
    assert made["results/tables/a.csv"]["sha256"] == sha256_file(results / "tables" / "a.csv")
    assert action["startTime"] <= action["endTime"]


def test_a_crate_holds_the_bytes_it_names_and_no_compiled_code(run, tmp_path):
    root, results, record = run
    path = tmp_path / "crate.zip"
    write_crate(root, results, record, path)
    with zipfile.ZipFile(path) as packed:
        names = set(packed.namelist())
        table = packed.read("results/tables/a.csv")
    assert {"workflow/rules/a.smk", "g2vlm/b.py", "ro-crate-metadata.json"} <= names
    assert not any("__pycache__" in name for name in names)
    assert table == (results / "tables" / "a.csv").read_bytes()


def test_a_crate_without_its_results_is_not_written(run, tmp_path):
    root, results, record = run
    (results / "tables" / "a.csv").unlink()
    with pytest.raises(FileNotFoundError):
        write_crate(root, results, record, tmp_path / "crate.zip")
    assert list(tmp_path.glob("*.zip*")) == []


def table_of(path, rows):
    names = ["split", "method", "subset", "metric", "mean"]
    pd.DataFrame(rows, columns=names).to_parquet(path)
    return path


def test_the_summary_has_only_overall_means(tmp_path):
    rows = [
        ("dev_scene", "full", "all", "fscore@5cm", 0.75),
        ("dev_scene", "full", "observed", "fscore@5cm", 0.5),
        ("dev_scene", "chance", "all", "spq@0.5", float("nan")),
        ("dev_asset", "full", "all", "fscore@5cm", 1 / 3),
    ]
    write_summary(table_of(tmp_path / "estimates.parquet", rows), tmp_path / "metrics.json")
    assert read_json(tmp_path / "metrics.json") == {
        "dev_asset": {"full": {"fscore@5cm": 0.333333}},
        "dev_scene": {"full": {"fscore@5cm": 0.75}},
    }


def test_a_damaged_table_is_named(tmp_path):
    Path(tmp_path, "estimates.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"estimates\.parquet: .*run `compare` again"):
        write_summary(tmp_path / "estimates.parquet", tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()
