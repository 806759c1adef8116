"""Studies with known truth: does the headline interval cover, and do the naive ones?

`python -m metrics.statistics.simulate` writes the whole grid to coverage.csv beside this file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from metrics.files import atomic_path
from metrics.statistics import moments, resampling

COVERAGE = Path(__file__).with_name("coverage.csv")
# Studies a setting; fewer where they are dear: over 900 cells, pooled metrics, bootstraps.
STUDIES, LARGE_STUDIES, POOLED_STUDIES, BOOTSTRAPPED, DRAWS = 10_000, 4000, 2000, 400, 999
QUERIES, PREDICATES = 10, 6
SCENE_SD, METHOD_SCENE_SD, SEED_SCENE_SD, QUERY_SD = 0.1, 0.05, 0.03, 0.3
SHAPES = ("normal", "binary", "skewed", "pooled")


@dataclass(frozen=True)
class Setting:
    """One cell of the grid: trainings of method A, scenes, seed SDs and the shape of the scores.

    `shape` is "normal", "binary" (a query is right or wrong), "skewed" (squared) or "pooled" (a
    macro mean of ratios over predicates, by pseudo-values). `seeds_b` and `seed_sd_b` are those of
    method B; 0 trainings make it deterministic.
    """

    seeds: int
    scenes: int
    seed_sd: float
    seeds_b: int
    seed_sd_b: float
    shape: str = "normal"


@dataclass(frozen=True)
class Drawn:
    """Scores of one method in K studies, reduced to what the intervals need.

    `cells` [K, S, N] are cell means over queries, or pseudo-values; `inside` [K] the sum of squares
    of queries within cells; `theta` [K, S] pooled values or None; `parts` the counted sums
    [2, K, S, N, predicates] of a pooled metric or None.
    """

    cells: np.ndarray
    inside: np.ndarray
    theta: np.ndarray | None = None
    parts: np.ndarray | None = None


def draw(setting: Setting, studies: int, generator: np.random.Generator) -> list[Drawn]:
    """Return both methods' scores; the scene effect is common to both: scenes are paired."""
    scene = generator.normal(0, SCENE_SD, (studies, 1, setting.scenes))
    items = None
    if setting.shape == "pooled":
        items = generator.poisson(3.0, (studies, 1, setting.scenes, PREDICATES))
    drawn = []
    for seeds, sd in (
        (setting.seeds, setting.seed_sd),
        (setting.seeds_b, setting.seed_sd_b),
    ):
        level = scene + generator.normal(0, METHOD_SCENE_SD, scene.shape)
        if seeds:
            level = level + generator.normal(0, sd, (studies, seeds, 1))
            level = level + generator.normal(0, SEED_SCENE_SD, (studies, seeds, setting.scenes))
        drawn.append(_scores(level, setting.shape, items, generator))
    return drawn


def _scores(
    level: np.ndarray, shape: str, items: np.ndarray | None, generator: np.random.Generator
) -> Drawn:
    """Draw the queries of cells [K, S, N], by their sufficient statistics where there are such."""
    if items is not None:
        return _pooled(level, items, generator)
    if shape == "normal":
        cells = 0.5 + level + generator.normal(0, QUERY_SD / np.sqrt(QUERIES), level.shape)
        degrees = (QUERIES - 1) * level[0].size
        return Drawn(cells, QUERY_SD**2 * generator.chisquare(degrees, len(level)))
    if shape == "binary":
        share = generator.binomial(QUERIES, np.clip(0.5 + level, 0, 1)) / QUERIES
        return Drawn(share, QUERIES * (share * (1 - share)).sum((-2, -1)))
    scores = np.square(
        0.6 + level[..., None] + generator.normal(0, QUERY_SD, (*level.shape, QUERIES))
    )
    cells = scores.mean(-1)
    return Drawn(cells, np.square(scores - cells[..., None]).sum((-3, -2, -1)))


def _pooled(level: np.ndarray, items: np.ndarray, generator: np.random.Generator) -> Drawn:
    """Draw a quality like SPQ: sum of sqrt(IoU IoU) of hits over TP + FP/2 + FN/2, macro mean.

    A hit's quality has mean .75 and SD .144 (uniform on .5 to 1); false positives come at three
    times the miss rate, so that the expected denominator does not depend on the level and the true
    difference is zero whenever the levels' means agree.
    """
    share = np.clip(0.5 + level[..., None], 0.02, 0.98)
    hits = generator.binomial(items, share)
    false = generator.poisson(3.0 * (1 - share), hits.shape)
    quality = 0.75 * hits + 0.144 * np.sqrt(hits) * generator.normal(0, 1, hits.shape)
    parts = np.stack([quality, hits + false / 2 + (items - hits) / 2])
    total = parts.sum(-2)
    theta = _macro(total)
    count = parts.shape[-2]
    without = _macro(total[..., None, :] - parts)
    pseudo = count * theta[..., None] - (count - 1) * without
    return Drawn(pseudo, np.full(len(level), np.nan), theta, parts)


def _macro(sums: np.ndarray) -> np.ndarray:
    top, bottom = sums
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0).mean(-1)


def run(setting: Setting, studies: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Return a row an interval: its coverage of the truth, its false positives and its width.

    The true difference is zero. `coverage` is the share of studies whose 95% limits hold the truth;
    `false_positives` the share with p < .05 (of the headline's own p; of limits that leave zero out
    for the others, NaN for one method's mean); `half_width` the mean one; `studies` how many.
    """
    if studies is None:
        large = setting.seeds * setting.scenes > 900
        studies = LARGE_STUDIES if large else STUDIES
        studies = POOLED_STUDIES if setting.shape == "pooled" else studies
    words = [setting.seeds, setting.scenes, setting.seeds_b, SHAPES.index(setting.shape)]
    words += [round(1000 * sd) for sd in (setting.seed_sd, setting.seed_sd_b)]
    generator = np.random.default_rng(np.random.SeedSequence([seed, *words]))
    size = max(setting.seeds, 1) * setting.scenes
    size *= {"skewed": QUERIES, "pooled": 3 * PREDICATES}.get(setting.shape, 1)
    chunk = int(np.clip(2_000_000 // size, 20, 1000))
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, studies, chunk):
        drawn = draw(setting, min(chunk, studies - start), generator)
        for name, columns in _intervals(setting, drawn, start < BOOTSTRAPPED).items():
            found.setdefault(name, []).append(np.stack(np.broadcast_arrays(*columns)))
    rows = []
    for name, parts in found.items():
        covered, positive, half = np.concatenate(parts, axis=-1)
        rows.append((name, covered.mean(), positive.mean(), half.mean(), len(covered)))
    columns = ["interval", "coverage", "false_positives", "half_width", "studies"]
    return pd.DataFrame(rows, columns=columns)


def _intervals(
    setting: Setting, drawn: list[Drawn], with_bootstrap: bool
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return (covers, false positive, half-width) [K] of each interval."""
    trained = (True, setting.seeds_b > 0)
    a, b = (
        moments.summarise(d.cells, d.theta, stochastic)
        for d, stochastic in zip(drawn, trained, strict=True)
    )
    headline = moments.difference(a, b)
    found = {"headline": _judged(headline.low, headline.high, positive=headline.p < 0.05)}
    for name, wide in (("two-way moments", False), ("fallback", True)):
        other = moments.difference(a, b, fallback=wide)
        found[name] = _judged(other.low, other.high)
    alone = moments.one(a)
    truth = _truth(setting)
    nothing = np.full(len(alone.low), np.nan)
    found["headline, one method"] = _judged(alone.low, alone.high, truth, nothing)
    gaps = a.scene_means - b.scene_means
    error = np.sqrt(gaps.var(-1, ddof=1) / setting.scenes)
    half = -stdtrit(setting.scenes - 1, 0.025) * error
    centre = gaps.mean(-1)
    found["naive: scenes only"] = _judged(centre - half, centre + half)
    if setting.shape != "pooled":
        limits = _queries_as_independent(*drawn)
        found["naive: queries as independent"] = _judged(*limits)
    if with_bootstrap:
        limits = _percentile(*drawn)
        found["naive: percentile bootstrap"] = _judged(*limits)
    return found


def _judged(
    low: np.ndarray,
    high: np.ndarray,
    truth: float = 0.0,
    positive: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    covers = (low <= truth) & (truth <= high)
    return covers, ~covers if positive is None else positive, (high - low) / 2


def _truth(setting: Setting) -> float:
    """Return method A's expected score."""
    if setting.shape == "skewed":
        inside = (SCENE_SD, METHOD_SCENE_SD, setting.seed_sd, SEED_SCENE_SD, QUERY_SD)
        return 0.6**2 + sum(sd**2 for sd in inside)
    return 0.375 if setting.shape == "pooled" else 0.5


def _queries_as_independent(a: Drawn, b: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Return Welch's limits [K] over all queries of all cells, as if they were independent."""
    centre, parts, degrees = 0.0, [], []
    for sign, drawn in ((1, a), (-1, b)):
        count = drawn.cells[0].size * QUERIES
        mean = drawn.cells.mean((-2, -1))
        spread = QUERIES * np.square(drawn.cells - mean[:, None, None]).sum((-2, -1))
        parts.append((drawn.inside + spread) / (count - 1) / count)
        degrees.append(count - 1)
        centre = centre + sign * mean
    df = sum(parts) ** 2 / sum(part**2 / d for part, d in zip(parts, degrees, strict=True))
    half = -stdtrit(df, 0.025) * np.sqrt(sum(parts))
    return centre - half, centre + half


def _percentile(a: Drawn, b: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Return crossed percentile bootstrap limits [K]; pooled metrics are pooled in every draw."""
    if a.parts is None or b.parts is None:
        return resampling.crossed_bootstrap(a.cells, b.cells, DRAWS)
    columns = resampling.counts(a.parts.shape[-2], DRAWS)
    drawn: np.ndarray | float = 0.0
    for place, (sign, parts) in enumerate(((1.0, a.parts), (-1.0, b.parts))):
        rows = resampling.counts(parts.shape[2], DRAWS, place + 1) / parts.shape[2]
        by_scene = np.ascontiguousarray(np.swapaxes(parts, -1, -2))
        sums = by_scene.reshape(-1, by_scene.shape[-1]) @ columns.T
        theta = _macro(np.moveaxis(sums.reshape(*by_scene.shape[:-1], -1), -2, -1))
        drawn = drawn + sign * np.einsum("ksd,ds->kd", theta, rows)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=-1)
    return low, high


def grid() -> list[Setting]:
    """Return the settings that the project answers for.

    Every size (trainings, scenes) with every kind of score and of spread between the methods;
    with ten trainings, where intervals are nearly nominal, one setting of each kind.
    """
    settings = []
    for seeds in (3, 5, 10):
        kinds = [(sd, seeds, sd, "normal") for sd in (0.0, 0.02, 0.05)]
        kinds += [(0.02, seeds, 0.02, shape) for shape in ("binary", "skewed", "pooled")]
        kinds += [(0.05, seeds, 0.0, "normal"), (0.05, 0, 0.0, "normal")]
        if seeds < 10:
            kinds += [(sd, seeds, sd, s) for sd in (0.0, 0.05) for s in ("binary", "pooled")]
            kinds += [(0.05, seeds, 0.0, shape) for shape in ("binary", "pooled")]
            kinds += [(0.02, seeds, 0.0, "normal"), (0.05, seeds, 0.02, "normal")]
            kinds += [(0.02, 0, 0.0, "normal")]
        if seeds == 3:
            kinds += [(0.05, more, 0.05, "normal") for more in (5, 10)]
        settings += [
            Setting(seeds, scenes, sd, seeds_b, sd_b, shape)
            for scenes in (5, 8, 12, 50, 80, 300)
            for sd, seeds_b, sd_b, shape in kinds
        ]
    return settings


def table(settings: list[Setting] | None = None, studies: int | None = None) -> pd.DataFrame:
    """Return a row a setting and interval: the setting's fields, then `run`'s columns."""
    tables = [
        run(setting, studies).assign(**asdict(setting))
        for setting in (grid() if settings is None else settings)
    ]
    rows = pd.concat(tables, ignore_index=True)
    said = list(Setting.__dataclass_fields__)
    return rows[[*said, *(c for c in rows.columns if c not in said)]]


if __name__ == "__main__":
    # Written once and committed: the report draws it, the slow test draws a part of it anew.
    with atomic_path(COVERAGE) as path:
        table().to_csv(path, index=False, float_format="%.4f")
