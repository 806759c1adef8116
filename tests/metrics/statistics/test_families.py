"""One corrected p for every difference: families, fixed sequences, exploratory groups, letters."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from metrics.files import InputError
from metrics.statistics import compare
from metrics.statistics.families import (
    PRIMARY,
    SECONDARY,
    DeclaredTest,
    adjust,
    controls_of,
    holm,
    parse_families,
)
from tests.metrics.statistics import synthetic

KEY = ["split", "subset", "metric"]


def family(split="s", **claims):
    return {"split": split, "claims": claims}


def claim(against=("b",), a="a", **facets):
    return {"a": a, "against": list(against), "facets": facets}


def test_primaries_are_corrected_by_holm_and_secondaries_in_a_fixed_sequence():
    facet = {"primary": "m0", "secondary": ["m1", "m2", "m3"]}
    claims = parse_families({"f": family(x=claim(y=facet), z=claim(["c"], y={"primary": "m0"}))})
    p = dict(zip(("m0", "m1", "m2", "m3"), (0.01, 0.04, 0.2, 0.001), strict=True))
    tests = {test.metric: test for _, _, test in claims[0].tests()}
    other = DeclaredTest("s", "all", "m0", "a", "c")
    found = adjust(claims, {tests[m]: value for m, value in p.items()} | {other: 0.5})
    assert found[tests["m0"]].p == pytest.approx(0.02) and found[other].p == 0.5
    assert [found[tests[m]].p for m in ("m1", "m2", "m3")] == [0.04, 0.2, 0.2]
    assert [found[tests[m]].gate for m in ("m1", "m2", "m3")] == [0.02, 0.04, 0.2]
    assert found[tests["m0"]].role == PRIMARY and found[tests["m1"]].role == SECONDARY
    assert (found[tests["m0"]].size, found[tests["m1"]].size) == (2, 1)


def test_a_facet_goes_on_only_if_the_lead_over_every_rival_holds():
    facet = {"primary": "m0", "secondary": ["m1"], "controls": ["floor"]}
    claims = parse_families({"f": family(x=claim(y=facet))})
    rival, control, second = (test for _, _, test in claims[0].tests())
    assert (rival.b, control.b, second.b) == ("b", "floor", "b")
    found = adjust(claims, {rival: 1e-6, control: 0.3, second: 1e-6})
    assert found[rival].p == pytest.approx(2e-6) and found[second].p == pytest.approx(0.3)
    # A test that was not run keeps its place, and stops the sequence.
    found = adjust(claims, {rival: 0.04, second: 1e-6})
    assert found[rival].p == pytest.approx(0.08) and np.isnan(found[control].p)
    assert found[second].p == 1.0


def test_a_primary_test_of_two_claims_is_corrected_once():
    facet = {"primary": "m0", "controls": ["floor"]}
    claims = parse_families({"f": family(x=claim(y=facet)), "g": family(x=claim(["c"], y=facet))})
    tests = [test for part in claims for _, _, test in part.tests()]
    assert len(tests) == 4 and len(set(tests)) == 3
    found = adjust(claims, dict.fromkeys(tests, 0.01))
    assert [found[test].family for test in dict.fromkeys(tests)] == ["f", "f", "g"]
    assert [found[test].p for test in dict.fromkeys(tests)] == [0.02, 0.02, 0.01]


@pytest.mark.parametrize(
    ("families", "words"),
    [
        (
            {"f": family(x=claim(y={"primary": "m", "secondary": ["m"]}))},
            "m/all of a against b is a secondary test of f.x.y, but also a primary test of f.x.y",
        ),
        (
            {
                "f": family(x=claim(y={"primary": "m", "secondary": ["n"]})),
                "g": family(x=claim(y={"primary": "k", "secondary": ["n"]})),
            },
            "n/all of a against b is a secondary test of g.x.y, but also a secondary test of f.x",
        ),
        (
            {
                "f": family(x=claim(y={"primary": "m"})),
                "g": family(x=claim(["a"], "b", y={"primary": "m"})),
            },
            "m/all of b against a is a primary test of g.x.y, but also a primary test of f.x.y",
        ),
    ],
)
def test_a_difference_with_two_places_is_refused(families, words):
    with pytest.raises(InputError, match=f"mine.yaml: families: {words}"):
        parse_families(families, "mine.yaml")


def test_primary_metrics_need_a_smallest_effect():
    config = {"families": {"f": family(x=claim(y={"primary": "mesh_iou"}))}}
    with pytest.raises(InputError, match="config: `smallest_effect` lacks mesh_iou, the primary"):
        compare.compare(synthetic.scores(2, 4, 1), config)


def random_scores(generator, methods=6, controls=1, scenes=8):
    """Return scores of methods with random gaps on two metrics of two splits."""
    names = [*(f"m{k}" for k in range(methods)), *(f"control{k}" for k in range(controls))]
    rows = []
    for split in ("s", "t"):
        for metric in ("mesh_iou", "fscore@5cm", "answer_score"):
            scene = generator.normal(0, 0.1, scenes)
            for name in names:
                level = generator.normal(0, 0.04)
                for seed in range(3):
                    values = level + scene + generator.normal(0, 0.03, scenes)
                    values += generator.normal(0, 0.01)
                    rows += [
                        {"method": name, "seed": seed, "split": split, "scene": f"{split}-{n}"}
                        | {"metric": metric, "value": value}
                        for n, value in enumerate(values)
                    ]
    return pd.DataFrame(rows)


CONFIG = {
    "reference": "m0",
    "controls": ["control0"],
    "smallest_effect": {"mesh_iou": 0.01, "answer_score": 0.01},
    "families": {
        "f": family(
            x=claim(["m1"], "m0", y={"primary": "mesh_iou", "secondary": ["fscore@5cm"]}),
            z=claim(["m3"], "m2", y={"primary": "answer_score"}),
        )
    },
}


@pytest.mark.parametrize("seed", range(6))
def test_two_methods_share_a_letter_exactly_when_they_are_not_separable(seed):
    found = compare.compare(random_scores(np.random.default_rng(seed)), CONFIG)
    letters = found["estimates"].set_index([*KEY, "method"])["tie_group"]
    rows = found["differences"]
    rows = rows[rows["question"] == compare.HEADLINE]
    names = [f"m{k}" for k in range(6)]
    pairs = rows[rows["method_a"].isin(names) & rows["method_b"].isin(names)]
    # Every pair of every metric is there once, whatever its family.
    unordered = [
        (*key, *sorted(pair))
        for *key, pair in zip(
            *(pairs[c] for c in KEY),
            zip(pairs["method_a"], pairs["method_b"], strict=True),
            strict=True,
        )
    ]
    assert len(unordered) == len(set(unordered)) == 6 * len(list(combinations(names, 2)))
    separable = 0
    for row in pairs.itertuples():
        key = (row.split, row.subset, row.metric)
        shared = set(letters[(*key, row.method_a)]) & set(letters[(*key, row.method_b)])
        assert bool(shared) != (row.p_adjusted < 0.05)
        assert row.tie_group == "".join(sorted(shared))
        separable += not shared
    assert 0 < separable < len(pairs)
    assert (letters.xs("control0", level="method") == "").all()


def test_exploratory_groups_hold_every_other_difference_once():
    rows = compare.compare(random_scores(np.random.default_rng(9)), CONFIG)["differences"]
    rows = rows[rows["question"] == compare.HEADLINE]
    assert not rows.duplicated([*KEY, "method_a", "method_b"]).any()
    other = rows[rows["family"] == "exploratory"]
    groups = {"reconstruction", "answers"}
    wanted = {f"{split}, {g}{c}" for split in "st" for g in groups for c in ("", ", controls")}
    # The control has no declared rival, so only the reference is compared with it.
    assert set(other["group"]) == wanted
    assert set(other.loc[other["group"].str.endswith("controls"), "method_a"]) == {"m0"}
    for _, part in other.groupby("group"):
        expected = multipletests(part["p"], method="fdr_bh")[1]
        assert part["p_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-12)
    declared = rows[rows["role"] == PRIMARY]
    assert declared["p_adjusted"].to_numpy() == pytest.approx(holm(declared["p"].to_numpy()))
    assert set(declared["adjustment"]) == {"Holm"}


def test_controls_of_claims_get_no_letters():
    table = random_scores(np.random.default_rng(3))
    facet = {"primary": "mesh_iou", "controls": ["m5"]}
    families = {"f": family(x=claim(["m1"], "m0", y=facet))}
    assert controls_of(families) == ["m5"]
    found = compare.compare(table, CONFIG | {"families": families})["estimates"]
    assert (found.loc[found["method"].isin(["m5", "control0"]), "tie_group"] == "").all()
    assert (found.loc[found["method"].isin(["m0", "m1"]), "tie_group"] != "").all()


def test_the_same_gap_in_every_cell_is_no_tie():
    rows = pd.DataFrame(
        {"method": m, "seed": 0, "scene": f"s{n}", "metric": "mesh_iou", "value": v + 0.1 * n}
        for m, v in (("a", 0.2), ("b", 0.5), ("c", 0.5))
        for n in range(5)
    )
    found = compare.compare(rows, {"deterministic": ["a", "b", "c"]})
    letters = found["estimates"].set_index("method")["tie_group"]
    assert letters["b"] == letters["c"] != letters["a"]
    pairs = found["differences"].set_index(["method_a", "method_b"])["p_adjusted"]
    assert pairs["a", "b"] == 0 and np.isnan(pairs["b", "c"])


def test_the_order_of_keys_does_not_matter():
    facets = {"y": {"primary": "m"}, "b": {"primary": "n", "secondary": ["k", "l"]}}
    families = {"g": family(x=claim(**facets)), "f": family(z=claim(["c"], y=facets["y"]))}
    turned = {name: families[name] for name in reversed(families)}
    assert parse_families(turned) == parse_families(families)
    assert [c.family for c in parse_families(families)] == ["f", "g"]
    assert [f.name for f in parse_families(families)[1].facets] == ["b", "y"]
