"""Incomplete tables give an answer with a note on its limits, or a clear error."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from metrics.files import InputError
from metrics.scoreboard import compare_tables
from metrics.statistics import compare, moments
from tests.metrics.statistics import synthetic

GENERATOR = np.random.default_rng(6)
REFERENCE = {"reference": "full"}


def declared(against, facet):
    """Return the parts of a config with one claim of one facet."""
    claims = {"c": {"a": "full", "against": against, "facets": {"one": facet}}}
    families = {"f": {"split": "dev_scene", "claims": claims}}
    return {"families": families, "smallest_effect": {facet["primary"]: 0.01}}


def tiny(values, **columns):
    rows = [
        {"method": m, "seed": s, "split": "dev_scene", "scene": f"s{n}", "metric": "fscore@5cm"}
        | {"value": v}
        for (m, s, n), v in values.items()
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_one_seed_is_labelled_and_not_compared():
    g = np.random.default_rng(0)
    values = {(m, 0, n): g.random() for m in ("full", "no_geometry") for n in range(6)}
    found = compare.compare(tiny(values), REFERENCE)
    row = found["differences"].iloc[0]
    assert row["question"] == moments.SCENES and "one seed" in row["note"]
    assert np.isnan(row["p_adjusted"])
    a, b = ([values[m, 0, n] for n in range(6)] for m in ("full", "no_geometry"))
    assert row["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert set(found["estimates"]["tie_group"]) == {"a"}


def test_one_scene_and_constants_have_no_p():
    one = compare.compare(
        tiny({(m, s, 0): s + len(m) for m in ("full", "other") for s in (0, 1)}), REFERENCE
    )
    same = compare.compare(
        tiny({(m, s, n): 0.5 for m in ("full", "other") for s in (0, 1) for n in (0, 1)}),
        REFERENCE,
    )
    for found, word in ((one, "one scene"), (same, "nothing varies")):
        row = found["differences"].iloc[0]
        assert np.isnan(row["p"]) and word in row["note"]


def test_unbalanced_seeds_and_missing_scenes_are_noted():
    g = np.random.default_rng(1)
    values = {("full", s, n): g.random() for s in range(3) for n in range(6)}
    values |= {("other", s, n): g.random() for s in range(2) for n in range(5)}
    row = compare.compare(tiny(values), REFERENCE)["differences"].iloc[0]
    assert (row["n_seeds_a"], row["n_seeds_b"], row["n_scenes"]) == (3, 2, 5)
    assert "1 scenes left out" in row["note"]


def test_declared_test_without_scores_keeps_its_place():
    g = np.random.default_rng(2)
    values = {(m, s, n): g.random() for m in ("full", "b") for s in (0, 1) for n in range(5)}
    config = REFERENCE | declared(["b", "c"], {"primary": "fscore@5cm"})
    rows = compare.compare(tiny(values), config)["differences"]
    rows = rows[rows["question"] == compare.HEADLINE].set_index("method_b")
    assert rows.loc["b", "p_adjusted"] == pytest.approx(min(1, 2 * rows.loc["b", "p"]))
    assert rows.loc["c", "note"] == "not tested: no scores of c"


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
        compare.compare(change(table), REFERENCE)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.assign(value=np.inf), "is inf"),
        (lambda t: t.assign(value="good"), "is good"),
        (lambda t: t.assign(seed="first"), "seed first is not a whole number"),
        (lambda t: t.assign(seed=0.5), "seed 0.5 is not a whole number"),
        (lambda t: t.assign(method=None), "no method"),
        (lambda t: t.iloc[:0], "has no rows"),
        (lambda t: t.assign(kind="pseudo"), "needs both its pooled"),
    ],
)
def test_tables_without_valid_scores_are_refused(change, word):
    table = tiny({("full", 0, n): 0.1 * n for n in range(3)})
    with pytest.raises(InputError, match=word):
        compare.compare(change(table), REFERENCE)


def test_a_metric_that_one_method_has_is_estimated_and_not_compared():
    values = {("full", s, n): GENERATOR.random() for s in (0, 1) for n in range(5)}
    facet = {"primary": "fscore@5cm", "secondary": ["mesh_iou"]}
    both = pd.concat([tiny(values).assign(method=m) for m in ("full", "other")])
    table = pd.concat([both, tiny(values).assign(metric="mesh_iou")])
    found = compare.compare(table, REFERENCE | declared(["other"], facet))
    assert len(found["estimates"]) == 3
    rows = found["differences"].set_index(["metric", "question"])
    note = "not tested: other has no mesh_iou"
    assert rows.loc[("mesh_iou", compare.HEADLINE), "note"] == note
    assert np.isnan(rows.loc[("mesh_iou", compare.HEADLINE), "p"])


def test_two_methods_of_one_name_are_refused(tmp_path):
    for folder, name in (("a", "mine"), ("b", "mine")):
        file = tmp_path / folder / "0" / "dev_scene.parquet"
        file.parent.mkdir(parents=True)
        tiny({(name, 0, n): 0.1 * n for n in range(3)}).to_parquet(file)
    with pytest.raises(InputError, match="holds scores of mine; score a again"):
        compare.compare(tmp_path, {})
    one = pd.concat([tiny({("mine", 0, n): 0.1 * n for n in range(3)})] * 2)
    with pytest.raises(InputError, match="give each method its own name"):
        compare.compare(one, {})


def test_seeds_without_a_scene_in_common_leave_a_row_with_a_note():
    values = {("full", s, n): 0.1 * n for s in (0, 1) for n in (2 * s, 2 * s + 1)}
    row = compare.compare(tiny(values), REFERENCE)["estimates"].iloc[0]
    assert np.isnan(row["mean"]) and "no scene was scored for every seed" in row["note"]


def test_methods_without_a_scene_in_common_are_not_compared():
    values = {
        (m, s, n + k): GENERATOR.random()
        for k, m in ((0, "full"), (9, "other"))
        for s in (0, 1)
        for n in range(4)
    }
    found = compare.compare(tiny(values), REFERENCE)
    row = found["differences"].iloc[0]
    assert np.isnan(row["p"]) and "no scene in common" in row["note"]
    assert len(found["estimates"]) == 2


def test_a_descriptive_split_is_described_and_not_tested():
    values = {
        (m, s, n): GENERATOR.random() for m in ("full", "other") for s in (0, 1) for n in range(5)
    }
    found = compare.compare(tiny(values), REFERENCE | {"descriptive": ["dev_scene"]})
    row = found["differences"].iloc[0]
    assert np.isnan(row["p"]) and np.isnan(row["p_equivalent"]) and "descriptive" in row["note"]
    assert set(found["estimates"]["tie_group"]) == {""}
    assert found["ranks"]["friedman_p"].isna().all()


def test_deterministic_method_is_never_copied_over_seeds():
    values = {("tsdf", s, n): 0.1 * n for s in (0, 1, 2) for n in range(6)}
    values |= {("full", s, n): GENERATOR.random() for s in (0, 1, 2) for n in range(6)}
    config = REFERENCE | {"deterministic": ["tsdf"]}
    rows = compare.compare(tiny(values), config)["estimates"].set_index("method")
    assert rows.loc["tsdf", "n_seeds"] == 0 and rows.loc["full", "n_seeds"] == 3
    alone = stats.ttest_1samp([0.1 * n for n in range(6)], 0).confidence_interval()
    half = (alone.high - alone.low) / 2
    low, _ = moments.bounded_limits(0.25, half, 0.0, 1.0)
    assert rows.loc["tsdf", "ci_low"] == pytest.approx(float(low))
    values["tsdf", 1, 0] = 0.7
    with pytest.raises(InputError, match="declared deterministic"):
        compare.compare(tiny(values), config)


def test_names_are_text_whatever_they_hold():
    name = "<script>alert(1)</script>"
    values = {
        (m, s, n): GENERATOR.random() for m in ("full", name) for s in (0, 1) for n in range(4)
    }
    found = compare.compare(tiny(values), REFERENCE)
    assert name in set(found["estimates"]["method"])


def test_config_and_reference_that_cannot_be_used_are_named(tmp_path):
    table = synthetic.scores(seeds=2, scenes=4, queries=1)
    table = table[(table["metric"] == "mesh_iou") & (table["kind"] == "item")]
    table.to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "cut.yaml").write_text("statistics: [")
    (tmp_path / "null.yaml").write_text("families: {mine: {split: dev_scene, claims: null}}")
    for config, reference, word in (
        (tmp_path / "null.yaml", None, "null.yaml: statistics: families.mine.claims: None is not"),
        (tmp_path / "cut.yaml", None, "cut.yaml: not valid YAML"),
        (tmp_path / "none.yaml", None, "none.yaml"),
        (None, "nobody", "no method 'nobody'"),
    ):
        with pytest.raises(InputError, match=word):
            compare_tables([tmp_path / "scores.csv"], reference, config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


CLAIM = {"a": "full", "against": ["other"], "facets": {"one": {"primary": "mesh_iou"}}}


def family(claim, split="s"):
    return {"f": {"split": split, "claims": {"c": claim}}}


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"families": []}, r"families: \[\] is not of type 'object'; give {family"),
        ({"families": {"f": CLAIM}}, "families.f: .*; give {split, claims"),
        ({"families": family({"a": "x"})}, "families.f.claims.c: 'against' is a required"),
        ({"families": family(CLAIM | {"against": [{"x": 1}]})}, r"against\[0\]: {'x'"),
        ({"families": family(CLAIM, ["s"])}, "families.f.split: .*give a name"),
        ({"families": family(CLAIM | {"facets": ["iou"]})}, "facets: .*; give {facet: {primary}}"),
        ({"families": family(CLAIM | {"facets": {"x": {}}})}, "facets.x: 'primary' is a required"),
        ({"families": family(CLAIM)}, "`smallest_effect` lacks mesh_iou, the primary metric of c"),
        ({"smallest_effect": ["spq@0.5"]}, "smallest_effect: .* is not of type 'object'; give {m"),
        ({"smallest_effect": {"spq@0.5": "a"}}, "smallest_effect.spq@0.5: 'a' is not of type 'num"),
        (
            {"smallest_effect": {"spq@0.5": float("inf")}},
            "`smallest_effect.spq@0.5` is inf; give a",
        ),
        ({"equivalence_share": float("nan")}, "`equivalence_share` is nan; give a number between"),
        ({"controls": "oracle"}, "controls: 'oracle' .*give a list of names"),
        ({"deterministic": 5}, "deterministic: 5 is not of type 'array'; give a list of names"),
        ({"descriptive": {"a": 1}}, "descriptive: .*give a list of names"),
        ({"reference": None}, "reference: None is not of type 'string'; give a name"),
        ({"generalisation": ["a"]}, "generalisation: .*; give {splits, methods, metrics}"),
        ({"generalisation": {"splits": "ab", "methods": [], "metrics": []}}, "give two splits"),
        ({"generalisation": {"splits": ["a"], "methods": [], "metrics": []}}, "give two splits"),
        ({"data_efficiency": {"split": "a", "metrics": []}}, "data_efficiency: 'less' is a req"),
        ({"data_efficiency": {"less": ["a"], "split": "a", "metrics": []}}, "give {method: its"),
    ],
)
def test_settings_of_another_form_are_refused(settings, word, tmp_path):
    table = tiny({("full", 0, n): 0.1 * n for n in range(3)})
    with pytest.raises(InputError, match=f"^config: .*{word}"):
        compare.compare(table, settings)
    table.to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"statistics": settings}))
    with pytest.raises(InputError, match=f"mine.yaml: .*{word}"):
        compare_tables([str(tmp_path / "scores.csv")], None, str(tmp_path / "mine.yaml"), None)


@pytest.mark.parametrize(
    ("sidecar", "word"),
    [
        ("[1]", "holds no facts of scores"),
        ('{"method": 5, "stochastic": false}', "method is 5"),
        ('{"method": "full", "stochastic": "no"}', "stochastic is 'no'"),
        ('{"produces": [5]}', "produces holds no names"),
        ('{"cost": [1]}', r"cost is \[1\]"),
    ],
)
def test_sidecars_that_hold_other_facts_are_named(sidecar, word, tmp_path):
    table = synthetic.scores(seeds=2, scenes=4, queries=1)
    table = table[(table["metric"] == "mesh_iou") & (table["kind"] == "item")]
    folder = tmp_path / "full" / "0"
    folder.mkdir(parents=True)
    rows = table[(table["method"] == "full") & (table["seed"] == 0)]
    rows.to_parquet(folder / "dev_scene.parquet")
    (folder / "dev_scene.json").write_text(sidecar)
    for source in (tmp_path, folder / "dev_scene.parquet"):
        with pytest.raises(InputError, match=rf"dev_scene\.json: {word}"):
            compare_tables([str(source)], None, None, None)


def test_of_several_tables_the_one_at_fault_is_named(tmp_path):
    table = synthetic.scores(seeds=2, scenes=4, queries=1)
    table = table[(table["metric"] == "mesh_iou") & (table["kind"] == "item")]
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    table.to_csv(files[0], index=False)
    for change, word in (
        (table.drop(columns="seed"), "lacks the column seed"),
        (table.assign(seed=1e300), "is not a whole number"),
        (table.iloc[:0], "has no rows"),
        (table, "is in the table twice"),
    ):
        change.to_csv(files[1], index=False)
        with pytest.raises(InputError, match=f"b.csv: .*{word}"):
            compare_tables(files, None, None, None)


def test_columns_that_hold_lists_are_named(tmp_path):
    table = tiny({("full", 0, n): 0.5 for n in range(3)}).astype({"value": object})
    table["value"] = [[1, 2]] * 3
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: value is .*; give text or numbers"):
        compare_tables([str(tmp_path / "a.parquet")], None, None, None)
