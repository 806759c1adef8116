"""Effect sizes, power, ties and corrections against scipy and statsmodels."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from metrics.statistics import effects, families, measures
from tests.metrics.statistics import synthetic

GENERATOR = np.random.default_rng(5)


@pytest.mark.parametrize("scenes", [4, 12, 80])
def test_detectable_effect_agrees_with_statsmodels(scenes):
    by_scene = GENERATOR.normal(0, 1, scenes)
    half = stats.t.ppf(0.975, scenes - 1) * by_scene.std(ddof=1) / np.sqrt(scenes)
    expected = TTestPower().solve_power(nobs=scenes, alpha=0.05, power=0.8) * by_scene.std(ddof=1)
    assert effects.detectable(half, scenes - 1) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 60, 0.05 / 80, 0.05 / 3060, 0.05 / 1e5, 0.05 / 1e8])
@pytest.mark.parametrize("df", [1.0, 1.5, 3.0, 30.0])
def test_detectable_effect_has_its_power(alpha, df):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shift = effects.noncentrality(df, alpha)
    # The statistic given its denominator, averaged over the denominator's quantiles.
    share = (np.arange(20000) + 0.5) / 20000
    spread = np.sqrt(stats.chi2.ppf(share, df) / df)
    power = stats.norm.sf(stats.t.isf(alpha / 2, df) * spread - shift).mean()
    assert power == pytest.approx(0.8, abs=1e-4)


def test_detectable_effect_grows_with_a_stricter_level():
    assert effects.detectable(0.1, 10, 0.05 / 8) > effects.detectable(0.1, 10, 0.05) > 0.1


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


def test_families_expand_subsets():
    written = {"mine": {"split": "s", "tests": [{"a": "x", "b": "y", "metrics": ["m/part", "n"]}]}}
    tests = families.parse_families(written)
    assert [(t.metric, t.subset) for t in tests] == [("m", "part"), ("n", "all")]


def test_article_family_has_the_article_s_rows():
    tests = families.parse_families(synthetic.CONFIG["families"])
    tests = [t for t in tests if t.family == "article"]
    assert len(tests) == 24
    assert all(t.a == "full" and t.split == "test_scene" for t in tests)
    assert len({t.b for t in tests}) == 5


def test_margins_are_those_declared_for_the_unit():
    assert (
        measures.equivalence_margin("fscore@5cm") == 0.02
        and measures.equivalence_margin("chamfer_l1_m") == 0.005
    )
    assert np.isnan(measures.equivalence_margin("chamfer_l2sq_m2")) and np.isnan(
        measures.equivalence_margin("mine")
    )
    assert measures.equivalence_margin("mine", {"mine": 3}) == 3.0
