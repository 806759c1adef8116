"""Reconstruction scores of one scene."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metrics import geometry as geo
from metrics.alignment import pixel_correspondences, umeyama
from metrics.files import rng
from metrics.rendering import (
    depth_absrel,
    depth_delta,
    mesh_depth,
    point_depth,
    point_radii,
    stride_of,
)
from metrics.rows import Row, failed, usable
from metrics.solids import grid_occupancy, mesh_contains, occupancy_iou, room_from_corners
from metrics.submission import Mesh, Submission
from metrics.truth import Prepared, SceneTruth, Truth
from metrics.voxels import SIDES, grid_around, voxel_iou, voxelise

MESH_SAMPLES = 200_000
SIM3 = ("chamfer_l1_sim3_m", "fscore@5cm_sim3")
NO_PIXELS = "points carry no pixels (view, row, column), so no sim3 alignment"


@dataclass(frozen=True)
class Surface:
    """A predicted surface: points f32 [M, 3], normals f32 or None, colours u8 or None, pixels."""

    points: np.ndarray
    normals: np.ndarray | None
    colours: np.ndarray | None
    pixels: np.ndarray | None


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


def score_geometry(submission: Submission, truth: Truth, scene: str, pixels: bool) -> list[Row]:
    """Return every reconstruction row of a scene.

    `pixels` says whether the submission offers pixel correspondences; a scene without them then
    fails the sim3 metrics.
    """
    prepared = truth.prepared(scene)
    true = prepared.ordered(truth.geometry(scene))
    tasks = geometry_tasks(submission)
    mesh = usable(lambda: submission.mesh(scene)) if "mesh" in submission.produces else None
    rows: list[Row] = []
    if "points" in tasks:
        surface = predicted_surface(submission, scene, mesh)
        names = point_metrics(true, pixels)
        # A mesh of solids holds no walls: it is rendered only where no points are produced.
        whole = submission.mesh_kind == "free_boundary" or "points" not in submission.produces
        values = {}
        if surface is not None:
            clouds = TruthClouds(true, prepared)
            values = surface_values(surface, clouds, mesh if whole else None)
            values |= _sim3_values(surface, clouds) if pixels else {}
        rows += _rows(scene, names, values, true.clip)
    solid = _solid_values(submission, scene, mesh, true)
    names = [name for name in ("occupancy", "mesh") if name in tasks]
    return rows + _rows(scene, [f"{name}_iou" for name in names], solid, true.clip)


def point_metrics(true: SceneTruth, pixels: bool) -> list[str]:
    """Return the names of the metrics a scene's surface is scored on."""
    taus = [f"{threshold * 100:g}cm" for threshold in geo.THRESHOLDS]
    names = ["accuracy_m", "completeness_m", "chamfer_l1_m", "chamfer_l2sq_m2"]
    names += [f"{name}@{tau}" for tau in taus for name in ("fscore", "precision", "recall")]
    if true.subset("completion").any():
        names += ["completeness_completion_m", *(f"recall_completion@{tau}" for tau in taus)]
    names += ["normal_consistency", "colour_mae"]
    names += [f"voxel_iou@{side * 100:g}cm" for side in SIDES]
    if (true.held_depth > 0).any():
        names += ["novel_depth_absrel", "novel_depth_delta1.25"]
    return names + (list(SIM3) if pixels else [])


def predicted_surface(submission: Submission, scene: str, mesh: Mesh | None) -> Surface | None:
    """Return the surface that is scored: the points, or a sampled mesh where there are none."""
    if "points" in submission.produces:
        cloud = usable(lambda: submission.points(scene))
        if cloud is None or len(cloud.points) == 0:
            return None
        return Surface(cloud.points, None, cloud.colours, cloud.pixels)
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
    return Surface(points, normals, colours, None)


def surface_values(
    surface: Surface, clouds: TruthClouds, mesh: Mesh | None = None
) -> dict[str, float]:
    """Return every value of a surface but the aligned ones; `mesh` is rendered in its place.

    Values that are not defined are left out.
    """
    true, prepared = clouds.true, clouds.prepared
    chosen = geo.cell_representatives(surface.points, geo.CELL)
    mine = geo.Cloud(surface.points[chosen])
    values = _distance_values(surface, chosen, mine, clouds)
    for threshold in geo.THRESHOLDS:
        values |= _fscore_values(surface.points, clouds, threshold)
    for side in SIDES:
        grid = grid_around(true.room_corners, side)
        shown = prepared.voxels("surface", side, grid.shape)
        known = prepared.voxels("known", side, grid.shape)
        filled = voxelise(surface.points, grid)
        values[f"voxel_iou@{side * 100:g}cm"] = voxel_iou(filled, shown, known)
    return values | _novel_depth(mine, mesh, true)


class TruthClouds:
    """The true surface of a scene, reduced to cells; its search trees are built once.

    A surface as handed in and the same one aligned are searched against the same trees.

    Args:
        true: in the prepared order.
        prepared: what every scoring of the scene shares.
    """

    def __init__(self, true: SceneTruth, prepared: Prepared) -> None:
        self.true, self.prepared = true, prepared
        self._clouds: dict[float, geo.Cloud] = {}

    def chosen(self, subset: str, cell: float) -> np.ndarray:
        """Return i64 indices of the samples that stand for the cells of a subset."""
        return self.prepared.chosen(subset, cell, len(self.true.surface))

    def points(self, subset: str, cell: float) -> np.ndarray:
        """Return f32 [K, 3] of the samples that stand for the cells of a subset (m)."""
        return self.true.surface[self.chosen(subset, cell)]

    def everything(self, cell: float) -> geo.Cloud:
        """Return the whole surface, one sample a cell, with its tree."""
        if cell not in self._clouds:
            self._clouds[cell] = geo.Cloud(self.points("all", cell))
        return self._clouds[cell]


def _distance_values(
    surface: Surface, chosen: np.ndarray, mine: geo.Cloud, clouds: TruthClouds
) -> dict[str, float]:
    true, prepared = clouds.true, clouds.prepared
    everything = clouds.chosen("all", geo.CELL)
    completion = clouds.points("completion", geo.CELL)
    forward = clouds.everything(geo.CELL).nearest(mine.points)
    backward = mine.nearest(clouds.points("observed", geo.CELL))
    if surface.normals is None:
        normals = geo.estimate_normals(mine)
    else:
        normals = geo.cell_normals(surface.points, surface.normals, geo.CELL, chosen)
    near, far = forward.distance, backward.distance
    values = {
        "accuracy_m": geo.mean_distance(near, true.clip),
        "completeness_m": geo.mean_distance(far, true.clip),
        "chamfer_l1_m": geo.chamfer_l1(near, far, true.clip),
        "chamfer_l2sq_m2": geo.chamfer_l2sq(near, far, true.clip),
        "normal_consistency": geo.normal_consistency(
            geo.normal_agreement(normals, prepared.normals("all")[forward.index]),
            geo.normal_agreement(prepared.normals("observed"), normals[backward.index]),
        ),
    }
    if len(completion):
        found = mine.nearest(completion)
        values["completeness_completion_m"] = geo.mean_distance(found.distance, true.clip)
    if surface.colours is not None:
        theirs = true.surface_colour[everything][forward.index]
        error = geo.colour_error(near, surface.colours[chosen], theirs)
        if error is not None:
            values["colour_mae"] = error
    return values


def _fscore_values(
    points: np.ndarray,
    clouds: TruthClouds,
    threshold: float,
    subsets: tuple[str, ...] = ("observed", "completion"),
) -> dict[str, float]:
    cell, bound, tau = threshold / 2, threshold * 1.001, f"{threshold * 100:g}cm"
    mine = geo.Cloud(points[geo.cell_representatives(points, cell)])
    near = clouds.everything(cell).nearest(mine.points, bound).distance
    precision = geo.share_within(near, threshold)
    values = {f"precision@{tau}": precision}
    for subset in subsets:
        wanted = clouds.points(subset, cell)
        if len(wanted):
            name = "recall" if subset == "observed" else f"recall_{subset}"
            found = mine.nearest(wanted, bound).distance
            values[f"{name}@{tau}"] = geo.share_within(found, threshold)
    values[f"fscore@{tau}"] = geo.fscore(precision, values[f"recall@{tau}"])
    return values


def _sim3_values(surface: Surface, clouds: TruthClouds) -> dict[str, float]:
    if surface.pixels is None:
        return {}
    true = clouds.true
    pairs = pixel_correspondences(
        surface.points, surface.pixels, true.input_depth, true.input_intrinsics, true.input_pose
    )
    similarity = umeyama(*pairs)
    if similarity is None:
        return {}
    moved = similarity.apply(surface.points)
    mine = geo.Cloud(moved[geo.cell_representatives(moved, geo.CELL)])
    near = clouds.everything(geo.CELL).nearest(mine.points).distance
    far = mine.nearest(clouds.points("observed", geo.CELL)).distance
    scores = _fscore_values(moved, clouds, 0.05, subsets=("observed",))
    return {SIM3[0]: geo.chamfer_l1(near, far, true.clip), SIM3[1]: scores["fscore@5cm"]}


def _novel_depth(mine: geo.Cloud, mesh: Mesh | None, true: SceneTruth) -> dict[str, float]:
    stride = stride_of(true.held_depth.shape[2])
    shown = true.held_depth[:, ::stride, ::stride]
    camera = (true.held_depth.shape[1:], true.held_intrinsics, true.held_pose, stride)
    if mesh is not None:
        drawn = mesh_depth(mesh.vertices, mesh.faces, *camera)
    else:
        drawn = point_depth(mine.points, point_radii(mine), *camera)
    error, delta = depth_absrel(drawn, shown), depth_delta(drawn, shown)
    if error is None or delta is None:
        return {}
    return {"novel_depth_absrel": error, "novel_depth_delta1.25": delta}


def _solid_values(
    submission: Submission, scene: str, mesh: Mesh | None, true: SceneTruth
) -> dict[str, float]:
    values = {}
    judged = true.occupancy != 2
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
