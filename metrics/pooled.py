"""Metrics that pool counts or ranks over a split, and their jackknife pseudo-values by scene."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.rows import ALL, Row

# True items that a name needs to take part in a macro mean.
FEWEST_ITEMS = 20
# The names that macro means run over, in the words of the list of metrics.
FIXED_SET = (
    f"with at least {FEWEST_ITEMS} true ones in the split (1 where none has {FEWEST_ITEMS}), and "
    "over hallucinated ones, which have none, as 0"
)


@dataclass(frozen=True)
class PooledValue:
    """A statistic of a split and its jackknife.

    Attributes:
        theta: the statistic over all N scenes.
        pseudo: f64 [N], the pseudo-value of each scene j: N theta - (N - 1) theta without j. Their
            mean is the bias-corrected estimate; their spread gives the interval.
        over: the statistic itself, a function of bool [N]: which scenes take part.

    Source: Tukey 1958; Miller 1974.
    """

    theta: float
    pseudo: np.ndarray
    over: Callable[[np.ndarray], float]


def jackknife(
    statistic: Callable[[np.ndarray], float],
    scenes: int,
    without: Callable[[int], float] | None = None,
) -> PooledValue:
    """Return a statistic over all scenes with its pseudo-values.

    Args:
        statistic: takes bool [scenes], which scenes take part, and returns a finite number.
        scenes: how many there are; with one the pseudo-value is theta itself.
        without: returns what `statistic` does without one scene, in less time.

    Example:
        >>> jackknife(lambda keep: float(np.array([1.0, 2.0, 6.0])[keep].mean()), 3).pseudo
        array([1., 2., 6.])
    """
    everything = np.ones(scenes, bool)
    theta = statistic(everything)
    if scenes == 1:
        return PooledValue(theta, np.array([theta]), statistic)
    if without is None:
        numbers = np.arange(scenes)
        rest = np.array([statistic(numbers != scene) for scene in range(scenes)])
    else:
        rest = np.array([without(scene) for scene in range(scenes)])
    return PooledValue(theta, scenes * theta - (scenes - 1) * rest, statistic)


def fixed_set(counts: dict[str, int], fewest: int = FEWEST_ITEMS) -> tuple[list[str], int]:
    """Return the names that a split's macro mean runs over, sorted, and how many items they need.

    Names with at least `fewest` true items; where a split is so small that none has them, those
    with at least one.

    Example:
        >>> fixed_set({"on": 30, "near": 3})
        (['on'], 20)
    """
    often = sorted(name for name, count in counts.items() if count >= fewest)
    if often:
        return often, fewest
    return sorted(name for name, count in counts.items() if count > 0), 1


def macro(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean of values / weights where weights > 0; 0 when there are none.

    Args:
        values, weights: f64 [K], such as the sums of quality and TP + FP/2 + FN/2 of K predicates.
    """
    defined = weights > 0
    return float((values[defined] / weights[defined]).mean()) if defined.any() else 0.0


def pooled_rows(
    scenes: Sequence[str], values: Mapping[str, PooledValue], succeeded: np.ndarray
) -> list[Row]:
    """Return a row of each metric over the split, then its pseudo-value of each scene.

    Args:
        scenes: names, in the order of the pseudo-values.
        values: by metric.
        succeeded: bool [N], whether each scene has a usable answer.
    """
    rows = []
    for name, value in values.items():
        rows.append(Row("", "", ALL, name, value.theta, "pooled"))
        for scene, pseudo, good in zip(
            scenes, value.pseudo.tolist(), succeeded.tolist(), strict=True
        ):
            rows.append(Row(scene, "", ALL, name, pseudo, "pseudo", good))
    return rows


def over_succeeded(values: Mapping[str, PooledValue], succeeded: np.ndarray) -> dict[str, float]:
    """Return each pooled metric over the succeeded scenes alone, bool [N]; {} without any."""
    if not succeeded.any():
        return {}
    return {name: value.over(succeeded) for name, value in values.items()}
