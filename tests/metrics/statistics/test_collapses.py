"""Failed trainings are found, and normal ones are not."""

import numpy as np
import pytest

from metrics.statistics.collapses import collapsed_trainings
from metrics.statistics.table import Block


def blocks(means, scenes=20):
    """One block a method with these means [methods, seeds] of trainings."""
    names = tuple(f"s-{k}" for k in range(scenes))
    spread = np.linspace(-0.1, 0.1, scenes)
    return {
        f"m{row}": Block(
            f"m{row}", np.asarray(trainings)[:, None] + spread, None,
            tuple(range(len(trainings))), names, True,
        )
        for row, trainings in enumerate(means)
    }  # fmt: skip


@pytest.mark.parametrize("seeds", [3, 5])
def test_normal_trainings_are_hardly_ever_called_failed(seeds):
    generator = np.random.default_rng(0)
    found = sum(
        bool(collapsed_trainings(blocks(0.6 + generator.normal(0, sd, (11, seeds)), 2), True))
        for sd in (0.01, 0.05)
        for _ in range(1500)
    )
    assert found <= 3


@pytest.mark.parametrize(("seeds", "better"), [(3, True), (5, True), (5, False)])
def test_failed_trainings_are_found(seeds, better):
    generator = np.random.default_rng(1)
    sign = 1 if better else -1
    hits = 0
    for _ in range(200):
        means = 0.6 + generator.normal(0, 0.01, (11, seeds))
        means[4, 1] -= sign * 0.15
        rows = collapsed_trainings(blocks(means, 2), better)
        hits += [(row["method"], row["seed"]) for row in rows] == [("m4", 1)]
        for row in rows:
            assert row["deviations"] > 7 and sign * (row["others"] - row["value"]) > 0.06
    assert hits >= 195


def test_a_small_gap_is_no_failure_and_few_methods_give_none():
    means = np.full((6, 3), 0.6)
    means[2, 0] = 0.55
    assert collapsed_trainings(blocks(means), True) == []
    means[2, 0] = 0.2
    (row,) = collapsed_trainings(blocks(means), True)
    assert row["method"] == "m2" and row["deviations"] == float("inf")
    assert collapsed_trainings(blocks(means[:3]), True) == []
    assert collapsed_trainings(blocks(means[:, :2]), True) == []
