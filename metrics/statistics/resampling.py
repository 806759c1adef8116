"""Bootstrap and permutation tests of many rows at once.

A bootstrap mean is a weighted mean whose weights count how often each unit was drawn. All rows with
the same number of units use the same draws, so the means of all rows and draws are one matrix
product: values [rows, units] times counts [units, draws].

Such a product depends in its last bits on the order of summation, hence on the BLAS and the number
of threads. Values are therefore rounded to whole multiples of a tiny unit (at most 2^-40 of the
largest value): sums of whole numbers below 2^53 are exact in float64, in any order.
"""

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import betaincc, ndtr, ndtri

DRAWS = 10_000
FLIPS = 20_000


@lru_cache(maxsize=2)
def counts(units: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return how often each bootstrap draw contains each unit, f64 [draws, units]."""
    chosen = np.random.default_rng([seed, units, draws]).integers(0, units, (draws, units))
    # One bincount for all draws: draw k counts in the bins k * units to (k + 1) * units - 1.
    chosen += np.arange(draws)[:, None] * units
    return np.bincount(chosen.ravel(), minlength=draws * units).reshape(draws, units) * 1.0


def to_integers(x: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x as whole numbers times a unit, such that sums of them are exact in float64.

    Args:
        x: f64 [..., N].
        units: how many values are summed at most.

    Returns:
        Whole numbers f64 [..., N], and the unit f64 [...] of each row, a power of 2. A sum of
        `units` of the numbers stays below 2^53.
    """
    x = np.asarray(x, dtype=np.float64)
    _, exponent = np.frexp(np.abs(x).max(-1))
    unit = np.ldexp(1.0, exponent + int(np.ceil(np.log2(units))) - 52)
    return np.rint(x / unit[..., None]), unit


def bootstrap_means(
    x: np.ndarray, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return BCa (bias-corrected and accelerated) bootstrap limits of the means of rows.

    Args:
        x: f64 [..., N]; the N values of a row are resampled.
        draws: number of bootstrap draws.
        seed: of the draws.
        level: of the interval.

    Returns:
        low, high: f64 [...], NaN for rows that do not vary. They agree with
        `scipy.stats.bootstrap`, except that the draws differ.

    Source: Efron, Better bootstrap confidence intervals, 1987.
    """
    x = np.asarray(x, dtype=np.float64)
    rows = x.reshape(-1, x.shape[-1])
    low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    varies = np.ptp(rows, axis=-1) > 0
    if rows.shape[-1] > 1 and varies.any():
        integers, unit = to_integers(rows[varies], rows.shape[-1])  # (R, N), (R,)
        sums = integers @ counts(rows.shape[-1], draws, seed).T  # (R, draws)
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        shares = _bca_shares(integers, sums, ndtri(tails))
        limits = _quantiles(sums, shares) * (unit / rows.shape[-1])[:, None]
        low[varies], high[varies] = limits.T
    return low.reshape(x.shape[:-1]), high.reshape(x.shape[:-1])


def _bca_shares(x: np.ndarray, sums: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the shares [R, 2] of the draws [R, draws] that lie below the BCa limits.

    `x` [R, N] are the values and `z` [2] the normal quantiles of the nominal tails.
    """
    observed = x.sum(-1)
    below = [
        (np.count_nonzero(row < value) + np.count_nonzero(row <= value)) / 2
        for row, value in zip(sums, observed, strict=True)
    ]
    # The bias is the normal quantile of the share of draws below the observed sum; ties count half.
    bias = ndtri(np.array(below) / sums.shape[-1])[:, None]  # (R, 1)
    # The acceleration of a mean has a closed form: that of its jackknife.
    off = x - x.mean(-1, keepdims=True)
    acceleration = np.power(off, 3).sum(-1) / (6 * np.power(np.square(off).sum(-1), 1.5))
    shifted = bias + z
    return ndtr(bias + shifted / (1 - acceleration[:, None] * shifted))


def _quantiles(sums: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return linear quantiles at shares [R, 2] of rows [R, draws], whose order is changed."""
    place = shares * (sums.shape[-1] - 1)
    under = np.clip(np.floor(place).astype(np.int64), 0, sums.shape[-1] - 2)
    ends = [_neighbours(row, *places) for row, places in zip(sums, under.tolist(), strict=True)]
    first, second = np.moveaxis(np.array(ends), -1, 0)  # (R, 2) each
    return first + (place - under) * (second - first)


def _neighbours(row: np.ndarray, low: int, high: int) -> list[list[float]]:
    """Return the values at places low, low + 1 and at high, high + 1 of the sorted row.

    Two partitions of the row, which is changed, take less than half the time of sorting it.
    """
    if low >= high:
        row.sort()
        return [row[[place, place + 1]].tolist() for place in (low, high)]
    row.partition(low + 1)
    lower = [row[: low + 1].max(), row[low + 1]]
    row[low + 1 :].partition(high - low - 1)
    return [lower, [row[high], row[high + 1 :].min()]]


def crossed_bootstrap(
    a: np.ndarray, b: np.ndarray, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return percentile limits of mean(a) - mean(b), resampling trainings and scenes.

    Each draw resamples the scenes once for both methods, because scenes are paired, and the
    trainings of each method on its own. With fewer than ten trainings its limits are too narrow.

    Args:
        a: f64 [..., S_A, N], one row for a method without randomness.
        b: f64 [..., S_B, N], on the same scenes.
        draws: number of bootstrap draws.
        seed: of the draws.
        level: of the interval.

    Returns:
        low, high: f64 [...].

    Source: Davison and Hinkley, Bootstrap methods and their application, 1997; Owen, The pigeonhole
        bootstrap, 2007.
    """
    scenes = a.shape[-1]
    columns = counts(scenes, draws, seed)  # (draws, N)
    gaps: np.ndarray | float = 0.0  # (..., draws)
    for place, (sign, cells) in enumerate(((1.0, a), (-1.0, b))):
        seeds = cells.shape[-2]
        integers, unit = to_integers(cells.reshape(*cells.shape[:-2], -1), seeds * scenes)
        by_seed = (integers.reshape(-1, scenes) @ columns.T).reshape(*cells.shape[:-1], -1)
        rows = counts(seeds, draws, seed + 1 + place)  # (draws, S)
        gaps = gaps + sign * (by_seed * rows.T).sum(-2) * (unit / (seeds * scenes))[..., None]
    low, high = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


@lru_cache(maxsize=2)
def _signs(units: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return signs f64 [flips, units], and whether these are all flips up to a common sign."""
    if 2 ** (units - 1) <= FLIPS:
        # The bits of 0 to 2^(units - 1) - 1 are the flips; the last unit is never flipped.
        numbers = np.arange(2 ** (units - 1))[:, None]
        return 1.0 - 2.0 * ((numbers >> np.arange(units)) & 1), True
    return 1.0 - 2.0 * np.random.default_rng([seed, units]).integers(0, 2, (FLIPS, units)), False


def sign_flip(x: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Return two-sided p-values of the sign-flip test that the mean of a row is zero.

    Args:
        x: f64 [..., N].
        seed: of the sampled flips.

    Returns:
        p f64 [...], NaN for rows of zeros, and the smallest p that the test can reach. All 2^N
        flips are taken where at most 20,000 of them differ in size, otherwise 20,000 random ones.

    Source: Phipson and Smyth, Permutation p-values should never be zero, 2010 (the observed order
        counts as one of the random flips).
    """
    x = np.asarray(x, dtype=np.float64)
    units = x.shape[-1]
    signs, exact = _signs(units, seed)
    integers, _ = to_integers(x, units)
    sums = np.abs(integers @ signs.T)  # (..., flips)
    # Each value was rounded by up to half a unit, so sums that tied before may now differ by
    # `units`. They still count as ties.
    extreme = (sums >= np.abs(integers.sum(-1, keepdims=True)) - units).sum(-1)
    p = extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1)
    smallest = 1 / len(signs) if exact else 1 / (len(signs) + 1)
    return np.where(np.any(x != 0, axis=-1), p, np.nan), smallest


@lru_cache(maxsize=32)
def _splits(first: int, second: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return weights f64 [splits, first + second], and whether these are all splits.

    Values times weights are mean differences times both group sizes, which keeps them whole.
    """
    size = first + second
    exact = comb(size, first) <= FLIPS
    if exact:
        chosen = np.array(list(combinations(range(size), first)))
    else:
        generator = np.random.default_rng([seed, first, second])
        chosen = generator.permuted(np.tile(np.arange(size), (FLIPS, 1)), axis=1)[:, :first]
    weights = np.full((len(chosen), size), -float(first))
    np.put_along_axis(weights, chosen, float(second), axis=1)
    return weights, exact


def permute_trainings(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Return two-sided p-values of the permutation test that two methods' trainings differ.

    Args:
        a: f64 [..., S_A], value of each training of the first method.
        b: f64 [..., S_B], of the second.
        seed: of the sampled permutations.

    Returns:
        p f64 [...], and the smallest p that the test can reach: 0.10 for three trainings vs three.
        All splits of the trainings are taken where there are at most 20,000, otherwise 20,000
        random ones.

    Source: Fisher, The design of experiments, 1935.
    """
    first, second = a.shape[-1], b.shape[-1]
    weights, exact = _splits(first, second, seed)
    integers, _ = to_integers(np.concatenate([a, b], axis=-1), 2 * first * second)
    sums = np.abs(integers @ weights.T)  # (..., splits)
    observed = np.concatenate([np.full(first, float(second)), np.full(second, -float(first))])
    # Ties as in `sign_flip`: each of the 2 * first * second summands was rounded by half a unit.
    extreme = (sums >= np.abs(integers @ observed)[..., None] - first * second).sum(-1)
    if not exact:
        return (extreme + 1) / (len(weights) + 1), 1 / (len(weights) + 1)
    # With groups of one size, the mirror image of the observed split is as extreme.
    return extreme / len(weights), (2 if first == second else 1) / len(weights)


def median_limits(x: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return bootstrap percentile limits of the medians of rows, without drawing.

    The m-th smallest value of a resample is at most the k-th smallest value of the row if at least
    m of the N draws are. That probability is the tail of a binomial distribution. With an even N,
    the limits of both middle values are averaged.

    Args:
        x: f64 [..., N].
        level: of the interval.

    Returns:
        low, high: f64 [...].

    Source: Maritz and Jarrett, A note on estimating the variance of the sample median, 1978; Efron,
        Bootstrap methods, 1979.
    """
    ordered = np.sort(np.asarray(x, dtype=np.float64), axis=-1)
    count = ordered.shape[-1]
    tails = [(1 - level) / 2, (1 + level) / 2]
    share = np.arange(1, count + 1) / count
    limits = []
    for middle in {(count + 1) // 2, count // 2 + 1}:
        # The binomial tail as a regularised incomplete beta function, at every k at once.
        reached = 1 - betaincc(middle, count - middle + 1, share)  # (N,)
        limits.append(ordered[..., np.minimum(np.searchsorted(reached, tails), count - 1)])
    low, high = np.moveaxis(np.mean(limits, axis=0), -1, 0)
    return low, high
