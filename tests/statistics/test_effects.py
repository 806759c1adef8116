"""Effect sizes, power, ties and corrections against scipy and statsmodels."""

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from metrics.files import InputError
from metrics.statistics import effects, families, moments, others

GENERATOR = np.random.default_rng(5)


@pytest.mark.parametrize("scenes", [4, 12, 80])
def test_detectable_effect_agrees_with_statsmodels(scenes):
    by_scene = GENERATOR.normal(0, 1, scenes)
    half = stats.t.ppf(0.975, scenes - 1) * by_scene.std(ddof=1) / np.sqrt(scenes)
    expected = TTestPower().solve_power(nobs=scenes, alpha=0.05, power=0.8) * by_scene.std(ddof=1)
    assert effects.detectable(half, scenes - 1) == pytest.approx(expected, rel=5e-3)


def test_detectable_effect_grows_with_a_stricter_level():
    assert effects.detectable(0.1, 10, 0.05 / 8) > effects.detectable(0.1, 10, 0.05) > 0.1


def test_tost_agrees_with_statsmodels():
    a = GENERATOR.normal(0.5, 0.02, 30)
    b = a + GENERATOR.normal(0.001, 0.02, 30)
    gap = a - b
    found = effects.tost(gap.mean(), gap.var(ddof=1) / 30, 29, 0.02)
    assert found == pytest.approx(ttost_paired(a, b, -0.02, 0.02)[0], rel=1e-9)


def test_holm_agrees_with_statsmodels_and_keeps_the_place_of_missing_tests():
    p = GENERATOR.uniform(0, 0.2, 9)
    assert families.holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    lacking = np.append(p, np.nan)
    expected = multipletests(np.append(p, 1.0), method="holm")[1][:-1]
    for found in (families.holm(lacking), families.adjust(lacking, "holm")):
        assert found[:-1] == pytest.approx(expected, rel=1e-12)
        assert np.isnan(found[-1])
    left_out = families.adjust(lacking, "fdr_bh")[:-1]
    assert left_out == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)


def test_improvement_counts_direction_and_ties():
    a, b = np.array([[1.0, 2.0]]), np.array([[2.0, 2.0], [0.0, 2.0]])
    assert effects.probability_of_improvement(a, b) == 0.5
    # [1, 1] against [3, 3] and [1, 3]: smaller in three of four, equal once
    better = np.array([[1.0, 1.0]])
    assert effects.probability_of_improvement(better, b + 1, higher_is_better=False) == 0.875


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


def test_plan_finds_more_power_with_more_seeds():
    found = effects.plan(0.08, 0.02, 0.1, 0.1, seeds=(3, 5), scenes=(80,), power=0.0)
    assert [(s, n) for s, n, _ in found] == [(3, 80), (5, 80)]
    assert found[1][2] > found[0][2] > 0.5


def test_sign_flip_is_exact_on_few_scenes():
    by_scene = np.array([0.3, 0.1, 0.4, -0.05, 0.2])
    flips = [
        np.mean(by_scene * np.array(signs))
        for signs in {p for k in range(6) for p in permutations([1] * k + [-1] * (5 - k))}
    ]
    exact = np.mean(np.abs(flips) >= by_scene.mean() - 1e-12)
    found = others.bootstrap_and_flip(by_scene)
    assert found.p == pytest.approx(exact)
    assert found.note == "smallest possible p 0.062"
    assert found.question == moments.SCENES


def test_other_questions_agree_with_scipy():
    cells = [GENERATOR.normal(mean, 0.1, (4, 9)) for mean in (0.6, 0.5)]
    a, b = (moments.summarise(x) for x in cells)
    by_scene = a.scene_means - b.scene_means
    assert others.clustered_t(by_scene).p == pytest.approx(stats.ttest_1samp(by_scene, 0).pvalue)
    welch = stats.ttest_ind(cells[0].mean(1), cells[1].mean(1), equal_var=False)
    assert others.welch(a, b).p == pytest.approx(welch.pvalue)
    assert np.isnan(others.clustered_t(np.ones(4)).p)


def test_crossed_bootstrap_agrees_with_the_moments_at_ten_seeds():
    shape = (12, 60)
    a, b = (
        GENERATOR.normal(0, 0.03, (12, 1))
        + GENERATOR.normal(0, 0.1, (1, 60))
        + GENERATOR.normal(0, 0.05, shape)
        for _ in range(2)
    )
    low, high = others.crossed_bootstrap(a, b, draws=4000)
    found = moments.difference(moments.summarise(a), moments.summarise(b))
    assert high - low == pytest.approx(float(found.high - found.low), rel=0.15)


def test_families_expand_subsets_and_refuse_other_forms():
    said = {"mine": {"split": "s", "tests": [{"a": "x", "b": "y", "metrics": ["m/part", "n"]}]}}
    tests = families.declared(said)
    assert [(t.metric, t.subset) for t in tests] == [("m", "part"), ("n", "all")]
    with pytest.raises(InputError, match="statistics.families.mine"):
        families.declared({"mine": {"tests": [{"a": "x"}]}})


def test_article_family_has_the_article_s_rows():
    tests = [t for t in families.declared(None) if t.family == "article"]
    assert len(tests) == 24
    assert all(t.a == "full" and t.split == "test_scene" for t in tests)
    assert {t.b for t in tests} == set(families.ARTICLE_ROWS)
