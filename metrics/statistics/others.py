"""The other questions: the same checkpoints on new scenes, new trainings on the same scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from metrics.statistics.moments import SCENES, TRAININGS, Cells

DRAWS = 10_000
FLIPS = 20_000


@dataclass(frozen=True)
class Answer:
    """One question answered: which, by what, and the numbers (NaN with a note where none is)."""

    question: str
    estimator: str
    estimate: float
    low: float
    high: float
    p: float
    note: str = ""


def clustered_t(by_scene: np.ndarray) -> Answer:
    """Return the t interval of paired scene differences [N]."""
    mean = float(np.mean(by_scene))
    if len(by_scene) < 2 or np.ptp(by_scene) == 0:
        return Answer(SCENES, "scene-clustered t", mean, *_none("scenes do not vary"))
    result = stats.ttest_1samp(by_scene, 0.0)
    low, high = result.confidence_interval(0.95)
    return Answer(SCENES, "scene-clustered t", mean, float(low), float(high), float(result.pvalue))


def bootstrap_and_flip(by_scene: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Answer:
    """Return the BCa bootstrap interval over scenes and the sign-flip p-value.

    Flips are enumerated where there are at most 20,000 of them and drawn otherwise; the smallest
    p-value they can give stands in the note where it exceeds .001.
    """
    name = "BCa bootstrap, sign-flip"
    mean = float(np.mean(by_scene))
    if len(by_scene) < 2 or np.ptp(by_scene) == 0:
        return Answer(SCENES, name, mean, *_none("scenes do not vary"))
    limits = stats.bootstrap(
        (by_scene,), np.mean, n_resamples=draws, method="BCa", rng=np.random.default_rng(seed)
    ).confidence_interval
    p = stats.permutation_test(
        (by_scene,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=FLIPS,
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).pvalue
    least = 2.0 ** (1 - len(by_scene))
    note = f"smallest possible p {least:.2g}" if least > 0.001 else ""
    return Answer(SCENES, name, mean, float(limits.low), float(limits.high), float(p), note)


def welch(a: Cells, b: Cells) -> Answer:
    """Return Welch's t on seed means: new trainings on these very scenes."""
    gap = float(a.estimate - b.estimate)
    if min(a.seeds, b.seeds) < 2:
        return Answer(TRAININGS, "Welch t", gap, *_none("no interval: one seed"))
    if a.seed_variance == 0 and b.seed_variance == 0:
        return Answer(TRAININGS, "Welch t", gap, *_none("seeds do not vary"))
    result = stats.ttest_ind(a.seed_means, b.seed_means, equal_var=False)
    low, high = result.confidence_interval(0.95)
    shift = gap - float(a.seed_means.mean() - b.seed_means.mean())
    return Answer(
        TRAININGS, "Welch t", gap, float(low) + shift, float(high) + shift, float(result.pvalue)
    )


def _none(note: str) -> tuple[float, float, float, str]:
    return float("nan"), float("nan"), float("nan"), note


def crossed_bootstrap(
    a: np.ndarray, b: np.ndarray, seed: int = 0, draws: int = DRAWS, chunk: int = 1000
) -> tuple[float, float]:
    """Return percentile limits of mean(a) - mean(b), seeds and scenes resampled together.

    `a` [S_A, N], `b` [S_B, N]: seeds whole per method, scenes jointly. A cross-check for ten seeds
    and more; with fewer its limits are too narrow. Weights times cells, so no copies are made.
    """
    generator = np.random.default_rng(seed)
    scenes = a.shape[1]
    found = []
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        columns = generator.multinomial(scenes, np.full(scenes, 1 / scenes), size) / scenes
        total = np.zeros(size)
        for sign, cells in ((1.0, a), (-1.0, b)):
            rows = generator.multinomial(len(cells), np.full(len(cells), 1 / len(cells)), size)
            total += sign * np.einsum("ks,sn,kn->k", rows / len(cells), cells, columns)
        found.append(total)
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)
