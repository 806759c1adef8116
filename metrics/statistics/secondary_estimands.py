"""The other questions: the same checkpoints on new scenes, new trainings on the same scenes.

Every function takes the summaries of many comparisons of one shape at once (leading axis M) and
returns one `Answers`, whose arrays [M] are NaN where the data give no answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from metrics.statistics import resampling
from metrics.statistics.moments import CROSS_CHECK, SCENES, TRAININGS, Cells

FEWEST_FOR_CROSSED = 10


@dataclass(frozen=True)
class Answers:
    """One question answered M times: by what, the limits and p [M] and a note for each."""

    question: str
    estimator: str
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    note: list[str]


def scene_answers(a: Cells, b: Cells) -> list[Answers]:
    """Answer "these checkpoints, new scenes": t on scene differences, and BCa with sign flips.

    With pseudo-values in the cells the t's limits are moved to the pooled estimate; the flips and
    the BCa limits, which need scenes that stand alone, are left out.
    """
    gaps = _settled(a.scene_means - b.scene_means, _size(a.scene_means, b.scene_means))
    shift = a.estimate - b.estimate - gaps.mean(-1)
    found = [clustered_t(gaps, shift)]
    return found if a.pooled or b.pooled else [*found, bootstrap_and_flip(gaps)]


def clustered_t(gaps: np.ndarray, shift: np.ndarray | float = 0.0) -> Answers:
    """Return the t interval of paired scene differences [M, N], moved by `shift` [M].

    The t of the paired test (Student 1908) on query means, so that queries count within scenes.
    """
    name, count = "scene-clustered t", gaps.shape[-1]
    if count < 2:
        return _none(SCENES, name, len(gaps), "no interval: one scene")
    error = np.where(np.ptp(gaps, axis=-1) > 0, np.sqrt(gaps.var(-1, ddof=1) / count), 0.0)
    low, high, p = _t(gaps.mean(-1) + shift, error, np.full(len(gaps), count - 1.0))
    return Answers(SCENES, name, low, high, p, _notes(error > 0, "scenes do not vary"))


def bootstrap_and_flip(gaps: np.ndarray) -> Answers:
    """Return BCa limits over scenes and sign-flip p of paired scene differences [M, N].

    The smallest p that flips can give stands in the note where it exceeds .001.
    """
    name = "BCa bootstrap, sign-flip"
    if gaps.shape[-1] < 2:
        return _none(SCENES, name, len(gaps), "no interval: one scene")
    low, high = resampling.bootstrap_means(gaps)
    p, least = resampling.sign_flip(gaps)
    varies = np.isfinite(low)
    p = np.where(varies, p, np.nan)
    notes = _notes(varies, "scenes do not vary", _smallest(least))
    return Answers(SCENES, name, low, high, p, notes)


def training_answers(a: Cells, b: Cells) -> list[Answers]:
    """Answer "new trainings, these scenes": Welch's t, and the permutation of trainings.

    Only methods that were trained more than once have an answer.
    """
    found = [welch(a, b)]
    if min(a.seeds, b.seeds) > 1:
        p, least = resampling.permute_trainings(a.trainings, b.trainings)
        varies = _spread(a, b).sum(0) > 0
        none = np.full(len(p), np.nan)
        notes = _notes(varies, "seeds do not vary", _smallest(least))
        p = np.where(varies, p, np.nan)
        found.append(Answers(TRAININGS, "permutation of trainings", none, none, p, notes))
    return found


def welch(a: Cells, b: Cells) -> Answers:
    """Return Welch's t (1947) on the trainings' means."""
    count = len(a.estimate)
    if min(a.seeds, b.seeds) < 2:
        return _none(TRAININGS, "Welch t", count, "no interval: one seed")
    parts = _spread(a, b) / np.array([[a.seeds], [b.seeds]])
    degrees = np.array([[a.seeds - 1.0], [b.seeds - 1.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.square(parts.sum(0)) / (np.square(parts) / degrees).sum(0)
    error = np.sqrt(parts.sum(0))
    low, high, p = _t(a.estimate - b.estimate, error, df)
    return Answers(TRAININGS, "Welch t", low, high, p, _notes(error > 0, "seeds do not vary"))


def crossed(a: np.ndarray, b: np.ndarray) -> list[Answers]:
    """Cross-check the headline by the crossed bootstrap of cells [M, S_A, N] and [M, S_B, N].

    Nothing is returned under ten trainings of a method that has any: the limits would be too
    narrow. A cross-check has no p of its own.
    """
    if any(1 < len(x[0]) < FEWEST_FOR_CROSSED for x in (a, b)) or len(a[0]) == len(b[0]) == 1:
        return []
    low, high = resampling.crossed_bootstrap(a, b)
    none = np.full(len(low), np.nan)
    return [Answers(CROSS_CHECK, "crossed bootstrap", low, high, none, [""] * len(low))]


def _settled(x: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return x [M, n] to twelve digits of `size` [M]: what rounding left is no measured spread."""
    unit = np.maximum(1e-12 * size, np.finfo(np.float64).tiny)[:, None]
    return np.rint(x / unit) * unit


def _size(*x: np.ndarray) -> np.ndarray:
    return sum(np.abs(part).max(-1) for part in x)


def _spread(a: Cells, b: Cells) -> np.ndarray:
    """Return the variances [2, M] of the two methods' trainings."""
    settled = [_settled(m.trainings, _size(a.trainings, b.trainings)) for m in (a, b)]
    return np.stack([np.where(np.ptp(x, axis=-1) > 0, x.var(-1, ddof=1), 0.0) for x in settled])


def _t(
    centre: np.ndarray, error: np.ndarray, df: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(error > 0, -stdtrit(df, 0.025) * error, np.nan)
        p = np.where(error > 0, 2 * stdtr(df, -np.abs(centre) / error), np.nan)
    return centre - half, centre + half, p


def _smallest(least: float) -> str:
    return f"smallest possible p {least:.2g}" if least > 0.001 else ""


def _notes(varies: np.ndarray, lacking: str, otherwise: str = "") -> list[str]:
    return [otherwise if there else lacking for there in varies]


def _none(question: str, estimator: str, count: int, note: str) -> Answers:
    nothing = np.full(count, np.nan)
    return Answers(question, estimator, nothing, nothing, nothing, [note] * count)
