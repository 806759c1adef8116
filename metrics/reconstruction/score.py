"""Reconstruction rows of one scene of a submission."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from metrics.constants import VOID
from metrics.files import rng
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.occupancy import (
    grid_occupancy,
    mesh_contains,
    occupancy_iou,
    room_from_corners,
)
from metrics.reconstruction.surfaces import (
    SIM3,
    Surface,
    TruthClouds,
    point_metrics,
    sim3_values,
    surface_values,
)
from metrics.rows import Row, failed, usable
from metrics.submission.reader import Mesh, Submission
from metrics.truth import SceneTruth, Truth

MESH_SAMPLES = 200_000
NO_PIXELS = "points carry no pixels (view, row, column), so no sim3 alignment"


def geometry_tasks(submission: Submission) -> frozenset[str]:
    """Return the registry tasks a submission can be scored on; a mesh stands in for the others."""
    found = submission.produces & {"points", "mesh", "occupancy"}
    return found | {"points", "occupancy"} if "mesh" in found else found


def has_pixels(submission: Submission, scenes: Iterable[str]) -> bool:
    """Say whether any scene's points carry the pixels they belong to."""
    if "points" not in submission.produces:
        return False
    clouds = (usable(lambda s=scene: submission.points(s)) for scene in scenes)
    return any(cloud is not None and cloud.pixels is not None for cloud in clouds)


def score_geometry(
    submission: Submission,
    truth: Truth,
    scene: str,
    pixels: bool,
    wanted: Collection[str] | None = None,
) -> list[Row]:
    """Return a scene's rows of the `wanted` reconstruction metrics, of all by default.

    `pixels` says whether the submission offers pixel correspondences; a scene without them then
    fails the sim3 metrics.
    """
    prepared = truth.prepared(scene)
    true = prepared.ordered(truth.geometry(scene))
    tasks = geometry_tasks(submission)
    mesh = usable(lambda: submission.mesh(scene)) if "mesh" in submission.produces else None
    rows: list[Row] = []
    names = _wanted(point_metrics(true, pixels) if "points" in tasks else [], wanted)
    if names:
        surface = predicted_surface(submission, scene, mesh)
        # A mesh of solids holds no walls: it is rendered only where no points are produced.
        whole = submission.mesh_kind == "free_boundary" or "points" not in submission.produces
        values = {}
        if surface is not None:
            clouds = TruthClouds(true, prepared)
            values = surface_values(surface, clouds, mesh if whole else None, names)
            values |= {} if set(SIM3).isdisjoint(names) else sim3_values(surface, clouds)
        rows += _rows(scene, names, values, true.clip)
    names = _wanted([f"{name}_iou" for name in ("occupancy", "mesh") if name in tasks], wanted)
    solid = _solid_values(submission, scene, mesh, true) if names else {}
    return rows + _rows(scene, names, solid, true.clip)


def _wanted(names: Iterable[str], wanted: Collection[str] | None) -> list[str]:
    return [name for name in names if wanted is None or name in wanted]


def predicted_surface(submission: Submission, scene: str, mesh: Mesh | None) -> Surface | None:
    """Return the surface that is scored: the points, or a sampled mesh where there are none."""
    if "points" in submission.produces:
        cloud = usable(lambda: submission.points(scene))
        if cloud is None or len(cloud.points) == 0:
            return None
        return Surface.ordered(cloud.points, None, cloud.colours, cloud.pixels)
    if mesh is None:
        return None
    generator = rng(0, "mesh_samples", scene)
    drawn = geo.sample_mesh(mesh.vertices, mesh.faces, MESH_SAMPLES, generator)
    points, normals, face, weights = drawn
    if len(points) == 0:
        return None
    colours = None
    if mesh.colours is not None:
        corner = mesh.colours[mesh.faces[face]].astype(np.float32)
        colours = np.einsum("nk,nkj->nj", weights, corner).round().astype(np.uint8)
    return Surface.ordered(points, normals, colours)


def _solid_values(
    submission: Submission, scene: str, mesh: Mesh | None, true: SceneTruth
) -> dict[str, float]:
    values = {}
    judged = true.occupancy != VOID
    points, answer = true.occupancy_points[judged], true.occupancy[judged]
    if mesh is not None and len(mesh.faces):
        room = room_from_corners(true.room_corners)
        kind = submission.mesh_kind or "solids"
        inside = mesh_contains(points, mesh.vertices, mesh.faces, kind, room)
        values["mesh_iou"] = occupancy_iou(inside, answer)
        values["occupancy_iou"] = values["mesh_iou"]
    if "occupancy" in submission.produces:
        values.pop("occupancy_iou", None)
        grid = usable(lambda: submission.occupancy(scene))
        if grid is not None:
            inside = grid_occupancy(points, grid.grid, grid.origin, grid.voxel)
            values["occupancy_iou"] = occupancy_iou(inside, answer)
    return values


def _rows(scene: str, names: Iterable[str], values: dict[str, float], diagonal: float) -> list[Row]:
    rows = []
    for name in names:
        value = values.get(name)
        if value is None or not np.isfinite(value):
            rows += failed(scene, [name], diagonal)
        else:
            rows.append(Row(scene, "", "all", name, value))
    return rows
