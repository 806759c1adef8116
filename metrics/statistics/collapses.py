"""Trainings that failed: one seed of a method far below its others."""

from typing import Any

import numpy as np
from scipy import stats

from metrics.statistics.table import Block

COLUMNS = ["split", "metric", "method", "seed", "value", "others", "deviations"]
# A training counts as failed from this many standard deviations of trainings on, and from this
# share of the others' median on. With normal trainings, 3 or 5 seeds and 11 methods, fewer than one
# in 1,000 metrics shows one by chance.
DEVIATIONS, SHARE = 7.0, 0.1
LEAST_SEEDS, LEAST_METHODS = 3, 4


def collapsed_trainings(blocks: dict[str, Block], higher_is_better: bool) -> list[dict[str, Any]]:
    """Return a row (`COLUMNS` without split and metric) for each training that failed.

    A training is compared with the median of its method's other trainings. The standard deviation
    of a training is taken from the median of the methods' variances, which a few failures do not
    move, and which is scaled to be right for normal trainings. Rare failures cannot be covered by
    an interval from three or five trainings, so they are reported.

    Args:
        blocks: the cells of each method; those with fewer than 3 seeds are left out, and fewer than
            4 methods give no standard deviation.
        higher_is_better: direction of the metric.
    """
    means = {
        name: block.values.mean(1) if block.theta is None else block.theta
        for name, block in blocks.items()
        if block.stochastic and len(block.seeds) >= LEAST_SEEDS and block.scenes
    }
    if len(means) < LEAST_METHODS:
        return []
    # The median of a variance on `df` degrees of freedom is below its expectation.
    scaled = []
    for trainings in means.values():
        df = len(trainings) - 1
        scaled.append(trainings.var(ddof=1) * df / stats.chi2.median(df))
    sigma = float(np.sqrt(np.median(scaled)))
    rows = []
    for name, trainings in means.items():
        for place, seed in enumerate(blocks[name].seeds):
            others = float(np.median(np.delete(trainings, place)))
            below = others - float(trainings[place])
            below = below if higher_is_better else -below
            if below > max(DEVIATIONS * sigma, SHARE * abs(others)):
                row = {"method": name, "seed": seed, "value": float(trainings[place])}
                # Infinite where the other methods' trainings agree to the bit.
                away = below / sigma if sigma else float("inf")
                rows.append(row | {"others": others, "deviations": away})
    return rows
