"""Simulated power against whole simulated studies and the paired t test."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from metrics.statistics import detection, moments

SCENE, REST = 0.05, 0.1


def studies(count, seeds, scenes, seed_sd, generator):
    """Cells f64 [count, S, N] of one method in many studies."""
    return (
        generator.normal(0, seed_sd, (count, seeds, 1))
        + generator.normal(0, SCENE, (count, 1, scenes))
        + generator.normal(0, REST, (count, seeds, scenes))
    )


def expected_design(seeds, scenes, seed_sd):
    """The design with the true mean squares of `studies`, one entry a method."""
    return detection.Design(
        tuple(seeds),
        scenes,
        tuple(sd**2 + REST**2 / scenes for sd in seed_sd),
        (REST**2,) * len(seeds),
        sum(SCENE**2 + REST**2 / s for s in seeds),
    )


@pytest.mark.parametrize(
    ("seeds", "scenes", "seed_sd", "alpha"),
    [
        ((3, 3), 80, (0.02, 0.02), 0.05),
        ((3, 3), 80, (0.05, 0.05), 0.05 / 6),
        ((5, 5), 80, (0.05, 0.0), 0.05),
        ((5, 3), 20, (0.02, 0.05), 0.05),
        ((2, 2), 80, (0.02, 0.02), 0.05),
    ],
)
def test_the_detectable_effect_is_detected_with_its_power(seeds, scenes, seed_sd, alpha):
    generator = np.random.default_rng(1)
    effect = detection.detectable(expected_design(seeds, scenes, seed_sd), alpha)
    a, b = (
        moments.summarise(studies(6000, s, scenes, sd, generator))
        for s, sd in zip(seeds, seed_sd, strict=True)
    )
    level = moments.difference_interval(a, b, level=1 - alpha)
    half = (level.high - level.low) / 2
    assert np.mean(effect + level.estimate > half) == pytest.approx(0.8, abs=0.02)


def test_without_trainings_that_vary_it_is_the_paired_t_test():
    for scenes in (5, 12, 80):
        design = detection.Design((), scenes, (), (), 1.0)
        expected = TTestPower().solve_power(nobs=scenes, alpha=0.05, power=0.8)
        assert detection.detectable(design) == pytest.approx(expected, rel=0.02)
        assert detection.power(expected, design) == pytest.approx(0.8, abs=0.015)
        assert detection.power(0.0, design) == pytest.approx(0.05, abs=0.008)


def test_a_stricter_level_detects_less_and_nothing_varying_gives_none():
    design = expected_design((3, 3), 80, (0.02, 0.02))
    assert detection.detectable(design, 0.05 / 8) > detection.detectable(design)
    still = detection.Design((3, 3), 80, (0.0, 0.0), (0.0, 0.0), 0.0)
    assert np.isnan(detection.detectable(still)) and np.isnan(detection.power(0.1, still))


def test_designs_are_those_that_were_observed():
    generator = np.random.default_rng(2)
    a, b = (studies(4, s, 30, 0.02, generator) for s in (3, 1))
    first, second = moments.summarise(a), moments.summarise(b)
    by_scene = first.scene_means - second.scene_means
    for k, design in enumerate(detection.designs_of(first, second, by_scene=by_scene)):
        assert design.seeds == (3,) and design.scenes == 30
        assert design.trainings == (pytest.approx(a[k].mean(1).var(ddof=1)),)
        gap = a[k].mean(0) - b[k][0]
        assert design.by_scene == pytest.approx(gap.var(ddof=1))
        found = moments.difference_interval(first, second)
        assert design.variance == pytest.approx(float(found.variance[k]))
