"""The comparison of a whole table of scores."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metrics.files import InputError, write_json
from metrics.statistics import compare, moments, simulate
from tests.statistics import synthetic

CONFIG = {"deterministic": sorted(synthetic.DETERMINISTIC)}


@pytest.fixture(scope="module")
def results():
    table = synthetic.scores(scenes=10, splits=("test_scene", "test_asset"))
    return compare.compare(table, CONFIG)


def tiny(values, **columns):
    rows = [
        {"method": m, "seed": s, "split": "test_scene", "scene": f"s{n}", "metric": "fscore@5cm"}
        | {"value": v}
        for (m, s, n), v in values.items()
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_pooled_estimate_is_theta_and_item_estimate_the_mean_of_scenes(results):
    table = synthetic.scores(scenes=10, splits=("test_scene", "test_asset"))
    found = results["estimates"].set_index(["method", "split", "subset", "metric"])["mean"]
    mine = table[(table["method"] == "full") & (table["split"] == "test_scene")]
    pooled = mine[(mine["metric"] == "spq@0.5") & (mine["kind"] == "pooled")]["value"].mean()
    assert found["full", "test_scene", "all", "spq@0.5"] == pytest.approx(pooled)
    items = mine[(mine["metric"] == "answer_score") & (mine["subset"] == "all")]
    by_scene = items.groupby(["seed", "scene"])["value"].mean().mean()
    assert found["full", "test_scene", "all", "answer_score"] == pytest.approx(by_scene)


def test_article_family_is_whole_and_holm_is_over_it(results):
    rows = results["differences"]
    rows = rows[(rows["family"] == "article") & (rows["question"] == compare.HEADLINE)]
    assert len(rows) == 24
    assert (rows["adjustment"] == "Holm").all()
    smallest = rows.sort_values("p").iloc[0]
    assert smallest["p_adjusted"] == pytest.approx(min(24 * smallest["p"], 1.0))
    assert (rows["p_adjusted"] >= rows["p"]).all()
    assert (rows["mde_family"] > rows["mde"]).all()


def test_scene_only_answers_are_never_adjusted(results):
    rows = results["differences"]
    other = rows[rows["question"] != compare.HEADLINE]
    assert len(other) and other["p_adjusted"].isna().all() and (other["adjustment"] == "").all()


def test_known_gap_is_found_in_the_right_direction(results):
    rows = results["differences"]
    row = rows[
        (rows["family"] == "article")
        & (rows["metric"] == "fscore@5cm")
        & (rows["method_b"] == "no_geometry")
        & (rows["question"] == compare.HEADLINE)
    ].iloc[0]
    assert row["ci_low"] < 0.2 < row["ci_high"] and row["ci_low"] > 0
    assert row["prob_improvement"] > 0.9


def test_controls_get_no_letters_and_ties_share_one(results):
    rows = results["estimates"]
    assert (rows.loc[rows["method"] == "oracle", "tie_group"] == "").all()
    split = rows[(rows["split"] == "test_scene") & (rows["metric"] == "fscore@5cm")]
    letters = split.set_index("method")["tie_group"]
    assert set(letters["full"]) & set(letters["no_alignment"])
    assert not set(letters["full"]) & set(letters["no_geometry"])


def test_generalisation_is_the_paired_contrast(results):
    rows = results["differences"]
    row = rows[(rows["family"] == "generalisation") & (rows["metric"] == "fscore@5cm")].iloc[0]
    cells = results["cells"]
    cells = cells[(cells["metric"] == "fscore@5cm") & (cells["subset"] == "all")]
    mean = cells.groupby(["method", "split"])["value"].mean()
    gaps = [mean["full", s] - mean[row["method_b"], s] for s in ("test_asset", "test_scene")]
    assert row["difference"] == pytest.approx(gaps[0] - gaps[1])


def test_one_seed_is_labelled_and_not_compared():
    g = np.random.default_rng(0)
    values = {(m, 0, n): g.random() for m in ("full", "no_geometry") for n in range(6)}
    found = compare.compare(tiny(values), {"families": {}})
    row = found["differences"].iloc[0]
    assert row["question"] == moments.SCENES and "one seed" in row["note"]
    assert np.isnan(row["p_adjusted"])
    a, b = ([values[m, 0, n] for n in range(6)] for m in ("full", "no_geometry"))
    assert row["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert set(found["estimates"]["tie_group"]) == {"a"}


def test_one_scene_and_constants_have_no_p():
    one = compare.compare(
        tiny({(m, s, 0): s + len(m) for m in ("full", "other") for s in (0, 1)}), {"families": {}}
    )
    same = compare.compare(
        tiny({(m, s, n): 0.5 for m in ("full", "other") for s in (0, 1) for n in (0, 1)}),
        {"families": {}},
    )
    for found, word in ((one, "one scene"), (same, "nothing varies")):
        row = found["differences"].iloc[0]
        assert np.isnan(row["p"]) and word in row["note"]


def test_unbalanced_seeds_and_missing_scenes_are_said():
    g = np.random.default_rng(1)
    values = {("full", s, n): g.random() for s in range(3) for n in range(6)}
    values |= {("other", s, n): g.random() for s in range(2) for n in range(5)}
    row = compare.compare(tiny(values), {"families": {}})["differences"].iloc[0]
    assert (row["n_seeds_a"], row["n_seeds_b"], row["n_scenes"]) == (3, 2, 5)
    assert "1 scenes left out" in row["note"]


def test_declared_test_without_scores_keeps_its_place():
    g = np.random.default_rng(2)
    values = {(m, s, n): g.random() for m in ("full", "b") for s in (0, 1) for n in range(5)}
    said = {"f": {"tests": [{"a": "full", "b": ["b", "c"], "metrics": ["fscore@5cm"]}]}}
    rows = compare.compare(tiny(values), {"families": said})["differences"]
    rows = rows[rows["question"] == compare.HEADLINE].set_index("method_b")
    assert rows.loc["b", "p_adjusted"] == pytest.approx(min(1, 2 * rows.loc["b", "p"]))
    assert rows.loc["c", "note"] == "not tested: no scores"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.assign(value=t["value"].where(t.index != 1)), "is nan"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice"),
        (lambda t: t.drop(columns="metric"), "lacks the column metric"),
    ],
)
def test_bad_tables_are_refused(change, word):
    table = tiny({("full", 0, n): 0.1 * n for n in range(3)})
    with pytest.raises(InputError, match=word):
        compare.compare(change(table), {"families": {}})


def test_folder_with_sidecars(tmp_path):
    table = synthetic.scores(scenes=6, queries=1)
    for (method, seed), rows in table.groupby(["method", "seed"]):
        folder = tmp_path / "scores" / method / str(seed)
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "test_scene.parquet")
        said = {"stochastic": method not in synthetic.DETERMINISTIC, "cost": {"parameters": 3}}
        write_json(folder / "test_scene.json", said | {"reasons": {"answers": "no text"}})
    found = compare.compare(tmp_path / "scores", {})
    assert found["methods"]["oracle"]["stochastic"] is False
    assert found["methods"]["full"]["costs"][0]["parameters"] == 3
    compare.write(found, tmp_path / "statistics")
    again = pd.read_parquet(tmp_path / "statistics" / "differences.parquet")
    pd.testing.assert_frame_equal(again, found["differences"], check_dtype=False)
    (tmp_path / "scores" / "full" / "0" / "test_scene.parquet").write_bytes(b"cut")
    with pytest.raises(InputError, match="test_scene.parquet"):
        compare.compare(tmp_path / "scores", {})


def test_command_line_on_a_csv_of_one_s_own(tmp_path, capsys):
    from metrics.__main__ import _parser

    table = synthetic.scores(seeds=2, scenes=6, queries=1)
    table = table[table["kind"] == "item"].drop(columns=["kind", "succeeded", "query"])
    table.to_csv(tmp_path / "scores.csv", index=False)
    words = ["compare", str(tmp_path / "scores.csv"), "--out", str(tmp_path / "out")]
    args = _parser().parse_args([*words, "--reference", "no_geometry"])
    assert args.command(args) == 0
    assert "fscore@5cm" in capsys.readouterr().out
    rows = pd.read_parquet(tmp_path / "out" / "differences.parquet")
    assert set(rows.loc[rows["family"] == "exploratory", "method_a"]) == {"no_geometry"}


def test_simulated_coverage_small():
    for setting in (
        simulate.Setting(3, 8, 0.05),
        simulate.Setting(3, 20, 0.02, shape="binary"),
        simulate.Setting(5, 20, 0.05, seeds_b=0),
    ):
        found = simulate.run(setting, studies=400)
        assert 0.91 <= found["headline"] <= 1.0
        assert found["naive: queries as independent"] < found["headline"] - 0.03
    assert 0.91 <= simulate.run_pooled(3, 20, studies=400) <= 1.0


def test_committed_coverage_is_in_the_band():
    rows = pd.read_csv(simulate.COVERAGE)
    headline = rows[rows["interval"] == "headline"]["coverage"]
    # 2,000 studies a setting: the standard error is .005
    assert headline.between(0.93, 0.99).all()
    assert rows[rows["interval"].str.startswith("naive")]["coverage"].min() < 0.5


@pytest.mark.slow
def test_simulated_coverage_is_what_was_committed():
    rows, again = pd.read_csv(simulate.COVERAGE), simulate.table()
    assert np.abs(rows["coverage"] - again["coverage"]).max() < 0.02
