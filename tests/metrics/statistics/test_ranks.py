"""Ranks, medians and profiles against Demsar's (2006) worked example, scipy and hand counts."""

import numpy as np
import pytest
from scipy import stats

from metrics.statistics import profiles, ranks
from metrics.statistics.table import Block

GENERATOR = np.random.default_rng(2)

# Demsar (2006), table 6: AUC of C4.5 plain, with m, with cf, with both tuned; 14 data sets.
# On the thirteenth the third is ranked before the fourth by digits that the table does not print.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_friedman_on_demsar_s_example():
    found = ranks.friedman(DEMSAR)
    assert found["mean_rank"] == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # The paper does not correct for ties: each of its rank sums of squares counts as 14 * 5.
    squares = np.square(stats.rankdata(-DEMSAR, axis=1) - 2.5).sum()
    uncorrected = found["friedman_chi2"] * squares / (14 * 5)
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.005)
    f = 13 * found["friedman_chi2"] / (14 * 3 - found["friedman_chi2"])
    assert found["friedman_p"] == pytest.approx(stats.f.sf(f, 3, 39), rel=1e-12)
    # The paper's Nemenyi q = 2.569 and 2.291.
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


def test_friedman_with_ties_is_scipy_s():
    for scores in (DEMSAR, GENERATOR.integers(0, 4, (20, 5)).astype(float)):
        peer = stats.friedmanchisquare(*scores.T)
        found = ranks.friedman(scores)
        assert found["friedman_chi2"] == pytest.approx(peer.statistic, rel=1e-9)
        turned = ranks.friedman(-scores, higher_is_better=False)
        assert turned["mean_rank"] == pytest.approx(found["mean_rank"])


def test_friedman_of_ties_alone_has_no_p():
    assert np.isnan(ranks.friedman(np.ones((5, 3)))["friedman_p"])
    with pytest.raises(ValueError, match="3 methods"):
        ranks.friedman(np.ones((5, 2)))


def test_bootstrapped_ranks_follow_the_gap():
    scenes = GENERATOR.normal(0, 1, 40)
    means = np.stack([scenes + 5, scenes, scenes])
    low, high, best = ranks.bootstrap_ranks(means, draws=500)
    assert (low[0], high[0], best[0]) == (1, 1, 1)
    assert tuple(low[1:]) == tuple(high[1:]) == (2.5, 2.5)


def block(name, values, scenes=None, theta=None):
    count = values.shape[1]
    names = tuple(f"s{k:02d}" for k in range(count)) if scenes is None else scenes
    return Block(name, values, theta, tuple(range(len(values))), names, True)


def test_rows_say_what_they_are_about():
    blocks = {
        n: block(n, GENERATOR.normal(m, 0.1, (3, 9))) for n, m in zip("abc", (1, 2, 3), strict=True)
    }
    rows = ranks.rank_rows(("s", "all", "m"), blocks, False)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["median"] == pytest.approx(np.median(blocks["a"].values.mean(0)))
    assert {row["question"] for row in rows} == {"these checkpoints, new scenes"}
    few = ranks.rank_rows(("real_rooms", "all", "m"), blocks, False, descriptive=True)
    assert "friedman_p" not in few[0] and few[0]["note"] == "descriptive: no test"
    pooled = {n: block(n, b.values, theta=b.values.mean(1)) for n, b in blocks.items()}
    assert "median" not in ranks.rank_rows(("s", "all", "m"), pooled, True)[0]


def test_methods_without_a_scene_in_common_have_no_ranks():
    blocks = {"a": block("a", np.ones((2, 2))), "b": block("b", np.ones((2, 2)), ("x", "y"))}
    rows = ranks.rank_rows(("s", "all", "m"), blocks, True)
    assert [row["n_scenes"] for row in rows] == [0, 0] and "rank" not in rows[0]


def test_profile_is_the_share_that_reaches_a_threshold():
    cells = np.array([[0.1, 0.5, 0.9], [0.2, 0.5, 0.6]])
    up = profiles.profile(cells, [0.0, 0.5, 0.95])
    assert up.estimate == pytest.approx([1, 4 / 6, 0])
    down = profiles.profile(cells, [0.15, 0.5], higher_is_better=False)
    assert down.estimate == pytest.approx([1 / 6, 4 / 6])
    assert np.isnan(up.low[0]) and np.isfinite(up.low[1])


def test_profile_of_a_deterministic_method_is_a_binomial_s_t_interval():
    cells = (GENERATOR.random((1, 30)) < 0.4).astype(float)
    found = profiles.profile(cells, [0.5], stochastic=False)
    peer = stats.ttest_1samp(cells[0], 0).confidence_interval()
    assert (found.low[0], found.high[0]) == pytest.approx((peer.low, peer.high))


def test_thresholds_of_distances_are_their_quantiles():
    at = profiles.thresholds(np.array([0.1, 0.2, 3.0]), 3)
    assert at == pytest.approx([0.1, 0.2, 3.0])
    assert profiles.thresholds(np.array([0.1, 0.2]), 5) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
