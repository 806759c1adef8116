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
        # Two honest runs of three trainings differ by more than the tolerance.
        ("full", "fscore@5cm", -0.011, "within noise"),
        ("full", "fscore@5cm", -0.3, "drifted"),
        ("full", "chamfer_l1_m", 0.0019, "reproduced"),
        ("full", "chamfer_l1_m", 0.0021, "within noise"),
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


def test_cells_whose_noise_is_unknown_are_held_to_the_tolerance(runs):
    was, now = runs
    fixed = verify.verify(was, shifted(now, "tsdf_fusion", "mesh_iou", 0.1))
    assert status(fixed, "tsdf_fusion", "mesh_iou")["noise"] == "deterministic"
    shifted(now, "full", "mesh_iou", 0.02)
    now[1]["scenes_hash"] = "0" * 8
    moved = status(verify.verify(was, now), "full", "mesh_iou")
    assert moved["status"] == "drifted" and moved["noise"] == "other scenes"
    assert np.isnan(moved["p"])


METRICS = ["mesh_iou", "fscore@5cm", "spq@0.5", "ref_pick", "answer_score", "ref_acc@0.25"]


def honest_run(generator, level, spread, seeds=3):
    """Return (estimates, seed means) of a run; trainings share noise over the subsets."""
    cells = pd.MultiIndex.from_product(
        [[f"m{k}" for k in range(10)], ["test"], ["all", "a", "b", "c"], METRICS],
        names=verify.CELL,
    ).to_frame(index=False)
    shared = np.repeat(generator.normal(size=(10, 1, len(METRICS), seeds)), 4, axis=1)
    own = generator.normal(size=shared.shape)
    noise = (np.sqrt(0.5) * (shared + own)).reshape(len(cells), seeds)
    means = level[:, None] + spread[:, None] * noise
    estimates = cells.assign(mean=means.mean(1), n_seeds=seeds)
    by_seed = [
        cells.assign(seed=k, mean=means[:, k], scenes=8, scenes_hash="x") for k in range(seeds)
    ]
    return estimates, pd.concat(by_seed, ignore_index=True)


def test_honest_reruns_raise_a_false_alarm_in_at_most_one_table_of_twenty():
    generator = np.random.default_rng(0)
    tables, alarms, identical = 120, 0, 0
    for _ in range(tables):
        level = generator.uniform(0.02, 0.1, 240)
        # Noise that differs by method and metric, and is larger than the tolerance.
        spread = 0.02 * np.exp(generator.normal(0, 0.5, 240))
        was, now = (honest_run(generator, level, spread) for _ in range(2))
        rows = verify.verify(was, now)
        alarms += verify.failed(rows)
        identical += (rows["status"] == "within noise").mean()
    assert alarms <= 0.05 * tables
    # Most cells lie outside the tolerance, which alone would fail every table.
    assert identical / tables > 0.5


def test_a_regression_of_one_method_is_found_among_honest_cells():
    generator = np.random.default_rng(1)
    level, spread = generator.uniform(0.3, 0.6, 240), np.full(240, 0.02)
    was, now = (honest_run(generator, level, spread) for _ in range(2))
    shifted(now, "m3", "mesh_iou", -0.15)
    rows = verify.verify(was, now)
    assert status(rows, "m3", "mesh_iou")["status"] == "drifted"
    drifted = rows[rows["status"] == "drifted"]
    assert set(drifted["method"]) == {"m3"}
    assert "m3 mesh_iou on test" in verify.summary(rows) and "adjusted p" in verify.summary(rows)


def test_a_small_value_cannot_fall_to_zero_unnoticed():
    generator = np.random.default_rng(2)
    level, spread = np.full(240, 0.008), np.full(240, 0.0003)
    was, now = (honest_run(generator, level, spread) for _ in range(2))
    assert not verify.failed(verify.verify(was, now))
    cell = status(verify.verify(was, shifted(now, "m3", "spq@0.5", -0.008)), "m3", "spq@0.5")
    assert abs(cell["difference"]) < verify.SCORE and cell["status"] == "drifted"


def test_trainings_that_collapse_do_not_excuse_themselves():
    generator = np.random.default_rng(3)
    level, spread = np.full(240, 0.6), np.full(240, 0.01)
    was, now = (honest_run(generator, level, spread) for _ in range(2))
    of_cell = [(t["method"] == "m3") & (t["metric"] == "mesh_iou") for t in now]
    now[0].loc[of_cell[0], "mean"] -= 0.5 / 3
    now[1].loc[of_cell[1] & (now[1]["seed"] == 1), "mean"] -= 0.5
    assert status(verify.verify(was, now), "m3", "mesh_iou")["status"] == "drifted"


def test_moderated_variances_recover_their_distribution():
    generator = np.random.default_rng(4)
    # Scaled inverse chi-square with 4 degrees of freedom; the two groups have their own scales.
    groups = np.repeat([0, 1], 10_000)
    true = np.array([4.0, 0.1])[groups] * 4 / generator.chisquare(4, 20_000)
    observed = true * generator.chisquare(2, 20_000) / 2
    found, df = verify.moderated_variance(observed, np.full(20_000, 2.0), groups)
    assert df == pytest.approx(6, rel=0.1)
    scale = (df * found - 2 * observed) / (df - 2)
    assert scale[[0, -1]] == pytest.approx([4.0, 0.1], rel=0.1)
    # Equal true variances lend no more than a fixed number.
    _, most = verify.moderated_variance(
        generator.chisquare(2, 500), np.full(500, 2.0), 0 * groups[:500]
    )
    assert (most == 2 + verify.MOST_PRIOR_DF).all()
    alone, one = verify.moderated_variance(np.array([2.0]), np.array([2.0]), np.array([0]))
    assert alone.tolist() == [2.0] and one.tolist() == [2.0]


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
        block = reference.results_block(tmp_path / "kept", "results/reference/cpu", "- It is so.\n")
        reference.update_readme(readme, block)
        text = readme.read_text()
        assert text.startswith("# top\n") and text.endswith("# rest\n") and "old" not in text
        assert "\n- It is so.\n" in text
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
    for name, words in (
        ("MOST_BYTES", "the other files would have"),
        ("MOST_CELL_BYTES", "cells.parquet would have"),
    ):
        with monkeypatch.context() as change:
            change.setattr(reference, name, 1000)
            with pytest.raises(InputError, match=f"{words} .* over 1,000"):
                reference.write_reference(results, tmp_path / "reference")
        assert not (tmp_path / "reference").exists()


def test_seed_means_are_means_over_scenes_and_pooled_values():
    cells = pd.DataFrame(
        {
            **{"method": "a", "split": "s", "subset": "all", "metric": "m", "seed": [0, 0, 1, 1]},
            "scene": ["x", "y", "y", "x"],
            "value": [0.0, 1.0, 0.5, 0.0],
            "kind": "item",
        }
    )
    found = verify.seed_means(cells)
    assert found["mean"].tolist() == [0.5, 0.25] and found["scenes"].tolist() == [2, 2]
    assert found["scenes_hash"].nunique() == 1
    pooled = cells[::2].assign(scene="", kind="pooled", value=[0.7, 0.2])
    found = verify.seed_means(pd.concat([cells.assign(kind="pseudo"), pooled]))
    assert found["mean"].tolist() == [0.7, 0.2] and found["scenes"].tolist() == [2, 2]
