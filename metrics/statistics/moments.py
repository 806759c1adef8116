"""Two-way moments: t intervals for new trainings and new scenes at once.

The model. A method's scores form a table with S rows, one for each training (seed), and N columns,
one for each scene; queries are averaged within a cell. Trainings and scenes are crossed random
effects:

    y[s, n] = mean + training[s] + scene[n] + rest[s, n]

`rest` is the interaction of training and scene, with the noise of the queries. Two methods A and B
are trained independently and scored on the same scenes, so their scene effects are subtracted
scene by scene. Four mean squares are observed, with these expectations:

    s2_A  variance of A's S_A training means         var(training_A) + var(rest_A) / N
    s2_B  the same for B                             var(training_B) + var(rest_B) / N
    s2_d  variance over scenes of the difference     var(scene_A - scene_B)
          of the methods' scene means                  + var(rest_A) / S_A + var(rest_B) / S_B
    MSR   residual mean square of one method         var(rest)

The variance of mean(A) - mean(B) is estimated by

    V = s2_A/S_A + s2_B/S_B + s2_d/N - MSR_A/(S_A N) - MSR_B/(S_B N).

The last two terms are subtracted because var(rest_A) / (S_A N) enters the variance of a mean once,
but the sum of the first three terms twice: in s2_A / S_A and in s2_d / N. V can come out too
small by chance, so it is never taken below its seed part nor below its scene part. The interval of
one method's mean is the same with B left out.

Every function broadcasts over leading axes (...): a grid of comparisons or of simulated studies is
one call.

Source: Searle, Casella and McCulloch, Variance components, 1992 (expected mean squares of the
crossed design); Satterthwaite, An approximate distribution of estimates of variance components,
1946 (degrees of freedom).
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import stdtr, stdtrit

TRAININGS_AND_SCENES = "new trainings and new scenes"
CROSS_CHECK = "cross-check of: new trainings and new scenes"
SCENES = "these checkpoints, new scenes"
TRAININGS = "new trainings, these scenes"

# The fallback, a wider interval, is used from this many degrees of freedom of the scene part on if
# one method has at least this share of the seed part; from the second number on where a method has
# two trainings. The grid of `metrics.statistics.simulate` chose the values.
FALLBACK_SCENES, FALLBACK_SCENES_OF_TWO, FALLBACK_SHARE = 12, 7, 0.7

# One part of a variance of a mean: f64 [...], and its degrees of freedom.
Term = tuple[np.ndarray, int]
# The smallest and the largest value of a metric, None for no largest one.
Bounds = tuple[float, float | None]


@dataclass(frozen=True)
class Cells:
    """The sums over cell tables f64 [..., S, N] of one method that the moments need.

    Attributes:
        trainings: f64 [..., S], the mean of each training; its pooled value where the cells are
            jackknife pseudo-values of a metric pooled over scenes.
        scene_means: f64 [..., N], means over trainings.
        seed_variance: f64 [...], s2 of the training means; 0 with one training.
        residual: f64 [...], residual mean square MSR; 0 with one training or one scene.
        estimate: f64 [...], mean of `trainings`.
        seeds: number of rows S, 1 for a method without randomness.
        scenes: number of columns N.
        stochastic: False for a method without randomness.
        pooled: whether the cells are pseudo-values.
    """

    trainings: np.ndarray
    scene_means: np.ndarray
    seed_variance: np.ndarray
    residual: np.ndarray
    estimate: np.ndarray
    seeds: int
    scenes: int
    stochastic: bool
    pooled: bool

    @property
    def n_trainings(self) -> int:
        """The number of trainings, 0 for a method without randomness."""
        return self.seeds if self.stochastic else 0


@dataclass(frozen=True)
class Interval:
    """An estimate with its variance, degrees of freedom, limits and p-values, each [...].

    Attributes:
        p: two-sided p-value against zero; NaN for the mean of one method.
        p_equivalent: p-value of the equivalence test against a margin; NaN without one.
        fallback: bool, whether the wider interval was taken, for limits and p-values alike.

    `df`, limits and p-values are NaN where the data give none: with one scene, or where nothing
    varies.
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
    """Reduce cell tables to the sums that the moments need.

    Args:
        cells: f64 [..., S, N], without NaN.
        theta: f64 [..., S], pooled value of each training, where the cells are pseudo-values.
        stochastic: False for a method without randomness, which has one row.

    Raises:
        ValueError: a method without randomness has several rows. Copies of one row would look like
            trainings that never vary.
    """
    cells = np.asarray(cells, dtype=np.float64)
    seeds, scenes = cells.shape[-2:]
    if not stochastic and seeds != 1:
        raise ValueError(f"a deterministic method has one row of cells, not {seeds}")
    seed_means = cells.mean(-1) if scenes else np.full(cells.shape[:-1], np.nan)  # (..., S)
    scene_means = cells.mean(-2)  # (..., N)
    seed_variance = residual = np.zeros(cells.shape[:-2])
    if seeds > 1:
        seed_variance = seed_means.var(-1, ddof=1)
        if scenes > 1:
            # What row, column and grand mean leave of a cell; (S - 1)(N - 1) of them are free.
            rest = cells - seed_means[..., None] - scene_means[..., None, :]  # (..., S, N)
            rest = rest + cells.mean((-2, -1))[..., None, None]
            residual = np.square(rest).sum((-2, -1)) / ((seeds - 1) * (scenes - 1))
    trainings = seed_means if theta is None else np.asarray(theta, np.float64)
    return Cells(
        trainings=trainings,
        scene_means=scene_means,
        seed_variance=seed_variance,
        residual=residual,
        estimate=trainings.mean(-1),
        seeds=seeds,
        scenes=scenes,
        stochastic=stochastic,
        pooled=theta is not None,
    )


def mean_interval(
    a: Cells, level: float = 0.95, fallback: bool | None = None, bounds: Bounds | None = None
) -> Interval:
    """Return the interval of one method's mean, without p-values.

    Args:
        a: the method's cells.
        level: of the interval.
        fallback: True takes the wider interval, False the plain one; None decides by
            `needs_fallback`, element by element.
        bounds: smallest and largest value of the metric; the limits lie within them
            (`bounded_limits`). None for symmetric limits.
    """
    found = _interval(a.estimate, a.scene_means, [a], level, fallback, None)
    if bounds is None:
        return found
    low, high = bounded_limits(found.estimate, found.high - found.estimate, *bounds)
    return replace(found, low=low, high=high)


def difference_interval(
    a: Cells,
    b: Cells,
    level: float = 0.95,
    fallback: bool | None = None,
    margin: float = np.nan,
    bounds: Bounds | None = None,
) -> Interval:
    """Return the interval of mean(a) - mean(b), its p against zero and its equivalence test.

    The methods are trained independently; see `paired_interval` for trainings that share a seed.

    Args:
        a: the first method's cells.
        b: the second's, over the same scenes in the same order.
        level: of the interval.
        fallback: as in `mean_interval`.
        margin: the equivalence test asks whether the difference lies within +-margin; NaN for no
            such test.
        bounds: smallest and largest value of the metric; no limit lies farther from zero than their
            distance.

    Raises:
        ValueError: the numbers of scenes differ.

    Source: Schuirmann, A comparison of the two one-sided tests procedure, 1987 (equivalence).
    """
    if a.scenes != b.scenes:
        raise ValueError(f"methods must share their scenes: {a.scenes} vs {b.scenes}")
    by_scene = a.scene_means - b.scene_means  # (..., N)
    found = _interval(a.estimate - b.estimate, by_scene, [a, b], level, fallback, margin)
    return _clipped(found, bounds)


def paired_interval(
    gaps: Cells,
    level: float = 0.95,
    fallback: bool | None = None,
    margin: float = np.nan,
    bounds: Bounds | None = None,
) -> Interval:
    """Return the interval of mean(a) - mean(b) of two methods whose trainings are paired by seed.

    Seed k gives both methods the same initial weights, order of data and dropout, so that their
    training effects may be correlated. Their differences, training by training and scene by scene,
    are a crossed table of one "method" (`summarise` of a - b), whose mean is tested against zero.

    Args:
        gaps: the sums over the differences, as of `summarise`.
        level: as in `difference_interval`.
        fallback: as in `difference_interval`.
        margin: as in `difference_interval`.
        bounds: as in `difference_interval`.
    """
    return _clipped(
        _interval(gaps.estimate, gaps.scene_means, [gaps], level, fallback, margin), bounds
    )


def _clipped(found: Interval, bounds: Bounds | None) -> Interval:
    """Return the interval of a difference within the largest differences that there can be.

    No coverage is lost, and whether the interval holds zero does not change.
    """
    if bounds is None or bounds[1] is None:
        return found
    span = bounds[1] - bounds[0]
    return replace(found, low=np.maximum(found.low, -span), high=np.minimum(found.high, span))


def bounded_limits(
    estimate: np.ndarray, half: np.ndarray, low: float, high: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return limits that lie within a metric's range, from those of a symmetric interval.

    With bounds on both sides the limits are those of Wilson's score interval, with the sample size
    that a share of this estimate and half-width would have: values t at which the estimate x is
    `half` away, when `half` is scaled by the root of t (1 - t) / (x (1 - x)). With a lower bound
    alone they are symmetric in the logarithm of the distance from it.

    Args:
        estimate: [...], within the range.
        half: [...], half-width of the symmetric interval; NaN where there is none.
        low: the metric's smallest value.
        high: its largest value, None for none.

    Source: Wilson, Probable inference, 1927; the effective sample size as in Korn and Graubard,
        Confidence intervals for proportions with small expected number of positive counts, 1998.
    """
    estimate, half = np.asarray(estimate, np.float64), np.asarray(half, np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if high is None:
            distance = estimate - low
            factor = np.exp(half / distance)
            return low + distance / factor, low + distance * factor
        span = high - low
        share = np.clip((estimate - low) / span, 0.0, 1.0)
        spread = share * (1 - share)
        # The squared quantile over the effective sample size.
        ratio = np.square(half / span) / spread
        centre = (share + ratio / 2) / (1 + ratio)
        width = np.sqrt(ratio * (spread + ratio / 4)) / (1 + ratio)
        return low + span * (centre - width), low + span * (centre + width)


def question_of(*methods: Cells) -> str:
    """Return the question that an interval over these methods answers.

    A single training does not tell how trainings vary. A method without randomness has none to
    vary, so it does not narrow the question.
    """
    if any(m.stochastic and m.seeds == 1 for m in methods):
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
    """Return the interval of an estimate [...] whose value by scene is `by_scene` [..., N].

    There are no p-values where `margin` is None.
    """
    scenes = methods[0].scenes
    estimate = np.asarray(estimate, dtype=np.float64)
    if scenes < 2:
        empty = np.full(estimate.shape, np.nan)
        return Interval(estimate, *[empty] * 6, np.zeros(estimate.shape, bool))
    # Each term is a part of V in the docstring of the module, with its degrees of freedom.
    scene_term = (by_scene.var(-1, ddof=1) / scenes, scenes - 1)
    trained = [m for m in methods if m.seeds > 1]
    seed_terms = [(m.seed_variance / m.seeds, m.seeds - 1) for m in trained]
    residuals = [(m.residual / (m.seeds * scenes), (m.seeds - 1) * (scenes - 1)) for m in trained]
    # Rounding leaves a tiny variance of what is constant. It must not give limits or a p.
    size = sum(np.abs(m.scene_means).max(-1) for m in methods)
    spread = half_width(
        (1 - level) / 2, seed_terms, scene_term, residuals, np.square(1e-12 * size), fallback
    )
    variance, df, wide, half = spread.variance, spread.df, spread.fallback, spread.half
    p = p_equivalent = np.full(estimate.shape, np.nan)
    if margin is not None:
        tail = partial(_tail_probability, variance, df, wide, seed_terms, scene_term)
        p = np.minimum(2 * tail(np.abs(estimate)), 1.0)
        if np.isfinite(margin):
            # Both one-sided tests must reject: below +margin and above -margin.
            p_equivalent = np.maximum(tail(margin - estimate), tail(margin + estimate))
    return Interval(estimate, variance, df, estimate - half, estimate + half, p, p_equivalent, wide)


@dataclass(frozen=True)
class Spread:
    """The variance of an estimate, its degrees of freedom and the half-width, each [...].

    `fallback` tells where the wider interval was taken. `df` and `half` are NaN where nothing
    varies.
    """

    variance: np.ndarray
    df: np.ndarray
    fallback: np.ndarray
    half: np.ndarray


def half_width(
    tail: float,
    seed_terms: list[Term],
    scene_term: Term,
    residuals: list[Term],
    least: np.ndarray | float = 0.0,
    fallback: bool | None = None,
) -> Spread:
    """Return the half-width of the interval that leaves `tail` on either side.

    Args:
        tail: probability, 0.025 for a 95% interval.
        seed_terms: as in `variance_and_df`.
        scene_term: as in `variance_and_df`.
        residuals: as in `variance_and_df`.
        least: variances up to this are rounding and count as 0.
        fallback: as in `mean_interval`.
    """
    variance, df = variance_and_df(seed_terms, scene_term, residuals)
    variance = np.where(variance > least, variance, 0.0)
    df = np.where(variance > 0, df, np.nan)
    wide = needs_fallback(seed_terms, scene_term)
    if fallback is not None:
        wide = np.full(variance.shape, fallback)
    # stdtrit is the inverse of Student's t distribution function, so -stdtrit(df, tail) is the
    # distance that leaves `tail` on either side.
    half = -stdtrit(df, tail) * np.sqrt(variance)
    if wide.any():
        half = np.where(wide, _wide_half_width(tail, variance, seed_terms, scene_term), half)
    return Spread(variance, df, wide, np.where(variance > 0, half, np.nan))


def _tail_probability(
    variance: np.ndarray,
    df: np.ndarray,
    wide: np.ndarray,
    seed_terms: list[Term],
    scene_term: Term,
    distance: np.ndarray,
) -> np.ndarray:
    """Return the probability that the error exceeds a distance [...] on one side.

    A negative distance has a probability above 0.5. Where `wide` is set, the probability is that of
    the wider interval, so that limits and p-values always agree.
    """
    size = np.abs(distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = stdtr(df, -size / np.sqrt(variance))
    chosen = wide & (variance > 0)
    if chosen.any():
        *seeds, scene = ((value[chosen], parts) for value, parts in (*seed_terms, scene_term))
        tail = np.array(tail)
        tail[chosen] = _invert_half_width(size[chosen], variance[chosen], seeds, scene)
    return np.where(distance < 0, 1 - tail, tail)


def variance_and_df(
    seed_terms: list[Term], scene_term: Term, residuals: list[Term]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance V f64 [...] and its degrees of freedom f64 [...].

    Args:
        seed_terms: s2 / S of each method that was trained more than once.
        scene_term: s2_d / N.
        residuals: MSR / (S N) of the same methods as `seed_terms`.

    The degrees of freedom are the scene part's where V equals it, Welch's (1947) where V equals the
    seed part, and otherwise Satterthwaite's over all terms: V^2 / sum(term^2 / df of the term).
    """
    scene, scene_df = scene_term
    seed_part = sum((value for value, _ in seed_terms), np.zeros_like(scene))
    raw = seed_part + scene - sum((value for value, _ in residuals), np.zeros_like(scene))
    variance = np.maximum(raw, np.maximum(seed_part, scene))
    with np.errstate(divide="ignore", invalid="ignore"):
        welch, satterthwaite = (
            np.square(part) / sum(np.square(value) / df for value, df in terms)
            for part, terms in (
                (seed_part, seed_terms),
                (raw, [*seed_terms, scene_term, *residuals]),
            )
        )
    df = np.where(variance == seed_part, welch, satterthwaite)
    return variance, np.where(variance == scene, scene_df, df)


def needs_fallback(seed_terms: list[Term], scene_term: Term) -> np.ndarray:
    """Return, bool [...], where the plain interval is known to cover too little.

    With more than a dozen scenes and one method carrying most of the seed part, the degrees of
    freedom depend on the variance of a few trainings: where that variance comes out small by
    chance, the degrees of freedom come out large, and the interval is too narrow twice over. In
    the simulation (`metrics.statistics.simulate`) the plain interval covers down to 0.92 there;
    with this rule the coverage stays within [0.94, 0.99] on the whole grid.
    """
    scene, scene_df = scene_term
    two = any(df == 1 for _, df in seed_terms)
    if not seed_terms or scene_df < (FALLBACK_SCENES_OF_TWO if two else FALLBACK_SCENES):
        return np.zeros(scene.shape, bool)
    values = np.stack([value for value, _ in seed_terms])  # (methods, ...)
    return values.max(0) > FALLBACK_SHARE * values.sum(0)


def _wide_half_width(
    tail: np.ndarray | float, variance: np.ndarray, seed_terms: list[Term], scene_term: Term
) -> np.ndarray:
    """Return the wider interval's half-width [...] for a tail probability [...].

    Each part of the variance is multiplied by its own squared t quantile before the parts are
    added, so that a part with few degrees of freedom cannot borrow those of another.
    """
    scene, scene_df = scene_term
    seed_part = sum((value for value, _ in seed_terms), np.zeros_like(scene))
    scene_t2 = np.square(stdtrit(scene_df, tail))
    total = scene_t2 * np.maximum(variance - seed_part, 0)
    for value, df in seed_terms:
        total = total + np.square(stdtrit(df, tail)) * value
    return np.sqrt(np.maximum(total, scene_t2 * scene))


def _invert_half_width(
    distance: np.ndarray, variance: np.ndarray, seed_terms: list[Term], scene_term: Term
) -> np.ndarray:
    """Return the tail probability [n] whose `_wide_half_width` is `distance` [n].

    Bisection on the logarithm of the probability: p-values below 1e-300 are still found, and 45
    steps leave a relative error below 1e-10.
    """
    low, high = np.full(distance.shape, -700.0), np.full(distance.shape, np.log(0.5))
    for _ in range(45):
        middle = (low + high) / 2
        half = _wide_half_width(np.exp(middle), variance, seed_terms, scene_term)
        too_wide = half > distance
        low, high = np.where(too_wide, middle, low), np.where(too_wide, high, middle)
    return np.exp((low + high) / 2)
