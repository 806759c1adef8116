"""The secondary questions: these checkpoints on new scenes, new trainings on these scenes.

A declared difference is tested for new trainings and new scenes (the headline). `secondary_rows`
repeats it for these checkpoints on new scenes, for new trainings on these scenes, and as a
cross-check by resampling.

Every estimator takes the sums of M comparisons of one shape (leading axis M) and returns one table
of M rows: question, estimator, ci_low, ci_high (95% limits of the difference), p (two-sided) and
note. Numbers are NaN where the data give no answer.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from metrics.statistics import pairwise_differences, resampling
from metrics.statistics.moments import (
    CROSS_CHECK,
    SCENES,
    TRAININGS,
    TRAININGS_AND_SCENES,
    Cells,
    question_of,
)
from metrics.statistics.table import Block

# With fewer trainings the crossed bootstrap's limits are too narrow.
FEWEST_FOR_CROSSED = 10


def new_scenes(a: Cells, b: Cells) -> list[pd.DataFrame]:
    """Answer "these checkpoints, new scenes" by a t interval, and by BCa limits with sign flips.

    For a metric pooled over scenes, the t interval is moved to the pooled estimate. BCa limits and
    flips are left out: they need scenes that each have a value of their own.
    """
    gaps = _rounded(a.scene_means - b.scene_means, _scale(a.scene_means, b.scene_means))  # (M, N)
    t = clustered_t(gaps, a.estimate - b.estimate - gaps.mean(-1))
    return [t] if a.pooled or b.pooled else [t, bootstrap_and_flip(gaps)]


def clustered_t(gaps: np.ndarray, shift: np.ndarray | float = 0.0) -> pd.DataFrame:
    """Return the paired t interval over scenes.

    Queries are averaged within scenes first, so that they do not count as independent.

    Args:
        gaps: f64 [M, N], difference of the two methods on each scene.
        shift: f64 [M], added to the centre of the interval.

    Source: Student, The probable error of a mean, 1908.
    """
    name, count = "scene-clustered t", gaps.shape[-1]
    if count < 2:
        return _answers(len(gaps), SCENES, name, note="no interval: one scene")
    error = np.where(np.ptp(gaps, axis=-1) > 0, np.sqrt(gaps.var(-1, ddof=1) / count), 0.0)
    limits_and_p = _t_interval(gaps.mean(-1) + shift, error, np.full(len(gaps), count - 1.0))
    note = np.where(error > 0, "", "scenes do not vary")
    return _answers(len(gaps), SCENES, name, *limits_and_p, note)


def bootstrap_and_flip(gaps: np.ndarray) -> pd.DataFrame:
    """Return BCa limits over scenes, and the p-value of sign flips, of scene differences [M, N].

    A note gives the smallest p-value that the flips can reach, where it exceeds 0.001.
    """
    name = "BCa bootstrap, sign-flip"
    if gaps.shape[-1] < 2:
        return _answers(len(gaps), SCENES, name, note="no interval: one scene")
    low, high = resampling.bootstrap_means(gaps)
    p, smallest = resampling.sign_flip(gaps)
    varies = np.isfinite(low)
    note = np.where(varies, _smallest_p_note(smallest), "scenes do not vary")
    return _answers(len(gaps), SCENES, name, low, high, np.where(varies, p, np.nan), note)


def new_trainings(a: Cells, b: Cells) -> list[pd.DataFrame]:
    """Answer "new trainings, these scenes" by Welch's t, and by permuting the trainings.

    The permutation needs two trainings or more of both methods.
    """
    found = [welch(a, b)]
    if min(a.seeds, b.seeds) > 1:
        p, smallest = resampling.permute_trainings(a.trainings, b.trainings)
        varies = _training_variances(a, b).sum(0) > 0
        note = np.where(varies, _smallest_p_note(smallest), "seeds do not vary")
        p = np.where(varies, p, np.nan)
        found.append(_answers(len(p), TRAININGS, "permutation of trainings", p=p, note=note))
    return found


def welch(a: Cells, b: Cells) -> pd.DataFrame:
    """Return Welch's t interval of the trainings' means.

    Source: Welch, The generalization of Student's problem, 1947.
    """
    if min(a.seeds, b.seeds) < 2:
        return _answers(len(a.estimate), TRAININGS, "Welch t", note="no interval: one seed")
    parts = _training_variances(a, b) / np.array([[a.seeds], [b.seeds]])  # (2, M)
    degrees = np.array([[a.seeds - 1.0], [b.seeds - 1.0]])  # (2, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.square(parts.sum(0)) / (np.square(parts) / degrees).sum(0)
    error = np.sqrt(parts.sum(0))
    note = np.where(error > 0, "", "seeds do not vary")
    limits_and_p = _t_interval(a.estimate - b.estimate, error, df)
    return _answers(len(error), TRAININGS, "Welch t", *limits_and_p, note)


def crossed_bootstrap(a: np.ndarray, b: np.ndarray) -> list[pd.DataFrame]:
    """Cross-check the headline interval by resampling trainings and scenes; it has no p-value.

    Args:
        a: f64 [M, S_A, N], cells of the first method, one row for a method without randomness.
        b: f64 [M, S_B, N], of the second.

    Returns:
        One answer; none where a method that varies has fewer than ten trainings, or neither
        varies.
    """
    if any(1 < len(x[0]) < FEWEST_FOR_CROSSED for x in (a, b)) or len(a[0]) == len(b[0]) == 1:
        return []
    return [_answers(len(a), CROSS_CHECK, "crossed bootstrap", *resampling.crossed_bootstrap(a, b))]


def _rounded(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return x [M, n] rounded to 12 digits of `scale` [M].

    Equal values that went through different sums differ in their last bits. Rounding removes that
    difference, which would otherwise count as variance.
    """
    unit = np.maximum(1e-12 * scale, np.finfo(np.float64).tiny)[:, None]
    return np.rint(x / unit) * unit


def _scale(*x: np.ndarray) -> np.ndarray:
    return sum(np.abs(part).max(-1) for part in x)


def _training_variances(a: Cells, b: Cells) -> np.ndarray:
    """Return the variances [2, M] of the two methods' trainings."""
    rounded = [_rounded(m.trainings, _scale(a.trainings, b.trainings)) for m in (a, b)]
    return np.stack([np.where(np.ptp(x, axis=-1) > 0, x.var(-1, ddof=1), 0.0) for x in rounded])


def _t_interval(
    centre: np.ndarray, error: np.ndarray, df: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return low, high and p [M] of Student's t; NaN where the standard error is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(error > 0, -stdtrit(df, 0.025) * error, np.nan)
        p = np.where(error > 0, 2 * stdtr(df, -np.abs(centre) / error), np.nan)
    return centre - half, centre + half, p


def _smallest_p_note(smallest: float) -> str:
    return f"smallest possible p {smallest:.2g}" if smallest > 0.001 else ""


def _answers(
    count: int,
    question: str,
    estimator: str,
    low: np.ndarray | float = np.nan,
    high: np.ndarray | float = np.nan,
    p: np.ndarray | float = np.nan,
    note: np.ndarray | str = "",
) -> pd.DataFrame:
    """Return the table of one estimator's answers to one question for `count` comparisons."""
    columns = {"question": question, "estimator": estimator, "note": note}
    return pd.DataFrame(columns | {"ci_low": low, "ci_high": high, "p": p}, index=range(count))


# The headline row of a declared difference a - b, and the cells of a and of b.
DeclaredPair = tuple[dict[str, Any], Block, Block]

# Columns that a secondary row copies from its headline row.
COPIED = (
    *("family", "split", "subset", "metric", "method_a", "method_b", "mean_a", "mean_b"),
    *("difference", "n_seeds_a", "n_seeds_b", "n_scenes"),
)


def secondary_rows(declared: list[DeclaredPair]) -> list[dict[str, Any]]:
    """Return the secondary rows of each declared difference, in the order of `declared`.

    Pairs of one shape are computed together, so that they share the random draws.
    """
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for place, (_, a, b) in enumerate(declared):
        scenes = len(pairwise_differences.shared_scenes(a, b))
        shape = (len(a.seeds), len(b.seeds), a.stochastic, b.stochastic, scenes, _pooled(a, b))
        if scenes:
            shapes.setdefault(shape, []).append(place)
    rows: list[list[dict[str, Any]]] = [[] for _ in declared]
    for places in shapes.values():
        for answers in _estimands([declared[place] for place in places]):
            for place, answer in zip(places, answers.to_dict("records"), strict=True):
                rows[place].append({name: declared[place][0][name] for name in COPIED} | answer)
    return [row for rows_of_pair in rows for row in rows_of_pair]


def _pooled(a: Block, b: Block) -> bool:
    return a.theta is not None or b.theta is not None


def _estimands(pairs: list[DeclaredPair]) -> list[pd.DataFrame]:
    """Return the answers to every secondary question, each for all pairs of one shape."""
    scenes = [pairwise_differences.shared_scenes(a, b) for _, a, b in pairs]
    a, b = (
        pairwise_differences.stack(
            [pair[side].summary(over) for pair, over in zip(pairs, scenes, strict=True)]
        )
        for side in (1, 2)
    )
    found = new_scenes(a, b) + new_trainings(a, b)
    if question_of(a, b) == TRAININGS_AND_SCENES and not _pooled(*pairs[0][1:]):
        cells_a, cells_b = (
            np.stack([pair[side].over(over) for pair, over in zip(pairs, scenes, strict=True)])
            for side in (1, 2)
        )
        found += crossed_bootstrap(cells_a, cells_b)
    return found
