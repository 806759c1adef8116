"""Similarity alignment of a prediction to the truth; the alignment is part of a metric's name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.geometry import lift_pixels
from metrics.metric import Metric
from metrics.reconstruction.distances import (
    CHAMFER,
    TANKS_AND_TEMPLES,
    chamfer_of,
    fscore_at,
)
from metrics.reconstruction.pointcloud import Cloud
from metrics.reconstruction.surfaces import Surface, SurfaceComparison


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation.

    Attributes:
        scale: a number.
        rotation: f64 [3, 3].
        translation: f64 [3] metres.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Return the mapped points [N, 3]: float32 for those, else float64."""
        moved = self.scale * (np.asarray(points, np.float64) @ self.rotation.T) + self.translation
        return moved.astype(np.float32) if points.dtype == np.float32 else moved

    def after(self, first: "Similarity") -> "Similarity":
        """Return the similarity that applies `first` and then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )


IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


# scikit-image has the same transform; it sums in another order, so its last bits differ, and
# scoring would have one more dependency.
def umeyama(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity | None:
    """Return the least-squares similarity that takes source points onto target points.

    Args:
        source, target: [N, 3] metres; row i of both is one correspondence.
        with_scale: False keeps the scale at 1.

    Returns:
        The similarity, or None for fewer than 3 correspondences or points on one line.

    Source: Umeyama 1991, eq. 40 to 42.

    Example:
        >>> triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        >>> round(umeyama(triangle, 2 * triangle + 1).scale, 6)
        2.0
    """
    if len(source) < 3:
        return None
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    centred, aimed = source - from_mean, target - to_mean  # (N, 3) each
    variance = (centred**2).sum() / len(source)
    left, values, right = np.linalg.svd(aimed.T @ centred / len(source))
    # Two vanishing singular values: the points lie on a line, about which any turn is as good.
    if values[1] <= 1e-9 * max(values[0], 1e-300) or variance <= 0:
        return None
    # The best orthogonal matrix may be a reflection; flipping the weakest axis makes it a rotation.
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(sign) @ right
    scale = float((values * sign).sum() / variance) if with_scale else 1.0
    return Similarity(scale, rotation, to_mean - scale * rotation @ from_mean)


def pixel_correspondences(
    points: np.ndarray,
    pixels: np.ndarray,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    pose: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true points of the same input pixels, where the truth has depth.

    Args:
        points: [M, 3] metres, predicted.
        pixels: [M, 3] (view, row, column); points of pixels outside the images are left out.
        depth: [V, H, W] metres, 0 = none.
        intrinsics: [V, 3, 3].
        pose: [V, 4, 4] camera to frame.

    Returns:
        Both sides, [K, 3] metres each; row i of both is one correspondence.
    """
    view, row, column = np.array(pixels.T, np.int64, order="C")  # (M,) each
    inside = (row >= 0) & (row < depth.shape[1]) & (column >= 0) & (column < depth.shape[2])
    predicted, true = [], []
    for index, image in enumerate(depth):
        chosen = np.flatnonzero(inside & (view == index))
        z = image[row.take(chosen), column.take(chosen)]
        chosen, z = chosen[z > 0], z[z > 0]
        predicted.append(points.take(chosen, axis=0))
        place = row.take(chosen), column.take(chosen)
        true.append(lift_pixels(z, *place, intrinsics[index], pose[index]))
    return np.concatenate(predicted), np.concatenate(true)


def icp(source: np.ndarray, target: np.ndarray, with_scale: bool, steps: int = 50) -> Similarity:
    """Return a point-to-point alignment of source to target, started from the identity.

    It stops after `steps` steps, or when the mean distance to nearest neighbours no longer falls.

    Args:
        source: [N, 3] metres; target: [M, 3] metres.
        with_scale: False keeps the scale at 1.
        steps: at most so many.

    Source: Besl and McKay 1992.
    """
    cloud, total, previous = Cloud(target, np.float64), IDENTITY, np.inf
    for _ in range(steps):
        moved = total.apply(source)
        nearest = cloud.nearest(moved)
        error = float(nearest.distance.mean(dtype=np.float64))
        step = umeyama(moved, cloud.points[nearest.index], with_scale)
        if step is None or error >= previous - 1e-7:
            break
        total, previous = step.after(total), error
    return total


def aligned(comparison: SurfaceComparison) -> SurfaceComparison | None:
    """Return the comparison after Umeyama's similarity on pixel correspondences.

    None where the points carry no pixels or the pixels fix no similarity.
    """
    surface, true = comparison.surface, comparison.clouds.true
    if surface.pixels is None:
        return None
    cameras = (true.input_depth, true.input_intrinsics, true.input_pose)
    similarity = umeyama(*pixel_correspondences(surface.points, surface.pixels, *cameras))
    if similarity is None:
        return None
    return SurfaceComparison(Surface.ordered(similarity.apply(surface.points)), comparison.clouds)


def _aligned_metric(
    name: str, plain: str, function: Callable[[SurfaceComparison], float], **more: Any
) -> Metric:
    """Return a metric computed after alignment; its floor is that of the plain metric."""

    def compute(comparison: SurfaceComparison) -> float | None:
        moved = comparison.once(aligned)
        return None if moved is None else function(moved)

    return Metric(
        name=name,
        family="reconstruction",
        task="points",
        input="surface",
        compute=compute,
        description=f"{plain} after Umeyama sim3 on pixel correspondences",
        applies=lambda comparison: comparison.has_pixels,
        reason="points carry no pixels (view, row, column), so no sim3 alignment",
        floor_of=plain,
        **more,
    )


# A perfect answer is aligned through rounded pixel centres, so it has a bound and no ceiling.
METRICS = (
    _aligned_metric(
        "chamfer_l1_sim3_m",
        "chamfer_l1_m",
        chamfer_of,
        source=f"{CHAMFER}; alignment: Umeyama 1991",
        unit="m",
        higher_is_better=False,
        high=None,
        perfect_bound=0.03,
        place=15,
    ),
    _aligned_metric(
        "fscore@5cm_sim3",
        "fscore@5cm",
        lambda comparison: fscore_at(comparison, 0.05),
        source=f"{TANKS_AND_TEMPLES}; alignment: Umeyama 1991",
        perfect_bound=0.9,
        place=50,
    ),
)
