"""What a metric is: its name, unit, direction, worst and best value, floor and source."""

from __future__ import annotations

from dataclasses import dataclass

from metrics.truth import FLOORS

DTU = "Jensen et al. 2014 (DTU)"
OCCUPANCY_NETWORKS = "Mescheder et al. 2019 (Occupancy Networks)"
OWN = "this project"
# Aligned variants of metrics whose floors are measured; alignment by pixels adds nothing to them.
SIM3_FLOORS = {"chamfer_l1_sim3_m": "chamfer_l1_m", "fscore@5cm_sim3": "fscore@5cm"}


@dataclass(frozen=True)
class Metric:
    """A metric: what stands in a table's column of its name.

    Attributes:
        name: says the variant; family: which group of tables it belongs to; unit.
        task: what a submission must produce for it.
        higher_is_better: direction.
        worst: value of a failed item; None where it depends on the size of what is judged (see
            `worst_in`).
        description: formula in words; source: where it comes from.
        pooled: computed over a split, with pseudo-values by scene.
    """

    name: str
    family: str
    unit: str
    task: str
    higher_is_better: bool
    worst: float | None
    description: str
    source: str
    pooled: bool = False

    def worst_in(self, size: float) -> float:
        """Return the worst value where the scene's true bounding box, or the gallery, is this big.

        `size` is the box's diagonal in metres, or how many items a gallery of ranks holds.
        """
        if self.worst is not None:
            return self.worst
        return 2 * size**2 if self.unit == "m2" else size

    @property
    def worst_said(self) -> str:
        """The worst value in words."""
        if self.worst is not None:
            return f"{self.worst:g}"
        return {"m": "scene diagonal", "m2": "2 diagonal^2", "rank": "gallery size"}[self.unit]

    @property
    def best(self) -> float:
        """The value that no answer can better."""
        if self.unit == "rank":
            return 1.0
        return 1.0 if self.higher_is_better else 0.0

    @property
    def floor(self) -> str:
        """What a perfect answer scores under the benchmark's sampling, in words."""
        if self.name in FLOORS or self.name in SIM3_FLOORS:
            return "measured on each split"
        return f"{self.best:g}"


def distance(name: str, description: str, source: str, unit: str = "m") -> Metric:
    """Return a distance between surfaces: lower is better, the scene's diagonal the worst."""
    return Metric(name, "reconstruction", unit, "points", False, None, description, source)


def score(
    name: str, family: str, task: str, description: str, source: str, pooled: bool = False
) -> Metric:
    """Return a score in [0, 1]: higher is better, 0 the worst."""
    return Metric(name, family, "", task, True, 0.0, description, source, pooled)
