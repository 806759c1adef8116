"""Studies find the effects that were put into their scores, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError, write_lines
from report.studies import designs, page, study
from report.studies.facets import class_tiers, groups_of

METRICS = ("fscore@5cm", "mesh_iou")
SHARED = "rate as configured"
SCENES = [f"test_scene-{number:04d}" for number in range(20)]


def scored(method, level, metric="fscore@5cm", seeds=3, query="", noise=0.02):
    """Scores of a method around a level; scenes are as hard for every method."""
    draw = np.random.default_rng(sum(map(ord, method + metric + query)))
    hard = np.random.default_rng(5).normal(0, 0.05, len(SCENES))
    rows = [
        {"method": method, "seed": seed, "scene": scene, "value": level + hard[k] + jitter}
        for seed in range(seeds)
        for k, (scene, jitter) in enumerate(
            zip(SCENES, draw.normal(0, noise, len(SCENES)), strict=True)
        )
    ]
    fixed = {"split": "dev_scene", "query": query, "subset": "all", "metric": metric}
    return pd.DataFrame(rows).assign(**fixed, kind="item", succeeded=True)


def test_data_efficiency_asks_whether_the_lead_grows():
    levels = {"full": 0.8, "no_geometry": 0.7, "full_at_10": 0.7, "no_geometry_at_10": 0.4}
    scores = pd.concat([scored(name, level) for name, level in levels.items()])
    shares = {
        "10% of the scenes": {m: f"{m}_at_10" for m in ("full", "no_geometry")},
        "100% of the scenes": {m: m for m in ("full", "no_geometry")},
    }
    found = designs.data_efficiency(scores, shares, "full", METRICS)
    gaps = found.differences.set_index("condition")["difference"]
    assert gaps["10% of the scenes"] == pytest.approx(0.3, abs=0.03)
    assert gaps["100% of the scenes"] == pytest.approx(0.1, abs=0.03)
    change = found.differences[found.differences["condition"].str.contains("minus")].iloc[0]
    assert change["difference"] == pytest.approx(0.2, abs=0.03) and change["p_adjusted"] < 0.01
    assert set(found.estimates["method"]) == {"full", "no_geometry"}
    assert len(found.estimates) == 4


def test_robustness_pairs_a_method_with_itself():
    clean = pd.concat([scored("full", 0.8), scored("no_depth", 0.6)])
    noisy = clean.assign(value=clean["value"] - 0.2 * (clean["method"] == "full"))
    found = designs.robustness({designs.NOMINAL: clean, "depth noise ×4": noisy}, METRICS)
    rows = found.differences.set_index("method_a")
    fell, stayed = rows.loc["full, depth noise ×4"], rows.loc["no_depth, depth noise ×4"]
    assert fell["difference"] == pytest.approx(-0.2)
    # Nothing varies: an exact zero has no interval and no p.
    assert (
        stayed["difference"] == 0 and np.isnan(stayed["p"]) and "nothing varies" in stayed["note"]
    )


def test_loss_balance_compares_with_the_configured_weights():
    names = {
        "weights as configured": "full_balance",
        "align ×0": "full_align_x0",
        "depth ×2": "full_depth_x2",
    }
    levels = {"full_balance": 0.7, "full_align_x0": 0.5, "full_depth_x2": 0.7}
    scores = pd.concat([scored(name, level, seeds=2) for name, level in levels.items()])
    found = designs.loss_balance(scores, names, "full", METRICS)
    gaps = found.differences.set_index("condition")
    assert set(gaps.index) == {"align ×0", "depth ×2"}
    assert gaps.loc["align ×0", "difference"] == pytest.approx(-0.2, abs=0.03)
    assert gaps.loc["depth ×2", "ci_low"] < 0 < gaps.loc["depth ×2", "ci_high"]
    assert set(found.estimates["condition"]) == set(names)


def test_tuning_gives_every_method_the_rate_that_suits_it_on_validation(tmp_path):
    names = ("full", "no_geometry")
    rates = {SHARED: {m: m for m in names}, "rate ×2": {m: f"{m}_rate_x2" for m in names}}
    on_val = {"full": 0.8, "full_rate_x2": 0.7, "no_geometry": 0.5, "no_geometry_rate_x2": 0.7}
    # What suits is not asked of the judged split, where full is better at the doubled rate.
    on_judged = {"full": 0.8, "full_rate_x2": 0.9, "no_geometry": 0.5, "no_geometry_rate_x2": 0.6}
    tables = {
        s: pd.concat([scored(name, level, seeds=1) for name, level in levels.items()])
        for s, levels in (("val", on_val), ("dev_scene", on_judged))
    }
    found = designs.tuning(tables, rates, "full", METRICS)
    suits = found.overview.set_index("Mean on val")["suits"]
    assert suits.to_dict() == {"full": SHARED, "no_geometry": "rate ×2"}
    gaps = found.differences.set_index(["condition", "method_a"])["difference"]
    assert gaps["val, rate ×2", "no_geometry, val, rate ×2"] == pytest.approx(0.2, abs=0.03)
    assert gaps["dev_scene, rate as configured", "full"] == pytest.approx(0.3, abs=0.03)
    assert gaps["dev_scene, each at the rate that suits it", "full"] == pytest.approx(0.2, abs=0.03)
    assert set(found.estimates["condition"]) == set(found.conditions)
    page.write(found, tmp_path)
    rows = [one for one in (tmp_path / "tables.md").read_text().splitlines() if one[:1] == "|"]
    assert rows[0] == "| Mean on val | rate as configured | rate ×2 | suits |"
    assert rows[3].startswith("| no_geometry | 0.") and rows[3].endswith("| rate ×2 |")


def line(scene):
    """An annotation with a near red chair and a far small lamp, and a sentence about each."""
    objects = [
        {"index": 0, "class": "chair", "colour": "red", "box": [1, 0, 0.5, 0.8, 0.8, 1]},
        {"index": 1, "class": "lamp", "colour": "white", "box": [4, 1, 0.5, 0.2, 0.2, 0.4]},
    ]
    objects[0] |= {"pixels": 900, "size_mm": [800, 800, 1000]}
    objects[1] |= {"pixels": 40, "size_mm": [200, 200, 400]}
    references = [
        {"id": "r00", "targets": [0], "kind": "unique", "form": "unique", "tags": []},
        {"id": "r01", "targets": [1], "kind": "multiple", "form": "left"},
        {"id": "r02", "targets": [], "kind": "zero", "form": "unique", "tags": []},
    ]
    references[1]["tags"] = ["view_dependent", "test_phrasing"]
    phrases = [{"id": "p00", "class": "chair", "colour": "red"}]
    return {"scene": scene, "objects": objects, "references": references, "phrases": phrases}


def test_every_sentence_with_one_target_falls_into_one_group_a_facet():
    groups = groups_of([line("a")], {"chair": 90, "lamp": 10})
    of = {(q, f): g for _, q, f, g in groups.itertuples(index=False)}
    assert not groups.duplicated(["scene", "query", "facet"]).any()
    assert "r02" not in set(groups["query"])
    assert of["r00", "distance"] == "under 2 m" and of["r01", "distance"] == "over 3.5 m"
    assert of["r00", "size"] == "50 to 120 cm" and of["r01", "size"] == "under 50 cm"
    assert of["r00", "seen in the views"] == "over 600 px"
    assert of["r01", "view"] == "view-dependent" and of["r01", "wording"] == "unseen"
    assert of["r01", "relation"] == "left" and of["p00", "colour"] == "red"
    assert class_tiers({}) == {}


def test_subgroups_find_the_group_with_the_lead(tmp_path):
    parts = []
    for method, far in (("full", 0.5), ("no_alignment", 0.2)):
        parts.append(scored(method, 0.7, "ref_pick", query="r00"))
        parts.append(scored(method, far, "ref_pick", query="r01"))
    truth = tmp_path / "annotations.jsonl"
    write_lines(truth, [line(scene) for scene in SCENES])
    found = designs.subgroups(
        pd.concat(parts), truth, {"chair": 90, "lamp": 10}, "full", ["no_alignment"]
    )
    gaps = found.differences.set_index("condition")["difference"]
    assert gaps["distance: over 3.5 m"] == pytest.approx(0.3, abs=0.03)
    assert gaps["distance: under 2 m"] == pytest.approx(0.0, abs=0.03)
    assert gaps["all"] == pytest.approx(0.15, abs=0.03)
    page.write(found, tmp_path / "study")
    tables = (tmp_path / "study" / "tables.md").read_text()
    (row,) = [one for one in tables.splitlines() if one.startswith("| distance: over 3.5 m | 0")]
    assert row.count("[") == 2 and "Benjamini-Hochberg over the" in tables
    assert (tmp_path / "study" / "figure.png").stat().st_size > 10_000
    rows = pd.read_csv(tmp_path / "study" / "differences.csv")
    assert (rows["p_adjusted"] >= rows["p"] - 1e-12).all()


def test_a_study_without_scores_is_refused():
    with pytest.raises(InputError, match="no score table"):
        study.read_scores([], "dev_scene")
