"""Effect sizes, power, ties and corrections against scipy and statsmodels."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from metrics.statistics import effects, families

GENERATOR = np.random.default_rng(5)


def test_holm_agrees_with_statsmodels_and_keeps_the_place_of_missing_tests():
    p = GENERATOR.uniform(0, 0.2, 9)
    assert families.holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    lacking = np.append(p, np.nan)
    expected = multipletests(np.append(p, 1.0), method="holm")[1][:-1]
    found = families.holm(lacking)
    assert found[:-1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[-1])
    left_out = families.benjamini_hochberg(lacking)[:-1]
    assert left_out == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)


def test_improvement_counts_direction_and_ties():
    a, b = np.array([[1.0, 2.0]]), np.array([[2.0, 2.0], [0.0, 2.0]])
    assert effects.probability_of_improvement(a, b) == 0.5
    # [1, 1] against [3, 3] and [1, 3]: smaller in three of four, equal once
    better = np.array([[1.0, 1.0]])
    assert effects.probability_of_improvement(better, b + 1, higher_is_better=False) == 0.875


def test_improvement_is_the_mann_whitney_share_on_one_scene():
    a, b = GENERATOR.normal(0.5, 1, (7, 1)), GENERATOR.normal(0, 1, (5, 1))
    expected = stats.mannwhitneyu(a[:, 0], b[:, 0]).statistic / 35
    assert effects.probability_of_improvement(a, b) == pytest.approx(expected, abs=1e-12)


def test_tie_letters_are_shared_exactly_by_what_is_not_separable():
    order = ["a", "b", "c", "d", "e"]
    for bits in GENERATOR.integers(0, 2, (40, 10)):
        separable = dict(zip(combinations(order, 2), bits.astype(bool), strict=True))
        letters = effects.tie_letters(order, separable)
        for (first, second), apart in separable.items():
            assert bool(set(letters[first]) & set(letters[second])) is not apart
    assert letters["a"].startswith("a")


def test_many_methods_get_the_best_group_alone():
    order = [f"m{k}" for k in range(60)]
    letters = effects.tie_letters(order, {("m0", name): True for name in order[2:]})
    assert letters["m0"] == letters["m1"] == "a" and set(letters.values()) == {"a", ""}
