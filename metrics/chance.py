"""Expected scores of random answers, in closed form."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# A line of annotations.jsonl.
Annotation = dict[str, Any]
ChanceFunction = Callable[[Sequence[Annotation]], "dict[str, ChanceValue]"]


@dataclass(frozen=True)
class ChanceValue:
    """Expected score of random answers and the standard deviation of one run's score."""

    mean: float
    sd: float

    def z_score(self, measured: float, runs: int = 1) -> float:
        """Return how many standard deviations the mean of `runs` runs lies from expectation.

        Example:
            >>> round(ChanceValue(0.5, 0.1).z_score(0.6, runs=4), 3)
            2.0
        """
        if self.sd == 0.0:
            return 0.0 if math.isclose(measured, self.mean, abs_tol=1e-9) else math.inf
        return abs(measured - self.mean) / (self.sd / math.sqrt(runs))


def hit(options: int, right: int = 1) -> ChanceValue:
    """Return the value of one uniform choice among `options`, of which `right` are right.

    Example:
        >>> hit(4).mean
        0.25
    """
    share = right / options
    return ChanceValue(share, math.sqrt(share * (1.0 - share)))


def scene_mean(scenes: Iterable[Sequence[ChanceValue]]) -> ChanceValue | None:
    """Average independent queries within a scene, then over the scenes that have any."""
    filled = [queries for queries in scenes if queries]
    if not filled:
        return None
    means = [sum(query.mean for query in queries) / len(queries) for queries in filled]
    variances = [sum(query.sd**2 for query in queries) / len(queries) ** 2 for queries in filled]
    return ChanceValue(sum(means) / len(filled), math.sqrt(sum(variances)) / len(filled))


def by_subset(
    annotations: Sequence[Annotation],
    queries: Callable[[Annotation], Iterable[tuple[Sequence[str], ChanceValue]]],
) -> dict[str, ChanceValue]:
    """Return the scene mean of each subset.

    Args:
        annotations: lines of a split.
        queries: takes a line and yields (subsets, value) of each of its queries.
    """
    scenes: dict[str, list[list[ChanceValue]]] = {}
    for line in annotations:
        values: dict[str, list[ChanceValue]] = {}
        for subsets, value in queries(line):
            for subset in subsets:
                values.setdefault(subset, []).append(value)
        for subset, of_scene in values.items():
            scenes.setdefault(subset, []).append(of_scene)
    means = {subset: scene_mean(of_scenes) for subset, of_scenes in scenes.items()}
    return {subset: mean for subset, mean in means.items() if mean is not None}
