"""A fresh run against the reference: what counts as reproduced, drifted and missing."""

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError
from metrics.statistics import compare
from report import reference, verify
from tests.metrics.statistics import synthetic


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the folder of a finished run, as far as a reference reads it."""
    folder = tmp_path_factory.mktemp("run") / "example"
    compare.write(
        compare.compare(synthetic.scores(scenes=8), synthetic.CONFIG), folder / "statistics"
    )
    (folder / "tables").mkdir()
    (folder / "tables" / "article.csv").write_text("method\nfull\n", encoding="utf-8")
    (folder / "headline.txt").write_text("headline\n", encoding="utf-8")
    (folder / "manifest.json").write_text('{"code": {"commit": "abc"}}\n', encoding="utf-8")
    return folder


@pytest.fixture
def runs(results, tmp_path):
    """Return the reference as read from its files, and the same run's tables to be changed."""
    reference.write_reference(results, tmp_path / "reference")
    fresh = verify.load_fresh(results / "statistics")
    return verify.load_reference(tmp_path / "reference"), tuple(t.copy() for t in fresh)


def shifted(run, method, metric, by):
    for table in run:
        cell = (table["method"] == method) & (table["metric"] == metric)
        table.loc[cell & (table["subset"] == "all"), "mean"] += by
    return run


def status(rows, method, metric):
    keep = (rows["method"] == method) & (rows["metric"] == metric) & (rows["subset"] == "all")
    return rows[keep].iloc[0]


def test_the_same_run_is_identical_bit_for_bit(runs):
    rows = verify.verify(*runs)
    assert set(rows["status"]) == {"identical"} and not verify.failed(rows)
    assert len(rows) == len(runs[0][0])
    assert verify.summary(rows) == f"{len(rows)} identical"


@pytest.mark.parametrize(
    ("method", "metric", "by", "expected"),
    [
        ("full", "fscore@5cm", 0.009, "reproduced"),
        ("full", "fscore@5cm", -0.011, "drifted"),
        ("full", "chamfer_l1_m", 0.0019, "reproduced"),
        ("full", "chamfer_l1_m", 0.0021, "drifted"),
        ("tsdf_fusion", "fscore@5cm", 5e-7, "reproduced"),
        ("tsdf_fusion", "fscore@5cm", 2e-6, "drifted"),
    ],
)
def test_tolerance_is_that_of_the_metric_and_method(runs, method, metric, by, expected):
    was, now = runs
    rows = verify.verify(was, shifted(now, method, metric, by))
    assert status(rows, method, metric)["status"] == expected
    assert (rows["status"] != "identical").sum() == 1
    assert verify.failed(rows) == (expected == "drifted")


def test_welch_tells_training_noise_from_more(runs):
    was, now = runs
    rows = verify.verify(was, shifted(now, "full", "fscore@5cm", 0.3))
    cell = status(rows, "full", "fscore@5cm")
    assert cell["noise"] == "more than training noise" and cell["p"] < 0.001
    rows = verify.verify(was, shifted(now, "full", "fscore@5cm", -0.289))
    near = status(rows, "full", "fscore@5cm")
    assert near["noise"] == "training noise could" and near["p"] > 0.05
    assert near["status"] == "drifted"


def test_welch_agrees_with_scipy_on_the_raw_seed_means(runs):
    from scipy import stats

    was, now = runs
    rows = verify.verify(was, shifted(now, "full", "mesh_iou", 0.02))
    keep = lambda t: t[(t["method"] == "full") & (t["metric"] == "mesh_iou")]["mean"]  # noqa: E731
    expected = stats.ttest_ind(keep(was[1]), keep(now[1]), equal_var=False).pvalue
    assert status(rows, "full", "mesh_iou")["p"] == pytest.approx(expected, abs=1e-12)


def test_cells_without_comparable_trainings_get_no_p(runs):
    was, now = runs
    fixed = verify.verify(was, shifted(now, "tsdf_fusion", "mesh_iou", 0.1))
    assert status(fixed, "tsdf_fusion", "mesh_iou")["noise"] == "nothing varies"
    shifted(now, "full", "mesh_iou", 0.1)
    now[1]["scenes_hash"] = "0" * 8
    moved = status(verify.verify(was, now), "full", "mesh_iou")
    assert moved["noise"] == "other scenes" and np.isnan(moved["p"])


def test_missing_cells_fail_and_new_ones_do_not(runs):
    was, now = runs
    less = tuple(t[t["method"] != "oracle"] for t in now)
    rows = verify.verify(was, less)
    assert set(rows.loc[rows["method"] == "oracle", "status"]) == {"missing"}
    assert verify.failed(rows) and "missing: oracle" in verify.summary(rows)
    rows = verify.verify(less, now)
    assert set(rows.loc[rows["method"] == "oracle", "status"]) == {"new"}
    assert not verify.failed(rows)


def test_origins_are_named_where_they_differ():
    was = {"code": {"commit": "a"}, "data": {"folder_md5": "x"}}
    assert verify.changed(was, dict(was)) == "same origin"
    assert verify.changed(was, was | {"code": {"commit": "b"}}).endswith(": code")


def test_reference_of_an_unfinished_run_names_what_is_missing(results, tmp_path):
    with pytest.raises(InputError, match=r"headline.txt: no such file; finish the run"):
        reference.write_reference(tmp_path, tmp_path / "reference")
    with pytest.raises(InputError, match=r"estimates.csv: no such file; `make reference`"):
        verify.load_reference(tmp_path)
    (tmp_path / "estimates.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="not a reference table"):
        verify.load_reference(tmp_path)


def test_the_readme_shows_the_headline_of_the_reference(results, tmp_path):
    reference.write_reference(results, tmp_path / "kept")
    readme = tmp_path / "README.md"
    readme.write_text("# top\n" + reference.MARKS[0] + "old\n" + reference.MARKS[1] + "# rest\n")
    for _ in range(2):
        block = reference.results_block(tmp_path / "kept", "results/reference/cpu")
        reference.update_readme(readme, block)
        text = readme.read_text()
        assert text.startswith("# top\n") and text.endswith("# rest\n") and "old" not in text
        assert text.count((results / "headline.txt").read_text().strip("\n")) == 1
    readme.write_text("# none\n")
    with pytest.raises(InputError, match=r"README.md: no lines .* add them"):
        reference.update_readme(readme, block)


def test_the_studies_that_were_run_are_kept(results, tmp_path):
    study = results / "studies" / "robustness"
    study.mkdir(parents=True)
    names = ("estimates.csv", "differences.csv", "tables.md", "figure.png")
    for name in (*names, "scores.parquet"):
        (study / name).write_text("x")
    (results / "studies" / "unfinished").mkdir()
    reference.write_reference(results, tmp_path / "kept")
    kept = {
        file.relative_to(tmp_path / "kept") for file in (tmp_path / "kept").rglob("studies/*/*")
    }
    assert {file.as_posix() for file in kept} == {f"studies/robustness/{name}" for name in names}


def test_too_large_a_reference_is_refused(results, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="over 1,000"):
        reference.write_reference(results, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_seed_means_are_means_over_scenes():
    cells = pd.DataFrame(
        {
            **{"method": "a", "split": "s", "subset": "all", "metric": "m", "seed": [0, 0, 1, 1]},
            "scene": ["x", "y", "y", "x"],
            "value": [0.0, 1.0, 0.5, 0.0],
        }
    )
    found = verify.seed_means(cells)
    assert found["mean"].tolist() == [0.5, 0.25] and found["scenes"].tolist() == [2, 2]
    assert found["scenes_hash"].nunique() == 1
