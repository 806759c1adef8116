"""Hand-worked values, what is refused, and the console of results of other harnesses."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from metrics.__main__ import main
from metrics.files import InputError
from metrics.results.compare import UNKNOWN_CLUSTERS, compare_files
from metrics.results.console import comparison_lines
from metrics.results.directions import Directions, names_of
from metrics.results.long_table import Options, seed_of_path, split_seed
from metrics.results.readers import parse_source
from tests.metrics.results.example_files import BASE, BETTER, long_frame
from tests.paths import REPOSITORY


def compared(*files, reference=None, options=None, higher=(), lower=(), metrics=None):
    return compare_files(
        [str(file) for file in files],
        reference,
        options or Options(),
        Directions(tuple(higher), tuple(lower)),
        metrics,
    )


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*files, **keys):
    with pytest.raises(InputError) as error:
        compared(*files, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


# Three scenes of one, two and one items. Differences of scene means: 0.5, 0.25, 0.75.
ONE_SEED = """method,scene,item,points
a,s0,q0,2.5
a,s1,q0,1.0
a,s1,q1,1.5
a,s2,q0,2.0
b,s0,q0,2.0
b,s1,q0,1.5
b,s1,q1,0.5
b,s2,q0,1.25
"""


def test_one_seed_by_hand(tmp_path):
    found = compared(write(tmp_path / "t.csv", ONE_SEED), reference="b", higher=["points"])
    mean = found.estimates.set_index("method").loc["a"]
    # Scene means 2.5, 1.25 and 2; the items' mean differs.
    assert mean["mean"] == pytest.approx(5.75 / 3) and mean["item_mean"] == pytest.approx(1.75)
    assert (mean["n_seeds"], mean["n_scenes"], mean["n_items"]) == (1, 3, 4)
    (row,) = found.differences.to_dict("records")
    # Mean 0.5, SD 0.25, SE 0.25 / sqrt(3), t of 2 df at 0.975 is 4.302653.
    assert row["difference"] == pytest.approx(0.5)
    assert row["ci_high"] - 0.5 == pytest.approx(4.302652730 * 0.25 / np.sqrt(3), rel=1e-8)
    # For 2 df, p = 1 - t / sqrt(2 + t^2), with t = 2 sqrt(3).
    assert row["p"] == pytest.approx(1 - np.sqrt(12 / 14)) == row["p_adjusted"]
    assert row["dz"] == pytest.approx(2) and row["prob_improvement"] == 1
    assert row["question"] == "these checkpoints, new scenes"
    assert "one seed" in row["note"]


def test_two_seeds_answer_about_new_trainings(tmp_path):
    parts = [
        long_frame("a", BETTER, "first"),
        long_frame("a", BETTER[::-1], "second"),
        long_frame("b", BASE, "third"),
        long_frame("b", BASE, "fourth"),
        long_frame("c", BASE[::-1], "only"),
    ]
    pd.concat(parts).to_parquet(tmp_path / "t.parquet")
    found = compared(tmp_path / "t.parquet", reference="b")
    rows = found.differences.set_index("method_a")
    assert rows.loc["a", "question"] == "new trainings and new scenes"
    assert rows.loc["c", "question"] == "these checkpoints, new scenes"
    assert rows["p"].notna().all()
    # Each is alone with its question, so nothing is corrected.
    assert (rows["p_adjusted"] == rows["p"]).all()
    assert found.estimates["n_seeds"].tolist() == [2, 2, 1]


def test_the_same_numbers_as_the_comparison_of_score_tables(tmp_path):
    from metrics.statistics.compare import compare

    rng = np.random.default_rng(0)
    parts = [
        long_frame(method, rng.random(12).round(3), seed) for method in "abc" for seed in range(3)
    ]
    table = pd.concat(parts)
    table.to_csv(tmp_path / "t.csv", index=False)
    ours = compare(table.rename(columns={"item": "query"}), {"reference": "a"})
    found = compared(tmp_path / "t.csv", reference="a")
    names = ["mean", "df", "n_seeds", "n_scenes"]
    expected = ours["estimates"].sort_values("method")
    np.testing.assert_allclose(found.estimates[names], expected[names].astype(float), rtol=1e-12)
    pairs = ours["differences"].query("method_a == 'a'").drop_duplicates("method_b")
    signed = pairs.sort_values("method_b")
    np.testing.assert_allclose(found.differences["difference"], -signed["difference"], rtol=1e-12)
    np.testing.assert_allclose(found.differences["ci_low"], -signed["ci_high"], rtol=1e-12)
    np.testing.assert_allclose(found.differences["p"], signed["p"], rtol=1e-12)
    np.testing.assert_allclose(found.differences["dz"], -signed["dz"], rtol=1e-12)


def test_p_is_corrected_by_holm_over_the_rivals(tmp_path):
    rng = np.random.default_rng(1)
    parts = [long_frame(method, rng.random(12).round(3)) for method in "abc"]
    pd.concat(parts).to_csv(tmp_path / "t.csv", index=False)
    rows = compared(tmp_path / "t.csv", reference="a").differences
    low, high = sorted(rows["p"])
    expected = sorted([min(2 * low, 1), max(min(2 * low, 1), high)])
    assert sorted(rows["p_adjusted"]) == pytest.approx(expected)


def test_unknown_scenes_change_the_question(tmp_path):
    text = "method,item,accuracy\n" + "".join(
        f"{method},q{k},{score}\n"
        for method, scores in (("a", BETTER), ("b", BASE))
        for k, score in enumerate(scores)
    )
    found = compared(write(tmp_path / "t.csv", text), reference="b")
    assert found.metrics[0].clusters is None
    assert found.differences["question"].tolist() == ["these checkpoints, new items"]
    assert found.estimates["n_scenes"].tolist() == [12, 12]
    assert set(found.estimates["note"]) == {"one seed: items only"}
    lines = comparison_lines(found)
    assert f"  {UNKNOWN_CLUSTERS}" in lines and "scenes  " not in "".join(lines)


def test_missing_items_are_left_out_of_the_difference_and_named(tmp_path):
    table = pd.concat([long_frame("a", BETTER), long_frame("b", BASE)])
    table = table[~((table["method"] == "a") & table["item"].isin(["q0", "q1"]))]
    table.to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv", reference="b").differences.to_dict("records")
    # The first scene keeps q2: 1 vs 1; the others have 2/3 vs 1/3 twice and 1 vs 1.
    assert row["difference"] == pytest.approx(1 / 6)
    assert row["n_items"] == 10 and "10 common items (a alone has 0 more, b alone 2" in row["note"]


def test_items_that_a_seed_lacks_are_left_out(tmp_path):
    second = long_frame("a", BETTER, 1).iloc[1:]
    pd.concat([long_frame("a", BETTER, 0), second]).to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv").estimates.to_dict("records")
    assert row["n_items"] == 11 and "1 items left out: not scored for every seed" in row["note"]


def test_methods_without_a_common_item_have_no_difference(tmp_path):
    other = long_frame("b", BASE).assign(item=[f"other{k}" for k in range(12)])
    pd.concat([long_frame("a", BETTER), other]).to_csv(tmp_path / "t.csv", index=False)
    found = compared(tmp_path / "t.csv", reference="b")
    (row,) = found.differences.to_dict("records")
    assert np.isnan([row["difference"], row["p_adjusted"]]).all() and row["n_items"] == 0
    assert "no scene in common" in row["note"] and "0 common items" in row["note"]
    assert comparison_lines(found)


def test_seeds_without_a_common_item_have_no_mean(tmp_path):
    other = long_frame("a", BASE, 1).assign(item=[f"other{k}" for k in range(12)])
    pd.concat([long_frame("a", BETTER, 0), other]).to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv").estimates.to_dict("records")
    assert np.isnan(row["mean"]) and "24 items left out" in row["note"]


def test_items_of_different_scenes_may_share_a_name(tmp_path):
    text = "method,scene,item,accuracy\na,s0,q0,1\na,s1,q0,0\na,s2,q0,1\n"
    (row,) = compared(write(tmp_path / "t.csv", text)).estimates.to_dict("records")
    assert row["n_items"] == 3 and row["mean"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("best", "inside"), [(1.0, True), (0.9, False)])
def test_scores_that_reach_zero_and_one_are_shares(tmp_path, best, inside):
    table = long_frame("a", [best] * 10 + [0, 0]).assign(metric="reward")
    table.to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv", higher=["reward"]).estimates.to_dict("records")
    assert (row["ci_high"] <= 1) == inside


def test_a_constant_gap_has_no_interval_and_no_effect_size(tmp_path):
    parts = [long_frame("a", [0.7] * 12), long_frame("b", [0.6] * 12)]
    pd.concat(parts).to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv", reference="b").differences.to_dict("records")
    assert np.isnan([row["ci_low"], row["p"], row["dz"]]).all()
    assert "nothing varies" in row["note"]


def test_shares_have_intervals_within_their_range(tmp_path):
    scores = [1.0] * 11 + [0.5]
    long_frame("a", scores).to_csv(tmp_path / "t.csv", index=False)
    (row,) = compared(tmp_path / "t.csv").estimates.to_dict("records")
    assert 0 < row["ci_low"] < row["mean"] < row["ci_high"] <= 1


LONG = "method,seed,scene,item,metric,value\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LONG + "a,0,s,q,acc,1\na,0,s,q,acc,1\n", "item q of a, seed 0, has two rows of acc"),
        (LONG + "a,0,s,q,acc,nan\n", "acc of a, item q, is nan"),
        (LONG + "a,0,s,q,acc,\n", "acc of a, item q, is"),
        (LONG + "a,0,s,q,acc,inf\n", "acc of a, item q, is inf"),
        (LONG + "a,0,s,q,acc,-Infinity\n", "acc of a, item q, is -inf"),
        (LONG + "a,0,,q,acc,1\n", "row 1 has no scene"),
        (LONG + "a,0,s,q,shine,1\n", "whether higher is better is not known for shine"),
        (LONG + "a,0,s,q,acc,1\nb,0,s,q,acc,71\n", "(b): acc reaches 71, but is at most 1 in"),
        (LONG, "has no rows"),
        ("method,scene,item,acc\na,s,q,1\na,s,r,nan\n", "acc of a, item r, is nan"),
        ("method,scene,item,acc\na,s,q,\na,s,r,1\n", "acc of a, item q, is"),
        ("method,scene,item,answer\na,s,q,left\n", "no column holds numbers"),
        ("method,acc\na,1\n", "has neither items nor scenes"),
        ("scene,item,acc\ns,q,1\n", "has no column method; add it, or write NAME="),
        ("method,scene,scene,acc\na,s,s,1\n", "has two columns 'scene'"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = write(tmp_path / "t.csv", text)
    said = refusal(path)
    assert said.startswith(str(path)) and message in said


def test_percent_next_to_fractions_of_another_file(tmp_path):
    first = write(tmp_path / "a.csv", LONG + "a,0,s,q,reward,0.5\na,0,r,q,reward,1\n")
    second = write(tmp_path / "b.csv", LONG + "b,0,s,q,reward,50\nb,0,r,q,reward,90\n")
    said = refusal(first, second, higher=["reward"])
    assert str(first) in said and str(second) in said and "divide the percent by 100" in said
    assert not compared(first, second, lower=["reward"]).differences.size


def test_two_files_of_one_method_and_seed(tmp_path):
    text = "scene,item,acc\ns0,q,1\ns1,q,0\ns2,q,1\n"
    first, second = (write(tmp_path / name / "t.csv", text) for name in ("x", "y"))
    said = refusal(f"a={first}", f"a={second}")
    assert said.startswith(str(second)) and str(first) in said and "seed0" in said
    third = write(tmp_path / "seed4" / "t.csv", text)
    assert compared(f"a={first}", f"a={third}").estimates["n_seeds"].tolist() == [2]


def test_scenes_in_one_file_alone(tmp_path):
    first = write(tmp_path / "a.csv", LONG + "a,0,s,q,acc,1\n")
    second = write(tmp_path / "b.csv", "method,item,acc\nb,q,1\n")
    said = refusal(first, second)
    assert said.startswith(str(second)) and "has no scenes here, but scene in" in said


def test_named_columns(tmp_path):
    text = "method,run,room,scene,item,acc\n" + "".join(
        f"a,{run},r{k // 2},s{k},q{k},{k % 2}\n" for run in ("x", "y") for k in range(6)
    )
    path = write(tmp_path / "t.csv", text)
    (row,) = compared(path, options=Options("room", "run")).estimates.to_dict("records")
    assert (row["n_seeds"], row["n_scenes"]) == (2, 3)
    assert "has no column 'house'" in refusal(path, options=Options("house"))
    assert "by --seed-column" in refusal(path, options=Options("room", "training"))


def test_names_of_metrics_are_checked(tmp_path):
    path = write(tmp_path / "t.csv", ONE_SEED)
    assert "--higher: no file has a metric 'reward'" in refusal(path, higher=["reward"])
    assert "both name points" in refusal(path, higher=["points"], lower=["points"])
    assert "--metrics: no file has a metric 'reward'" in refusal(path, metrics=["reward"])
    assert "no method 'c'; choose from a, b" in refusal(path, reference="c", higher=["points"])


def test_metrics_that_are_not_chosen_need_no_direction(tmp_path):
    text = "method,scene,item,acc,frames\na,s0,q,1,8\na,s1,q,0,9\n"
    found = compared(write(tmp_path / "t.csv", text), metrics=["acc"])
    assert found.estimates["metric"].tolist() == ["acc"]


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("seed3/t.csv", "3"),
        ("runs/seed_12/eval/t.csv", "12"),
        ("run-seed7.csv", "7"),
        ("seed1/model_seed2.csv", "2"),
        ("seed=first/t.csv", "first"),
        ("SEEDBench_IMG.tsv", None),
        ("seed_bench/samples_seedbench.jsonl", None),
        ("reseed3/t.csv", None),
    ],
)
def test_seeds_of_paths(name, seed):
    from pathlib import Path

    assert seed_of_path(Path(name)) == seed


def test_names_without_their_seed():
    assert split_seed("runs/seed3/checkpoint") == ("runs/checkpoint", "3")
    assert split_seed("model_seed3") == ("model", "3")
    assert split_seed("seed3-model") == ("model", "3")
    assert names_of("gsm8k/exact_match,strict") == (
        "gsm8k/exact_match,strict",
        "exact_match,strict",
        "exact_match",
    )


def test_a_file_whose_name_holds_an_equals_sign(tmp_path):
    path = write(tmp_path / "lr=1.csv", ONE_SEED)
    assert parse_source(str(path)).path == path and parse_source(str(path)).method is None


def test_console_and_json(tmp_path, capsys):
    table = pd.concat([long_frame("a", BETTER), long_frame("b\x1b[31m", BASE)])
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["compare", str(tmp_path / "t.csv"), "--reference", "b\x1b[31m"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("accuracy (higher is better)\n  scenes from the column scene\n")
    assert "(one seed: no statement about a new training)" in text
    assert "adjusted p: Holm" in text and "\x1b" not in text
    assert main([*words, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["differences"][0]["difference"] == pytest.approx(
        pd.read_parquet(tmp_path / "out" / "differences.parquet")["difference"].item()
    )
    assert value["metrics"][0] | {"note": ""} == {
        "name": "accuracy",
        "higher_is_better": True,
        "clusters": "scene",
        "note": "",
    }
    assert main(words[:2]) == 0
    assert "by --reference" in capsys.readouterr().out


def test_settings_of_score_tables_are_refused(tmp_path):
    path = write(tmp_path / "t.csv", ONE_SEED)
    with pytest.raises(InputError, match="--config: needs score tables of this project alone"):
        main(["compare", str(path), "--higher", "points", "--config", "c.yaml"])


def test_importing_takes_less_than_a_second_of_processor_time():
    code = (
        "import time; import metrics.results.compare, metrics.results.readers as r; "
        "r.find_readers(); print(time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1


def test_a_hundred_thousand_rows_in_two_seconds(tmp_path):
    rng = np.random.default_rng(0)
    scenes, items = np.divmod(np.arange(10_000), 10)
    parts = [
        pd.DataFrame(
            {
                "method": method,
                "seed": seed,
                "scene": scenes,
                "item": items,
                "metric": "accuracy",
                "value": rng.integers(0, 2, 10_000).astype(float),
            }
        )
        for method in "ab"
        for seed in range(5)
    ]
    pd.concat(parts).to_csv(tmp_path / "t.csv", index=False)
    compared(tmp_path / "t.csv", reference="a", metrics=["accuracy"])  # imports
    start = time.process_time()
    found = compared(tmp_path / "t.csv", reference="a")
    assert time.process_time() - start < 2
    assert found.estimates["n_items"].tolist() == [10_000, 10_000]
