"""Compare two bare files of geometry, without a scene: the command `metrics geometry`.

Names ending in ``_exact`` take every point, as the metric's source does; the others take one point
a cell, as the benchmark's tables do. Nothing is clipped. An alignment other than "none" is the
last part of each name.

Coordinates stay float64 throughout: those of a map are millions of metres, of which float32 leaves
decimetres.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, rng
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
from metrics.reconstruction.pointcloud import (
    CELL,
    Cloud,
    Neighbours,
    cell_normals,
    distinct_rows,
    estimate_normals,
    sample_mesh,
)
from metrics.reconstruction.radius_counts import Samples, link, within
from metrics.reconstruction.surface_files import SurfaceFile, read_surface
from metrics.reconstruction.surfaces import Surface

ALIGNMENTS = ("none", "icp_se3", "icp_sim3", "sim3")
# Points sampled on a mesh.
SAMPLES = 200_000
# With more points than this the work takes minutes, so its steps are reported.
LARGE = 1_000_000
# Points of the prediction that iterative alignment takes.
ICP_POINTS = 50_000


def compare_files(
    predicted: str | Path,
    truth: str | Path,
    align: str = "none",
    samples: int = SAMPLES,
    thresholds: Sequence[float] = THRESHOLDS,
    with_floors: bool = True,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Return the scores of a predicted surface against a true one.

    Args:
        predicted: a file that `read_surface` reads; a cloud is taken as it is.
        truth: another one.
        align: "none"; "icp_se3" or "icp_sim3" (Besl and McKay 1992, started from the given
            poses); "sim3" (Umeyama 1991 over pixels that both files have).
        samples: points sampled on a mesh, uniformly by area.
        thresholds: of precision, recall and F-score, metres.
        with_floors: also score the truth, sampled again, against itself.
        progress: called with one line before each step, where a side has over a million points.

    Returns:
        "values" and "floors" {name: number}, "align", "samples", "points" (of both sides) and
        "similarity" (scale, rotation [3, 3], translation [3]) that was applied.

    Raises:
        InputError: a file cannot be read or aligned.
    """
    pred, true = read_surface(predicted), read_surface(truth)
    # The words are keys of random generators: another word would sample other points.
    sampled = _sampled(pred, samples, "mesh_samples")
    reference = _sampled(true, samples, "true_samples")
    sizes = len(sampled.points), len(reference.points)

    def report(step: str) -> None:
        if progress is not None and max(sizes) > LARGE:
            progress(f"{step}: {sizes[0]} and {sizes[1]} points")

    if align != "none":
        report("aligning")
    if align == "sim3":
        similarity = _pixel_alignment(pred, true)
    else:
        similarity = _iterative_alignment(sampled.points, reference.points, align)
    sampled = sampled if align == "none" else _moved(sampled, similarity)
    suffix = "" if align == "none" else f"_{align}"
    report("comparing")
    values = compare_surfaces(sampled, reference, thresholds)
    if with_floors:
        report("floors")
    floors = _floors(true, reference, samples, thresholds) if with_floors else {}
    return {
        "align": align,
        "samples": samples,
        "points": {"predicted": sizes[0], "truth": sizes[1]},
        "similarity": {
            "scale": similarity.scale,
            "rotation": similarity.rotation.tolist(),
            "translation": similarity.translation.tolist(),
        },
        "values": {name + suffix: value for name, value in values.items()},
        "floors": {name + suffix: value for name, value in floors.items()},
    }


def compare_surfaces(
    pred: Surface, true: Surface, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """Return the values over every point, and those over one point a cell; nothing is clipped."""
    named = {f"{name}_exact": value for name, value in exact_values(pred, true, thresholds).items()}
    return named | cell_values(pred, true, thresholds)


def exact_values(pred: Surface, true: Surface, thresholds: Sequence[float]) -> dict[str, float]:
    """Return values over every point.

    Source: accuracy_m and completeness_m: Jensen et al. 2014, without the 20 mm limit and the masks
    of DTU; chamfer_l1_m and normal_consistency: Mescheder et al. 2019; chamfer_l2sq_m2:
    pytorch3d.loss.chamfer_distance; precision, recall and fscore at each threshold: Knapitsch et
    al. 2017, without registration and crop volume.
    """
    values, forward, backward = _neighbour_values(pred, true)
    for threshold in thresholds:
        precision = share_within(forward.distance, threshold)
        recall = share_within(backward.distance, threshold)
        values |= _fscore_values(threshold, precision, recall)
    return values


def cell_values(pred: Surface, true: Surface, thresholds: Sequence[float]) -> dict[str, float]:
    """Return the same values over one point a cell: 1 cm, and half of each threshold."""
    first, second = (Samples(side.points, np.float64) for side in (pred, true))
    forward, backward = link(first, second), link(second, first)
    values = _mean_values(
        Neighbours(forward.distance, forward.target_row),
        Neighbours(backward.distance, backward.target_row),
        *(
            estimate_normals(samples.cloud(CELL))
            if surface.normals is None
            else cell_normals(surface.points, surface.normals, CELL, samples.chosen(CELL))
            for surface, samples in ((pred, first), (true, second))
        ),
    )
    for threshold in thresholds:
        precision = within(first, second, threshold / 2, threshold, forward)
        recall = within(second, first, threshold / 2, threshold, backward)
        values |= _fscore_values(threshold, precision, recall)
    return values


def _neighbour_values(
    pred: Surface, true: Surface
) -> tuple[dict[str, float], Neighbours, Neighbours]:
    """Return distances and normal consistency by metric name, and neighbours both ways."""
    # Only distinct points are searched: a search among equal ones takes quadratic time.
    (first, left), (second, right) = (distinct_rows(side.points) for side in (pred, true))
    clouds = Cloud(pred.points[first], np.float64), Cloud(true.points[second], np.float64)
    near, far = clouds[1].nearest(clouds[0].points), clouds[0].nearest(clouds[1].points)
    forward = Neighbours(near.distance[left], second[near.index][left])
    backward = Neighbours(far.distance[right], first[far.index][right])
    normals = (
        estimate_normals(cloud)[row] if surface.normals is None else surface.normals
        for surface, cloud, row in zip((pred, true), clouds, (left, right), strict=True)
    )
    return _mean_values(forward, backward, *normals), forward, backward


def _mean_values(
    forward: Neighbours, backward: Neighbours, pred_normals: np.ndarray, true_normals: np.ndarray
) -> dict[str, float]:
    """Return distances and normal consistency by metric name.

    Args:
        forward: neighbours of the N predicted points among the M true ones.
        backward: of the true points among the predicted ones.
        pred_normals: unit [N, 3].
        true_normals: unit [M, 3].
    """
    return {
        "accuracy_m": mean_distance(forward.distance),
        "completeness_m": mean_distance(backward.distance),
        "chamfer_l1_m": chamfer_l1(forward.distance, backward.distance),
        "chamfer_l2sq_m2": chamfer_l2sq(forward.distance, backward.distance),
        "normal_consistency": normal_consistency(
            normal_agreement(pred_normals, true_normals.take(forward.index, axis=0)),
            normal_agreement(true_normals, pred_normals.take(backward.index, axis=0)),
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


def _sampled(file: SurfaceFile, samples: int, purpose: str) -> Surface:
    """Return a file's surface as points: a cloud as it is, a mesh sampled uniformly by area."""
    if file.faces is None:
        return Surface.ordered(file.points)
    points, normals, _, _ = sample_mesh(
        file.points, file.faces, samples, rng(0, purpose), np.float64
    )
    if len(points) == 0:
        raise InputError(f"{file.label}: its triangles have no area; export the faces in metres")
    return Surface.ordered(points, normals)


def _moved(surface: Surface, similarity: Similarity) -> Surface:
    """Return the surface after a similarity, which only turns its normals."""
    points = similarity.apply(surface.points)
    if surface.normals is None:
        return Surface(points)
    turn = Similarity(1.0, similarity.rotation, np.zeros(3))
    return Surface(points, turn.apply(surface.normals))


def _iterative_alignment(source: np.ndarray, target: np.ndarray, align: str) -> Similarity:
    if align == "none":
        return IDENTITY
    if len(source) > ICP_POINTS:
        places = rng(0, "icp_points").choice(len(source), ICP_POINTS, replace=False)
        source = source[np.sort(places)]
    target = target[distinct_rows(target)[0]]
    return icp(source, target, with_scale=align == "icp_sim3")


def _pixel_alignment(pred: SurfaceFile, true: SurfaceFile) -> Similarity:
    """Return the similarity that takes predicted points onto true ones of the same pixels."""
    for file in (pred, true):
        if file.pixels is None:
            raise InputError(
                f"{file.label}: carries no pixels (view, row, col) of its points, so sim3 has "
                "nothing to align; add them or choose --align icp_sim3"
            )
    # One integer a pixel: each of the three numbers is below 2^20.
    keys = [file.pixels.astype(np.int64) @ [1 << 40, 1 << 20, 1] for file in (pred, true)]
    _, pred_rows, true_rows = np.intersect1d(*keys, return_indices=True)
    similarity = umeyama(pred.points[pred_rows], true.points[true_rows])
    if similarity is None:
        raise InputError(
            f"{pred.label}: shares {len(pred_rows)} pixels with {true.label}, too few or on one "
            "line; give three that span a triangle"
        )
    return similarity


def _floors(
    true: SurfaceFile, reference: Surface, samples: int, thresholds: Sequence[float]
) -> dict[str, float]:
    """Return the scores of a perfect prediction, sampled independently of the truth.

    A mesh is sampled again. A cloud is split into random halves that are shrunk by sqrt(2), which
    brings them to the density of the whole: distances between samples of a surface are
    proportional to one over the square root of their number.
    """
    if true.faces is not None:
        return compare_surfaces(_sampled(true, samples, "floor_samples"), reference, thresholds)
    order = rng(0, "floor_halves").permutation(len(reference.points))
    if len(order) < 2:
        return {}
    shrunk = reference.points / np.sqrt(2)
    first, second = (Surface(shrunk[np.sort(order[start::2])]) for start in (0, 1))
    return compare_surfaces(first, second, thresholds)
