"""Bootstrap and permutation of many rows at once: one set of draws, one product of matrices.

Every row with the same number of units is resampled with the same draws, so that a draw costs one
column of a matrix product instead of a copy of the data. Values are held as whole multiples of a
tiny unit (2^-40 of the largest and less): sums of products with whole counts are then exact, and
the same whichever way, and on however many threads, the product is summed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import betaincc, ndtr, ndtri

DRAWS = 10_000
FLIPS = 20_000


@lru_cache(maxsize=2)
def counts(units: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return how often each unit is drawn in each bootstrap draw, f64 [draws, units]."""
    generator = np.random.default_rng([seed, units, draws])
    chosen = generator.integers(0, units, (draws, units))
    chosen += np.arange(draws)[:, None] * units
    return np.bincount(chosen.ravel(), minlength=draws * units).reshape(draws, units) * 1.0


def whole(x: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x [..., N] as whole numbers and the unit [...] they are multiples of.

    The sum of `units` of them stays under 2^53, hence exact in float64.
    """
    x = np.asarray(x, dtype=np.float64)
    _, exponent = np.frexp(np.abs(x).max(-1))
    unit = np.ldexp(1.0, exponent + int(np.ceil(np.log2(units))) - 52)
    return np.rint(x / unit[..., None]), unit


def bootstrap_means(
    x: np.ndarray, draws: int = DRAWS, seed: int = 0, method: str = "BCa", level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return bootstrap limits (low [...], high [...]) of the mean over the last axis of x [..., N].

    `method` "percentile" or "BCa" (Efron 1987; the acceleration of a mean is that of its jackknife,
    sum of cubed deviations over 6 times the sum of squared ones to the power 3/2). Rows that do not
    vary get NaN. Agrees with `scipy.stats.bootstrap` but for the draws.
    """
    x = np.asarray(x, dtype=np.float64)
    rows = x.reshape(-1, x.shape[-1])
    low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    varies = np.ptp(rows, axis=-1) > 0
    if rows.shape[-1] > 1 and varies.any():
        held, unit = whole(rows[varies], rows.shape[-1])
        drawn = np.sort(held @ counts(rows.shape[-1], draws, seed).T, axis=-1)
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        shares = np.broadcast_to(tails, (len(held), 2))
        if method == "BCa":
            shares = _bca_shares(held, drawn, ndtri(tails))
        limits = _quantiles(drawn, shares) * (unit / rows.shape[-1])[:, None]
        low[varies], high[varies] = limits.T
    return low.reshape(x.shape[:-1]), high.reshape(x.shape[:-1])


def _bca_shares(x: np.ndarray, drawn: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return which shares [rows, 2] of the sorted draws [rows, draws] are the BCa limits."""
    observed = x.sum(-1)
    below = [
        [np.searchsorted(row, value, side) for side in ("left", "right")]
        for row, value in zip(drawn, observed, strict=True)
    ]
    bias = ndtri(np.mean(below, axis=-1) / drawn.shape[-1])[:, None]
    off = x - x.mean(-1, keepdims=True)
    acceleration = np.power(off, 3).sum(-1) / (6 * np.power(np.square(off).sum(-1), 1.5))
    shifted = bias + z
    return ndtr(bias + shifted / (1 - acceleration[:, None] * shifted))


def _quantiles(ordered: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return linear quantiles at shares [rows, k] of sorted rows [rows, draws]."""
    place = shares * (ordered.shape[-1] - 1)
    under = np.clip(np.floor(place).astype(np.int64), 0, ordered.shape[-1] - 2)
    first = np.take_along_axis(ordered, under, -1)
    return first + (place - under) * (np.take_along_axis(ordered, under + 1, -1) - first)


def crossed_bootstrap(
    a: np.ndarray, b: np.ndarray, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return percentile limits of mean(a) - mean(b), trainings and scenes resampled together.

    a [..., S_A, N] and b [..., S_B, N] on the same scenes: trainings whole per method, scenes
    jointly (Davidson and Hinkley 1997; Owen 2007). Only a cross-check, and only with ten trainings
    and more: with fewer its limits are too narrow. A deterministic method has one row.
    """
    scenes = a.shape[-1]
    columns = counts(scenes, draws, seed)
    drawn: np.ndarray | float = 0.0
    for place, (sign, cells) in enumerate(((1.0, a), (-1.0, b))):
        seeds = cells.shape[-2]
        held, unit = whole(cells.reshape(*cells.shape[:-2], -1), seeds * scenes)
        by_seed = (held.reshape(-1, scenes) @ columns.T).reshape(*cells.shape[:-1], -1)
        rows = counts(seeds, draws, seed + 1 + place)
        drawn = drawn + sign * (by_seed * rows.T).sum(-2) * (unit / (seeds * scenes))[..., None]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


@lru_cache(maxsize=2)
def _signs(units: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return signs [flips, units] and whether they are all there are, up to a common sign."""
    if 2 ** (units - 1) <= FLIPS:
        numbers = np.arange(2 ** (units - 1))[:, None]
        return 1.0 - 2.0 * ((numbers >> np.arange(units)) & 1), True
    generator = np.random.default_rng([seed, units])
    return 1.0 - 2.0 * generator.integers(0, 2, (FLIPS, units)), False


def sign_flip(x: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Return two-sided sign-flip p-values [...] of the means of x [..., N], and the least p.

    All 2^N flips where at most 20,000 of them differ in size, otherwise 20,000 drawn ones with the
    identity counted in (Phipson and Smyth 2010). Rows that are zero throughout get NaN.
    """
    x = np.asarray(x, dtype=np.float64)
    units = x.shape[-1]
    signs, exact = _signs(units, seed)
    held, _ = whole(x, units)
    sums = np.abs(held @ signs.T)
    # Values were rounded by half a unit each: sums that tie before may differ by that much after.
    extreme = (sums >= np.abs(held.sum(-1, keepdims=True)) - units).sum(-1)
    p = extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1)
    least = 1 / len(signs) if exact else 1 / (len(signs) + 1)
    return np.where(np.any(x != 0, axis=-1), p, np.nan), least


@lru_cache(maxsize=32)
def _splits(first: int, second: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return weights [splits, first + second] of mean differences times both sizes."""
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
    """Return p [...] that trainings a [..., S_A] and b [..., S_B] differ in mean, and the least p.

    Every way to deal the trainings to the two methods where there are at most 20,000, otherwise as
    many drawn ones (Fisher 1935). The least p is two-sided: .10 for three trainings against three.
    """
    first, second = a.shape[-1], b.shape[-1]
    weights, exact = _splits(first, second, seed)
    both = np.concatenate([a, b], axis=-1)
    held, _ = whole(both, 2 * first * second)
    sums = np.abs(held @ weights.T)
    own = np.concatenate([np.full(first, float(second)), np.full(second, -float(first))])
    extreme = (sums >= np.abs(held @ own)[..., None] - first * second).sum(-1)
    if not exact:
        return (extreme + 1) / (len(weights) + 1), 1 / (len(weights) + 1)
    return extreme / len(weights), (2 if first == second else 1) / len(weights)


def median_limits(x: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return bootstrap percentile limits (low [...], high [...]) of the median of x [..., N].

    Nothing is drawn: the m-th smallest of a resample lies at or below the k-th smallest value with
    the probability that at least m of N draws do, a binomial's tail (Efron 1979; Maritz and Jarrett
    1978). With an even N the limits of both middle values are averaged.
    """
    ordered = np.sort(np.asarray(x, dtype=np.float64), axis=-1)
    count = ordered.shape[-1]
    tails = [(1 - level) / 2, (1 + level) / 2]
    share = np.arange(1, count + 1) / count
    limits = []
    for middle in {(count + 1) // 2, count // 2 + 1}:
        reached = 1 - betaincc(middle, count - middle + 1, share)
        limits.append(ordered[..., np.minimum(np.searchsorted(reached, tails), count - 1)])
    low, high = np.moveaxis(np.mean(limits, axis=0), -1, 0)
    return low, high
