"""The gate: fitted, without the information, or under-fitted."""

from __future__ import annotations

import pandas as pd
import pytest

from metrics.files import InputError
from metrics.gate import FIT, NO_INFORMATION, UNFIT, gate, mean_scores

TASKS = {
    "points": {"metric": "fscore@5cm", "controls": ["mean", "floor"]},
    "distance": {"metric": "chamfer_l1_m", "controls": ["mean"]},
}
OURS = {"ours": ["mean", "floor"]}


@pytest.fixture
def table(tmp_path):
    """Write a score table of one scene and return its path."""

    def write(**values: float):
        rows = [
            {
                "method": "m",
                "seed": 0,
                "split": "val",
                "scene": "room",
                "query": "",
                "subset": "all",
                "metric": metric,
                "value": value,
                "kind": "item",
                "succeeded": True,
            }
            for metric, value in values.items()
        ]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pd.DataFrame(rows).to_parquet(path)
        return path

    return write


def scored(table, f: float, chamfer: float):
    return [table(**{"fscore@5cm": f, "chamfer_l1_m": chamfer})]


def run(table, train: tuple[float, float], val: tuple[float, float]):
    tables = {
        ("mean", "train"): scored(table, 0.12, 0.5),
        ("mean", "val"): scored(table, 0.11, 0.5),
        ("floor", "train"): scored(table, 0.14, 0.9),
        ("floor", "val"): scored(table, 0.13, 0.9),
        ("ours", "train"): scored(table, *train),
        ("ours", "val"): scored(table, *val),
    }
    return gate(TASKS, OURS, tables)["ours"]


def test_a_method_above_the_best_control_is_fitted(table):
    found = run(table, (0.9, 0.1), (0.8, 0.2))
    assert found["points"] == {
        "metric": "fscore@5cm",
        "fit": True,
        "reason": FIT,
        "train": 0.9,
        "train_constant": 0.14,
        "val": 0.8,
        "val_constant": 0.13,
    }
    assert found["distance"]["fit"], "lower distances are better"


def test_a_method_below_any_control_on_train_is_unfit(table):
    found = run(table, (0.13, 0.6), (0.9, 0.1))
    assert not found["points"]["fit"] and found["points"]["reason"] == UNFIT
    assert not found["distance"]["fit"]


def test_a_method_is_held_to_the_controls_that_are_fair_to_it(table):
    tables = {
        (name, split): scored(table, f, 0.5)
        for name, f in (("mean", 0.12), ("floor", 0.14), ("ours", 0.13), ("theirs", 0.13))
        for split in ("train", "val")
    }
    tasks = {"points": TASKS["points"]}
    found = gate(tasks, OURS | {"theirs": ["mean"]}, tables)
    assert not found["ours"]["points"]["fit"] and found["theirs"]["points"]["fit"]
    assert found["theirs"]["points"]["train_constant"] == 0.12
    with pytest.raises(InputError, match="points: every control uses inputs that ours lacks"):
        gate(tasks, {"ours": []}, tables)


def test_equal_to_the_constant_is_no_win(table):
    assert not run(table, (0.14, 0.1), (0.9, 0.1))["points"]["fit"]


def test_a_method_that_wins_on_train_alone_lacks_the_information(table):
    found = run(table, (0.9, 0.1), (0.13, 0.2))
    assert found["points"]["fit"] and found["points"]["reason"] == NO_INFORMATION


def test_a_task_that_a_method_does_not_produce_is_left_out(table):
    tables = {(name, split): scored(table, 0.1, 0.5) for name in ("mean", "floor", "ours")
              for split in ("train", "val")}  # fmt: skip
    tables["ours", "train"] = tables["ours", "val"] = [table(ref_pick=0.5)]
    assert gate(TASKS, OURS, tables) == {"ours": {}}


def test_a_control_that_does_not_produce_its_task_is_named(table):
    tables = {
        (name, split): scored(table, 0.1, 0.5)
        for name in ("mean", "floor", "ours")
        for split in ("train", "val")
    }
    tables["floor", "val"] = [table(ref_pick=0.5)]
    with pytest.raises(InputError, match="points: control floor has no fscore@5cm on val"):
        gate(TASKS, OURS, tables)


def test_seeds_are_averaged(table):
    paths = [table(ref_pick=0.4), table(ref_pick=0.8)]
    assert mean_scores(paths)["ref_pick"] == pytest.approx(0.6)
