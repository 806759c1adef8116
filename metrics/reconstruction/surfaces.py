"""Reconstruction scores of one surface against the true surface of a scene."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metrics.files import atomic_path
from metrics.reconstruction import pointcloud as geo
from metrics.reconstruction.alignment import pixel_correspondences, umeyama
from metrics.reconstruction.pointcloud import (
    CELL,
    cell_normals,
    cell_representatives,
    spatial_order,
)
from metrics.reconstruction.radius_counts import Link, Samples, link, within
from metrics.reconstruction.rendering import (
    depth_absrel,
    depth_delta,
    mesh_depth,
    point_depth,
    point_radii,
    stride_of,
)
from metrics.reconstruction.voxels import SIDES, grid_around, known_voxels, voxel_iou, voxelise
from metrics.submission.reader import Mesh
from metrics.submission.writer import TensorSpool
from metrics.truth import (
    CELLS,
    FLOORS,
    PREPARED,
    PREPARED_VERSION,
    SUBSETS,
    Prepared,
    SceneTruth,
    Truth,
    cell_name,
    reordered,
    voxel_name,
)

SIM3 = ("chamfer_l1_sim3_m", "fscore@5cm_sim3")


@dataclass(frozen=True)
class Surface:
    """A predicted surface in spatial order (`Surface.ordered` makes one).

    points f32 [M, 3] metres; normals f32 [M, 3] or None; colours u8 [M, 3] or None; pixels
    integers [M, 3] (view, row, column) or None.
    """

    points: np.ndarray
    normals: np.ndarray | None
    colours: np.ndarray | None
    pixels: np.ndarray | None

    @classmethod
    def ordered(
        cls,
        points: np.ndarray,
        normals: np.ndarray | None = None,
        colours: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
    ) -> Surface:
        """Return the surface with its samples in spatial order."""
        order = geo.spatial_order(points)
        fields = (points, normals, colours, pixels)
        return cls(*(None if field is None else field[order] for field in fields))


def point_metrics(true: SceneTruth, pixels: bool) -> list[str]:
    """Return the names of the metrics a scene's surface is scored on.

    `pixels` says whether the submission's points carry pixels, which sim3 alignment needs.
    """
    taus = [geo.threshold_name(threshold) for threshold in geo.THRESHOLDS]
    names = ["accuracy_m", "completeness_m", "chamfer_l1_m", "chamfer_l2sq_m2"]
    names += [f"{name}@{tau}" for tau in taus for name in ("fscore", "precision", "recall")]
    if true.subset("completion").any():
        names += ["completeness_completion_m", *(f"recall_completion@{tau}" for tau in taus)]
    names += ["normal_consistency", "colour_mae"]
    names += [f"voxel_iou@{side * 100:g}cm" for side in SIDES]
    if (true.held_depth > 0).any():
        names += ["novel_depth_absrel", "novel_depth_delta1.25"]
    return names + (list(SIM3) if pixels else [])


class _TrueSamples(Samples):
    """Samples of a true surface, or of a part of it, whose reductions were prepared."""

    def __init__(self, true: SceneTruth, prepared: Prepared, subset: str) -> None:
        super().__init__(true.surface)
        self._prepared, self._subset = prepared, subset

    def _choose(self, cell: float) -> np.ndarray:
        return self._prepared.chosen(self._subset, cell, len(self.points))


class TruthClouds:
    """The true surface of a scene, reduced to cells; its search trees are built once.

    A surface as handed in and the same one aligned are searched against the same trees.

    Args:
        true: in the prepared order.
        prepared: what every scoring of the scene shares.
    """

    def __init__(self, true: SceneTruth, prepared: Prepared) -> None:
        self.true, self.prepared = true, prepared
        self.all, self.observed, self.completion = (
            _TrueSamples(true, prepared, name) for name in ("all", "observed", "completion")
        )


def surface_values(
    surface: Surface,
    clouds: TruthClouds,
    mesh: Mesh | None = None,
    names: Collection[str] | None = None,
) -> dict[str, float]:
    """Return every value of a surface but the aligned ones; `mesh` is rendered in its place.

    Values that are not defined are left out. `names` are the metrics that are asked for, all by
    default: what no asked one needs may be left out too, and takes no time.
    """

    def asked(*some: str) -> bool:
        return names is None or any(name.startswith(some) for name in names)

    mine = Samples(surface.points)
    forward, backward = link(mine, clouds.all), link(clouds.observed, mine)
    values = geo.distance_values(forward.distance, backward.distance, clouds.true.clip)
    if asked("normal_consistency"):
        values["normal_consistency"] = _normal_consistency(surface, mine, forward, backward, clouds)
    for threshold in geo.THRESHOLDS:
        tau = geo.threshold_name(threshold)
        if asked(*(f"{name}@{tau}" for name in ("fscore", "precision", "recall"))):
            values |= _fscore_values(mine, clouds, threshold, forward, backward)
    completed = asked("completeness_completion", "recall_completion")
    if completed and len(clouds.completion.chosen(geo.CELL)):
        values |= _completion_values(mine, clouds)
    if asked("colour_mae"):
        values |= _colour_values(surface, forward, clouds.true)
    if asked("voxel_iou"):
        values |= _voxel_values(surface.points, clouds)
    if asked("novel_depth"):
        values |= _novel_depth(mine.cloud(geo.CELL), mesh, clouds.true)
    return values


def sim3_values(surface: Surface, clouds: TruthClouds) -> dict[str, float]:
    """Return the values of a surface after Umeyama's similarity on pixel correspondences.

    Left out where the points carry no pixels or the pixels fix no similarity.
    """
    if surface.pixels is None:
        return {}
    true = clouds.true
    pairs = pixel_correspondences(
        surface.points, surface.pixels, true.input_depth, true.input_intrinsics, true.input_pose
    )
    similarity = umeyama(*pairs)
    if similarity is None:
        return {}
    mine = Samples(Surface.ordered(similarity.apply(surface.points)).points)
    forward, backward = link(mine, clouds.all), link(clouds.observed, mine)
    distances = geo.distance_values(forward.distance, backward.distance, true.clip)
    scores = _fscore_values(mine, clouds, 0.05, forward, backward)
    return {SIM3[0]: distances["chamfer_l1_m"], SIM3[1]: scores["fscore@5cm"]}


def _normal_consistency(
    surface: Surface, mine: Samples, forward: Link, backward: Link, clouds: TruthClouds
) -> float:
    chosen = mine.chosen(geo.CELL)
    if surface.normals is None:
        normals = geo.estimate_normals(mine.cloud(geo.CELL))
    else:
        normals = geo.cell_normals(surface.points, surface.normals, geo.CELL, chosen)
    true, shown = (clouds.prepared.normals(name) for name in ("all", "observed"))
    return geo.normal_consistency(
        geo.normal_agreement(normals, true.take(forward.row, axis=0)),
        geo.normal_agreement(shown, normals.take(backward.row, axis=0)),
    )


def _fscore_values(
    mine: Samples, clouds: TruthClouds, threshold: float, forward: Link, backward: Link
) -> dict[str, float]:
    cell = threshold / 2
    precision = within(mine, clouds.all, cell, threshold, forward)
    recall = within(clouds.observed, mine, cell, threshold, backward)
    return geo.fscore_values(threshold, precision, recall)


def _completion_values(mine: Samples, clouds: TruthClouds) -> dict[str, float]:
    found = link(clouds.completion, mine)
    values = {"completeness_completion_m": geo.mean_distance(found.distance, clouds.true.clip)}
    for threshold in geo.THRESHOLDS:
        share = within(clouds.completion, mine, threshold / 2, threshold, found)
        values[f"recall_completion@{geo.threshold_name(threshold)}"] = share
    return values


def _colour_values(surface: Surface, forward: Link, true: SceneTruth) -> dict[str, float]:
    if surface.colours is None:
        return {}
    theirs = true.surface_colour[forward.found]
    error = geo.colour_error(forward.distance, surface.colours[forward.place], theirs)
    return {} if error is None else {"colour_mae": error}


def _voxel_values(points: np.ndarray, clouds: TruthClouds) -> dict[str, float]:
    values = {}
    for side in SIDES:
        grid = grid_around(clouds.true.room_corners, side)
        shown = clouds.prepared.voxels("surface", side, grid.shape)
        known = clouds.prepared.voxels("known", side, grid.shape)
        values[f"voxel_iou@{side * 100:g}cm"] = voxel_iou(voxelise(points, grid), shown, known)
    return values


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


# Floors hardly differ between rooms; this many of them, evenly spaced, give a split's mean.
FLOOR_SCENES = 16


def prepare(truth_dir: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Write what every scoring shares, whole or not at all; return its path.

    The path is ``prepared.safetensors`` in the truth folder unless another is given. Two jobs may
    do so at once: each writes a temporary file of its own and the same bytes.
    """
    truth = Truth(truth_dir)
    path = truth.folder / PREPARED if path is None else Path(path)
    spool = TensorSpool()
    try:
        for scene in truth.scenes:
            for name, array in reductions(truth.geometry(scene)).items():
                spool.add(f"{scene}/{name}", array)
        some = truth.scenes[:: -(-len(truth.scenes) // FLOOR_SCENES)]
        floors = [scene_floors(truth.geometry(scene)) for scene in some]
        table = [[found.get(name, np.nan) for name in FLOORS] for found in floors]
        spool.add("floors", np.array(table, np.float32))
        spool.add("version", np.array([PREPARED_VERSION], np.int32))
        with atomic_path(path) as temporary:
            spool.save(temporary)
    finally:
        spool.close()
    return path


def reductions(truth: SceneTruth) -> dict[str, np.ndarray]:
    """Return a scene's prepared arrays by name, as `Prepared` reads them."""
    order = spatial_order(truth.surface).astype(np.int32)
    found = {"order": order}
    truth = reordered(truth, order)
    for subset in SUBSETS:
        members = np.flatnonzero(truth.subset(subset))
        for cell in CELLS:
            chosen = np.sort(members[cell_representatives(truth.surface[members], cell)])
            bits = np.zeros(len(truth.surface), bool)
            bits[chosen] = True
            found[cell_name(subset, cell)] = np.packbits(bits)
            if cell == CELL and subset != "completion":
                found[f"normals_{subset}"] = _averaged_normals(truth, members, chosen)
    for side in SIDES:
        grid = grid_around(truth.room_corners, side)
        surface = voxelise(truth.surface, grid)
        known = known_voxels(truth.input_depth, truth.input_intrinsics, truth.input_pose, grid)
        found[voxel_name("surface", side)] = np.packbits(surface)
        found[voxel_name("known", side)] = np.packbits(known)
    return found


def _averaged_normals(truth: SceneTruth, members: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    normals = truth.surface_normal[members].astype(np.float32) / 127
    inside = np.searchsorted(members, chosen)
    averaged = cell_normals(truth.surface[members], normals, CELL, inside)
    return np.round(averaged * 127).astype(np.int8)


def scene_floors(truth: SceneTruth) -> dict[str, float]:
    """Return what a perfect surface, sampled anew, scores in a scene, by metric of `FLOORS`.

    One random half of the samples is scored against the other. The scene is shrunk by sqrt(2)
    first, lengths and cameras alike, which gives each half the density of the whole.
    """
    scene = _shrunk(truth, 1 / np.sqrt(2))
    # The truth's samples stand in random order, so every second one is a fair half.
    mine, true = (reordered(scene, np.arange(start, len(scene.surface), 2)) for start in (0, 1))
    prepared = Prepared(_Arrays(reductions(true)), "")
    surface = Surface.ordered(mine.surface, None, mine.surface_colour)
    return surface_values(surface, TruthClouds(prepared.ordered(true), prepared))


class _Arrays:
    """Arrays in memory, read as those of a safetensors file are."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays

    def get_tensor(self, name: str) -> np.ndarray:
        return self._arrays[name.removeprefix("/")]


def _shrunk(truth: SceneTruth, factor: float) -> SceneTruth:
    factor = np.float32(factor)
    lengths = ("surface", "room_corners", "diagonal", "held_depth", "input_depth")
    changed = {name: getattr(truth, name) * factor for name in lengths}
    for name in ("held_pose", "input_pose"):
        changed[name] = getattr(truth, name).copy()
        changed[name][:, :3, 3] *= factor
    return replace(truth, **changed)
