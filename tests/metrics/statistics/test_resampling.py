"""Bootstraps, flips, permutations and the other questions against scipy."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from metrics.statistics import moments, resampling, secondary_estimands

GENERATOR = np.random.default_rng(11)


def test_bootstrap_limits_are_scipy_s_on_the_same_draws():
    x = GENERATOR.gamma(1.0, 1.0, (4, 30))
    low, high = resampling.bootstrap_means(x, 2000)
    drawn = resampling.counts(30, 2000) @ x.T / 30
    for k, row in enumerate(x):
        given = SimpleNamespace(bootstrap_distribution=drawn[:, k])
        found = stats.bootstrap(
            (row,), np.mean, n_resamples=0, method="BCa", bootstrap_result=given
        ).confidence_interval
        assert (low[k], high[k]) == pytest.approx((found.low, found.high), rel=1e-9)


def test_bootstrap_limits_are_scipy_s_but_for_the_draws():
    x = GENERATOR.gamma(1.0, 1.0, 40)
    low, high = resampling.bootstrap_means(x[None], 40_000)
    found = stats.bootstrap(
        (x,), np.mean, n_resamples=40_000, rng=np.random.default_rng(1)
    ).confidence_interval
    # a 2.5% quantile of 40,000 draws has a standard error of about .013 standard errors
    room = 6 * 0.013 * x.std() / np.sqrt(40)
    assert (low[0], high[0]) == pytest.approx((found.low, found.high), abs=room)


def test_draws_sum_exactly_whatever_the_order():
    x = GENERATOR.normal(0, 1, (5, 60))
    integers, _ = resampling.to_integers(x, 60)
    draws = resampling.counts(60, 200)
    backwards = integers[:, ::-1] @ draws[:, ::-1].T
    assert np.array_equal(integers @ draws.T, backwards)
    assert resampling.counts(60, 200).sum(1) == pytest.approx(60)


def test_rows_that_do_not_vary_have_no_limits():
    low, high = resampling.bootstrap_means(np.array([[1.0, 1.0], [1.0, 2.0]]))
    assert np.isnan(low[0]) and np.isfinite(low[1])


@pytest.mark.parametrize("scenes", [5, 12])
def test_sign_flips_are_all_of_them_on_few_scenes(scenes):
    gaps = np.round(GENERATOR.normal(0.1, 0.2, scenes), 2)
    every = np.array(list(product([1, -1], repeat=scenes))) @ gaps
    expected = np.mean(np.abs(every) >= np.abs(gaps.sum()) - 1e-9)
    p, least = resampling.sign_flip(gaps[None])
    assert p[0] == pytest.approx(expected, abs=1e-12)
    assert least == 2.0 ** (1 - scenes)
    peer = stats.permutation_test(
        (gaps,), lambda x, axis: np.mean(x, axis), permutation_type="samples", vectorized=True
    )
    assert p[0] == pytest.approx(peer.pvalue, abs=1e-12)


def test_drawn_sign_flips_agree_with_the_t_on_many_scenes():
    gaps = GENERATOR.normal(0.02, 0.1, (3, 200))
    p, least = resampling.sign_flip(gaps)
    assert least == pytest.approx(1 / 20_001)
    assert p == pytest.approx(stats.ttest_1samp(gaps, 0, axis=1).pvalue, abs=0.015)


@pytest.mark.parametrize(("first", "second"), [(3, 3), (2, 5), (5, 5)])
def test_permutation_of_trainings_is_scipy_s(first, second):
    a, b = GENERATOR.normal(0.6, 0.1, first), GENERATOR.normal(0.4, 0.1, second)
    p, least = resampling.permute_trainings(a[None], b[None])
    peer = stats.permutation_test(
        (a, b), lambda x, y, axis: np.abs(x.mean(axis) - y.mean(axis)), alternative="greater"
    )
    assert p[0] == pytest.approx(peer.pvalue, abs=1e-12)
    assert p[0] >= least


def test_smallest_p_of_three_trainings_against_three_is_a_tenth():
    p, least = resampling.permute_trainings(np.array([[0.1, 0.2, 0.3]]), np.array([[5.0, 6, 7]]))
    assert p[0] == least == pytest.approx(0.1)


@pytest.mark.parametrize("scenes", [11, 24])
def test_median_limits_are_those_of_endless_draws(scenes):
    x = GENERATOR.gamma(1.0, 1.0, scenes)
    low, high = resampling.median_limits(x)
    if scenes % 2:
        found = stats.bootstrap(
            (x,), np.median, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        assert (low, high) == pytest.approx((found.low, found.high), abs=1e-12)
    assert x.min() <= low < np.median(x) < high <= x.max()


def test_crossed_bootstrap_agrees_with_the_moments_at_twelve_trainings():
    a, b = (
        GENERATOR.normal(0, 0.03, (12, 1))
        + GENERATOR.normal(0, 0.1, (1, 60))
        + GENERATOR.normal(0, 0.05, (12, 60))
        for _ in range(2)
    )
    low, high = resampling.crossed_bootstrap(a, b, draws=4000)
    found = moments.difference_interval(moments.summarise(a), moments.summarise(b))
    assert high - low == pytest.approx(float(found.high - found.low), rel=0.15)


def test_crossed_bootstrap_is_a_loop_over_draws_by_hand():
    a, b = GENERATOR.normal(0, 1, (3, 4)), GENERATOR.normal(0, 1, (1, 4))
    columns = resampling.counts(4, 50)
    rows = [resampling.counts(3, 50, 1), resampling.counts(1, 50, 2)]
    drawn = [
        sum(
            sign * (r[k] @ x @ columns[k]) / (len(x) * 4)
            for sign, x, r in zip((1, -1), (a, b), rows, strict=True)
        )
        for k in range(50)
    ]
    found = resampling.crossed_bootstrap(a, b, draws=50)
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), rel=1e-9)


def test_secondary_questions_agree_with_scipy():
    cells = [GENERATOR.normal(mean, 0.1, (4, 9)) for mean in (0.6, 0.5)]
    a, b = (moments.summarise(x[None]) for x in cells)
    gaps = (a.scene_means - b.scene_means)[0]
    clustered, flips = secondary_estimands.new_scenes(a, b)
    peer = stats.ttest_1samp(gaps, 0)
    assert clustered.p[0] == pytest.approx(peer.pvalue, rel=1e-9)
    limits = peer.confidence_interval()
    assert (clustered.ci_low[0], clustered.ci_high[0]) == pytest.approx((limits.low, limits.high))
    assert clustered.question[0] == flips.question[0] == moments.SCENES
    assert list(flips.note) == ["smallest possible p 0.0039"]
    welch, dealt = secondary_estimands.new_trainings(a, b)
    peer = stats.ttest_ind(cells[0].mean(1), cells[1].mean(1), equal_var=False)
    assert welch.p[0] == pytest.approx(peer.pvalue, rel=1e-9)
    limits = peer.confidence_interval()
    assert (welch.ci_low[0], welch.ci_high[0]) == pytest.approx((limits.low, limits.high))
    assert dealt.question[0] == moments.TRAININGS
    assert list(dealt.note) == ["smallest possible p 0.029"]


def test_constant_values_get_no_p():
    a, b = (moments.summarise(np.full((1, 3, 6), x)) for x in (0.3, 0.1))
    for answers in [
        *secondary_estimands.new_scenes(a, b),
        *secondary_estimands.new_trainings(a, b),
    ]:
        assert np.isnan(answers.p[0]) and "vary" in answers.note[0]


def test_crossed_bootstrap_is_not_offered_under_ten_trainings():
    few, many = GENERATOR.normal(0, 1, (1, 3, 8)), GENERATOR.normal(0, 1, (1, 10, 8))
    assert secondary_estimands.crossed_bootstrap(few, many) == []
    for other in (many, many[:, :1]):
        (answers,) = secondary_estimands.crossed_bootstrap(many, other)
        assert answers.question[0] == moments.CROSS_CHECK


def test_quantiles_of_rows_are_those_of_sorted_rows():
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 20, (200, 9)).astype(float)
    shares = generator.random((200, 2))  # in either order
    shares[:40, 1] = shares[:40, 0]
    shares[40], shares[41], shares[42] = (0, 1), (1, 1), (0, 0)
    wanted = [np.quantile(row, share) for row, share in zip(rows, shares, strict=True)]
    found = resampling._quantiles(rows.copy(), shares)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
