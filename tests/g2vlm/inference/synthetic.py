"""A room with three boxes and four cameras, ray-traced analytically, and a store of such rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

HEIGHT, WIDTH = 48, 64
CLASSES = ("chair", "table", "lamp")
# Frame: the first camera is above the origin, which is on the floor, and looks along +x.
BOXES = np.array(
    [
        [2.0, 0.8, 0.4, 0.6, 0.6, 0.8],
        [2.6, -0.7, 0.35, 1.0, 0.8, 0.7],
        [2.6, -0.7, 0.9, 0.3, 0.3, 0.4],
    ],
    np.float32,
)
ROOM_LOW, ROOM_HIGH = np.array([-0.5, -2.0, 0.0]), np.array([4.0, 2.0, 2.5])


@dataclass(frozen=True)
class Inputs:
    """The fields of SceneInputs that prediction reads."""

    scene: str
    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    partial: np.ndarray
    gt_masks: np.ndarray
    gt_indices: list[int]
    references: list[tuple[str, str]]
    questions: list[tuple[str, str, str, str, list[str]]]
    captions: list[tuple[str, str]]
    phrases: list[tuple[str, str]]


@dataclass(frozen=True)
class Views:
    """The fields of SceneViews that calibration reads."""

    depth: np.ndarray
    instance: np.ndarray
    occupancy: np.ndarray
    room: np.ndarray
    frame_from_room: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


def camera(position: tuple[float, float, float], yaw: float, pitch: float) -> np.ndarray:
    """Return the camera-to-frame pose of a camera looking along yaw (CCW) and pitch (up)."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


def trace(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z-depth and instance (10 + k, 1 = room) along rays of unit z-depth [..., 3]."""
    safe = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    wall = np.maximum((ROOM_LOW - origin) / safe, (ROOM_HIGH - origin) / safe).min(-1)
    depth, instance = wall.copy(), np.ones(wall.shape, np.uint8)
    for index, box in enumerate(BOXES):
        a, b = ((box[:3] + s * box[3:] / 2 - origin) / safe for s in (-1, 1))
        enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth, instance = np.where(hit, enter, depth), np.where(hit, 10 + index, instance)
    return depth.astype(np.float32), instance.astype(np.uint8)


def views() -> tuple[Views, np.ndarray, np.ndarray]:
    """Return the true views, intrinsics [4,3,3] and poses [4,4,4]."""
    focal = WIDTH / 2 / np.tan(np.radians(35))
    intrinsics = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]], np.float32)
    poses = [
        camera((0.0, 0.0, 1.5), 0.0, -0.3),
        camera((0.2, 1.5, 1.6), -0.6, -0.35),
        camera((0.2, -1.6, 1.6), 0.5, -0.35),
        camera((3.6, 1.6, 1.7), -2.3, -0.4),
    ]
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    local = np.stack([(x - WIDTH / 2) / focal, (y - HEIGHT / 2) / focal, np.ones_like(x)], -1)
    traced = [trace(p[:3, 3], local @ p[:3, :3].T) for p in poses]
    cells = np.ceil((ROOM_HIGH - ROOM_LOW) / 0.04).astype(int)
    centres = (np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), -1) + 0.5) * 0.04
    occupancy = np.zeros(cells, bool)
    for box in BOXES:
        occupancy |= (np.abs(centres + ROOM_LOW - box[:3]) < box[3:] / 2).all(-1)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = ROOM_LOW
    true = Views(
        np.stack([t[0] for t in traced]),
        np.stack([t[1] for t in traced]),
        occupancy,
        (ROOM_HIGH - ROOM_LOW).astype(np.float32),
        matrix,
        np.stack([intrinsics] * 4),
        np.stack(poses),
    )
    return true, true.intrinsics, true.pose


def annotation(scene: str) -> dict[str, Any]:
    """Return the annotation line of the synthetic room."""
    objects = [
        {"index": k, "class": CLASSES[k], "box": box.tolist(), "state": "eligible"}
        for k, box in enumerate(BOXES)
    ]
    return {
        "scene": scene,
        "objects": objects,
        "relations": [[2, 1, "on"], [1, 2, "under"], [1, 0, "larger"]],
        "void": [[0, 1, "side"]],
        "references": [
            {"id": "r00", "text": "the chair", "targets": [0]},
            {"id": "r01", "text": "a sofa", "targets": []},
        ],
    }


@dataclass
class Store:
    """A split of copies of the room, with noise in the sensor."""

    ids: list[str] = field(default_factory=lambda: ["room-0", "room-1"])

    def views(self, scene: str) -> Views:
        """Return the truth."""
        return views()[0]

    def annotation(self, scene: str) -> dict[str, Any]:
        """Return the annotation."""
        return annotation(scene)

    def inputs(self, scene: str) -> Inputs:
        """Return the inputs of a method."""
        true, intrinsics, poses = views()
        random = np.random.default_rng(self.ids.index(scene))
        sensor = true.depth + random.normal(0, 0.005, true.depth.shape).astype(np.float32)
        sensor[random.random(sensor.shape) < 0.05] = 0
        palette = random.integers(30, 220, (16, 3)).astype(np.uint8)
        return Inputs(
            scene=scene,
            rgb=palette[true.instance],
            depth=sensor,
            intrinsics=intrinsics,
            pose=poses,
            partial=np.zeros((512, 6), np.float32) + 1.0,
            gt_masks=np.where(true.instance >= 10, true.instance - 9, 0).astype(np.uint8),
            gt_indices=[0, 1, 2],
            references=[("r00", "the chair"), ("r01", "a sofa")],
            questions=[
                ("q00", "how many chairs are there", "count", "number", []),
                ("q01", "is there a lamp", "existence", "choice", ["yes", "no"]),
            ],
            captions=[("c00", "a room with a chair and a table")],
            phrases=[("p00", "a red chair"), ("p01", "a lamp")],
        )


TEXTS = [
    "the chair",
    "a sofa",
    "how many chairs are there",
    "is there a lamp",
    "a room with a chair and a table",
    "a red chair",
    "a lamp",
]
