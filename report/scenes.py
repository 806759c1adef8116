"""One scene of one submission beside its truth: what the gallery and the viewer draw from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from metrics.files import InputError
from metrics.rows import usable
from report import data
from report.project import Camera

if TYPE_CHECKING:
    from metrics.submission.reader import Mesh, Submission
    from metrics.truth import SceneTruth, Truth


@dataclass(frozen=True)
class Inputs:
    """What the method saw: rgb u8 [4, H, W, 3] and sensor depth in metres f32 [4, H, W]."""

    rgb: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A scene's truth, annotation, prediction and input views, read when asked."""

    name: str
    truth: Truth
    submission: Submission
    inputs: Inputs | None

    @cached_property
    def real(self) -> SceneTruth:
        """The true geometry."""
        return self.truth.geometry(self.name)

    @property
    def annotation(self) -> dict[str, Any]:
        """The annotation line: objects, relations, references, questions."""
        return self.truth.annotation(self.name)

    @cached_property
    def true_objects(self) -> list[dict[str, Any]]:
        """The objects that a prediction is held to."""
        return [o for o in self.annotation["objects"] if o["state"] == "eligible"]

    @cached_property
    def said(self) -> tuple[list[dict[str, Any]], list[Any]]:
        """The predicted objects and triplets; both empty where there is nothing usable."""
        return usable(lambda: self.submission.objects(self.name)) or ([], [])

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted points f32 [M, 3] and colours u8 [M, 3]; the mesh's vertices if no points.

        Empty arrays where nothing usable was predicted.
        """
        cloud = usable(lambda: self.submission.points(self.name))
        if cloud is not None and len(cloud.points):
            return cloud.points, _coloured(cloud.colours, len(cloud.points))
        if self.mesh is None:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
        return self.mesh.vertices, _coloured(self.mesh.colours, len(self.mesh.vertices))

    @cached_property
    def mesh(self) -> Mesh | None:
        """The predicted mesh, or None where there is no usable triangle."""
        mesh = usable(lambda: self.submission.mesh(self.name))
        return mesh if mesh is not None and len(mesh.faces) else None

    @cached_property
    def cameras(self) -> list[Camera]:
        """The cameras of the input views, in the pixels of the input images."""
        height, width = self.real.input_depth.shape[1:]
        wide, high = width, height
        if self.inputs is not None:
            high, wide = self.inputs.rgb.shape[1:3]
        scale = np.diag([wide / width, high / height, 1.0])
        return [
            Camera(scale @ k.astype(np.float64), pose.astype(np.float64), (wide, high))
            for k, pose in zip(self.real.input_intrinsics, self.real.input_pose, strict=True)
        ]


def _coloured(colours: np.ndarray | None, count: int) -> np.ndarray:
    return np.full((count, 3), 120, np.uint8) if colours is None else colours


def choose_scenes(scores: Iterable[Path]) -> dict[str, str]:
    """Return {"best", "median", "worst": scene} by the mean fscore@5cm over seeds.

    `scores` are one method's tables on one split, one a seed. Raises InputError for a damaged one.
    """
    columns = ["scene", "subset", "metric", "value"]
    rows = pd.concat([data.read_parquet(file, columns, "score") for file in scores])
    keep = (rows["subset"] == "all") & (rows["metric"] == "fscore@5cm")
    scores = rows[keep].groupby("scene")["value"].mean()
    if scores.empty:
        return {}
    order = scores.sort_values(kind="stable").index
    return {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}


class Views:
    """The input views of a split's rendered shards (<shard>.safetensors)."""

    def __init__(self, scenes_dir: str | Path) -> None:
        from safetensors import safe_open

        self.folder = Path(scenes_dir)
        shards = [
            safe_open(f, framework="numpy") for f in sorted(self.folder.glob("*.safetensors"))
        ]
        self._shard_of = {name: shard for shard in shards for name in shard.keys()}  # noqa: SIM118

    def inputs(self, scene: str) -> Inputs:
        """Return a scene's four input views; raises InputError where no shard holds the scene."""
        shard = self._shard_of.get(f"{scene}/rgb")
        if shard is None:
            raise InputError(f"{self.folder}: no shard holds scene {scene}; run the render stage")
        sensor = shard.get_slice(f"{scene}/sensor")[:4]
        return Inputs(shard.get_slice(f"{scene}/rgb")[:4], sensor.astype(np.float32) / 1000)

    def instances(self, scene: str) -> np.ndarray:
        """Return the instance numbers u8 [4, H, W] of a scene's input views."""
        return self._shard_of[f"{scene}/rgb"].get_slice(f"{scene}/instance")[:4]
