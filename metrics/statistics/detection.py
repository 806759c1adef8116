"""What a study detects: the power of its decision rule, simulated from its mean squares.

The rule is the one that decides: the interval of `metrics.statistics.moments` with its fallback, at
the level of the test. In the model of that module the mean squares are independent multiples of
chi-squared variables, and independent of the difference of the means, so a simulated study is a
handful of draws and not a table of cells.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metrics.statistics import moments
from metrics.statistics.effects import ALPHA

# Simulated studies. The standard error of a power of 0.8 is 0.4 over the root of their number.
DRAWS = 10_000
_SEED = 20_260_401


@dataclass(frozen=True)
class Design:
    """A comparison's sizes and the expectations of its mean squares; see `moments`.

    Attributes:
        seeds: trainings of each method that has several.
        scenes: number of scenes N.
        trainings: variance of the training means of those methods, expected s2.
        residuals: variance of the rest of those methods, expected MSR.
        by_scene: variance over scenes of the difference of the scene means, expected s2_d.
    """

    seeds: tuple[int, ...]
    scenes: int
    trainings: tuple[float, ...]
    residuals: tuple[float, ...]
    by_scene: float

    @property
    def variance(self) -> float:
        """The variance of the estimate, not below that of its parts."""
        seeds = sum(value / s for value, s in zip(self.trainings, self.seeds, strict=True))
        rest = sum(value / s for value, s in zip(self.residuals, self.seeds, strict=True))
        scene = self.by_scene / self.scenes
        return max(seeds + scene - rest / self.scenes, seeds, scene)


def designs_of(*methods: moments.Cells, by_scene: np.ndarray) -> list[Design]:
    """Return the designs of M studies whose mean squares are those that were observed.

    Args:
        methods: sums over M tables each: of the methods compared, of one method, or of gaps.
        by_scene: f64 [M, N], what is averaged over scenes.
    """
    trained = [m for m in methods if m.seeds > 1]
    seeds, scenes = tuple(m.seeds for m in trained), methods[0].scenes
    spread = np.full(len(by_scene), np.nan)
    if scenes > 1:
        spread = by_scene.var(-1, ddof=1)
    empty = [()] * len(by_scene)
    trainings = list(zip(*(m.seed_variance.tolist() for m in trained), strict=True)) or empty
    residuals = list(zip(*(m.residual.tolist() for m in trained), strict=True)) or empty
    return [
        Design(seeds, scenes, *parts)
        for parts in zip(trainings, residuals, spread.tolist(), strict=True)
    ]


@lru_cache(maxsize=64)
def _unit(place: int, df: int, draws: int) -> np.ndarray:
    """Return chi-squared draws over their degrees of freedom f64 [draws], one set a place."""
    return np.random.default_rng([_SEED, place, df]).chisquare(df, draws) / df


@lru_cache(maxsize=4)
def _normal(draws: int) -> np.ndarray:
    return np.random.default_rng([_SEED]).normal(0, 1, draws)


def simulated_studies(
    design: Design, alpha: float = ALPHA, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate studies of a design with no true difference.

    Args:
        design: sizes and mean squares.
        alpha: level of the two-sided test; `ALPHA` / size at the first step of Holm's procedure.
        draws: number of studies.

    Returns:
        The estimate f64 [draws] of each study and the half-width f64 [draws] of its interval at
        level 1 - alpha. A study with a true difference `gap` rejects where |gap + estimate| exceeds
        the half-width.
    """
    scene_df = design.scenes - 1
    scene = (design.by_scene * _unit(0, scene_df, draws) / design.scenes, scene_df)
    seeds, residuals = [], []
    for place, (count, training, residual) in enumerate(
        zip(design.seeds, design.trainings, design.residuals, strict=True), start=1
    ):
        seeds.append((training * _unit(place, count - 1, draws) / count, count - 1))
        rest = (count - 1) * scene_df
        scaled = residual * _unit(100 + place, rest, draws) / (count * design.scenes)
        residuals.append((scaled, rest))
    estimate = _normal(draws) * np.sqrt(design.variance)
    return estimate, moments.half_width(alpha / 2, seeds, scene, residuals).half


def power(gap: float, design: Design, alpha: float = ALPHA, draws: int = DRAWS) -> float:
    """Return the probability that the test detects a true difference; NaN where nothing varies."""
    if not design.variance > 0:
        return float("nan")
    estimate, half = simulated_studies(design, alpha, draws)
    return float(np.mean(np.abs(gap + estimate) > half))


def detectable(
    design: Design, alpha: float = ALPHA, target: float = 0.8, draws: int = DRAWS
) -> float:
    """Return the minimum detectable effect: the true difference detected with power `target`.

    A study detects the differences above its half-width minus its error, so the effect is a
    quantile of these over studies. Rejections in the wrong direction are left out: at a power of
    0.8 they are fewer than one in 10,000.

    Returns:
        NaN where nothing varies.
    """
    if not design.variance > 0:
        return float("nan")
    estimate, half = simulated_studies(design, alpha, draws)
    return float(np.quantile(half - estimate, target))
