"""Variance components and power against statsmodels, simulation and hand calculation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from metrics.files import InputError
from metrics.statistics import detection, moments, planning
from tests.metrics.statistics import reml, synthetic

GENERATOR = np.random.default_rng(4)


def crossed(seeds, scenes, seed_sd, scene, noise):
    return (
        scene
        + GENERATOR.normal(0, seed_sd, (seeds, 1))
        + GENERATOR.normal(0, noise, (seeds, scenes))
    )


def test_components_are_reml_s_of_a_balanced_table():
    a = crossed(6, 14, 0.2, GENERATOR.normal(0, 0.3, 14), 0.1)
    # a deterministic method that scores zero everywhere: the difference is a itself
    zero = moments.summarise(np.zeros((1, 14)), stochastic=False)
    found = planning.components(moments.summarise(a), zero)
    expected, residual = reml.fitted(a)
    assert found.seed == pytest.approx(expected["seed"], rel=5e-3)
    assert found.scene == pytest.approx(expected["scene"], rel=5e-3)
    assert found.cell == pytest.approx(residual, rel=5e-3)


def test_power_of_scenes_alone_is_the_paired_t_test_s():
    parts = planning.Components(seed=0.0, scene=0.04, cell=0.0)
    for scenes in (10, 40):
        # Two trainings that never differ leave the scenes alone.
        design = replace(planning.design_of(parts, 3, scenes), seeds=(), trainings=(), residuals=())
        expected = TTestPower().power(0.1 / 0.2, scenes, 0.05)
        assert detection.power(0.1, design) == pytest.approx(expected, abs=0.015)


def test_power_of_seeds_alone_is_near_the_two_sample_t_test_s():
    """The rule takes Welch's degrees of freedom, and a wider interval where one method varies."""
    parts = planning.Components(seed=2 * 0.05**2, scene=0.0, cell=0.0)
    shift = 0.1 / np.sqrt(2 * 0.05**2 / 5)
    expected = stats.nct.sf(stats.t.isf(0.025, 8), 8, shift)
    found = detection.power(0.1, planning.design_of(parts, 5, 80))
    assert expected - 0.12 < found < expected


def test_power_is_what_simulated_studies_reach():
    parts = planning.Components(seed=2 * 0.02**2, scene=2 * 0.05**2, cell=2 * 0.1**2)
    shape, gap = (4000, 5, 40), 0.05
    cells = [
        GENERATOR.normal(0, 0.02, (4000, 5, 1))
        + GENERATOR.normal(0, 0.05, (4000, 1, 40))
        + GENERATOR.normal(0, 0.1, shape)
        for _ in range(2)
    ]
    found = moments.difference_interval(
        moments.summarise(cells[0] + gap), moments.summarise(cells[1])
    )
    expected = detection.power(gap, planning.design_of(parts, 5, 40))
    assert np.mean(found.p < 0.05) == pytest.approx(expected, abs=0.015)


def test_plan_says_which_designs_are_enough():
    parts = planning.Components(2 * 0.02**2, 2 * 0.1**2, 2 * 0.1**2)
    alone = planning.plan(0.06, parts, seeds=(3, 5, 10), scenes=(40, 300))
    assert list(alone.columns) == planning.COLUMNS
    assert (alone["enough"] == (alone["power"] >= 0.8)).all()
    # the difference that a design detects is the one it has the wanted power for
    row = alone.iloc[-1]
    design = planning.design_of(parts, int(row["seeds"]), int(row["scenes"]))
    again = detection.power(row["detectable"], design)
    assert again == pytest.approx(0.8, abs=1e-6)
    family = planning.plan(0.06, parts, tests=8, seeds=(3, 5, 10), scenes=(40, 300))
    assert (family["power"] < alone["power"]).all()


def test_plan_from_scores_and_its_errors():
    table = synthetic.scores(scenes=12)
    ask = ("fscore@5cm", "full", "no_geometry", 0.02)
    parts, designs = planning.from_scores(table, *ask)
    assert parts.seed > 0 and parts.cell > 0
    text = planning.format_plan(parts, designs, 0.02, 0.8)
    assert "Power to detect 0.02" in text and "Fewest trainings" in text
    for change, word in (
        (("nothing", *ask[1:]), "has no nothing"),
        ((*ask[:2], "nobody", 0.02), "has no nobody"),
        ((*ask[:3], -1.0), "above 0"),
    ):
        with pytest.raises(InputError, match=word):
            planning.from_scores(table, *change)
    with pytest.raises(InputError, match="train one of them twice"):
        planning.from_scores(table[table["seed"] == 0], *ask)
    with pytest.raises(InputError, match="share 1 scenes"):
        planning.from_scores(table[table["scene"].isin(["", "dev_scene-0003"])], *ask)
