"""Read the truth of a split, and prepare once what every submission's scoring shares.

A truth folder holds:

- ``geometry.safetensors``, by scene: ``surface`` f32 [S, 3], ``surface_normal`` i8 [S, 3] (/127),
  ``surface_flag`` u8 [S] (1 seen by an input camera, 2 by a held-out camera alone, 0 by none),
  ``surface_colour`` u8 [S, 3], ``occupancy_points`` f32 [O, 3], ``occupancy`` u8 [O] (0 free,
  1 solid, 2 void), ``room_corners`` f32 [8, 3], ``diagonal`` f32 [1], ``held_depth``,
  ``held_intrinsics``, ``held_pose``, ``input_depth``, ``input_intrinsics``, ``input_pose``,
  ``boxes`` f32 [N, 6], ``yaw`` f32 [N];
- ``annotations.jsonl``, one line a scene;
- ``prepared.safetensors``, written by `metrics.reconstruction.surfaces`: which samples
  represent each cell, averaged normals, voxel sets and the floors.

Metres, in the levelled frame of the first input camera.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metrics.constants import COMPLETION, OBSERVED
from metrics.files import InputError, read_lines
from metrics.reconstruction.pointcloud import CELL, THRESHOLDS
from metrics.reconstruction.voxels import SIDES
from metrics.submission.parsing import open_tensors

SUBSETS = ("all", "observed", "completion")
CELLS = (CELL, *(threshold / 2 for threshold in THRESHOLDS))
PREPARED = "prepared.safetensors"
# Increased whenever `prepare` writes something else, so that older files are rewritten.
PREPARED_VERSION = 2
# Metrics of a sampled surface: what the truth scores when it is sampled twice is their floor.
FLOORS = (
    *("accuracy_m", "completeness_m", "completeness_completion_m"),
    *("chamfer_l1_m", "chamfer_l2sq_m2"),
    *(
        f"{name}@{threshold * 100:g}cm"
        for threshold in THRESHOLDS
        for name in ("fscore", "precision", "recall", "recall_completion")
    ),
    *("normal_consistency", "colour_mae"),
    *(f"voxel_iou@{side * 100:g}cm" for side in SIDES),
    *("novel_depth_absrel", "novel_depth_delta1.25"),
)


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


def cell_name(subset: str, cell: float) -> str:
    """Return the name of the prepared bits that choose one sample a cell of side `cell` (m)."""
    return f"cells_{subset}@{cell * 1000:g}mm"


def voxel_name(name: str, side: float) -> str:
    """Return the name of the prepared "surface" or "known" voxels of a side (m)."""
    return f"{name}_voxels@{side * 1000:g}mm"


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
        bits = np.unpackbits(self.tensor(cell_name(subset, cell)), count=count)
        return np.flatnonzero(bits)

    def normals(self, subset: str) -> np.ndarray:
        """Return f32 [K, 3] normals averaged over the 1 cm cells of "all" or "observed"."""
        return self.tensor(f"normals_{subset}").astype(np.float32) / 127

    def voxels(self, name: str, side: float, shape: tuple[int, int, int]) -> np.ndarray:
        """Return bool [X, Y, Z]: "surface" or "known" voxels of a side."""
        packed = self.tensor(voxel_name(name, side))
        return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)


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
            from metrics.reconstruction.surfaces import prepare

            prepare(self.folder, path)
        return open_tensors(path)

    def _fresh(self, path: Path) -> bool:
        source = self.folder / "geometry.safetensors"
        if not path.exists() or path.stat().st_mtime_ns < source.stat().st_mtime_ns:
            return False
        tensors = open_tensors(path)
        named = "version" in tensors.keys()  # noqa: SIM118 (not a mapping)
        return named and int(tensors.get_tensor("version")[0]) == PREPARED_VERSION

    def geometry(self, scene: str) -> SceneTruth:
        """Return the true geometry of a scene."""
        names = [field.name for field in fields(SceneTruth)]
        return SceneTruth(**{name: self._geometry.get_tensor(f"{scene}/{name}") for name in names})

    def prepared(self, scene: str) -> Prepared:
        """Return what is shared by every submission; written first if it is not there."""
        return Prepared(self._prepared, scene)

    def floors(self) -> dict[str, float]:
        """Return what a perfect surface, sampled anew, scores: the split's mean, by metric.

        `FLOORS` that no scene of the split defines are left out.
        """
        table = self._prepared.get_tensor("floors").astype(np.float64)
        there = np.isfinite(table)
        sums, counts = np.where(there, table, 0.0).sum(axis=0), there.sum(axis=0)
        means = zip(FLOORS, sums, counts, strict=True)
        return {name: float(total / count) for name, total, count in means if count}
