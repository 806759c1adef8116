"""Interactions and retention against hand calculation and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metrics.files import InputError
from metrics.statistics import compare, contrasts, moments
from metrics.statistics.table import Block

GENERATOR = np.random.default_rng(8)
GENERALISATION = {
    "splits": ["dev_asset", "dev_scene"],
    "methods": ["no_geometry"],
    "metrics": ["fscore@5cm"],
}


def block(name, values, split="dev_scene", seeds=None, stochastic=True):
    values = np.asarray(values, dtype=float)
    scenes = tuple(f"{split}-{k:04d}" for k in range(values.shape[1]))
    seeds = tuple(range(len(values))) if seeds is None else seeds
    return Block(name, values, None, seeds, scenes, stochastic)


def test_generalisation_is_the_t_of_paired_changes_where_nothing_is_trained():
    cells = GENERATOR.normal(0.5, 0.1, (4, 1, 12))
    kept = {
        (split, "all", "fscore@5cm"): {
            name: block(name, cells[2 * k + m], split, stochastic=False)
            for m, name in enumerate(("full", "no_geometry"))
        }
        for k, split in enumerate(("dev_asset", "dev_scene"))
    }
    (row,) = contrasts.generalisation(kept, "full", GENERALISATION)
    change = (cells[0] - cells[2] - cells[1] + cells[3])[0]
    peer = stats.ttest_1samp(change, 0)
    assert row["difference"] == pytest.approx(change.mean())
    assert row["p"] == pytest.approx(peer.pvalue, rel=1e-9)
    assert row["question"] == moments.TRAININGS_AND_SCENES


def test_scenes_pair_by_number_whatever_their_order():
    first = Block("a", np.array([[1.0, 2.0, 3.0]]), None, (0,), ("x-2", "x-1", "x-7"), True)
    second = Block("a", np.array([[10.0, 20.0]]), None, (0,), ("y-1", "y-2"), True)
    here, there = contrasts.paired_cells([first, second])
    assert here.tolist() == [[2.0, 1.0]] and there.tolist() == [[10.0, 20.0]]
    twice = Block("a", np.ones((1, 2)), None, (0,), ("y-1", "z-1"), True)
    assert contrasts.paired_cells([first, twice]) is None


def test_data_efficiency_takes_the_methods_that_the_config_names():
    names = ("full", "no_geometry", "full_tenth", "no_geometry_tenth")
    cells = dict(zip(names, GENERATOR.normal(0.5, 0.1, (4, 3, 8)), strict=True))
    kept = {("dev_scene", "all", "mesh_iou"): {n: block(n, cells[n]) for n in names}}
    less = {"full": "full_tenth", "no_geometry": "no_geometry_tenth"}
    config = {"less": less, "split": "dev_scene", "metrics": ["mesh_iou"]}
    (row,) = contrasts.data_efficiency(kept, "full", config)
    gap = {n: x.mean() for n, x in cells.items()}
    at_less = gap["full_tenth"] - gap["no_geometry_tenth"]
    assert row["difference"] == pytest.approx(at_less - (gap["full"] - gap["no_geometry"]))
    assert row["family"] == "data_efficiency" and row["n_seeds_a"] == 3
    assert contrasts.data_efficiency(kept, "full", None) == []
    with pytest.raises(InputError, match="lacks the reference full"):
        contrasts.data_efficiency(kept, "full", config | {"less": {"no_geometry": "x"}})


def test_trainings_that_do_not_pair_are_noted_and_not_tested():
    kept = {
        (split, "all", "fscore@5cm"): {
            name: block(name, np.ones((2, 4)), split, seeds) for name in ("full", "no_geometry")
        }
        for split, seeds in (("dev_asset", (0, 1)), ("dev_scene", (0, 2)))
    }
    (row,) = contrasts.generalisation(kept, "full", GENERALISATION)
    assert "p" not in row and row["note"].startswith("not tested")


def test_log_ratio_is_the_delta_method_s_by_hand():
    top, bottom = GENERATOR.uniform(0.4, 0.8, (2, 1, 25))
    found = contrasts.log_ratio(top, bottom, stochastic=False)
    x, y = top[0], bottom[0]
    cov = np.cov(x, y) / 25
    variance = cov[0, 0] / x.mean() ** 2 + cov[1, 1] / y.mean() ** 2
    variance -= 2 * cov[0, 1] / (x.mean() * y.mean())
    assert found.estimate == pytest.approx(np.log(x.mean() / y.mean()))
    assert found.variance == pytest.approx(variance, rel=1e-9)
    half = stats.t.ppf(0.975, 24) * np.sqrt(variance)
    assert found.high - found.estimate == pytest.approx(half, rel=1e-9)


def test_retention_covers_the_true_ratio():
    covered = []
    for _ in range(400):
        scene = GENERATOR.normal(0, 0.08, 40)
        cells = [
            mean * (1 + scene + GENERATOR.normal(0, 0.03, (4, 1)))
            + GENERATOR.normal(0, 0.05, (4, 40))
            for mean in (0.45, 0.6)
        ]
        found = contrasts.log_ratio(*cells)
        covered.append(found.low <= np.log(0.75) <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.99


def test_retention_rows_without_a_ratio_have_a_note():
    kept = {
        (split, "all", metric): {"full": block("full", values, split)}
        for split in ("dev_asset", "dev_scene")
        for metric, values in (
            ("mesh_iou", [[0.2, 0.4], [0.3, 0.5]]),
            ("spq@0.5", np.zeros((2, 2))),
        )
    }
    first, second = contrasts.retention(kept, GENERALISATION)
    assert first["ratio"] == pytest.approx(1.0) and first["note"] == "no interval: nothing varies"
    assert "ratio" not in second and "above zero" in second["note"]
    frame = pd.DataFrame([first, second]).reindex(columns=contrasts.RETENTION_COLUMNS)
    assert list(frame["method"]) == ["full", "full"]


def test_contrasts_reach_the_differences_of_a_whole_table():
    rows = []
    for split, name, shift in (
        *(("dev_scene", n, 0.0) for n in ("full", "no_geometry", "full_10", "no_geometry_10")),
        *(("dev_asset", n, -0.1) for n in ("full", "no_geometry")),
    ):
        for seed in range(2):
            values = 0.5 + shift + GENERATOR.normal(0, 0.05, 6)
            rows += [
                {"method": name, "seed": seed, "split": split, "scene": f"{split}-{k:04d}"}
                | {"metric": "fscore@5cm", "value": value}
                for k, value in enumerate(values)
            ]
    less = {"full": "full_10", "no_geometry": "no_geometry_10"}
    config = {
        "reference": "full",
        "generalisation": GENERALISATION,
        "data_efficiency": {"less": less, "split": "dev_scene", "metrics": ["fscore@5cm"]},
    }
    found = compare.compare(pd.DataFrame(rows), config)
    families = set(found["differences"]["family"])
    assert {"generalisation", "data_efficiency"} <= families
    ratios = found["retention"].set_index("method")["ratio"]
    assert set(ratios.index) == {"full", "no_geometry"} and (ratios < 1).all()
