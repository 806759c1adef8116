"""One scene of one submission with its truth and its cameras: the source of every drawing."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metrics.constants import INPUT_VIEWS
from metrics.files import InputError
from metrics.geometry import box_corners, to_camera
from metrics.rows import usable
from metrics.submission.items import Mesh
from metrics.submission.reader import Submission
from metrics.truth import SceneTruth, Truth

# Distance in metres from the camera behind which lines are cut.
NEAR = 0.05
# Pairs of the corners 4x + 2y + z of `box_corners` that differ along one axis. The order is that of
# the lines in misses.json.
EDGES = np.array(
    [
        (4 * x + 2 * y + z, 4 * x + 2 * y + z + step)
        for z, y, x in np.ndindex(2, 2, 2)
        for step, high in ((4, x), (2, y), (1, z))
        if not high
    ]
)
# Colour of predicted points and surfaces without one.
GREY = 120


@dataclass(frozen=True)
class Camera:
    """An OpenCV pinhole camera.

    Attributes:
        intrinsics: f64 [3, 3] in pixels; pixel centres lie at +0.5.
        pose: f64 [4, 4] camera to world, metres.
        size: (width, height) in pixels.
    """

    intrinsics: np.ndarray
    pose: np.ndarray
    size: tuple[int, int]

    def pixels(self, local: np.ndarray) -> np.ndarray:
        """Return image positions [..., 2] of camera-frame points [..., 3] with z > 0."""
        image = local @ self.intrinsics.T
        return image[..., :2] / image[..., 2:]

    def share_seen(self, box: np.ndarray) -> float:
        """Return the share of a box's 8 corners and its centre that fall into the image."""
        points = np.concatenate([box_corners(box), box[None, :3]])  # (9, 3)
        local = to_camera(points, self.pose)
        where = self.pixels(local[local[:, 2] > NEAR])
        return float(((where >= 0) & (where < self.size)).all(1).sum() / len(points))


def box_lines(camera: Camera, box: np.ndarray) -> np.ndarray:
    """Return the edges of a box [6] as image segments f64 [E, 4] (u, v, u, v).

    Edges are cut at the near plane, those behind it are left out. Segments may leave the image.

    >>> camera = Camera(np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]]), np.eye(4), (16, 12))
    >>> box_lines(camera, np.array([0, 0, 5, 1, 1, 1.0])).shape
    (12, 4)
    """
    corners = to_camera(box_corners(np.asarray(box, np.float64)), camera.pose)  # (8, 3)
    ends = corners[EDGES]  # (12, 2, 3)
    ends = ends[(ends[..., 2] > NEAR).any(1)]
    depth = ends[..., 2]
    for side, other in ((0, 1), (1, 0)):
        # An end behind the plane moves along its edge to the plane; the other end is before it.
        behind = depth[:, side] <= NEAR
        step = (NEAR - depth[behind, side]) / (depth[behind, other] - depth[behind, side])
        ends[behind, side] += step[:, None] * (ends[behind, other] - ends[behind, side])
    return camera.pixels(ends).reshape(-1, 4)


def best_view(cameras: list[Camera], boxes: list[np.ndarray]) -> int:
    """Return the view that sees most of the boxes; the first of equals, 0 without boxes."""
    seen = [sum(camera.share_seen(np.asarray(box)) for box in boxes) for camera in cameras]
    return int(np.argmax(seen)) if seen else 0


@dataclass(frozen=True)
class Inputs:
    """The input views of a scene: rgb u8 [4, H, W, 3], sensor depth f32 [4, H, W] in metres."""

    rgb: np.ndarray
    depth: np.ndarray


class Views:
    """The input views of a split's rendered shards (<shard>.safetensors)."""

    def __init__(self, scenes_dir: str | Path) -> None:
        from safetensors import safe_open

        self.folder = Path(scenes_dir)
        self._shard_of: dict[str, Any] = {}
        for file in sorted(self.folder.glob("*.safetensors")):
            shard = safe_open(file, framework="numpy")
            self._shard_of |= dict.fromkeys(shard.keys(), shard)

    def inputs(self, scene: str) -> Inputs:
        """Return a scene's input views; raises InputError where no shard holds the scene."""
        shard = self._shard_of.get(f"{scene}/rgb")
        if shard is None:
            raise InputError(f"{self.folder}: no shard holds scene {scene}; run the render stage")
        rgb, millimetres = (
            shard.get_slice(f"{scene}/{name}")[:INPUT_VIEWS] for name in ("rgb", "sensor")
        )
        return Inputs(rgb, millimetres.astype(np.float32) / 1000)

    def instances(self, scene: str) -> np.ndarray:
        """Return the instance values u8 [4, H, W] of a scene's input views."""
        return self._shard_of[f"{scene}/rgb"].get_slice(f"{scene}/instance")[:INPUT_VIEWS]


@dataclass(frozen=True)
class Scene:
    """A scene's truth, annotation, prediction and input views, read on demand."""

    name: str
    truth: Truth
    submission: Submission
    inputs: Inputs

    @cached_property
    def geometry(self) -> SceneTruth:
        """The true geometry."""
        return self.truth.geometry(self.name)

    @property
    def annotation(self) -> dict[str, Any]:
        """The annotation line: objects, relations, references, questions."""
        return self.truth.annotation(self.name)

    @cached_property
    def objects(self) -> dict[int, dict[str, Any]]:
        """All true objects by their index in the annotation."""
        return {o["index"]: o for o in self.annotation["objects"]}

    @cached_property
    def true_objects(self) -> list[dict[str, Any]]:
        """The true objects that metrics compare predictions with."""
        return [o for o in self.annotation["objects"] if o["state"] == "eligible"]

    @cached_property
    def predicted_graph(self) -> tuple[list[dict[str, Any]], list[Any]]:
        """The predicted objects and triplets; both empty where nothing usable was predicted."""
        return usable(lambda: self.submission.objects(self.name)) or ([], [])

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted points f32 [M, 3] and colours u8 [M, 3]; the mesh's vertices if no points.

        Empty arrays where nothing usable was predicted.
        """
        cloud = usable(lambda: self.submission.points(self.name))
        if cloud is not None and len(cloud.points):
            return cloud.points, colours_or_grey(cloud.colours, len(cloud.points))
        if self.mesh is None:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
        return self.mesh.vertices, colours_or_grey(self.mesh.colours, len(self.mesh.vertices))

    @cached_property
    def mesh(self) -> Mesh | None:
        """The predicted mesh, or None where there is no usable triangle."""
        mesh = usable(lambda: self.submission.mesh(self.name))
        return mesh if mesh is not None and len(mesh.faces) else None

    @cached_property
    def cameras(self) -> list[Camera]:
        """The cameras of the input views, in the pixels of the input images."""
        height, width = self.geometry.input_depth.shape[1:]
        image_height, image_width = self.inputs.rgb.shape[1:3]
        scale = np.diag([image_width / width, image_height / height, 1.0])
        size = (image_width, image_height)
        views = zip(self.geometry.input_intrinsics, self.geometry.input_pose, strict=True)
        return [
            Camera(scale @ intrinsics.astype(np.float64), pose.astype(np.float64), size)
            for intrinsics, pose in views
        ]


def colours_or_grey(colours: np.ndarray | None, count: int, grey: int = GREY) -> np.ndarray:
    """Return colours u8 [count, 3], one grey value where there are none."""
    return np.full((count, 3), grey, np.uint8) if colours is None else colours
