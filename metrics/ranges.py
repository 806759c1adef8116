"""Many ranges of whole numbers at once: how arrays of lists of different lengths are walked."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np


def spread(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the members of N ranges first, first + 1, ..., one range after the other.

    Args:
        first: i64 [N].
        counts: i64 [N], the lengths.

    Returns:
        i64 [K] which range each member is of, and i64 [K] the members; K is the sum of lengths.

    Example:
        >>> spread(np.array([5, 0, 7]), np.array([2, 0, 3]))
        (array([0, 0, 2, 2, 2]), array([5, 6, 7, 8, 9]))
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    behind = np.cumsum(counts) - counts  # members of the ranges before each
    return owner, np.arange(len(owner)) + (first - behind)[owner]


def blocks(counts: np.ndarray, size: int) -> Iterator[slice]:
    """Yield slices of counts i64 [N] in order; each adds up to `size`, or one more count at most.

    Example:
        >>> list(blocks(np.array([2, 1, 9, 1, 1]), 3))
        [slice(0, 2, None), slice(2, 3, None), slice(3, 5, None)]
    """
    number = (np.cumsum(counts) - counts) // size
    cuts = (np.flatnonzero(np.diff(number)) + 1).tolist()
    for start, end in pairwise([0, *cuts, len(counts)]):
        if end > start:
            yield slice(start, end)
