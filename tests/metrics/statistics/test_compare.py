"""The comparison of a whole table of scores."""

import numpy as np
import pandas as pd
import pytest

from g2vlm.run import codehash
from metrics.files import InputError, write_json
from metrics.statistics import compare, moments
from tests.metrics.statistics import synthetic


@pytest.fixture(scope="module")
def results():
    table = synthetic.scores(scenes=10, splits=("dev_scene", "dev_asset"))
    return compare.compare(table, synthetic.CONFIG)


def test_pooled_estimate_is_theta_and_item_estimate_the_mean_of_scenes(results):
    table = synthetic.scores(scenes=10, splits=("dev_scene", "dev_asset"))
    found = results["estimates"].set_index(["method", "split", "subset", "metric"])["mean"]
    mine = table[(table["method"] == "full") & (table["split"] == "dev_scene")]
    pooled = mine[(mine["metric"] == "spq@0.5") & (mine["kind"] == "pooled")]["value"].mean()
    assert found["full", "dev_scene", "all", "spq@0.5"] == pytest.approx(pooled)
    items = mine[(mine["metric"] == "answer_score") & (mine["subset"] == "all")]
    by_scene = items.groupby(["seed", "scene"])["value"].mean().mean()
    assert found["full", "dev_scene", "all", "answer_score"] == pytest.approx(by_scene)


def test_article_family_is_whole_and_holm_is_over_its_primary_tests(results):
    rows = results["differences"]
    rows = rows[(rows["family"] == "article") & (rows["question"] == compare.HEADLINE)]
    primary = rows[rows["role"] == "primary"]
    claims = synthetic.CONFIG["families"]["article"]["claims"].values()
    named = {
        (facet["primary"], rival)
        for claim in claims
        for facet in claim["facets"].values()
        for rival in (*claim["against"], *facet.get("controls", ()))
    }
    assert set(zip(primary["metric"], primary["method_b"], strict=True)) == named
    assert (primary["adjustment"] == "Holm").all()
    smallest = primary.sort_values("p").iloc[0]
    assert smallest["p_adjusted"] == pytest.approx(min(len(named) * smallest["p"], 1.0))
    tested = rows.dropna(subset=["p"])
    assert (tested["p_adjusted"] >= tested["p"]).all()
    wider = tested["mde_family"] > tested["mde"]
    assert (wider == (tested["role"] == "primary")).all()


def test_p_values_of_secondary_questions_are_never_adjusted(results):
    rows = results["differences"]
    other = rows[rows["question"] != compare.HEADLINE]
    assert len(other) and other["p_adjusted"].isna().all() and (other["adjustment"] == "").all()


def test_known_gap_is_detected_in_the_right_direction(results):
    rows = results["differences"]
    row = rows[
        (rows["metric"] == "fscore@5cm")
        & (rows["method_b"] == "no_geometry")
        & (rows["question"] == compare.HEADLINE)
    ].iloc[0]
    assert row["ci_low"] < 0.2 < row["ci_high"] and row["ci_low"] > 0
    assert row["prob_improvement"] > 0.9


def test_controls_get_no_letters_and_ties_share_one(results):
    rows = results["estimates"]
    assert (rows.loc[rows["method"] == "oracle", "tie_group"] == "").all()
    split = rows[(rows["split"] == "dev_scene") & (rows["metric"] == "fscore@5cm")]
    letters = split.set_index("method")["tie_group"]
    assert set(letters["full"]) & set(letters["no_alignment"])
    assert not set(letters["full"]) & set(letters["no_geometry"])


def test_generalisation_is_the_paired_contrast(results):
    rows = results["differences"]
    row = rows[(rows["family"] == "generalisation") & (rows["metric"] == "fscore@5cm")].iloc[0]
    cells = results["cells"]
    cells = cells[(cells["metric"] == "fscore@5cm") & (cells["subset"] == "all")]
    mean = cells.groupby(["method", "split"])["value"].mean()
    gaps = [mean["full", s] - mean[row["method_b"], s] for s in ("dev_asset", "dev_scene")]
    assert row["difference"] == pytest.approx(gaps[0] - gaps[1])


def test_folder_with_sidecars(tmp_path):
    table = synthetic.scores(scenes=6, queries=1)
    for (method, seed), rows in table.groupby(["method", "seed"]):
        folder = tmp_path / "scores" / method / str(seed)
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "dev_scene.parquet")
        facts = {"stochastic": method not in synthetic.DETERMINISTIC, "cost": {"parameters": 3}}
        write_json(folder / "dev_scene.json", facts | {"reasons": {"answers": "no text"}})
    found = compare.compare(tmp_path / "scores", {})
    assert found["methods"]["oracle"]["stochastic"] is False
    assert found["methods"]["full"]["costs"][0]["parameters"] == 3
    compare.write(found, tmp_path / "statistics")
    again = pd.read_parquet(tmp_path / "statistics" / "differences.parquet")
    pd.testing.assert_frame_equal(again, found["differences"], check_dtype=False)
    (tmp_path / "scores" / "full" / "0" / "dev_scene.parquet").write_bytes(b"cut")
    with pytest.raises(InputError, match="dev_scene.parquet"):
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
    assert (rows.loc[rows["method_b"] == "no_geometry", "family"] != "exploratory").all()


def test_a_pooled_median_has_an_estimate_and_neither_interval_nor_test():
    table = synthetic.scores(scenes=10)
    rows = table[(table["metric"] == "spq@0.5") & (table["method"] != "oracle")]
    median, mean = (
        rows.assign(metric=f"text_to_scene_{name}", value=20 * rows["value"] + 1)
        for name in ("medr", "meanr")
    )
    facets = {"rank": {"primary": "text_to_scene_medr"}}
    claims = {"first": {"a": "full", "against": ["no_geometry"], "facets": facets}}
    family = {"ranks": {"split": "dev_scene", "claims": claims}}
    config = {"reference": "full", "families": family, "deterministic": ["tsdf_fusion"]}
    config["smallest_effect"] = {"text_to_scene_medr": 1.0}
    found = compare.compare(pd.concat([median, mean]), config)
    estimates, differences = found["estimates"], found["differences"]
    with_interval = estimates.groupby("metric")["ci_low"].apply(lambda low: low.notna().any())
    assert dict(with_interval) == {"text_to_scene_medr": False, "text_to_scene_meanr": True}
    # Ranks have the same values here, so estimates agree; lower is better.
    wide = estimates.pivot(index="method", columns="metric", values="mean")
    assert wide["text_to_scene_medr"].to_numpy() == pytest.approx(
        wide["text_to_scene_meanr"].to_numpy()
    )
    medians = estimates[estimates["metric"] == "text_to_scene_medr"]
    assert (medians["tie_group"] == "").all() and medians["note"].str.contains("jackknife").all()
    medians = differences[differences["metric"] == "text_to_scene_medr"]
    assert len(medians) and medians["p"].isna().all() and medians["difference"].notna().all()
    assert set(medians["question"]) == {compare.HEADLINE}
    assert differences[differences["metric"] == "text_to_scene_meanr"]["p"].notna().any()


def test_the_mean_over_queries_weighs_queries_and_not_scenes():
    values = {"a": [1.0, 1.0, 1.0], "b": [0.0], "c": [0.5, 0.0]}
    rows = [
        {"method": "m", "seed": seed, "scene": scene, "query": f"q{k}", "value": value}
        for seed in (0, 1)
        for scene, of_scene in values.items()
        for k, value in enumerate(of_scene)
    ]
    queries = pd.DataFrame(rows).assign(metric="ref_acc@0.25")
    scenes = queries[queries["query"] == "q0"].assign(metric="mesh_iou", query="")
    found = compare.compare(pd.concat([queries, scenes]))["estimates"].set_index("metric")
    assert found["query_mean"]["ref_acc@0.25"] == pytest.approx(3.5 / 6)
    assert found["mean"]["ref_acc@0.25"] == pytest.approx((1 + 0 + 0.25) / 3)
    assert np.isnan(found["query_mean"]["mesh_iou"])


def test_every_row_names_its_question(results):
    for name in ("estimates", "differences", "ranks", "profiles", "retention"):
        frame = results[name]
        assert len(frame) and frame["question"].notna().all(), name
    rows = results["differences"]
    headline = {"new trainings and new scenes", "these checkpoints, new scenes"}
    assert headline < set(rows["question"])
    dealt = rows[rows["estimator"] == "permutation of trainings"]
    assert (dealt["note"] == "smallest possible p 0.1").all() and (dealt["p"] >= 0.1 - 1e-12).all()


def test_equivalence_is_tested_within_a_share_of_the_reference_s_lead():
    table = synthetic.scores(scenes=12)
    table = table[table["metric"].isin(["fscore@5cm", "chamfer_l1_m"])]
    config = synthetic.CONFIG | {"lower_bound": "minimal_3d_vlm", "equivalence_share": 0.4}
    found = compare.compare(table, config)
    mean = found["estimates"].set_index(["metric", "method"])["mean"]
    rows = found["differences"]
    rows = rows[rows["question"] == compare.HEADLINE].dropna(subset=["p"])
    for metric, part in rows.groupby("metric"):
        margin = 0.4 * abs(mean[metric, "full"] - mean[metric, "minimal_3d_vlm"])
        assert part["margin"].to_numpy() == pytest.approx(margin, rel=1e-12)
        inside = part["p_equivalent"] < 0.05
        assert (part.loc[inside, "difference"].abs() < margin).all()
    # Without the rule, or without its control, nothing is called equal.
    for other in (config | {"lower_bound": "chance"}, {"reference": "full"}):
        rows = compare.compare(table, other | {"deterministic": ["oracle", "tsdf_fusion"]})
        assert rows["differences"]["p_equivalent"].isna().all()


def test_ten_trainings_get_the_cross_check():
    table = synthetic.scores(seeds=10, scenes=12, queries=1)
    table = table[table["metric"].isin(["fscore@5cm_sim3"]) & (table["subset"] == "all")]
    rows = compare.compare(table, synthetic.CONFIG)["differences"]
    rows = rows[(rows["family"] == "article") & (rows["method_b"] == "no_geometry")]
    rows = rows.set_index("estimator")
    cross = rows.loc["crossed bootstrap"]
    assert cross["question"] == moments.CROSS_CHECK and np.isnan(cross["p"])
    headline = rows[rows["question"] == compare.HEADLINE].iloc[0]
    widths = [row["ci_high"] - row["ci_low"] for row in (cross, headline)]
    assert widths[0] == pytest.approx(widths[1], rel=0.35)


def test_same_table_gives_the_same_bytes_in_any_order(tmp_path):
    table = synthetic.scores(scenes=6, queries=1)
    table = table[table["metric"].isin(["fscore@5cm", "spq@0.5"])]
    written = []
    for place, rows in enumerate((table, table.sample(frac=1, random_state=1))):
        compare.write(compare.compare(rows, synthetic.CONFIG), tmp_path / str(place))
        names = ("estimates", "differences", "ranks", "profiles", "cells")
        written.append([(tmp_path / str(place) / f"{n}.parquet").read_bytes() for n in names])
    assert written[0] == written[1]


def test_statistics_do_not_import_the_report():
    files = codehash.closure(("metrics.statistics.compare", "metrics.statistics.planning"))
    assert not [file for file in files if "report" in file.parts]


def test_without_families_all_pairs_are_exploratory():
    table = synthetic.scores(seeds=2, scenes=6, queries=1)
    table = table[(table["metric"] == "mesh_iou") & (table["method"] != "oracle")]
    rows = compare.compare(table, {"reference": "full", "deterministic": ["tsdf_fusion"]})[
        "differences"
    ]
    names = sorted(set(table["method"]))
    assert set(rows["family"]) == {"exploratory"} and len(rows) == len(names) * (len(names) - 1) / 2
    assert set(rows.loc[rows["method_a"] == "full", "method_b"]) == set(names) - {"full"}
    assert "full" not in set(rows["method_b"])
    assert (rows["adjustment"] == "Benjamini-Hochberg").all()
