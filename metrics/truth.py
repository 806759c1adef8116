"""Read the truth of a split, and prepare once what every submission's scoring shares.

A truth folder holds:

- ``geometry.safetensors``, by scene: ``surface`` f32 [S, 3], ``surface_normal`` i8 [S, 3] (/127),
  ``surface_flag`` u8 [S] (1 seen by an input camera, 2 by a held-out camera alone, 0 by none),
  ``surface_colour`` u8 [S, 3], ``occupancy_points`` f32 [O, 3], ``occupancy`` u8 [O] (0 free,
  1 solid, 2 void), ``room_corners`` f32 [8, 3], ``diagonal`` f32 [1], ``held_depth``,
  ``held_intrinsics``, ``held_pose``, ``input_depth``, ``input_intrinsics``, ``input_pose``,
  ``boxes`` f32 [N, 6], ``yaw`` f32 [N];
- ``annotations.jsonl``, one line a scene;
- ``prepared.safetensors``, written by `prepare`: which samples represent each cell, averaged
  normals, voxel sets and the floors.

Metres, in the levelled frame of the first input camera.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, atomic_path, read_lines
from metrics.geometry import (
    CELL,
    THRESHOLDS,
    Cloud,
    cell_normals,
    cell_representatives,
    fscore,
    share_within,
    spatial_order,
)
from metrics.submission_checks import open_tensors
from metrics.submission_writer import TensorSpool
from metrics.voxels import SIDES, grid_around, known_voxels, voxelise

OBSERVED, COMPLETION = 1, 2
SUBSETS = ("all", "observed", "completion")
CELLS = (CELL, *(threshold / 2 for threshold in THRESHOLDS))
PREPARED = "prepared.safetensors"


@dataclass(frozen=True)
class SceneTruth:
    """The true geometry of a scene; shapes stand in this module's docstring."""

    surface: np.ndarray
    surface_normal: np.ndarray
    surface_flag: np.ndarray
    surface_colour: np.ndarray
    occupancy_points: np.ndarray
    occupancy: np.ndarray
    room_corners: np.ndarray
    diagonal: np.ndarray
    held_depth: np.ndarray
    held_intrinsics: np.ndarray
    held_pose: np.ndarray
    input_depth: np.ndarray
    input_intrinsics: np.ndarray
    input_pose: np.ndarray
    boxes: np.ndarray
    yaw: np.ndarray

    @property
    def clip(self) -> float:
        """The diagonal of the scene's true bounding box, metres: the worst distance."""
        return float(self.diagonal.reshape(-1)[0])

    def subset(self, name: str) -> np.ndarray:
        """Return bool [S]: the samples of "all", "observed" or "completion"."""
        if name == "all":
            return np.ones(len(self.surface), bool)
        return self.surface_flag == (OBSERVED if name == "observed" else COMPLETION)


def reordered(truth: SceneTruth, order: np.ndarray) -> SceneTruth:
    """Return the truth with its surface samples in another order, i32 [S]."""
    names = ("surface", "surface_normal", "surface_flag", "surface_colour")
    return replace(truth, **{name: getattr(truth, name)[order] for name in names})


class Prepared:
    """What `prepare` wrote for one scene, unpacked when asked."""

    def __init__(self, tensors: Any, scene: str) -> None:
        self._tensors, self._scene = tensors, scene

    def tensor(self, name: str) -> np.ndarray:
        """Return one stored tensor."""
        return self._tensors.get_tensor(f"{self._scene}/{name}")

    def ordered(self, truth: SceneTruth) -> SceneTruth:
        """Return the truth with its surface samples in spatial order.

        Neighbour searches run faster so, and `chosen` counts in this order.
        """
        return reordered(truth, self.tensor("order"))

    def chosen(self, subset: str, cell: float, count: int) -> np.ndarray:
        """Return i64 indices of the samples, of `count` ordered ones, that stand for the cells."""
        bits = np.unpackbits(self.tensor(_cell_name(subset, cell)), count=count)
        return np.flatnonzero(bits)

    def normals(self, subset: str) -> np.ndarray:
        """Return f32 [K, 3] normals averaged over the 1 cm cells of "all" or "observed"."""
        return self.tensor(f"normals_{subset}").astype(np.float32) / 127

    def voxels(self, name: str, side: float, shape: tuple[int, int, int]) -> np.ndarray:
        """Return bool [X, Y, Z]: "surface" or "known" voxels of a side."""
        packed = self.tensor(_voxel_name(name, side))
        return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)

    def floors(self) -> dict[str, float]:
        """Return what an equally dense, independent sampling of the truth itself would score."""
        return dict(zip(FLOORS, self.tensor("floors").astype(float).tolist(), strict=True))


class Truth:
    """The truth folder of one split, read lazily.

    Args:
        folder: where the truth stands.
        cache_dir: where to keep what `prepare` writes, if the truth folder does not hold it.
    """

    def __init__(
        self, folder: str | os.PathLike[str], cache_dir: str | os.PathLike[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._cache_dir = cache_dir
        lines = read_lines(self.folder / "annotations.jsonl")
        if not lines:
            raise InputError(f"{self.folder / 'annotations.jsonl'}: no scenes; write the truth")
        self._lines: dict[str, dict[str, Any]] = {line["scene"]: line for line in lines}

    @property
    def split(self) -> str:
        """Name of the split."""
        return next(iter(self._lines.values()))["split"]

    @property
    def scenes(self) -> list[str]:
        """Scene names in the order of the annotations."""
        return list(self._lines)

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """Every annotation line."""
        return list(self._lines.values())

    def annotation(self, scene: str) -> dict[str, Any]:
        """Return the annotation line of a scene."""
        return self._lines[scene]

    @cached_property
    def _geometry(self) -> Any:
        path = self.folder / "geometry.safetensors"
        tensors = open_tensors(path)
        if tensors is None:
            raise InputError(f"{path}: no such file; run the stage that writes the truth")
        return tensors

    @cached_property
    def _prepared(self) -> Any:
        path = self.folder / PREPARED
        if not self._fresh(path) and self._cache_dir is not None:
            path = Path(self._cache_dir) / f"{self.split}.safetensors"
        if not self._fresh(path):
            prepare(self.folder, path)
        return open_tensors(path)

    def _fresh(self, path: Path) -> bool:
        source = self.folder / "geometry.safetensors"
        return path.exists() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns

    def geometry(self, scene: str) -> SceneTruth:
        """Return the true geometry of a scene."""
        names = [field.name for field in fields(SceneTruth)]
        return SceneTruth(**{name: self._geometry.get_tensor(f"{scene}/{name}") for name in names})

    def prepared(self, scene: str) -> Prepared:
        """Return what is shared by every submission; written first if it is not there."""
        return Prepared(self._prepared, scene)


FLOORS = (
    "accuracy_m",
    "completeness_m",
    "chamfer_l1_m",
    *(f"fscore@{threshold * 100:g}cm" for threshold in THRESHOLDS),
)


def prepare(truth_dir: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Write what every scoring shares, whole or not at all; return its path.

    The path is ``prepared.safetensors`` in the truth folder unless another is given.

    Two jobs may do so at once: each writes a temporary file of its own and the same bytes.
    """
    truth = Truth(truth_dir)
    path = truth.folder / PREPARED if path is None else Path(path)
    spool = TensorSpool()
    try:
        for scene in truth.scenes:
            for name, array in _prepare_scene(truth.geometry(scene)).items():
                spool.add(f"{scene}/{name}", array)
        with atomic_path(path) as temporary:
            spool.save(temporary)
    finally:
        spool.close()
    return path


def _cell_name(subset: str, cell: float) -> str:
    return f"cells_{subset}@{cell * 1000:g}mm"


def _voxel_name(name: str, side: float) -> str:
    return f"{name}_voxels@{side * 1000:g}mm"


def _prepare_scene(truth: SceneTruth) -> dict[str, np.ndarray]:
    order = spatial_order(truth.surface).astype(np.int32)
    found = {"order": order, "floors": _floors(truth)}
    truth = reordered(truth, order)
    for subset in SUBSETS:
        members = np.flatnonzero(truth.subset(subset))
        for cell in CELLS:
            chosen = np.sort(members[cell_representatives(truth.surface[members], cell)])
            bits = np.zeros(len(truth.surface), bool)
            bits[chosen] = True
            found[_cell_name(subset, cell)] = np.packbits(bits)
            if cell == CELL and subset != "completion":
                found[f"normals_{subset}"] = _averaged_normals(truth, members, chosen)
    for side in SIDES:
        grid = grid_around(truth.room_corners, side)
        surface = voxelise(truth.surface, grid)
        known = known_voxels(truth.input_depth, truth.input_intrinsics, truth.input_pose, grid)
        found[_voxel_name("surface", side)] = np.packbits(surface)
        found[_voxel_name("known", side)] = np.packbits(known)
    return found


def _averaged_normals(truth: SceneTruth, members: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    normals = truth.surface_normal[members].astype(np.float32) / 127
    inside = np.searchsorted(members, chosen)
    averaged = cell_normals(truth.surface[members], normals, CELL, inside)
    return np.round(averaged * 127).astype(np.int8)


def _floors(truth: SceneTruth) -> np.ndarray:
    """Score one random half of the samples against the other: perfect, differently sampled.

    Samples are in random order, so halves are even and odd ones. Half the density makes the
    distances sqrt(2) larger than those of two full samplings.
    """
    first, second = truth.surface[0::2], truth.surface[1::2]
    seen = truth.subset("observed")[1::2]
    accuracy = Cloud(second).nearest(first).distance / np.sqrt(2)
    completeness = Cloud(first).nearest(second[seen]).distance / np.sqrt(2)
    means = [float(side.mean()) if len(side) else 0.0 for side in (accuracy, completeness)]
    scores = []
    for threshold in THRESHOLDS:
        recall = share_within(completeness, threshold) if len(completeness) else 1.0
        scores.append(fscore(share_within(accuracy, threshold), recall))
    return np.array([*means, sum(means) / 2, *scores], np.float32)
