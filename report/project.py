"""Boxes as lines in an image: the pinhole camera with what lies behind it cut away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.geometry import box_corners, to_camera

NEAR = 0.05
# Pairs of corners, as `box_corners` numbers them, that differ along one axis.
EDGES = np.array([(k, k | bit) for k in range(8) for bit in (1, 2, 4) if not k & bit])


@dataclass(frozen=True)
class Camera:
    """An OpenCV pinhole: intrinsics f64 [3, 3] in pixels, pose f64 [4, 4] camera to world, metres.

    `size` is (width, height) in pixels; a pixel's centre lies at + 0.5.
    """

    intrinsics: np.ndarray
    pose: np.ndarray
    size: tuple[int, int]

    def local(self, points: np.ndarray) -> np.ndarray:
        """Return points [..., 3] of the world in the camera's frame (x right, y down, z ahead)."""
        return to_camera(points, self.pose)

    def pixels(self, local: np.ndarray) -> np.ndarray:
        """Return image positions [..., 2] of points [..., 3] before the camera."""
        flat = local @ self.intrinsics.T
        return flat[..., :2] / flat[..., 2:]

    def share_seen(self, box: np.ndarray) -> float:
        """Return the share of a box's 8 corners and its centre that fall into the image."""
        points = np.concatenate([box_corners(box), box[None, :3]])
        local = self.local(points)
        ahead = local[:, 2] > NEAR
        where = self.pixels(local[ahead])
        inside = ((where >= 0) & (where < self.size)).all(1)
        return float(inside.sum() / len(points))


def box_lines(camera: Camera, box: np.ndarray) -> np.ndarray:
    """Return the box's edges as image segments f64 [E, 4] (u, v, u, v), cut at the near plane.

    Edges wholly behind the camera are left out; segments may leave the image.

    >>> camera = Camera(np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]]), np.eye(4), (16, 12))
    >>> box_lines(camera, np.array([0, 0, 5, 1, 1, 1.0])).shape
    (12, 4)
    """
    ends = camera.local(box_corners(np.asarray(box, np.float64)))[EDGES]
    depth = ends[..., 2]
    ends = ends[(depth > NEAR).any(1)]
    depth = ends[..., 2]
    for side, other in ((0, 1), (1, 0)):
        hidden = depth[:, side] <= NEAR
        step = (NEAR - depth[hidden, side]) / (depth[hidden, other] - depth[hidden, side])
        ends[hidden, side] += step[:, None] * (ends[hidden, other] - ends[hidden, side])
    return camera.pixels(ends).reshape(-1, 4)


def best_view(cameras: list[Camera], boxes: list[np.ndarray]) -> int:
    """Return the view that sees most of the boxes; the first of equals, 0 without boxes."""
    seen = [sum(camera.share_seen(np.asarray(box)) for box in boxes) for camera in cameras]
    return int(np.argmax(seen)) if seen else 0
