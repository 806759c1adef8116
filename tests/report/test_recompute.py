"""Every table of a reference can be made again from its cells, byte for byte."""

import json
import shutil

import pytest
import yaml

from metrics.__main__ import main
from metrics.files import InputError, write_json
from metrics.statistics import compare, table
from report import headline, recompute, reference, tables
from report.config import ReportConfig
from tests.metrics.statistics import synthetic
from tests.paths import REPOSITORY

# One metric of each kind: of scenes, pooled over scenes, and of queries.
METRICS = ["fscore@5cm", "spq@0.5", "ref_pick"]
# A gate that makes a method unfit, so that the tables depend on it.
GATE = {
    "no_geometry": {
        "graph": {
            "fit": False,
            "reason": "loses to the constant",
            "metric": "spq@0.5",
            "train": 0.01,
            "train_constant": 0.05,
            "val": 0.0,
            "val_constant": 0.04,
        }
    }
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a finished run whose scores were compared from their folder, as the workflow does."""
    root = tmp_path_factory.mktemp("run")
    folder, scores = root / "example", root / "scores"
    rows = synthetic.scores(seeds=2, scenes=5, queries=2, splits=("dev_scene", "dev_asset"))
    rows = rows[rows["metric"].isin(METRICS) & (rows["method"] != "tsdf_fusion")]
    facts = synthetic.sidecars()
    for (method, seed, split), part in rows.groupby(["method", "seed", "split"]):
        file = scores / method / str(seed) / f"{split}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        part.to_parquet(file)
        cost = {name: 1.5 for name in ("train_seconds", "seconds_per_scene")}
        known = {key: facts[method][key] for key in ("stochastic", "reasons", "floors")}
        write_json(file.with_suffix(".json"), known | {"cost": cost})
    config = yaml.safe_load((REPOSITORY / "config" / "cpu.yaml").read_text("utf-8"))
    unfit = {"no_geometry": {"graph": "loses to the constant"}}
    folder.mkdir()
    # The tables show the gate, so it is there before them, as in a run.
    write_json(folder / "gate.json", GATE)
    compare.write(compare.compare(scores, config["statistics"], unfit), folder / "statistics")
    settings = ReportConfig.from_experiment(config)
    tables.write_tables(folder / "statistics", folder / "tables", settings)
    headline.write_summary(folder / "statistics", folder / "headline.txt", settings)
    write_json(folder / "manifest.json", {"config": config})
    return folder


@pytest.fixture
def kept(results, tmp_path):
    reference.write_reference(results, tmp_path / "reference")
    return tmp_path / "reference"


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["recompute", *map(str, words)])
    return recompute.main()


def test_a_reference_is_made_again_byte_for_byte(results, kept, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, kept, "--out", tmp_path / "again") == 0
    assert "equal byte for byte" in capsys.readouterr().out
    names = sorted(file.name for file in (results / "statistics").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "again" / "statistics").iterdir())
    for part in ("statistics", "tables"):
        for file in (results / part).iterdir():
            again = tmp_path / "again" / part / file.name
            assert again.read_bytes() == file.read_bytes(), file.name
    verdicts = (tmp_path / "again" / "tables" / "verdicts.csv").read_text("utf-8")
    assert "no_geometry is unfit (loses to the constant)" in verdicts


def test_compare_reads_the_cells_of_a_reference(results, kept, tmp_path, capsys):
    words = ["compare", kept / "cells.parquet", "--config", REPOSITORY / "config" / "cpu.yaml"]
    words += ["--gate", kept / "gate.json", "--out", tmp_path / "again"]
    assert main(list(map(str, words))) == 0
    assert "verdicts on the declared claims" in capsys.readouterr().out
    for file in (results / "statistics").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_table_that_was_changed_or_lost_is_named(kept, monkeypatch):
    (kept / "tables" / "main.md").write_text("better\n")
    (kept / "tables" / "cost.csv").unlink()
    with pytest.raises(InputError, match=r"tables/cost.csv, tables/main.md cannot be made again"):
        run(monkeypatch, kept)


def test_a_reference_without_cells_or_config_is_named(kept, tmp_path, monkeypatch):
    (kept / "cells.parquet").rename(tmp_path / "cells.parquet")
    with pytest.raises(InputError, match="cells.parquet: no such file; `make reference` writes"):
        run(monkeypatch, kept)
    write_json(kept / "manifest.json", {})
    with pytest.raises(InputError, match="manifest.json: holds no config of the run; give it by"):
        run(monkeypatch, kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.assign(items=-1), "items is .*-1.*; write the cells again"),
        (lambda rows: rows.assign(items_succeeded=1000), "more items succeeded than there are"),
        (
            lambda rows: rows.assign(items=2, items_succeeded=1, mean_of_succeeded=float("nan")),
            "a cell lacks its mean_of_succeeded",
        ),
    ],
)
def test_cells_with_impossible_counts_are_refused(kept, change, words):
    rows = table.read_scores(kept / "cells.parquet")
    change(rows[rows["kind"] == "item"]).to_parquet(kept / "cells.parquet")
    with pytest.raises(InputError, match=f"cells.parquet: {words}"):
        table.load(kept / "cells.parquet")


@pytest.mark.parametrize(
    ("content", "words"),
    [([], "holds no facts of methods"), ({"full": {"reasons": []}}, r"reasons of full is \[\]")],
)
def test_facts_of_methods_of_another_form_are_refused(kept, content, words):
    (kept / "methods.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"methods.json: {words}"):
        table.load(kept / "cells.parquet")


def test_a_method_whose_tables_are_empty_is_skipped_with_the_reason(tmp_path):
    rows = synthetic.scores(seeds=2, scenes=4, queries=1)
    rows = rows[(rows["metric"] == "spq@0.5") & (rows["method"] != "oracle")]
    for (method, seed), part in rows.groupby(["method", "seed"]):
        file = tmp_path / method / str(seed) / "dev_scene.parquet"
        file.parent.mkdir(parents=True)
        part[: 0 if method == "no_geometry" else None].to_parquet(file)
    found = compare.compare(tmp_path, synthetic.CONFIG)
    assert "no_geometry" not in set(found["estimates"]["method"])
    rows = found["claims"]
    rows = rows[(rows["metric"] == "spq@0.5") & (rows["method_b"] == "no_geometry")]
    words = "no scores of no_geometry: its tables of scores have no rows"
    assert rows["reason"].tolist() == [words]


def test_the_committed_reference_can_be_made_again(tmp_path):
    kept = REPOSITORY / "results" / "reference" / "cpu"
    if not (kept / "cells.parquet").is_file():
        pytest.skip("the committed reference was kept without its cells")
    config = json.loads((kept / "manifest.json").read_text("utf-8"))["config"]
    files = recompute.recompute(kept, tmp_path, config)
    assert recompute.differing(kept, tmp_path, files) == []
    shutil.rmtree(tmp_path / "statistics")
