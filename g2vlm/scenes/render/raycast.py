"""Pinhole cameras, and rays against the triangle mesh of one scene.

Rays are traced by Embree (Wald et al., "Embree: a kernel framework for efficient CPU ray tracing",
2014), which finds the first triangle along each ray. This module adds what Embree does not know:
textures with transparent texels, through which a ray goes on.

Shapes: N rays, each an origin [3] and a direction [3] in the room frame, in metres.
"""

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.render.meshes import SceneMesh
from metrics.geometry import camera_rays, lengths

# A ray passes at most this many transparent surfaces: leaves and grilles lie in several layers.
_MAX_TRANSPARENT_LAYERS = 6
# How far behind a hit a ray starts again, so that it does not hit the same triangle once more.
_STEP_M = 1e-4


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with OpenCV axes and pixel centres at +0.5.

    Args:
        intrinsics: float64 [3, 3] in pixels.
        pose: float64 [4, 4] camera to room frame.
        width: of the image in pixels.
        height: of the image in pixels.
    """

    intrinsics: np.ndarray
    pose: np.ndarray
    width: int
    height: int

    @property
    def centre(self) -> np.ndarray:
        """Return the camera's centre, float64 [3], in the room frame."""
        return self.pose[:3, 3]


@dataclass(frozen=True)
class Hits:
    """The first surface on each of N rays.

    Args:
        face: int64 [N] index of the triangle, -1 where the ray meets none.
        weights: float32 [N, 3] barycentric weights of the hit point in its triangle.
        points: float32 [N, 3] hit points in the room frame, in metres.
        distance: float32 [N] in lengths of the ray's direction, 0 where the ray meets no surface.
    """

    face: np.ndarray
    weights: np.ndarray
    points: np.ndarray
    distance: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Return bool [N], true where the ray meets a surface."""
        return self.face >= 0


def recipe_camera(item: dict, width: int, height: int) -> Camera:
    """Return the camera of a recipe.

    Args:
        item: one of the recipe's `cameras`; positions in mm, angles in degrees.
        width: of the image in pixels.
        height: of the image in pixels.
    """
    yaw, pitch = np.deg2rad(item["yaw_deg"]), np.deg2rad(item["pitch_deg"])
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    # The columns are the camera's axes in the room: x right, y down, z forward.
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = np.array(item["position_mm"], float) / 1000.0
    focal = width / 2.0 / np.tan(np.deg2rad(item["hfov_deg"]) / 2.0)
    intrinsics = np.array([[focal, 0, width / 2.0], [0, focal, height / 2.0], [0, 0, 1.0]])
    return Camera(intrinsics, pose, width, height)


def frame_from_room(item: dict) -> np.ndarray:
    """Return the transform float64 [4, 4] from the room to the levelled frame of a camera.

    The frame's origin lies on the floor below the camera, its x axis points where the camera looks
    and its z axis up.

    Args:
        item: one of a recipe's `cameras`, the first one for the scene's frame.
    """
    yaw = np.deg2rad(item["yaw_deg"])
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]]
    matrix[:2, 3] = -matrix[:2, :2] @ (np.array(item["position_mm"][:2], float) / 1000.0)
    return matrix


def pixel_grid(width: int, height: int) -> np.ndarray:
    """Return float64 [H * W, 2], the (column, row) of every pixel's centre, row by row."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)


def pixel_rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Return the room directions float32 [N, 3] through image positions.

    Every direction advances 1 m along the camera's axis, so the distance of a hit is its z-depth.

    Args:
        camera: in the room frame.
        pixels: float64 [N, 2] (column, row) in pixels.
    """
    return (optical_rays(camera, pixels) @ camera.pose[:3, :3].T).astype(np.float32)


def optical_rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Return the directions of `pixel_rays` in the camera's axes, float64 [N, 3] with z = 1."""
    return camera_rays(camera.intrinsics, pixels[:, 0], pixels[:, 1])


def points_behind(hits: Hits, index: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return float32 [K, 3], points just behind the hits of some rays, where these can go on.

    Args:
        hits: of all N rays.
        index: int64 [K], the rays to follow on.
        directions: float [N, 3] of all rays.
    """
    step = directions[index]
    return hits.points[index] + step / lengths(step)[:, None] * _STEP_M


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
        """Follow rays to the first opaque surface, through transparent texels of cut-out textures.

        Args:
            origins: float [N, 3] in metres.
            directions: float [N, 3], of any length.
        """
        hits = self._first_hits(origins, directions)
        index = np.arange(len(hits.face))  # (N,): rays that may still have to go on
        for _ in range(_MAX_TRANSPARENT_LAYERS):
            index = index[hits.mask[index]]
            index = index[self.mesh.is_transparent(hits.face[index], hits.weights[index])]
            if not len(index):
                break
            onward = self._first_hits(points_behind(hits, index, directions), directions[index])
            # The new rays start further along, by so many lengths of their directions.
            skipped = hits.distance[index] + _STEP_M / lengths(directions[index])
            hits.face[index] = onward.face
            hits.weights[index] = onward.weights
            hits.points[index] = onward.points
            hits.distance[index] = np.where(onward.mask, onward.distance + skipped, 0.0)
        return hits

    def occluded(self, origins: np.ndarray, targets: np.ndarray, slack: float) -> np.ndarray:
        """Return bool [N], whether a surface lies between each origin and its target.

        Args:
            origins: float [N, 3] in metres.
            targets: float [N, 3] in metres.
            slack: the last metres before the target, which are not tested.
        """
        step = targets - origins  # (N, 3)
        # Embree measures in lengths of the direction: the target lies at 1.
        reach = np.clip(1.0 - slack / np.maximum(lengths(step), 1e-6), 0.0, 1.0)  # (N,)
        result = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(step, np.float32),
            dists=np.ascontiguousarray(reach, np.float32),
            query="OCCLUDED",
        )
        return result >= 0

    def visible(self, centre: np.ndarray, points: np.ndarray, tolerance: float) -> np.ndarray:
        """Return bool [N], whether rays from one centre reach each point.

        Args:
            centre: float [3] in metres.
            points: float [N, 3] in metres, on or in front of a surface.
            tolerance: how many metres before the point a ray may end.
        """
        directions = (points - centre).astype(np.float32)  # (N, 3)
        origins = np.broadcast_to(np.asarray(centre, np.float32), directions.shape)
        # Not `occluded`: a ray must pass transparent texels, which Embree's test does not know.
        hits = self.cast(origins, directions)
        reach = 1.0 - tolerance / np.maximum(lengths(directions), 1e-6)
        return (hits.distance >= reach) | ~hits.mask

    def _first_hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Return the first triangle on each ray, whatever its texture."""
        origins = np.ascontiguousarray(origins, np.float32)
        directions = np.ascontiguousarray(directions, np.float32)
        if not len(origins):  # Embree takes no empty array.
            empty = np.zeros((0, 3), np.float32)
            return Hits(np.zeros(0, np.int64), empty, empty.copy(), np.zeros(0, np.float32))
        result = self._scene.run(origins, directions, output=1)
        face = result["primID"].astype(np.int64)  # (N,)
        u, v = result["u"], result["v"]  # (N,): weights of the triangle's second and third corner
        distance = np.where(face >= 0, result["tfar"], 0.0).astype(np.float32)
        points = origins + directions * distance[:, None]
        return Hits(face, np.stack([1.0 - u - v, u, v], axis=1), points, distance)
