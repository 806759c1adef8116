"""Coverage and false positives in studies with known truth."""

import numpy as np
import pandas as pd
import pytest

from metrics.statistics import moments, simulate


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


def committed() -> tuple[pd.DataFrame, list[simulate.Setting]]:
    """The committed rows, and the setting of each."""
    rows = pd.read_csv(simulate.COVERAGE)
    fields = rows[list(simulate.Setting.__dataclass_fields__)].astype(object)
    found = fields.where(fields.notna(), None).itertuples(index=False)
    return rows, [simulate.Setting(*row) for row in found]


def test_every_setting_of_the_grid_is_committed_and_in_the_band():
    rows, settings = committed()
    is_headline = rows["interval"] == "headline"
    headline = rows[is_headline]
    found = [s for s, used in zip(settings, is_headline, strict=True) if used]
    assert found == [*simulate.grid(), *simulate.extended_grid()]
    assert {s.shape for s in found} == set(simulate.SHAPES)
    # Scenes that share an effect are no independent scenes; averaged by cluster they are.
    alone = np.array([s.cluster == 1 for s in found])
    assert headline["coverage"][alone].between(0.93, 0.992).all()
    assert (headline["false_positives"][alone] <= 0.06).all()
    averaged = rows[rows["interval"] == "headline, clusters averaged"]
    assert len(averaged) == 2 and averaged["coverage"].between(0.93, 0.992).all()
    assert rows.loc[rows["interval"].str.startswith("naive"), "coverage"].min() < 0.5


def test_one_method_s_limits_cover_near_the_ends_of_the_range():
    rows, settings = committed()
    ends = np.array([s.level != 0.5 for s in settings])
    alone = rows[ends & (rows["interval"] == "headline, one method")]
    assert len(alone) == 8 and (alone["coverage"] > 0.93).all()


def test_paired_seeds_have_the_power_that_was_planned():
    """Power at a gap of 0.04 with 5 trainings, 80 scenes and a seed SD of 0.02."""
    for correlation, least, most in ((0.0, 0.45, 0.62), (0.5, 0.62, 0.82), (0.9, 0.82, 0.97)):
        setting = simulate.Setting(5, 80, 0.02, 5, 0.02, correlation=correlation)
        first, second = simulate.sample(setting, 1500, np.random.default_rng(0))
        gaps = moments.summarise(first.cells - second.cells + 0.04)
        power = np.mean(moments.paired_interval(gaps).p < 0.05)
        assert least < power < most, correlation


@pytest.mark.slow
def test_grid_is_what_was_committed():
    rows, settings = committed()
    fields = list(simulate.Setting.__dataclass_fields__)
    again = simulate.table(list(dict.fromkeys(settings))[::12])
    again = again.astype(rows.dtypes[fields].to_dict())  # What is None becomes NaN, as in the file.
    both = again.merge(rows, on=[*fields, "interval"], suffixes=("", "_committed"))
    assert len(both) == len(again)
    assert np.abs(both["coverage"] - both["coverage_committed"]).max() < 1e-3
