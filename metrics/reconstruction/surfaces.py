"""A predicted surface next to the true surface of its scene."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metrics.metric import Comparison
from metrics.reconstruction.pointcloud import spatial_order
from metrics.reconstruction.radius_counts import Link, Samples, link
from metrics.submission.items import Mesh
from metrics.truth import Prepared, SceneTruth


@dataclass(frozen=True)
class Surface:
    """A predicted surface in spatial order (`Surface.ordered` makes one).

    Attributes:
        points: f32 [M, 3] metres.
        normals: unit f32 [M, 3], or None.
        colours: u8 [M, 3] sRGB, or None.
        pixels: integers [M, 3] (view, row, column), or None.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    colours: np.ndarray | None = None
    pixels: np.ndarray | None = None

    @classmethod
    def ordered(
        cls,
        points: np.ndarray,
        normals: np.ndarray | None = None,
        colours: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
    ) -> "Surface":
        """Return the surface with its samples in spatial order."""
        order = spatial_order(points)
        fields = (points, normals, colours, pixels)
        return cls(*(None if field is None else field.take(order, axis=0) for field in fields))


class _TrueSamples(Samples):
    """Samples of a true surface, or of a part of it, whose reductions were prepared."""

    def __init__(self, true: SceneTruth, prepared: Prepared, subset: str) -> None:
        super().__init__(true.surface)
        self._prepared, self._subset = prepared, subset

    def _choose(self, cell: float) -> np.ndarray:
        return self._prepared.chosen(self._subset, cell, len(self.points))


class TruthClouds:
    """The true surface of a scene, reduced to cells; its search trees are built once.

    A surface as submitted and the same one aligned are searched against the same trees.

    Args:
        true: geometry of the scene, its samples in the prepared order.
        prepared: the reductions that every scoring of the scene shares.
    """

    def __init__(self, true: SceneTruth, prepared: Prepared) -> None:
        self.true, self.prepared = true, prepared
        self.all, self.observed, self.completion = (
            _TrueSamples(true, prepared, name) for name in ("all", "observed", "completion")
        )


class SurfaceComparison(Comparison):
    """A predicted surface next to the truth: what metrics of the task "points" read.

    Args:
        surface: the prediction; None without a usable one, and then no metric is computed.
        clouds: the true surface.
        mesh: rendered in place of the points, if given.
        has_pixels: the submission offers the pixels of its points.
    """

    def __init__(
        self,
        surface: Surface | None,
        clouds: TruthClouds,
        mesh: Mesh | None = None,
        has_pixels: bool = False,
    ) -> None:
        self.surface, self.clouds = surface, clouds
        self.mesh, self.has_pixels = mesh, has_pixels

    @property
    def clip(self) -> float:
        """The largest value of a distance: the diagonal of the scene's true box, metres."""
        return self.clouds.true.clip

    @cached_property
    def samples(self) -> Samples:
        """The predicted points, reduced to cells on request."""
        return Samples(self.surface.points)

    @cached_property
    def forward(self) -> Link:
        """Nearest true sample of each predicted point, one a 1 cm cell on both sides."""
        return link(self.samples, self.clouds.all)

    @cached_property
    def backward(self) -> Link:
        """Nearest predicted point of each observed true sample, one a 1 cm cell."""
        return link(self.clouds.observed, self.samples)
