"""Coverage and false positives in studies with known truth."""

import numpy as np
import pandas as pd
import pytest

from metrics.statistics import simulate


@pytest.mark.parametrize(
    "setting",
    [
        simulate.Setting(3, 8, 0.05, 3, 0.05),
        simulate.Setting(3, 20, 0.02, 3, 0.02, "binary"),
        simulate.Setting(5, 20, 0.05, 0, 0.0),
        simulate.Setting(3, 12, 0.02, 3, 0.02, "pooled"),
        simulate.Setting(3, 12, 0.02, 3, 0.02, "skewed"),
    ],
)
def test_headline_covers_where_naive_intervals_do_not(setting):
    rows = simulate.run(setting, studies=400).set_index("interval")
    # 400 studies: three standard errors of .95 are .033
    assert 0.917 <= rows.loc["headline", "coverage"] <= 1
    assert rows.loc["headline", "false_positives"] <= 0.083
    assert 0.917 <= rows.loc["headline, one method", "coverage"] <= 1
    if setting.shape != "pooled":
        naive = rows.loc["naive: queries as independent", "coverage"]
        assert naive < rows.loc["headline", "coverage"] - 0.03


def test_cells_have_the_spread_of_their_queries():
    """The within-cell sum of squares has the mean that ten sampled queries would give it."""
    generator = np.random.default_rng(0)
    normal, _ = simulate.sample(simulate.Setting(2, 30, 0.0, 2, 0.0), 300, generator)
    assert normal.within.mean() == pytest.approx(2 * 30 * 9 * 0.09, rel=0.02)
    assert normal.cells.mean() == pytest.approx(0.5, abs=0.01)
    binary, _ = simulate.sample(simulate.Setting(2, 30, 0.0, 2, 0.0, "binary"), 300, generator)
    spread = 0.25 - (0.1**2 + 0.05**2 + 0.03**2)
    assert binary.within.mean() == pytest.approx(2 * 30 * 9 * spread, rel=0.02)


def test_pooled_studies_have_the_truth_that_is_claimed():
    setting = simulate.Setting(2, 400, 0.02, 2, 0.02, "pooled")
    pooled, _ = simulate.sample(setting, 60, np.random.default_rng(1))
    assert pooled.theta.mean() == pytest.approx(0.375, abs=0.004)
    assert pooled.cells.mean(-1) == pytest.approx(pooled.theta, abs=5e-3)


def test_every_setting_of_the_grid_is_committed_and_in_the_band():
    rows = pd.read_csv(simulate.COVERAGE)
    headline = rows[rows["interval"] == "headline"]
    fields = list(simulate.Setting.__dataclass_fields__)
    found = {simulate.Setting(*row) for row in headline[fields].itertuples(index=False)}
    assert len(headline) == len(simulate.grid()) and found == set(simulate.grid())
    assert {s.shape for s in found} == set(simulate.SHAPES)
    assert headline["coverage"].between(0.93, 0.99).all()
    assert (headline["false_positives"] <= 0.06).all()
    assert rows.loc[rows["interval"].str.startswith("naive"), "coverage"].min() < 0.5


@pytest.mark.slow
def test_grid_is_what_was_committed():
    committed = pd.read_csv(simulate.COVERAGE)
    fields = list(simulate.Setting.__dataclass_fields__)
    settings = committed[fields].drop_duplicates().itertuples(index=False)
    again = simulate.table([simulate.Setting(*row) for row in settings][::12])
    both = again.merge(committed, on=[*fields, "interval"], suffixes=("", "_committed"))
    assert len(both) == len(again)
    assert np.abs(both["coverage"] - both["coverage_committed"]).max() < 1e-3
