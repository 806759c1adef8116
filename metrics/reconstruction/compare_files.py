"""Compare two bare files of geometry, without a scene: what the CLI's `geometry` prints.

Names ending in ``_exact`` take every point, as the metric's source does; the others take one point
a cell, as the benchmark's tables do. Nothing is clipped. An alignment other than "none" is the
last part of each name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, rng
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.alignment import IDENTITY, Similarity, icp, umeyama
from metrics.reconstruction.distances import (
    THRESHOLDS,
    chamfer_l1,
    chamfer_l2sq,
    fscore,
    mean_distance,
    normal_agreement,
    normal_consistency,
    share_within,
    threshold_name,
)
from metrics.reconstruction.surface_files import SurfaceFile, read_surface

ALIGNMENTS = ("none", "icp_se3", "icp_sim3", "sim3")
SAMPLES = 200_000
# Points of the prediction that iterative alignment looks at.
ICP_POINTS = 50_000


@dataclass(frozen=True)
class Surface:
    """Points f32 [N, 3] in metres, with unit normals f32 [N, 3] where they come from a mesh."""

    points: np.ndarray
    normals: np.ndarray | None

    def moved(self, similarity: Similarity) -> Surface:
        """Return the surface after a similarity."""
        if self.normals is None:
            return Surface(similarity.apply(self.points), None)
        turned = Similarity(1.0, similarity.rotation, np.zeros(3)).apply(self.normals)
        return Surface(similarity.apply(self.points), turned)


def compare_files(
    predicted: str | Path,
    truth: str | Path,
    align: str = "none",
    samples: int = SAMPLES,
    thresholds: Sequence[float] = THRESHOLDS,
    with_floors: bool = True,
) -> dict[str, Any]:
    """Return what a predicted surface scores against a true one.

    Args:
        predicted: a file `read_surface` reads; a cloud is taken as it is.
        truth: another one.
        align: "none"; "icp_se3" or "icp_sim3" (Besl and McKay 1992, from where the prediction
            stands); "sim3" (Umeyama 1991 over pixels that both files carry).
        samples: points drawn from a mesh, uniform by area.
        thresholds: of precision, recall and F-score, metres.
        with_floors: also what the truth, sampled anew, scores against itself.

    Returns:
        "values" and "floors" {name: number}, "align", "samples", "points" (of both sides) and
        "similarity" (scale, rotation [3, 3], translation [3]) that was applied.

    Raises `InputError` for a file that cannot be read or aligned.
    """
    mine, true = read_surface(predicted), read_surface(truth)
    drawn, reference = _drawn(mine, samples, "mesh_samples"), _drawn(true, samples, "true_samples")
    if align == "sim3":
        similarity = _pixel_alignment(mine, true)
    else:
        similarity = _iterative_alignment(drawn.points, reference.points, align)
    drawn = drawn if align == "none" else drawn.moved(similarity)
    suffix = "" if align == "none" else f"_{align}"
    values = compare_surfaces(drawn, reference, thresholds)
    floors = _floors(true, reference, samples, thresholds) if with_floors else {}
    return {
        "align": align,
        "samples": samples,
        "points": {"predicted": len(drawn.points), "truth": len(reference.points)},
        "similarity": {
            "scale": similarity.scale,
            "rotation": similarity.rotation.tolist(),
            "translation": similarity.translation.tolist(),
        },
        "values": {name + suffix: value for name, value in values.items()},
        "floors": {name + suffix: value for name, value in floors.items()},
    }


def compare_surfaces(
    mine: Surface, true: Surface, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Return exact and one-point-a-cell values of a predicted against a true surface, unclipped."""
    exact = exact_values(mine, true, thresholds)
    return {f"{name}_exact": value for name, value in exact.items()} | cell_values(
        mine, true, thresholds
    )


def exact_values(mine: Surface, true: Surface, thresholds: Sequence[float]) -> dict[str, float]:
    """Return values over every point; neighbours are found once a direction.

    accuracy_m, completeness_m (Jensen et al. 2014), chamfer_l1_m, normal_consistency (Mescheder
    et al. 2019), chamfer_l2sq_m2 (pytorch3d.loss.chamfer_distance), precision, recall and fscore
    at each threshold (Knapitsch et al. 2017, without registration).
    """
    left, right = geo.Cloud(mine.points), geo.Cloud(true.points)
    forward, backward = right.nearest(left.points), left.nearest(right.points)
    normals = [
        geo.estimate_normals(cloud) if surface.normals is None else surface.normals
        for surface, cloud in ((mine, left), (true, right))
    ]
    values = _neighbour_values(forward, backward, normals[0], normals[1])
    for threshold in thresholds:
        precision = share_within(forward.distance, threshold)
        recall = share_within(backward.distance, threshold)
        values |= _fscore_values(threshold, precision, recall)
    return values


def cell_values(mine: Surface, true: Surface, thresholds: Sequence[float]) -> dict[str, float]:
    """Return the same values over one point a cell: 1 cm, and half of each threshold."""
    chosen = [geo.cell_representatives(side.points, geo.CELL) for side in (mine, true)]
    clouds = [
        geo.Cloud(side.points[places]) for side, places in zip((mine, true), chosen, strict=True)
    ]
    forward, backward = clouds[1].nearest(clouds[0].points), clouds[0].nearest(clouds[1].points)
    normals = [
        geo.estimate_normals(cloud)
        if side.normals is None
        else geo.cell_normals(side.points, side.normals, geo.CELL, places)
        for side, places, cloud in zip((mine, true), chosen, clouds, strict=True)
    ]
    values = _neighbour_values(forward, backward, normals[0], normals[1])
    for threshold in thresholds:
        a, b = (
            side.points[geo.cell_representatives(side.points, threshold / 2)]
            for side in (mine, true)
        )
        # Beyond the threshold a distance counts only as too far: the search may stop there.
        bound = threshold * 1.001
        precision = share_within(geo.Cloud(b).nearest(a, bound).distance, threshold)
        recall = share_within(geo.Cloud(a).nearest(b, bound).distance, threshold)
        values |= _fscore_values(threshold, precision, recall)
    return values


def _neighbour_values(
    forward: geo.Neighbours,
    backward: geo.Neighbours,
    my_normals: np.ndarray,
    true_normals: np.ndarray,
) -> dict[str, float]:
    """Return accuracy, completeness, both chamfers and normal consistency, by metric name."""
    return {
        "accuracy_m": mean_distance(forward.distance),
        "completeness_m": mean_distance(backward.distance),
        "chamfer_l1_m": chamfer_l1(forward.distance, backward.distance),
        "chamfer_l2sq_m2": chamfer_l2sq(forward.distance, backward.distance),
        "normal_consistency": normal_consistency(
            normal_agreement(my_normals, true_normals[forward.index]),
            normal_agreement(true_normals, my_normals[backward.index]),
        ),
    }


def _fscore_values(threshold: float, precision: float, recall: float) -> dict[str, float]:
    """Return precision, recall and their F-score at a threshold in metres, by metric name."""
    tau = threshold_name(threshold)
    return {
        f"precision@{tau}": precision,
        f"recall@{tau}": recall,
        f"fscore@{tau}": fscore(precision, recall),
    }


def _drawn(file: SurfaceFile, samples: int, purpose: str) -> Surface:
    """Return a file's surface as points: a cloud as it is, a mesh sampled uniformly by area.

    They stand in spatial order, in which searches find their part of the tree in the cache.
    """
    if file.faces is None:
        return Surface(file.points[geo.spatial_order(file.points)], None)
    generator = rng(0, purpose)
    points, normals, _, _ = geo.sample_mesh(file.points, file.faces, samples, generator)
    if len(points) == 0:
        raise InputError(f"{file.path}: its triangles have no area; export the faces in metres")
    order = geo.spatial_order(points)
    return Surface(points[order], normals[order])


def _iterative_alignment(source: np.ndarray, target: np.ndarray, align: str) -> Similarity:
    if align == "none":
        return IDENTITY
    if len(source) > ICP_POINTS:
        places = rng(0, "icp_points").choice(len(source), ICP_POINTS, replace=False)
        source = source[np.sort(places)]
    return icp(source, target, with_scale=align == "icp_sim3")


def _pixel_alignment(mine: SurfaceFile, true: SurfaceFile) -> Similarity:
    for file in (mine, true):
        if file.pixels is None:
            raise InputError(
                f"{file.path}: carries no pixels (view, row, col) of its points, so sim3 has "
                "nothing to align; add them or choose --align icp_sim3"
            )
    keys = [file.pixels.astype(np.int64) @ [1 << 40, 1 << 20, 1] for file in (mine, true)]
    _, here, there = np.intersect1d(*keys, return_indices=True)
    found = umeyama(mine.points[here], true.points[there])
    if found is None:
        raise InputError(
            f"{mine.path}: shares {len(here)} pixels with {true.path}, too few or on one line; "
            "sim3 needs three that span a triangle"
        )
    return found


def _floors(
    true: SurfaceFile, reference: Surface, samples: int, thresholds: Sequence[float]
) -> dict[str, float]:
    """Return what a perfect prediction, sampled independently of the truth, scores.

    A mesh is sampled anew. A cloud is split into random halves that are shrunk by sqrt(2), which
    brings them to the density of the whole: distances between samples of a surface go with one
    over the square root of their number.
    """
    if true.faces is not None:
        return compare_surfaces(_drawn(true, samples, "floor_samples"), reference, thresholds)
    order = rng(0, "floor_halves").permutation(len(reference.points))
    if len(order) < 2:
        return {}
    shrunk = (reference.points / np.sqrt(2)).astype(np.float32)
    first, second = (Surface(shrunk[np.sort(order[start::2])], None) for start in (0, 1))
    return compare_surfaces(first, second, thresholds)
