"""Prepare once what the scoring of every submission to a split shares."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from metrics.files import atomic_path
from metrics.geometry import CELL, cell_normals, cell_representatives, spatial_order
from metrics.submission_writer import TensorSpool
from metrics.surfaces import Surface, TruthClouds, surface_values
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
from metrics.voxels import SIDES, grid_around, known_voxels, voxelise

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
