"""Prepare once what every scoring of a split shares, and open a truth folder that has it."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from metrics.files import InputError, atomic_path, sha256_file
from metrics.reconstruction.distances import THRESHOLDS
from metrics.reconstruction.pointcloud import (
    CELL,
    cell_normals,
    cell_representatives,
    spatial_order,
)
from metrics.reconstruction.surfaces import Surface, SurfaceComparison, TruthClouds
from metrics.reconstruction.voxels import SIDES, grid_around, known_voxels, voxelise
from metrics.registry import FLOORS, METRICS
from metrics.submission.parsing import open_tensors
from metrics.submission.writer import TensorSpool
from metrics.truth import (
    PREPARED,
    SUBSETS,
    Prepared,
    SceneTruth,
    Truth,
    cell_name,
    reordered,
    voxel_name,
)

# Sides of the cells that true surfaces are reduced to: 1 cm, and half of each threshold.
CELLS = (CELL, *(threshold / 2 for threshold in THRESHOLDS))
# Increase whenever `prepare` writes something else, so that older files are rewritten.
PREPARED_VERSION = 3
# Floors hardly differ between rooms; this many of them, evenly spaced, give a split's mean.
FLOOR_SCENES = 16


def open_truth(
    folder: str | os.PathLike[str], cache_dir: str | os.PathLike[str] | None = None
) -> Truth:
    """Return the truth of a split with its prepared file, which is written if need be.

    Args:
        folder: the truth folder.
        cache_dir: where to keep the prepared file if the truth folder holds no current one;
            by default the truth folder.
    """
    truth = Truth(folder)
    paths = [truth.folder / PREPARED]
    if cache_dir is not None:
        paths.append(Path(cache_dir) / f"{truth.split}.safetensors")
    current = next((path for path in paths if _is_current(truth, path)), None)
    truth.prepared_path = current or prepare(truth.folder, paths[-1])
    return truth


def _is_current(truth: Truth, path: Path) -> bool:
    """Return whether a prepared file is whole, of this version and made from this geometry."""
    if not path.exists():
        return False
    try:
        tensors = open_tensors(path)
    except InputError:  # cut short or damaged
        return False
    names = ("version", "geometry", "floors")
    if not set(names) <= set(tensors.keys()):
        return False
    version, geometry, floors = map(tensors.get_tensor, names)
    # A metric that was added since has no column in the table of floors.
    return (
        version.tolist() == [PREPARED_VERSION]
        and geometry.tobytes().hex() == sha256_file(truth.geometry_path)
        and floors.shape[1:] == (len(FLOORS),)
    )


def prepare(truth_dir: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Write what every scoring shares, whole or not at all; return its path.

    Two jobs may do so at once: each writes a temporary file of its own and the same bytes.

    Args:
        truth_dir: the truth folder.
        path: file to write, by default ``prepared.safetensors`` in the truth folder.
    """
    truth = Truth(truth_dir)
    path = truth.folder / PREPARED if path is None else Path(path)
    with closing(TensorSpool()) as spool:
        for scene in truth.scenes:
            for name, array in reductions(truth.geometry(scene)).items():
                spool.add(f"{scene}/{name}", array)
        some = truth.scenes[:: -(-len(truth.scenes) // FLOOR_SCENES)]
        floors = [scene_floors(truth.geometry(scene)) for scene in some]
        table = [[scene.get(name, np.nan) for name in FLOORS] for scene in floors]
        spool.add("floors", np.array(table, np.float32))  # (scenes, metrics)
        spool.add("version", np.array([PREPARED_VERSION], np.int32))
        # The time of a file does not tell whether it fits: two truths may share a cache folder.
        digest = bytes.fromhex(sha256_file(truth.geometry_path))
        spool.add("geometry", np.frombuffer(digest, np.uint8))  # (32,)
        with atomic_path(path) as temporary:
            spool.save(temporary)
    return path


def reductions(truth: SceneTruth) -> dict[str, np.ndarray]:
    """Return a scene's prepared arrays by name, as `Prepared` reads them."""
    order = spatial_order(truth.surface).astype(np.int32)  # (S,)
    arrays = {"order": order}
    truth = reordered(truth, order)
    for subset in SUBSETS:
        members = np.flatnonzero(truth.subset(subset))  # (K,) places of the subset's samples
        for cell in CELLS:
            chosen = np.sort(members[cell_representatives(truth.surface[members], cell)])
            bits = np.zeros(len(truth.surface), bool)
            bits[chosen] = True
            arrays[cell_name(subset, cell)] = np.packbits(bits)
            if cell == CELL and subset != "completion":
                normals = truth.surface_normal[members].astype(np.float32) / 127
                inside = np.searchsorted(members, chosen)
                averaged = cell_normals(truth.surface[members], normals, CELL, inside)
                arrays[f"normals_{subset}"] = np.round(averaged * 127).astype(np.int8)
    for side in SIDES:
        grid = grid_around(truth.room_corners, side)
        surface = voxelise(truth.surface, grid)
        known = known_voxels(truth.input_depth, truth.input_intrinsics, truth.input_pose, grid)
        arrays[voxel_name("surface", side)] = np.packbits(surface)
        arrays[voxel_name("known", side)] = np.packbits(known)
    return arrays


def scene_floors(truth: SceneTruth) -> dict[str, float]:
    """Return what a perfect surface, sampled again, scores in a scene, by metric of `FLOORS`.

    One random half of the samples is scored against the other. The scene is shrunk by sqrt(2)
    first, lengths and cameras alike, which gives each half the density of the whole.
    """
    scene = _shrunk(truth, 1 / np.sqrt(2))
    # The truth's samples are in random order, so every second one is a fair half.
    sampled, true = (reordered(scene, np.arange(start, len(scene.surface), 2)) for start in (0, 1))
    prepared = Prepared(reductions(true).__getitem__)
    comparison = SurfaceComparison(
        Surface.ordered(sampled.surface, None, sampled.surface_colour),
        TruthClouds(prepared.ordered(true), prepared),
    )
    values = {
        name: METRICS[name].compute(comparison)
        for name in FLOORS
        if METRICS[name].applies(comparison)
    }
    return {name: value for name, value in values.items() if value is not None}


def _shrunk(truth: SceneTruth, factor: float) -> SceneTruth:
    factor = np.float32(factor)
    lengths = ("surface", "room_corners", "diagonal", "held_depth", "input_depth")
    changed = {name: getattr(truth, name) * factor for name in lengths}
    for name in ("held_pose", "input_pose"):
        changed[name] = getattr(truth, name).copy()
        changed[name][:, :3, 3] *= factor
    return replace(truth, **changed)


def measured_floors(truth: Truth) -> dict[str, float]:
    """Return what a perfect surface, sampled again, scores on a split: the mean, by metric.

    Metrics that no scene of the split defines are left out.
    """
    table = truth.floor_table.astype(np.float64)  # (scenes, metrics), NaN where undefined
    defined = np.isfinite(table)
    sums, counts = np.where(defined, table, 0.0).sum(axis=0), defined.sum(axis=0)
    return {
        name: float(total / count)
        for name, total, count in zip(FLOORS, sums, counts, strict=True)
        if count
    }
