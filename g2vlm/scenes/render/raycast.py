"""Cameras, and rays against one scene mesh with Embree.

Embree follows Wald et al., "Embree: a kernel framework for efficient CPU ray tracing", 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.render.meshes import SceneMesh, lengths

# Rays go on through the clear texels of leaves and grilles at most this many times.
_LAYERS = 6
_STEP_M = 1e-4


@dataclass(frozen=True)
class Camera:
    """A pinhole view: intrinsics float64[3, 3], pose float64[4, 4] camera to room, size in px."""

    intrinsics: np.ndarray
    pose: np.ndarray
    width: int
    height: int

    @property
    def centre(self) -> np.ndarray:
        """Return the camera's centre, float64[3], in the room frame."""
        return self.pose[:3, 3]


@dataclass(frozen=True)
class Hits:
    """Where N rays end: face int64[N] (-1: nowhere), weights float32[N, 3] of its corners,
    points float32[N, 3], distance float32[N] in lengths of the ray's direction."""

    face: np.ndarray
    weights: np.ndarray
    points: np.ndarray
    distance: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Return bool[N], True where a ray met a surface."""
        return self.face >= 0


def recipe_camera(item: dict, width: int, height: int) -> Camera:
    """Turn a recipe's camera (mm, degrees) into a `Camera`."""
    yaw, pitch = np.deg2rad(item["yaw_deg"]), np.deg2rad(item["pitch_deg"])
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = np.array(item["position_mm"], float) / 1000.0
    focal = width / 2.0 / np.tan(np.deg2rad(item["hfov_deg"]) / 2.0)
    intrinsics = np.array([[focal, 0, width / 2.0], [0, focal, height / 2.0], [0, 0, 1.0]])
    return Camera(intrinsics, pose, width, height)


def frame_from_room(item: dict) -> np.ndarray:
    """Return float64[4, 4] from the room to the levelled frame of a recipe's camera."""
    yaw = np.deg2rad(item["yaw_deg"])
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]]
    matrix[:2, 3] = -matrix[:2, :2] @ (np.array(item["position_mm"][:2], float) / 1000.0)
    return matrix


def pixel_grid(width: int, height: int) -> np.ndarray:
    """Return float64[H * W, 2], the (column, row) of every pixel's centre, row by row."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)


def pixel_rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Return float32[N, 3] room directions through pixels [N, 2], of unit depth along the axis."""
    return (optical_rays(camera, pixels) @ camera.pose[:3, :3].T).astype(np.float32)


def optical_rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Return float64[N, 3], the same directions in the camera's frame, z forward."""
    focal, centre = camera.intrinsics[[0, 1], [0, 1]], camera.intrinsics[:2, 2]
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - centre) / focal
    return rays


class RayScene:
    """Ray queries against a scene mesh in the room frame."""

    def __init__(self, mesh: SceneMesh) -> None:
        # Imported here so that reading shards needs no ray tracer.
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.mesh = mesh
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, mesh.vertices, mesh.faces)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Follow rays float[N, 3] to the first surface, through clear texels of cut-out ones."""
        hits = self._first(origins, directions)
        index = np.arange(len(hits.face))
        for _ in range(_LAYERS):
            index = index[hits.found[index]]
            index = index[self.mesh.is_clear(hits.face[index], hits.weights[index])]
            if not len(index):
                break
            self._advance(hits, index, directions)
        return hits

    def beyond(self, hits: Hits, index: np.ndarray, directions: np.ndarray) -> Hits:
        """Return the hits of the rays at `index`, restarted just behind where they ended."""
        return self.cast(self._restart(hits, index, directions), directions[index])

    def blocked(self, origins: np.ndarray, targets: np.ndarray, slack: float) -> np.ndarray:
        """Return bool[N]: something stands between, the last `slack` metres left out."""
        step = targets - origins
        length = lengths(step)
        reach = np.clip(1.0 - slack / np.maximum(length, 1e-6), 0.0, 1.0)
        result = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(step, np.float32),
            dists=np.ascontiguousarray(reach, np.float32),
            query="OCCLUDED",
        )
        return result >= 0

    def visible(self, centre: np.ndarray, points: np.ndarray, tolerance: float) -> np.ndarray:
        """Return bool[N]: the ray from `centre` reaches a point to within `tolerance` metres."""
        directions = (points - centre).astype(np.float32)
        origins = np.broadcast_to(np.asarray(centre, np.float32), directions.shape)
        hits = self.cast(origins, directions)
        length = lengths(directions)
        return (hits.distance >= 1.0 - tolerance / np.maximum(length, 1e-6)) | ~hits.found

    def _first(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        origins = np.ascontiguousarray(origins, np.float32)
        directions = np.ascontiguousarray(directions, np.float32)
        if not len(origins):
            empty = np.zeros((0, 3), np.float32)
            return Hits(np.zeros(0, np.int64), empty, empty.copy(), np.zeros(0, np.float32))
        result = self._scene.run(origins, directions, output=1)
        face = result["primID"].astype(np.int64)
        u, v = result["u"], result["v"]
        distance = np.where(face >= 0, result["tfar"], 0.0).astype(np.float32)
        points = origins + directions * distance[:, None]
        return Hits(face, np.stack([1.0 - u - v, u, v], axis=1), points, distance)

    def _restart(self, hits: Hits, index: np.ndarray, directions: np.ndarray) -> np.ndarray:
        step = directions[index]
        unit = step / lengths(step)[:, None]
        return hits.points[index] + unit * _STEP_M

    def _advance(self, hits: Hits, index: np.ndarray, directions: np.ndarray) -> None:
        origins = self._restart(hits, index, directions)
        skipped = hits.distance[index] + _STEP_M / lengths(directions[index])
        onward = self._first(origins, directions[index])
        hits.face[index] = onward.face
        hits.weights[index] = onward.weights
        hits.points[index] = onward.points
        hits.distance[index] = np.where(onward.found, onward.distance + skipped, 0.0)
