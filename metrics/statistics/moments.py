"""Two-way moments: intervals for new trainings and new scenes at once.

Scores form a cell table per method: rows are trainings (seeds), columns are scenes, queries are
averaged within a cell. With s2_A the variance of a method's seed means, s2_d the variance over
scenes of the difference of seed means and MSR the seed x scene residual mean square,

    V = s2_A/S_A + s2_B/S_B + s2_d/N - MSR_A/(S_A N) - MSR_B/(S_B N),

never below its seed part (the first two terms) nor below s2_d/N. Everything takes leading axes, so
that a grid of comparisons or of simulated studies is one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

TRAININGS_AND_SCENES = "new trainings and new scenes"
CROSS_CHECK = "cross-check of: new trainings and new scenes"
SCENES = "these checkpoints, new scenes"
TRAININGS = "new trainings, these scenes"

FALLBACK_SCENES, FALLBACK_SHARE = 12, 0.7

Term = tuple[np.ndarray, int]  # a variance [...] and its degrees of freedom


@dataclass(frozen=True)
class Cells:
    """Summaries of cell tables [..., S, N].

    `trainings` [..., S] is each training's mean, or its pooled value where pseudo-values stand in
    the cells (`pooled`), and `estimate` [...] their mean; `scene_means` [..., N]; `seed_variance`
    and `residual` (MSR) [...], both zero where there is no seed axis (`seeds` 1).
    """

    trainings: np.ndarray
    scene_means: np.ndarray
    seed_variance: np.ndarray
    residual: np.ndarray
    estimate: np.ndarray
    seeds: int
    scenes: int
    has_trainings: bool
    pooled: bool


@dataclass(frozen=True)
class Interval:
    """An estimate, its variance, degrees of freedom, limits and p against zero, all [...].

    Limits, p and `p_equivalent` (two one-sided tests against the margin that was asked for) are NaN
    where the data give none (one scene, or nothing varies); `fallback` says where the conservative
    half-width was taken, for limits and p-values alike.
    """

    estimate: np.ndarray
    variance: np.ndarray
    df: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_equivalent: np.ndarray
    fallback: np.ndarray


def summarise(cells: np.ndarray, theta: np.ndarray | None = None, stochastic: bool = True) -> Cells:
    """Reduce cells [..., S, N] (no NaN) to the sums that the moments need.

    `theta` [..., S] are pooled values per seed when the cells hold pseudo-values. A deterministic
    method (`stochastic=False`) has one row; copies of it over seeds are refused with ValueError.
    """
    cells = np.asarray(cells, dtype=np.float64)
    seeds, scenes = cells.shape[-2:]
    if not stochastic and seeds != 1:
        raise ValueError(f"a deterministic method has one row of cells, not {seeds}")
    seed_means = cells.mean(-1) if scenes else np.full(cells.shape[:-1], np.nan)
    scene_means = cells.mean(-2)
    zero = np.zeros(cells.shape[:-2])
    seed_variance, residual = zero, zero
    if seeds > 1:
        seed_variance = seed_means.var(-1, ddof=1)
        if scenes > 1:
            rest = cells - seed_means[..., None] - scene_means[..., None, :]
            rest = rest + cells.mean((-2, -1))[..., None, None]
            residual = np.square(rest).sum((-2, -1)) / ((seeds - 1) * (scenes - 1))
    trainings = seed_means if theta is None else np.asarray(theta, np.float64)
    return Cells(
        trainings,
        scene_means,
        seed_variance,
        residual,
        trainings.mean(-1),
        seeds,
        scenes,
        stochastic,
        theta is not None,
    )


def one(a: Cells, level: float = 0.95, fallback: bool | None = None) -> Interval:
    """Return the interval of one method's mean, without a p: nobody asks whether it is zero.

    `fallback` chooses the conservative half-width; None leaves it to `needs_fallback`, per element.
    """
    return _interval(a.estimate, a.scene_means, [a], level, fallback, None)


def difference(
    a: Cells,
    b: Cells,
    level: float = 0.95,
    fallback: bool | None = None,
    margin: float = np.nan,
) -> Interval:
    """Return the interval of mean(a) - mean(b) over the same scenes in the same order.

    `fallback` as in `one`. `p` is against a difference of zero; `p_equivalent` against one of
    `margin` or more either way (TOST, Schuirmann 1987), NaN where no margin is declared. Raises
    ValueError when the scenes differ in number.
    """
    if a.scenes != b.scenes:
        raise ValueError(f"methods must share their scenes: {a.scenes} against {b.scenes}")
    by_scene = a.scene_means - b.scene_means
    return _interval(a.estimate - b.estimate, by_scene, [a, b], level, fallback, margin)


def question_of(*methods: Cells) -> str:
    """Say which question an interval over these methods answers.

    A method that was trained once says nothing about new trainings; a deterministic one has none.
    """
    if any(m.has_trainings and m.seeds == 1 for m in methods):
        return SCENES
    return TRAININGS_AND_SCENES


def _interval(
    estimate: np.ndarray,
    by_scene: np.ndarray,
    methods: list[Cells],
    level: float,
    fallback: bool | None,
    margin: float | None,
) -> Interval:
    """Return the interval of an estimate; without any p where `margin` is None."""
    scenes = methods[0].scenes
    estimate = np.asarray(estimate, dtype=np.float64)
    if scenes < 2:
        empty = np.full(estimate.shape, np.nan)
        return Interval(estimate, *[empty] * 6, np.zeros(estimate.shape, bool))
    scene_term = (by_scene.var(-1, ddof=1) / scenes, scenes - 1)
    trained = [m for m in methods if m.seeds > 1]
    seed_terms = [(m.seed_variance / m.seeds, m.seeds - 1) for m in trained]
    residuals = [(m.residual / (m.seeds * scenes), (m.seeds - 1) * (scenes - 1)) for m in trained]
    variance, df = variance_and_df(seed_terms, scene_term, residuals)
    # What rounding leaves of a constant is not a measured variance: no limits, no p, no df.
    size = sum(np.abs(m.scene_means).max(-1) for m in methods)
    variance = np.where(variance > np.square(1e-12 * size), variance, 0.0)
    df = np.where(variance > 0, df, np.nan)
    if fallback is None:
        wide = needs_fallback(seed_terms, scene_term)
    else:
        wide = np.full(variance.shape, fallback)
    half = -stdtrit(df, (1 - level) / 2) * np.sqrt(variance)
    if wide.any():
        widen = _conservative(variance, seed_terms, scene_term)
        half = np.where(wide, widen((1 - level) / 2), half)
    half = np.where(variance > 0, half, np.nan)
    p = equal = np.full(estimate.shape, np.nan)
    if margin is not None:
        beyond = _tails(variance, df, wide, seed_terms, scene_term)
        p = np.minimum(2 * beyond(np.abs(estimate)), 1.0)
        if np.isfinite(margin):
            equal = np.maximum(beyond(margin - estimate), beyond(margin + estimate))
    return Interval(estimate, variance, df, estimate - half, estimate + half, p, equal, wide)


def _tails(
    variance: np.ndarray,
    df: np.ndarray,
    wide: np.ndarray,
    seed_terms: list[Term],
    scene_term: Term,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the one-sided p of an error beyond a distance [...], which may be negative."""
    chosen = wide & (variance > 0)

    def part(term: Term) -> Term:
        return term[0][chosen], term[1]

    def beyond(distance: np.ndarray) -> np.ndarray:
        size = np.abs(distance)
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = stdtr(df, -size / np.sqrt(variance))
        if chosen.any():
            widen = _conservative(variance[chosen], list(map(part, seed_terms)), part(scene_term))
            tail = np.array(tail)
            tail[chosen] = _invert(widen, size[chosen])
        return np.where(distance < 0, 1 - tail, tail)

    return beyond


def variance_and_df(
    seed_terms: list[Term], scene_term: Term, residuals: list[Term]
) -> tuple[np.ndarray, np.ndarray]:
    """Return V and its degrees of freedom from (value, df) terms.

    V is floored by the seed part and by the scene term. Degrees of freedom: the scene term's when V
    equals it, Welch's when V equals the seed part, otherwise Satterthwaite's over all the terms.
    """
    scene, scene_df = scene_term
    seed_part = sum((value for value, _ in seed_terms), np.zeros_like(scene))
    raw = seed_part + scene - sum((value for value, _ in residuals), np.zeros_like(scene))
    variance = np.maximum(raw, np.maximum(seed_part, scene))
    with np.errstate(divide="ignore", invalid="ignore"):
        welch = np.square(seed_part) / _spread(seed_terms, scene)
        full = np.square(raw) / _spread([*seed_terms, scene_term, *residuals], scene)
    df = np.where(variance == scene, scene_df, np.where(variance == seed_part, welch, full))
    return variance, df


def _spread(terms: list[Term], like: np.ndarray) -> np.ndarray:
    return sum((np.square(value) / df for value, df in terms), np.zeros_like(like))


def needs_fallback(seed_terms: list[Term], scene_term: Term) -> np.ndarray:
    """Say, bool [...], where the plain interval is known to cover too little.

    With more than a dozen scenes and one method carrying most of the seed part, Satterthwaite's
    degrees of freedom follow a variance of few trainings: where it happens to come out small they
    come out large. Simulation (`metrics.statistics.simulate`) puts the plain interval's coverage
    down to .92 there, and this rule's within [.94, .99] everywhere on its grid.
    """
    scene, scene_df = scene_term
    if not seed_terms or scene_df < FALLBACK_SCENES:
        return np.zeros(scene.shape, bool)
    values = np.stack([value for value, _ in seed_terms])
    return values.max(0) > FALLBACK_SHARE * values.sum(0)


def _conservative(
    variance: np.ndarray, seed_terms: list[Term], scene_term: Term
) -> Callable[[np.ndarray | float], np.ndarray]:
    """Return the fallback's half-width [...] as a function of the tail [...] on either side.

    Every part is widened by its own t before the parts are added.
    """
    scene, scene_df = scene_term
    seed_part = sum((value for value, _ in seed_terms), np.zeros_like(scene))
    rest = np.maximum(variance - seed_part, 0)

    def half(tail: np.ndarray | float) -> np.ndarray:
        scene_t = np.square(stdtrit(scene_df, tail))
        total = scene_t * rest
        for value, degrees in seed_terms:
            total = total + np.square(stdtrit(degrees, tail)) * value
        return np.sqrt(np.maximum(total, scene_t * scene))

    return half


def _invert(half: Callable[[np.ndarray | float], np.ndarray], distance: np.ndarray) -> np.ndarray:
    """Return the tail on one side whose half-width is `distance`, by bisection on its log."""
    low, high = np.full(distance.shape, -700.0), np.full(distance.shape, np.log(0.5))
    for _ in range(45):
        middle = (low + high) / 2
        wide = half(np.exp(middle)) > distance
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.exp((low + high) / 2)
