"""Meshes, colours and surface points of a fused volume."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes

from baselines.tsdf_fusion.fusion import Surfels, Volume
from metrics.geometry import face_crosses, to_camera


def extract_mesh(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Extract the zero level where all corners of a cell were seen.

    Returns vertices f32[N,3] (m, frame) and faces i32[F,3] with normals into free space.
    """
    seen = volume.weight > 0
    try:
        vertices, faces, _, _ = marching_cubes(
            volume.distance, 0.0, mask=seen, gradient_direction="descent", allow_degenerate=False
        )
    except (ValueError, RuntimeError):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    return vertices * np.float32(volume.voxel) + volume.origin, faces.astype(np.int32)


def solid_mesh(
    solid: np.ndarray, corner: np.ndarray, voxel: float, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Close the solids bool[X,Y,Z] with a surface: vertices f32[N,3] (m), outward faces i32[F,3].

    The fused surface is open wherever no view looked, so what it encloses is not defined; this
    one is watertight. `smoothing` is the Gaussian's sigma in cells; `corner` f32[3] is that of the
    first cell.
    """
    if not solid.any():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    margin = int(np.ceil(4 * smoothing)) + 1
    field = ndimage.gaussian_filter(np.pad(solid, margin).astype(np.float32), smoothing)
    if field.max() <= 0.5:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    vertices, faces, _, _ = marching_cubes(
        field, 0.5, gradient_direction="ascent", allow_degenerate=False
    )
    centres = (vertices - margin + 0.5) * np.float32(voxel) + corner
    return centres.astype(np.float32), faces.astype(np.int32)


def view_support(
    vertices: np.ndarray,
    rgb: np.ndarray,
    surfels: Surfels,
    intrinsics: np.ndarray,
    pose: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Colour vertices f32[N,3] by the views whose depth agrees with them within `tolerance` m.

    Views are weighted by confidence. Returns colours u8[N,3] (mid grey where no view agrees) and
    bool[N], whether any does.
    """
    total = np.full((len(vertices), 3), 128e-6, np.float32)
    weight = np.full(len(vertices), 1e-6, np.float32)
    height, width = surfels.depth.shape[1:]
    for view in range(len(rgb)):
        local = to_camera(vertices, pose[view])
        z = np.maximum(local[:, 2], 1e-3)
        image = local @ intrinsics[view].T
        column = np.clip(image[:, 0] / z, 0, width - 1).astype(np.int32)
        row = np.clip(image[:, 1] / z, 0, height - 1).astype(np.int32)
        depth = surfels.depth[view, row, column]
        inside = (image[:, 0] >= 0) & (image[:, 0] < width * z)
        inside &= (image[:, 1] >= 0) & (image[:, 1] < height * z) & (local[:, 2] > 0)
        agrees = inside & (depth > 0) & (np.abs(depth - local[:, 2]) < tolerance)
        trust = np.where(agrees, surfels.weight[view, row, column], 0.0)
        total += trust[:, None] * rgb[view, row, column]
        weight += trust
    return np.rint(total / weight[:, None]).astype(np.uint8), weight > 1e-6


def drop_unsupported(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, supported: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the faces whose three vertices are supported, and the vertices they use.

    Marching cubes also closes the seam between one view's hidden side and another's free space;
    no view measured a surface there.
    """
    faces = faces[supported[faces].all(1)]
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    renumbered = np.cumsum(used, dtype=np.int32) - 1
    return vertices[used], renumbered[faces], colours[used]


def sample_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` points uniformly by area; returns points f32[count,3], colours u8[count,3]
    (none where there is no face)."""
    if not len(faces):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    corners = vertices[faces]
    area = np.linalg.norm(face_crosses(corners), axis=1)
    share = np.cumsum(area, dtype=np.float64)
    # Evenly spaced draws: each face gets its share to within one point.
    place = (np.arange(count) + rng.random()) / count * share[-1]
    face = np.minimum(np.searchsorted(share, place), len(faces) - 1)
    first, second = rng.random((2, count), np.float32)
    flip = first + second > 1
    first[flip], second[flip] = 1 - first[flip], 1 - second[flip]
    weights = np.stack([1 - first - second, first, second], 1)[..., None]
    points = (corners[face] * weights).sum(1)
    blended = (colours[faces[face]] * weights).sum(1)
    return points.astype(np.float32), np.rint(blended).astype(np.uint8)
