"""Reconstruction rows of a submission, scene after scene."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from metrics.files import rng
from metrics.metric import Metric
from metrics.reconstruction.occupancy import SolidComparison
from metrics.reconstruction.pointcloud import sample_mesh
from metrics.reconstruction.surfaces import Surface, SurfaceComparison, TruthClouds
from metrics.rows import Row, item_row, usable
from metrics.submission.items import Mesh
from metrics.submission.reader import Submission
from metrics.truth import Truth

MESH_SAMPLES = 200_000


def geometry_tasks(submission: Submission) -> frozenset[str]:
    """Return the tasks a submission can be scored on; a mesh stands in for the others."""
    declared = submission.produces & {"points", "mesh", "occupancy"}
    return declared | {"points", "occupancy"} if "mesh" in declared else declared


def score_reconstruction(
    submission: Submission,
    truth: Truth,
    metrics: Sequence[Metric],
    wanted: Collection[str] | None = None,
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a submission, and why metrics of its tasks have none.

    Args:
        submission, truth: of one split; the truth is prepared.
        metrics: of all domains, in the order of rows.
        wanted: names of the metrics to compute, by default all.
    """
    tasks = geometry_tasks(submission)
    if not tasks:
        return [], {}
    metrics = [metric for metric in metrics if metric.input in ("surface", "solids")]
    pixels = has_pixels(submission, truth.scenes)
    reasons = {} if pixels else {metric.name: metric.reason for metric in metrics if metric.reason}
    chosen = [m for m in metrics if m.task in tasks and (wanted is None or m.name in wanted)]
    rows: list[Row] = []
    for scene in truth.scenes:
        rows += _scene_rows(submission, truth, scene, chosen, pixels)
    return rows, reasons


def has_pixels(submission: Submission, scenes: Iterable[str]) -> bool:
    """Return whether any scene's points carry the pixels they belong to."""
    if "points" not in submission.produces:
        return False
    clouds = (usable(submission.points, scene) for scene in scenes)
    return any(cloud is not None and cloud.pixels is not None for cloud in clouds)


def _scene_rows(
    submission: Submission, truth: Truth, scene: str, metrics: Sequence[Metric], pixels: bool
) -> list[Row]:
    """Return a scene's rows.

    Where the submission offers pixels, a scene without them fails the metrics that need them.
    """
    prepared = truth.prepared(scene)
    true = prepared.ordered(truth.geometry(scene))
    mesh = usable(submission.mesh, scene) if "mesh" in submission.produces else None
    rows: list[Row] = []
    of_surface = [metric for metric in metrics if metric.input == "surface"]
    if of_surface:
        surface = predicted_surface(submission, scene, mesh)
        # A mesh of solids has no walls: it is rendered only where no points are produced.
        is_whole = submission.mesh_kind == "free_boundary" or "points" not in submission.produces
        comparison = SurfaceComparison(
            surface, TruthClouds(true, prepared), mesh if is_whole else None, pixels
        )
        for metric in of_surface:
            if metric.applies(comparison):
                value = None if surface is None else metric.compute(comparison)
                rows.append(item_row(metric, scene, value, true.clip))
    of_solids = [metric for metric in metrics if metric.input == "solids"]
    if of_solids:
        has_grids = "occupancy" in submission.produces
        grid = usable(submission.occupancy, scene) if has_grids else None
        solids = SolidComparison(true, mesh, submission.mesh_kind or "solids", grid, has_grids)
        for metric in of_solids:
            if metric.applies(solids):
                rows.append(item_row(metric, scene, metric.compute(solids), true.clip))
    return rows


def predicted_surface(submission: Submission, scene: str, mesh: Mesh | None) -> Surface | None:
    """Return the surface that is scored: the points, or a sampled mesh where there are none."""
    if "points" in submission.produces:
        cloud = usable(submission.points, scene)
        if cloud is None or len(cloud.points) == 0:
            return None
        return Surface.ordered(cloud.points, None, cloud.colours, cloud.pixels)
    if mesh is None:
        return None
    # The key is part of the seed: another word would sample other points.
    points, normals, face, weights = sample_mesh(
        mesh.vertices, mesh.faces, MESH_SAMPLES, rng(0, "mesh_samples", scene)
    )
    if len(points) == 0:
        return None
    colours = None
    if mesh.colours is not None:
        corner = mesh.colours[mesh.faces[face]].astype(np.float32)  # (N, 3 corners, 3)
        colours = np.einsum("nk,nkj->nj", weights, corner).round().astype(np.uint8)
    return Surface.ordered(points, normals, colours)
