"""Simulated studies with a known truth: how often do the intervals cover it?

The headline interval of `metrics.statistics.moments` is compared with three naive ones: queries as
independent, scenes alone, and a percentile bootstrap.
`python -m metrics.statistics.simulate` writes the whole grid to coverage.csv next to this file.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from metrics.files import atomic_path
from metrics.statistics import effects, moments, resampling
from metrics.statistics.secondary_estimands import clustered_t

COVERAGE = Path(__file__).with_name("coverage.csv")
# Simulated studies for each setting; fewer where they are slow: over 900 cells, pooled metrics.
STUDIES, LARGE_STUDIES, POOLED_STUDIES = 10_000, 4000, 2000
# So many of them, at least, also get a bootstrap, of so many draws.
BOOTSTRAPPED, DRAWS = 400, 999
QUERIES, PREDICATES = 10, 6
# Standard deviations of the effects that all settings share: of scenes, of scenes for one method,
# of a training on a scene, and of a query.
SCENE_SD, METHOD_SCENE_SD, SEED_SCENE_SD, QUERY_SD = 0.1, 0.05, 0.03, 0.3
SHAPES = ("normal", "binary", "skewed", "pooled")
# What a collapsed training loses, and the standard deviation of the effect that scenes of one
# cluster share for one method.
COLLAPSE, CLUSTER_SD = 0.15, 0.05
# Smallest and largest score of each shape.
BOUNDS = {"normal": None, "binary": (0.0, 1.0), "skewed": (0.0, None), "pooled": (0.0, 1.0)}


@dataclass(frozen=True)
class Setting:
    """One setting of the grid.

    Attributes:
        seeds: trainings of method A.
        scenes: number of scenes.
        seed_sd: standard deviation of A's training effect.
        seeds_b: trainings of method B, 0 for a method without randomness.
        seed_sd_b: standard deviation of B's training effect.
        shape: of the scores: "normal"; "binary", where a query is right or wrong; "skewed", squares
            of normal scores; "pooled", a macro mean of ratios over predicates, by pseudo-values.
        correlation: of the two methods' training effects of one seed, which are then analysed as
            paired; None for independent trainings, analysed as such.
        collapse: share of the trainings that fail, and lose `COLLAPSE`.
        cluster: so many scenes in a row share an effect, as those of one building may.
        level: expected score without any effect. Away from 0.5 all effects shrink in proportion to
            level (1 - level).
    """

    seeds: int
    scenes: int
    seed_sd: float
    seeds_b: int
    seed_sd_b: float
    shape: str = "normal"
    correlation: float | None = None
    collapse: float = 0.0
    cluster: int = 1
    level: float = 0.5

    def key(self) -> list[int]:
        """Return the numbers that seed the setting's simulation."""
        numbers = [self.seeds, self.scenes, self.seeds_b, SHAPES.index(self.shape)]
        numbers += [round(1000 * sd) for sd in (self.seed_sd, self.seed_sd_b)]
        others = (self.correlation, self.collapse, self.cluster, self.level)
        if others != (None, 0.0, 1, 0.5):
            pairing = -1 if self.correlation is None else self.correlation
            numbers += [round(1000 * (1 + value)) for value in (pairing, *others[1:])]
        return numbers


@dataclass(frozen=True)
class Sample:
    """Scores of one method in K simulated studies, reduced to what the intervals need.

    Attributes:
        cells: f64 [K, S, N], cell means over queries, or pseudo-values.
        within: f64 [K], sum of squares of queries within cells; NaN for a pooled metric.
        theta: f64 [K, S], pooled values, or None.
        parts: f64 [2, K, S, N, P], numerators and denominators of a pooled metric's P predicates,
            or None.
    """

    cells: np.ndarray
    within: np.ndarray
    theta: np.ndarray | None = None
    parts: np.ndarray | None = None


def sample(setting: Setting, studies: int, generator: np.random.Generator) -> list[Sample]:
    """Return the scores of both methods, which share the scene effect because scenes are paired."""
    scene = generator.normal(0, SCENE_SD, (studies, 1, setting.scenes))
    items = None
    if setting.shape == "pooled":
        items = generator.poisson(3.0, (studies, 1, setting.scenes, PREDICATES))
    samples: list[Sample] = []
    effects_a = None  # (studies, S, 1), training effects of the first method
    for seeds, sd in ((setting.seeds, setting.seed_sd), (setting.seeds_b, setting.seed_sd_b)):
        level = scene + generator.normal(0, METHOD_SCENE_SD, scene.shape)
        if setting.cluster > 1:
            count = -(-setting.scenes // setting.cluster)
            shared = generator.normal(0, CLUSTER_SD, (studies, 1, count))
            level = level + shared.repeat(setting.cluster, axis=-1)[..., : setting.scenes]
        if seeds:
            effect = generator.normal(0, sd, (studies, seeds, 1))
            if setting.correlation is not None:
                if effects_a is None:
                    effects_a = effect
                else:
                    own = np.sqrt(1 - setting.correlation**2)
                    effect = setting.correlation * effects_a + own * effect
            if setting.collapse:
                failed = generator.random(effect.shape) < setting.collapse
                effect = effect - COLLAPSE * failed
            level = level + effect
            level = level + generator.normal(0, SEED_SCENE_SD, (studies, seeds, setting.scenes))
        # Effects are those of a level of 0.5; `_scores` adds that level.
        shrunk = 4 * setting.level * (1 - setting.level)
        level = level * shrunk + (setting.level - 0.5)
        samples.append(_scores(level, setting.shape, items, generator))
    return samples


def _scores(
    level: np.ndarray, shape: str, items: np.ndarray | None, generator: np.random.Generator
) -> Sample:
    """Sample the queries of cells with expected scores `level` [K, S, N].

    Only the mean and the sum of squares of a cell's queries are needed. Where their distribution
    is known, they are sampled directly instead of query by query.
    """
    if items is not None:
        return _pooled_scores(level, items, generator)
    if shape == "normal":
        cells = 0.5 + level + generator.normal(0, QUERY_SD / np.sqrt(QUERIES), level.shape)
        squares = generator.chisquare((QUERIES - 1) * level[0].size, len(level))
        return Sample(cells, QUERY_SD**2 * squares)
    if shape == "binary":
        share = generator.binomial(QUERIES, np.clip(0.5 + level, 0, 1)) / QUERIES
        return Sample(share, QUERIES * (share * (1 - share)).sum((-2, -1)))
    scores = np.square(
        0.6 + level[..., None] + generator.normal(0, QUERY_SD, (*level.shape, QUERIES))
    )
    cells = scores.mean(-1)  # (K, S, N)
    return Sample(cells, np.square(scores - cells[..., None]).sum((-3, -2, -1)))


def _pooled_scores(level: np.ndarray, items: np.ndarray, generator: np.random.Generator) -> Sample:
    """Sample a pooled quality like SPQ: quality of hits over TP + FP/2 + FN/2, mean of predicates.

    A hit's quality has mean 0.75 and standard deviation 0.144, as if uniform on 0.5 to 1. With
    three expected items, false positives come at the rate 3 (1 - share), the same as misses. The
    expected denominator then does not depend on the level, so the true difference is zero whenever
    the mean levels agree.

    `level` is f64 [K, S, N] and `items` i64 [K, 1, N, P], the true items of each predicate.
    """
    share = np.clip(0.5 + level[..., None], 0.02, 0.98)
    hits = generator.binomial(items, share)
    false = generator.poisson(3.0 * (1 - share), hits.shape)
    quality = 0.75 * hits + 0.144 * np.sqrt(hits) * generator.normal(0, 1, hits.shape)
    parts = np.stack([quality, hits + false / 2 + (items - hits) / 2])  # (2, K, S, N, P)
    total = parts.sum(-2)  # (2, K, S, P)
    theta = _mean_ratio(total)  # (K, S)
    # Jackknife pseudo-value of a scene: N theta - (N - 1) theta without that scene.
    count = parts.shape[-2]
    pseudo = count * theta[..., None] - (count - 1) * _mean_ratio(total[..., None, :] - parts)
    return Sample(pseudo, np.full(len(level), np.nan), theta, parts)


def _mean_ratio(sums: np.ndarray) -> np.ndarray:
    """Return numerator / denominator of sums [2, ..., P], averaged over the predicates."""
    top, bottom = sums
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0).mean(-1)


def run(setting: Setting, studies: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Return the coverage of each kind of interval in one setting, whose true difference is zero.

    Args:
        setting: sizes and spread of the study.
        studies: how many are simulated; None for the number of the committed grid.
        seed: of the simulation.

    Returns:
        A row for each interval: `coverage`, the share of studies whose 95% limits hold the truth;
        `false_positives`, the share with p < 0.05 by the headline's p, for the others the share
        whose limits exclude zero, NaN for the mean of one method; the mean `half_width`; `studies`.
    """
    if studies is None:
        studies = LARGE_STUDIES if setting.seeds * setting.scenes > 900 else STUDIES
        studies = POOLED_STUDIES if setting.shape == "pooled" else studies
    generator = np.random.default_rng(np.random.SeedSequence([seed, *setting.key()]))
    # Studies are simulated in chunks of some two million numbers, to bound the memory.
    size = max(setting.seeds, 1) * setting.scenes
    size *= {"skewed": QUERIES, "pooled": 3 * PREDICATES}.get(setting.shape, 1)
    chunk = int(np.clip(2_000_000 // size, 20, 1000))
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, studies, chunk):
        samples = sample(setting, min(chunk, studies - start), generator)
        for name, columns in _intervals(setting, samples, start < BOOTSTRAPPED).items():
            found.setdefault(name, []).append(np.stack(np.broadcast_arrays(*columns)))
    rows = []
    for name, parts in found.items():
        covered, positive, half = np.concatenate(parts, axis=-1)
        rows.append((name, covered.mean(), positive.mean(), half.mean(), len(covered)))
    columns = ["interval", "coverage", "false_positives", "half_width", "studies"]
    return pd.DataFrame(rows, columns=columns)


def _intervals(
    setting: Setting, samples: list[Sample], with_bootstrap: bool
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return (covers, false positive, half-width) [K] of each kind of interval."""
    first, second = samples
    a = moments.summarise(first.cells, first.theta)
    b = moments.summarise(second.cells, second.theta, stochastic=setting.seeds_b > 0)
    headline = moments.difference_interval(a, b)
    found = {}
    if setting.correlation is not None:
        found["unpaired"] = _outcomes(headline.low, headline.high)
        headline = moments.paired_interval(moments.summarise(first.cells - second.cells))
    found |= {
        "headline": _outcomes(headline.low, headline.high, positive=headline.p < effects.ALPHA)
    }
    for name, wide in (("two-way moments", False), ("fallback", True)):
        other = moments.difference_interval(a, b, fallback=wide)
        found[name] = _outcomes(other.low, other.high)
    alone = moments.mean_interval(a, bounds=BOUNDS[setting.shape])
    found["headline, one method"] = _outcomes(alone.low, alone.high, _true_mean(setting), np.nan)
    if setting.cluster > 1:
        by_cluster = [_cluster_means(sample.cells, setting.cluster) for sample in samples]
        known = moments.difference_interval(*map(moments.summarise, by_cluster))
        found["headline, clusters averaged"] = _outcomes(known.low, known.high)
    by_scene = clustered_t(a.scene_means - b.scene_means)
    naive = {"scenes only": (by_scene["ci_low"].to_numpy(), by_scene["ci_high"].to_numpy())}
    if setting.shape != "pooled":
        naive["queries as independent"] = _queries_as_independent(*samples)
    if with_bootstrap:
        naive["percentile bootstrap"] = _percentile_bootstrap(*samples)
    return found | {f"naive: {name}": _outcomes(*limits) for name, limits in naive.items()}


def _cluster_means(cells: np.ndarray, size: int) -> np.ndarray:
    """Return the means of cells [K, S, N] over each `size` scenes in a row."""
    starts = np.arange(0, cells.shape[-1], size)
    counts = np.diff(starts, append=cells.shape[-1])
    return np.add.reduceat(cells, starts, axis=-1) / counts


def _outcomes(
    low: np.ndarray,
    high: np.ndarray,
    truth: float = 0.0,
    positive: np.ndarray | float | None = None,
) -> tuple[np.ndarray, ...]:
    """Return (covers, false positive, half-width) [K]; a positive is by default a limit past 0."""
    covers = (low <= truth) & (truth <= high)
    return covers, ~covers if positive is None else positive, (high - low) / 2


def _true_mean(setting: Setting) -> float:
    """Return method A's expected score."""
    deviations = [SCENE_SD, METHOD_SCENE_SD, setting.seed_sd, SEED_SCENE_SD]
    if setting.shape == "skewed":
        # E[x^2] = mean^2 + variance.
        return 0.6**2 + sum(sd**2 for sd in (*deviations, QUERY_SD))
    if setting.shape == "pooled":
        return 0.375
    if setting.shape == "binary" and setting.level != 0.5:
        # The expected share of right answers, cut off at 0 and 1, by quadrature.
        z, weight = np.polynomial.hermite_e.hermegauss(200)
        spread = 4 * setting.level * (1 - setting.level) * np.sqrt(np.square(deviations).sum())
        shares = np.clip(setting.level + spread * z, 0, 1)
        return float((weight * shares).sum() / weight.sum())
    return setting.level - setting.collapse * COLLAPSE


def _queries_as_independent(a: Sample, b: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return Welch's limits [K] over all queries of all cells, as if they were independent."""
    centre, parts, degrees = 0.0, [], []
    for sign, scores in ((1, a), (-1, b)):
        count = scores.cells[0].size * QUERIES
        mean = scores.cells.mean((-2, -1))
        between = QUERIES * np.square(scores.cells - mean[:, None, None]).sum((-2, -1))
        parts.append((scores.within + between) / (count - 1) / count)
        degrees.append(count - 1)
        centre = centre + sign * mean
    df = sum(parts) ** 2 / sum(part**2 / d for part, d in zip(parts, degrees, strict=True))
    half = -stdtrit(df, 0.025) * np.sqrt(sum(parts))
    return centre - half, centre + half


def _percentile_bootstrap(a: Sample, b: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return crossed percentile bootstrap limits [K]; pooled metrics are pooled in every draw."""
    if a.parts is None or b.parts is None:
        return resampling.crossed_bootstrap(a.cells, b.cells, DRAWS)
    columns = resampling.counts(a.parts.shape[-2], DRAWS)
    gaps: np.ndarray | float = 0.0  # (K, draws)
    for place, (sign, parts) in enumerate(((1.0, a.parts), (-1.0, b.parts))):
        rows = resampling.counts(parts.shape[2], DRAWS, place + 1) / parts.shape[2]  # (draws, S)
        by_scene = np.ascontiguousarray(np.swapaxes(parts, -1, -2))  # (2, K, S, P, N)
        sums = by_scene.reshape(-1, by_scene.shape[-1]) @ columns.T
        sums = np.moveaxis(sums.reshape(*by_scene.shape[:-1], -1), -2, -1)  # (2, K, S, draws, P)
        theta = _mean_ratio(sums)  # (K, S, draws)
        gaps = gaps + sign * np.einsum("ksd,ds->kd", theta, rows)
    low, high = np.quantile(gaps, [0.025, 0.975], axis=-1)
    return low, high


def grid() -> list[Setting]:
    """Return the settings for which coverage is reported.

    Every size (trainings, scenes) is combined with every shape of scores and every spread between
    the methods; with ten trainings, where coverage is nearly nominal, only the main ones.
    """
    settings = []
    for seeds in (3, 5, 10):
        # Standard deviation of A's trainings; trainings and standard deviation of B; shape.
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


def extended_grid() -> list[Setting]:
    """Return further settings: two trainings, paired seeds, collapses, clusters, floors."""
    settings = [
        Setting(2, scenes, 0.05, seeds_b, sd_b)
        for scenes in (5, 8, 12, 50, 80, 300)
        for seeds_b, sd_b in ((2, 0.05), (2, 0.0), (5, 0.05), (0, 0.0))
    ]
    for seeds in (3, 5):
        settings += [
            Setting(seeds, 80, sd, seeds, sd, correlation=correlation)
            for sd in (0.02, 0.05)
            for correlation in (0.0, 0.5, 0.9)
        ]
        settings += [
            Setting(seeds, 80, 0.02, seeds, 0.02, collapse=0.2),
            Setting(seeds, 80, 0.02, seeds, 0.02, cluster=4),
        ]
        settings += [
            Setting(seeds, scenes, 0.02, seeds, 0.02, "binary", level=level)
            for scenes in (12, 80)
            for level in (0.02, 0.98)
        ]
    return settings


def table(settings: list[Setting] | None = None, studies: int | None = None) -> pd.DataFrame:
    """Return a row a setting and interval: the setting's fields, then `run`'s columns."""
    tables = [
        run(setting, studies).assign(**asdict(setting))
        for setting in ([*grid(), *extended_grid()] if settings is None else settings)
    ]
    rows = pd.concat(tables, ignore_index=True)
    fields = list(Setting.__dataclass_fields__)
    return rows[[*fields, *(c for c in rows.columns if c not in fields)]]


if __name__ == "__main__":
    # Written once and committed: the report plots it, and the slow test repeats a part of it.
    with atomic_path(COVERAGE) as path:
        table().to_csv(path, index=False, float_format="%.4f")
