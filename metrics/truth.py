"""Read the truth of a split, and what `metrics.prepare` derived from it.

A truth folder holds:

- ``geometry.safetensors``, by scene: ``surface`` f32 [S, 3], ``surface_normal`` i8 [S, 3] (/127),
  ``surface_flag`` u8 [S] (1 seen by an input camera, 2 by a held-out camera alone, 0 by none),
  ``surface_colour`` u8 [S, 3], ``occupancy_points`` f32 [O, 3], ``occupancy`` u8 [O] (0 free,
  1 solid, 2 void), ``room_corners`` f32 [8, 3], ``diagonal`` f32 [1], ``held_depth`` f32
  [V, H, W], ``held_intrinsics`` f32 [V, 3, 3], ``held_pose`` f32 [V, 4, 4] of the held-out
  cameras, ``input_depth``, ``input_intrinsics``, ``input_pose`` of the input cameras,
  ``boxes`` f32 [N, 6], ``yaw`` f32 [N];
- ``annotations.jsonl``, one line a scene;
- ``prepared.safetensors``, written by `metrics.prepare`: which samples represent each cell,
  averaged normals, voxel sets and the floors.

Metres, in the levelled frame of the first input camera.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from metrics.annotations import check_annotations
from metrics.constants import COMPLETION, OBSERVED
from metrics.files import InputError, read_lines, require_regular
from metrics.schemas import printable
from metrics.submission.items import FARTHEST
from metrics.submission.parsing import LIMITS, open_tensors

# The tensors of a scene: type, and names of the axes, which have one size each.
_TENSORS = {
    "surface": ("float32", "S3"),
    "surface_normal": ("int8", "S3"),
    "surface_flag": ("uint8", "S"),
    "surface_colour": ("uint8", "S3"),
    "occupancy_points": ("float32", "O3"),
    "occupancy": ("uint8", "O"),
    "room_corners": ("float32", "83"),
    "diagonal": ("float32", "1"),
    "held_depth": ("float32", "VHW"),
    "held_intrinsics": ("float32", "V33"),
    "held_pose": ("float32", "V44"),
    "input_depth": ("float32", "IHW"),
    "input_intrinsics": ("float32", "I33"),
    "input_pose": ("float32", "I44"),
}
SUBSETS = ("all", "observed", "completion")
GEOMETRY = "geometry.safetensors"
PREPARED = "prepared.safetensors"


@dataclass(frozen=True)
class SceneTruth:
    """The true geometry of a scene; this module's docstring gives the shapes.

    Boxes are read from the annotations, which name their objects.
    """

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
    """Return the truth with its surface samples in another order [S]."""
    names = ("surface", "surface_normal", "surface_flag", "surface_colour")
    return replace(truth, **{name: getattr(truth, name).take(order, axis=0) for name in names})


def cell_name(subset: str, cell: float) -> str:
    """Return the prepared tensor that marks one sample a cell of side `cell` metres."""
    return f"cells_{subset}@{cell * 1000:g}mm"


def voxel_name(name: str, side: float) -> str:
    """Return the prepared tensor of "surface" or "known" voxels of side `side` metres."""
    return f"{name}_voxels@{side * 1000:g}mm"


class Prepared:
    """The reductions that `metrics.prepare` wrote for one scene, unpacked on request.

    Args:
        tensor: returns a stored tensor of the scene by its name.
    """

    def __init__(self, tensor: Callable[[str], np.ndarray]) -> None:
        self.tensor = tensor

    def ordered(self, truth: SceneTruth) -> SceneTruth:
        """Return the truth with its surface samples in spatial order.

        Neighbour searches are faster in that order, and `chosen` gives places in it.

        Raises:
            InputError: the stored order does not hold every sample once.
        """
        order = self.tensor("order")
        seen = np.zeros(len(truth.surface), bool)
        if order.shape == seen.shape and order.dtype.kind == "i":
            seen[order[(order >= 0) & (order < len(seen))]] = True
        if not seen.all():
            raise InputError(f"{PREPARED}: does not fit the truth beside it; delete it")
        return reordered(truth, order)

    def chosen(self, subset: str, cell: float, count: int) -> np.ndarray:
        """Return i64 [K]: places, among `count` ordered samples, of one sample a cell."""
        return np.flatnonzero(np.unpackbits(self.tensor(cell_name(subset, cell)), count=count))

    def normals(self, subset: str) -> np.ndarray:
        """Return f32 [K, 3] normals averaged over the 1 cm cells of "all" or "observed"."""
        return self.tensor(f"normals_{subset}").astype(np.float32) / 127

    def voxels(self, name: str, side: float, shape: tuple[int, int, int]) -> np.ndarray:
        """Return bool [X, Y, Z]: "surface" or "known" voxels of side `side` metres."""
        packed = self.tensor(voxel_name(name, side))
        return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class Truth:
    """The truth folder of one split, read lazily.

    Args:
        folder: the truth folder.

    Attributes:
        prepared_path: the prepared file; `metrics.prepare.open_truth` sets it.

    Raises `InputError` for a folder without scenes, and for annotations that are not as described.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.prepared_path: Path | None = None
        path = self.folder / "annotations.jsonl"
        lines = read_lines(path, _refuse_constant)
        check_annotations(lines, path)
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

    @property
    def geometry_path(self) -> Path:
        """The file of the true geometry; raises `InputError` where there is none."""
        fix = "run the stage that writes the truth"
        return require_regular(self.folder / GEOMETRY, fix, limit=LIMITS[GEOMETRY])

    @cached_property
    def _geometry(self) -> Any:
        return open_tensors(self.geometry_path)

    @cached_property
    def _prepared(self) -> Any:
        if self.prepared_path is None:
            raise InputError(f"{self.folder}: not prepared; open it by metrics.prepare.open_truth")
        return open_tensors(self.prepared_path)

    def geometry(self, scene: str) -> SceneTruth:
        """Return the true geometry of a scene.

        Raises:
            InputError: a tensor is missing, of another type or shape, or not finite.
        """
        tensors, path = self._geometry, self.folder / GEOMETRY
        found, sizes = {}, {"3": 3, "4": 4, "8": 8, "1": 1}
        for name, (dtype, axes) in _TENSORS.items():
            key = f"{scene}/{name}"
            if key not in tensors.keys():  # noqa: SIM118 (not a mapping)
                raise InputError(f"{path}: no tensor {printable(key)}; write the truth again")
            value = found[name] = tensors.get_tensor(key)
            # The first tensor with an axis sets its size.
            fits = value.dtype == dtype and value.ndim == len(axes) and value.size > 0
            fits = fits and all(
                sizes.setdefault(axis, size) == size
                for axis, size in zip(axes, value.shape, strict=True)
            )
            if not fits:
                what = f"{printable(key)} is {value.dtype} {list(value.shape)}"
                raise InputError(f"{path}: {what}; give {dtype} [{', '.join(axes)}]")
            # A comparison with NaN is false.
            if value.dtype.kind == "f" and not -FARTHEST <= value.min() <= value.max() <= FARTHEST:
                what = f"{printable(key)} is not finite or beyond {FARTHEST:g}"
                raise InputError(f"{path}: {what}; write the truth again")
        if not found["diagonal"][0] > 0:
            raise InputError(f"{path}: {printable(scene)}/diagonal is 0; write the truth again")
        return SceneTruth(**found)

    def prepared(self, scene: str) -> Prepared:
        """Return the reductions of a scene that every scoring shares."""
        return Prepared(lambda name: self._prepared.get_tensor(f"{scene}/{name}"))

    @property
    def floor_table(self) -> np.ndarray:
        """Floors f32 [scenes, metrics] of some scenes, by metric of `metrics.registry.FLOORS`."""
        return self._prepared.get_tensor("floors")
