"""Two-way moments against hand calculation, scipy and statsmodels."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from metrics.statistics import moments
from tests.metrics.statistics import reml

GENERATOR = np.random.default_rng(3)


def crossed(seeds, scenes, seed_sd, scene_sd=0.3, noise=0.1, size=(), mean=0.0):
    return (
        mean
        + GENERATOR.normal(0, scene_sd, (*size, 1, scenes))
        + GENERATOR.normal(0, seed_sd, (*size, seeds, 1))
        + GENERATOR.normal(0, noise, (*size, seeds, scenes))
    )


def test_variance_by_hand():
    a = np.array([[1.0, 2.0, 6.0], [2.0, 4.0, 9.0]])
    b = np.array([[0.0, 2.0, 4.0], [1.0, 1.0, 7.0]])
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b), fallback=False)
    seed_a, seed_b = np.var([3, 5], ddof=1) / 2, np.var([2, 3], ddof=1) / 2
    scene = np.var([1.0, 1.5, 2.0], ddof=1) / 3
    # residuals about row and column means: sums of squares 1.0 and 3.0 on two degrees of freedom
    residuals = [(1.0 / 2) / 6, (3.0 / 2) / 6]
    raw = seed_a + seed_b + scene - sum(residuals)
    floor = max(seed_a + seed_b, scene)
    assert found.estimate == pytest.approx(1.5)
    assert found.variance == pytest.approx(max(raw, floor), abs=1e-12)
    assert found.df == pytest.approx((seed_a + seed_b) ** 2 / (seed_a**2 + seed_b**2))


def test_satterthwaite_over_the_five_terms():
    a, b = crossed(4, 20, 0.2), crossed(3, 20, 0.1)
    left, right = moments.summarise(a), moments.summarise(b)
    found = moments.difference_interval(left, right, fallback=False)
    terms = [
        (a.mean(1).var(ddof=1) / 4, 3),
        (b.mean(1).var(ddof=1) / 3, 2),
        ((a.mean(0) - b.mean(0)).var(ddof=1) / 20, 19),
        (-left.residual / 80, 57),
        (-right.residual / 60, 38),
    ]
    raw = sum(value for value, _ in terms)
    assert found.variance == pytest.approx(raw, rel=1e-12)
    assert found.df == pytest.approx(raw**2 / sum(v**2 / df for v, df in terms), rel=1e-12)


def test_deterministic_pair_is_the_paired_t():
    a, b = GENERATOR.normal(0.5, 0.2, 15), GENERATOR.normal(0.4, 0.2, 15)
    left, right = (moments.summarise(x[None], stochastic=False) for x in (a, b))
    found = moments.difference_interval(left, right)
    expected = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    limits = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-10)
    assert moments.question_of(left, right) == moments.TRAININGS_AND_SCENES


def test_equals_welch_when_scenes_do_not_matter():
    seeds_a, seeds_b = np.array([0.1, 0.3, 0.2, 0.5]), np.array([0.9, 0.7, 0.6])
    a, b = (np.repeat(s[:, None], 6, axis=1) for s in (seeds_a, seeds_b))
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b), fallback=False)
    expected = stats.ttest_ind(seeds_a, seeds_b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.df == pytest.approx(expected.df, rel=1e-10)


def test_variance_agrees_with_crossed_mixed_model():
    cells = crossed(6, 12, 0.2, 0.3, 0.1)
    components, residual = reml.fitted(cells)
    expected = components["seed"] / 6 + components["scene"] / 12 + residual / 72
    found = moments.mean_interval(moments.summarise(cells), fallback=False)
    assert float(found.variance) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("seeds", "scenes"), [(3, 80), (2, 40)])
def test_fallback_limits_and_p_agree(seeds, scenes):
    a, b = (
        crossed(seeds, scenes, 0.1, size=(50,), mean=0.1),
        crossed(seeds, scenes, 0.05, size=(50,)),
    )
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b), fallback=True)
    plain = moments.difference_interval(moments.summarise(a), moments.summarise(b), fallback=False)
    excludes_zero = (found.low > 0) | (found.high < 0)
    assert np.array_equal(excludes_zero, found.p < 0.05)
    assert ((found.high - found.low) > 0.99 * (plain.high - plain.low)).mean() > 0.9


def test_fallback_half_width_by_hand():
    a, b = crossed(3, 30, 0.2), crossed(4, 30, 0.2)
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b), fallback=True)
    seed_a, seed_b = a.mean(1).var(ddof=1) / 3, b.mean(1).var(ddof=1) / 4
    scene = (a.mean(0) - b.mean(0)).var(ddof=1) / 30
    t = [stats.t.ppf(0.975, df) ** 2 for df in (2, 3, 29)]
    rest = max(float(found.variance) - seed_a - seed_b, 0)
    expected = max(t[0] * seed_a + t[1] * seed_b + t[2] * rest, t[2] * scene)
    assert (found.high - found.low) / 2 == pytest.approx(np.sqrt(expected), rel=1e-10)


def test_no_interval_where_none_can_be():
    one_scene = moments.mean_interval(moments.summarise(np.array([[0.2], [0.3]])))
    constant = moments.mean_interval(moments.summarise(np.ones((3, 5))))
    for found in (one_scene, constant):
        assert np.isnan([found.low, found.high, found.p]).all()
    once = moments.summarise(np.array([[0.1, 0.4, 0.2]]))
    assert moments.question_of(once) == moments.SCENES


def test_copies_of_a_deterministic_method_are_refused():
    with pytest.raises(ValueError, match="one row"):
        moments.summarise(np.ones((3, 5)), stochastic=False)


def test_pooled_estimate_comes_from_theta():
    pseudo = crossed(3, 10, 0.1)
    cells = moments.summarise(pseudo, theta=np.array([0.5, 0.6, 0.7]))
    found = moments.mean_interval(cells)
    assert found.estimate == pytest.approx(0.6)
    assert found.variance == pytest.approx(
        float(moments.mean_interval(moments.summarise(pseudo)).variance)
    )


def test_fallback_is_taken_where_one_method_s_trainings_carry_the_seed_part():
    steady, loose = crossed(3, 80, 0.001), crossed(3, 80, 0.3)
    assert moments.difference_interval(moments.summarise(loose), moments.summarise(steady)).fallback
    twins = [moments.summarise(loose), moments.summarise(loose[::-1] * 0.9)]
    assert not moments.difference_interval(*twins).fallback
    assert not moments.mean_interval(moments.summarise(crossed(3, 8, 0.3))).fallback


def test_equivalence_is_two_one_sided_tests_of_the_same_interval():
    a, b = crossed(4, 30, 0.01, noise=0.02), crossed(4, 30, 0.01, noise=0.02)
    left, right = moments.summarise(a), moments.summarise(b)
    for wide in (False, True):
        narrow = moments.difference_interval(left, right, level=0.9, fallback=wide)
        reach = float(max(abs(narrow.low), abs(narrow.high)))
        found = moments.difference_interval(left, right, fallback=wide, margin=reach)
        # equivalence at .05 is the 90% interval just fitting within the margins (Schuirmann 1987)
        assert found.p_equivalent == pytest.approx(0.05, abs=1e-9)
    assert np.isnan(moments.difference_interval(left, right).p_equivalent)


def test_rounding_left_of_a_constant_is_no_variance():
    a, b = np.full((3, 7), 0.1), np.full((3, 7), 0.3)
    a[:, ::2] = 0.1 + 1e-17
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b), margin=1.0)
    assert found.variance == 0
    assert np.isnan([found.p, found.p_equivalent, found.low, found.df]).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.97, 1.0])
def test_limits_of_a_share_are_wilson_s(share):
    count = 80
    half = stats.norm.isf(0.025) * np.sqrt(share * (1 - share) / count)
    low, high = moments.bounded_limits(share, half, 0.0, 1.0)
    if not 0 < share < 1:
        assert np.isnan(low) and np.isnan(high)  # nothing varies
        return
    wilson = proportion_confint(share * count, count, method="wilson")
    assert (low, high) == pytest.approx(wilson, rel=1e-9)
    # On another scale: the same limits, scaled.
    moved = moments.bounded_limits(5 + 2 * share, 2 * half, 5.0, 7.0)
    assert moved == pytest.approx((5 + 2 * low, 5 + 2 * high))


def test_limits_stay_in_the_range_and_near_the_symmetric_ones_inside():
    estimate, half = np.array([0.001, 0.5, 0.999]), np.array([0.01, 0.01, 0.01])
    low, high = moments.bounded_limits(estimate, half, 0.0, 1.0)
    assert (low > 0).all() and (high < 1).all()
    assert (low[1], high[1]) == pytest.approx((0.49, 0.51), abs=1e-4)
    low, high = moments.bounded_limits(np.array([0.02]), np.array([0.03]), 0.0, None)
    assert 0 < low[0] < 0.02 < high[0]
    assert low[0] * high[0] == pytest.approx(0.02**2)


def test_differences_are_cut_at_the_largest_difference():
    generator = np.random.default_rng(0)
    a, b = (generator.integers(0, 2, (2, 3)).astype(float) for _ in range(2))
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b))
    cut = moments.difference_interval(moments.summarise(a), moments.summarise(b), bounds=(0.0, 1.0))
    assert found.high - found.low > 2
    assert (cut.low, cut.high) == (max(found.low, -1), min(found.high, 1))
    assert cut.p == found.p


def test_paired_seeds_are_the_one_method_interval_of_the_gaps():
    generator = np.random.default_rng(3)
    effect = generator.normal(0, 0.05, (5, 1))
    a, b = (0.5 + effect + generator.normal(0, 0.02, (5, 40)) for _ in range(2))
    gaps = moments.summarise(a - b)
    paired = moments.paired_interval(gaps)
    alone = moments.mean_interval(gaps)
    assert (paired.low, paired.high) == (alone.low, alone.high)
    unpaired = moments.difference_interval(moments.summarise(a), moments.summarise(b))
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)
    assert 0 < paired.p <= 1
