"""Verdicts: what supports a claim, what refutes it, and what leaves it open."""

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError, write_json
from metrics.statistics import claims, compare
from metrics.statistics.settings import read_gate

FACETS = {
    "quality": {"primary": "mesh_iou", "secondary": ["fscore@5cm"], "controls": ["constant"]},
    "answers": {"primary": "answer_score"},
}
CONFIG = {
    "reference": "ours",
    "smallest_effect": {"mesh_iou": 0.05, "answer_score": 0.05},
    "families": {
        "f": {
            "split": "test",
            "claims": {"better": {"a": "ours", "against": ["theirs"], "facets": FACETS}},
        }
    },
}


def scores(gap=0.2, methods=("ours", "theirs", "constant"), seeds=3, **gaps):
    """Return scores in which ours leads by `gap`, or on a metric by the gap of its name."""
    generator = np.random.default_rng(0)
    rows = []
    for metric in ("mesh_iou", "fscore@5cm", "answer_score"):
        for method in methods:
            lead = gaps.get(metric.partition("@")[0], gap) if method == "ours" else 0.0
            if method == "constant" and metric != "mesh_iou":
                continue
            for seed in range(seeds):
                values = 0.4 + lead + generator.normal(0, 0.01, 12)
                rows += [
                    {"method": method, "seed": seed, "split": "test", "scene": f"s{n}"}
                    | {"metric": metric, "value": value}
                    for n, value in enumerate(values)
                ]
    return pd.DataFrame(rows)


def verdict(table, config=None, unfit=None):
    found = compare.compare(table, config or CONFIG, unfit)["claims"]
    (words,) = set(found["verdict"])
    return words, found


def test_a_claim_is_supported_if_every_primary_test_is_better():
    words, rows = verdict(scores())
    assert words == "supported"
    assert list(rows["outcome"]) == ["better"] * 4
    assert list(rows["facet"]) == ["answers", "quality", "quality", "quality"]
    assert list(rows["role"]) == ["primary", "primary", "primary", "secondary"]
    assert list(rows["method_b"]) == ["theirs", "theirs", "constant", "theirs"]
    assert rows["smallest_effect"].tolist() == [0.05, 0.05, 0.05, 0.0]


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ({"answer_score": 0.0}, "not supported: 1 of 3 not separable"),
        ({"answer_score": -0.2}, "not supported: 1 of 3 worse"),
        # Separable, but under the declared 0.05.
        ({"answer_score": 0.03}, "not supported: 1 of 3 below the smallest effect"),
        (
            {"answer_score": -0.2, "mesh_iou": 0.0},
            "not supported: 1 of 3 worse, 2 of 3 not separable",
        ),
        # A secondary metric decides nothing.
        ({"fscore": -0.2}, "supported"),
    ],
)
def test_a_verdict_names_what_failed(gaps, words):
    assert verdict(scores(**gaps))[0] == words


def test_the_lead_must_hold_over_the_control_too():
    table = scores()
    table.loc[table["method"] == "constant", "value"] += 0.5
    words, rows = verdict(table)
    assert words == "not supported: 1 of 3 worse"
    assert rows.set_index("method_b").loc["constant", "outcome"] == "worse"


def test_what_was_not_run_leaves_a_claim_undecided_with_the_reason():
    words, rows = verdict(scores(methods=("ours", "theirs")))
    assert words == "undecided: 1 of 3 untested (no scores of constant)"
    assert rows.loc[rows["method_b"] == "constant", "reason"].tolist() == ["no scores of constant"]
    # The sequence stops at the untested primary.
    assert rows.loc[rows["role"] == "secondary", "outcome"].tolist() == ["not separable"]
    table = scores()
    some = table[(table["method"] != "theirs") | (table["metric"] != "answer_score")]
    assert verdict(some)[0] == "undecided: 1 of 3 untested (theirs has no answer_score)"
    worse = some.assign(value=some["value"].where(some["method"] != "ours", 0.1))
    words = "not supported: 2 of 3 worse, 1 of 3 untested (theirs has no answer_score)"
    assert verdict(worse)[0] == words


def test_one_training_decides_nothing():
    words, rows = verdict(scores(seeds=1))
    assert words == "undecided: 3 of 3 untested (one seed: scenes only)"
    assert rows["p"].isna().all() and rows["p_adjusted"].isna().all()


def test_no_claim_is_decided_about_a_method_that_is_unfit(tmp_path):
    gate = {
        "theirs": {
            "replies": {"fit": False, "reason": "loses to the constant", "metric": "answer_em"},
            "mesh": {"fit": True, "reason": ""},
        }
    }
    write_json(tmp_path / "gate.json", gate)
    unfit = read_gate(tmp_path / "gate.json")
    assert unfit == {"theirs": {"answers": "loses to the constant"}}
    words, rows = verdict(scores(), unfit=unfit)
    assert words == "undecided: 1 of 3 untested (theirs is unfit (loses to the constant))"
    differences = compare.compare(scores(), CONFIG, unfit)["differences"]
    row = differences[(differences["metric"] == "answer_score")].iloc[0]
    assert row["note"] == "not decided: theirs is unfit (loses to the constant)"
    assert np.isnan(row["p_adjusted"]) and row["p"] < 0.01
    # A task that the registry does not know counts for every metric.
    words, _ = verdict(scores(), unfit={"ours": {"everything": "diverged"}})
    assert words == "undecided: 3 of 3 untested (ours is unfit (diverged))"


@pytest.mark.parametrize("content", [[], {"m": []}, {"m": {"t": {"fit": "no"}}}, {"m": {"t": 1}}])
def test_a_gate_of_another_form_is_refused(tmp_path, content):
    write_json(tmp_path / "gate.json", content)
    with pytest.raises(InputError, match=r"gate.json: .*; give {fit: true or false, reason"):
        read_gate(tmp_path / "gate.json")


def test_outcomes_follow_the_direction_of_the_metric():
    assert claims.outcome(0.01, -0.1, "chamfer_l1_m") == "better"
    assert claims.outcome(0.01, -0.1, "mesh_iou") == "worse"
    assert claims.outcome(0.05, 0.1, "mesh_iou") == "not separable"
    assert claims.outcome(np.nan, 0.1, "mesh_iou") == "untested"
    assert claims.verdict([], []) == "undecided: 0 of 0 untested (no tests)"
