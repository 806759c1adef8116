"""Depth images to points, shared by the classical baselines."""

from __future__ import annotations

import numpy as np


def camera_points(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Lift z-depth f32[V,H,W] (m) with intrinsics f32[V,3,3] to camera points f32[V,H,W,3].

    Pixel centres lie at +0.5; pixels without depth give the origin of their camera.
    """
    height, width = depth.shape[1:]
    u = np.arange(width, dtype=np.float32) + 0.5
    v = np.arange(height, dtype=np.float32) + 0.5
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    points = np.empty((*depth.shape, 3), np.float32)
    points[..., 0] = (u - centre[:, 0, None, None]) / focal[:, 0, None, None] * depth
    points[..., 1] = (v[:, None] - centre[:, 1, None, None]) / focal[:, 1, None, None] * depth
    points[..., 2] = depth
    return points


def to_frame(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Move camera points [V,...,3] to the common frame with camera-to-frame poses [V,4,4]."""
    flat = points.reshape(len(points), -1, 3)
    moved = flat @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]
    return moved.astype(np.float32).reshape(points.shape)


def pixel_index(mask: np.ndarray) -> np.ndarray:
    """Return i16[M,3] (view, row, column) of the set pixels of a mask bool[V,H,W]."""
    return np.argwhere(mask).astype(np.int16)
