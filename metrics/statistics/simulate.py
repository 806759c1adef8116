"""Studies with known truth: does the headline interval cover, and do the naive ones?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from metrics.statistics import moments

COVERAGE = Path(__file__).with_name("coverage.csv")


@dataclass(frozen=True)
class Setting:
    """One cell of the grid: sizes, standard deviations and the shape of a query's score.

    `shape` is "normal", "binary" (a query is right or wrong) or "skewed" (squared, in [0, 1]-like
    scale); `seeds_b` 0 makes method B deterministic; `seed_sd_b` lets the two methods differ.
    """

    seeds: int
    scenes: int
    seed_sd: float
    shape: str = "normal"
    queries: int = 10
    seeds_b: int | None = None
    seed_sd_b: float | None = None
    method_scene_sd: float = 0.05
    seed_scene_sd: float = 0.03
    query_sd: float = 0.3
    gap: float = 0.0


def draw(setting: Setting, studies: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Return the query scores of both methods, each [studies, S, N, queries].

    The scene effect (standard deviation .1) is common to both: scenes are paired.
    """
    scene = generator.normal(0, 0.1, (studies, 1, setting.scenes, 1))
    seeds_b = setting.seeds if setting.seeds_b is None else setting.seeds_b
    sd_b = setting.seed_sd if setting.seed_sd_b is None else setting.seed_sd_b
    out = []
    for seeds, sd, gap in ((setting.seeds, setting.seed_sd, setting.gap), (seeds_b, sd_b, 0.0)):
        trained = seeds > 0
        rows = max(seeds, 1)
        level = gap + scene
        level = level + generator.normal(
            0, setting.method_scene_sd, (studies, 1, setting.scenes, 1)
        )
        if trained:
            level = level + generator.normal(0, sd, (studies, rows, 1, 1))
            level = level + generator.normal(
                0, setting.seed_scene_sd, (studies, rows, setting.scenes, 1)
            )
        out.append(_scores(level, setting, generator))
    return out


def _scores(level: np.ndarray, setting: Setting, generator: np.random.Generator) -> np.ndarray:
    shape = (*level.shape[:3], setting.queries)
    if setting.shape == "binary":
        return (generator.random(shape) < np.clip(0.5 + level, 0, 1)).astype(np.float64)
    noise = generator.normal(0, setting.query_sd, shape)
    if setting.shape == "skewed":
        return np.square(0.6 + level + noise)
    return 0.5 + level + noise


def run(setting: Setting, studies: int = 2000, seed: int = 0, chunk: int = 100) -> dict[str, float]:
    """Return coverage (rejections of the truth subtracted from one) of each interval.

    Truth is a difference of zero, which holds for every shape while `gap` is 0 and both methods
    share their standard deviations; with a gap it is exact for the normal shape.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, setting.seeds, setting.scenes]))
    inside: dict[str, list[np.ndarray]] = {}
    for start in range(0, studies, chunk):
        a, b = draw(setting, min(chunk, studies - start), generator)
        for name, interval in _intervals(a, b, setting).items():
            covered = (interval[0] <= setting.gap) & (setting.gap <= interval[1])
            inside.setdefault(name, []).append(covered)
    return {name: float(np.concatenate(parts).mean()) for name, parts in inside.items()}


def _intervals(
    a: np.ndarray, b: np.ndarray, setting: Setting
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    cells = [
        moments.summarise(x.mean(-1), stochastic=trained)
        for x, trained in ((a, True), (b, setting.seeds_b != 0))
    ]
    headline = moments.difference(*cells)
    plain = moments.difference(*cells, fallback=False)
    wide = moments.difference(*cells, fallback=True)
    by_scene = cells[0].scene_means - cells[1].scene_means
    return {
        "headline": (headline.low, headline.high),
        "two-way moments": (plain.low, plain.high),
        "fallback": (wide.low, wide.high),
        "naive: scenes only": _t_limits(by_scene, None),
        "naive: queries as independent": _t_limits(a.reshape(len(a), -1), b.reshape(len(b), -1)),
    }


def _t_limits(x: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return t limits over the last axis of one sample, or Welch's of two."""
    centre, squared, df = x.mean(-1), x.var(-1, ddof=1) / x.shape[-1], float(x.shape[-1] - 1)
    if y is not None:
        squared_y = y.var(-1, ddof=1) / y.shape[-1]
        centre, df = centre - y.mean(-1), df + y.shape[-1] - 1
        squared = squared + squared_y
    half = stats.t.isf(0.025, df) * np.sqrt(squared)
    return centre - half, centre + half


def run_pooled(
    seeds: int, scenes: int, studies: int = 1000, seed: int = 0, predicates: int = 6
) -> float:
    """Return the coverage for a macro mean of pooled ratios, by jackknife pseudo-values.

    Scenes hold a Poisson number of items per predicate; a training succeeds on each with its own
    probability. Both methods have one distribution, so the true difference is zero.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, seeds, scenes, 1]))
    items = generator.poisson(3.0, (studies, 1, scenes, predicates))
    methods = []
    for _ in range(2):
        level = generator.normal(0, 0.4, (studies, 1, scenes, 1))
        level = level + generator.normal(0, 0.1, (studies, seeds, 1, 1))
        level = level + generator.normal(0, 0.3, (studies, seeds, scenes, 1))
        right = generator.binomial(items, 1 / (1 + np.exp(-level)))
        hits, total = right.sum(-2, keepdims=True), items.sum(-2, keepdims=True)
        theta = (hits / total).mean(-1)[..., 0]
        without = ((hits - right) / np.maximum(total - items, 1)).mean(-1)
        pseudo = scenes * theta[..., None] - (scenes - 1) * without
        methods.append(moments.summarise(pseudo, theta))
    found = moments.difference(*methods)
    return float(((found.low <= 0) & (found.high >= 0)).mean())


def grid() -> list[Setting]:
    """Return the settings that the project answers for."""
    settings = [
        Setting(seeds, scenes, sd)
        for seeds in (3, 5, 10)
        for scenes in (5, 8, 12, 50, 80, 300)
        for sd in (0.0, 0.02, 0.05)
    ]
    for seeds in (3, 5):
        for scenes in (8, 80, 300):
            settings += [
                Setting(seeds, scenes, 0.02, shape="binary"),
                Setting(seeds, scenes, 0.02, shape="skewed"),
                Setting(seeds, scenes, 0.05, seed_sd_b=0.0),
                Setting(seeds, scenes, 0.05, seeds_b=0),
                Setting(seeds, scenes, 0.02, seeds_b=0),
            ]
    return settings


def table(studies: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return one row a setting and interval: its sizes and the coverage found."""
    rows = []
    for setting in grid():
        for name, coverage in run(setting, studies, seed).items():
            rows.append(
                {
                    "seeds": setting.seeds,
                    "scenes": setting.scenes,
                    "seed_sd": setting.seed_sd,
                    "seed_sd_b": setting.seed_sd
                    if setting.seed_sd_b is None
                    else setting.seed_sd_b,
                    "seeds_b": setting.seeds if setting.seeds_b is None else setting.seeds_b,
                    "shape": setting.shape,
                    "interval": name,
                    "coverage": coverage,
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    # Written once and committed: the report draws it, the slow test checks it.
    table().to_csv(COVERAGE, index=False, float_format="%.4f")
