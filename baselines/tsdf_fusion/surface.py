"""Meshes, colours and surface points of a fused volume, and the solid space behind surfaces."""

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes

from baselines.tsdf_fusion.fusion import Settings, Surfels, Volume
from metrics.constants import NEAREST_M
from metrics.geometry import face_crosses, to_camera

SLAB = 8  # layers of the grid at a time, so that they fit into the processor's cache


def extract_mesh(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Extract the zero level in the cells whose corners were all observed.

    Returns:
        Vertices f32[N, 3] in metres in the common frame, and faces i32[F, 3] whose normals point
        into free space.
    """
    try:
        vertices, faces, _, _ = marching_cubes(
            volume.distance,
            0.0,
            mask=volume.weight > 0,
            gradient_direction="descent",
            allow_degenerate=False,
        )
    except (ValueError, RuntimeError):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    return vertices * np.float32(volume.voxel) + volume.origin, faces.astype(np.int32)


def carve(
    surfels: Surfels, intrinsics: np.ndarray, pose: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells that lie behind a surface in more views than in front of one.

    In a view, a cell is solid if it lies `skin` to `thickness` behind the depth of its pixel. The
    frame's origin lies on the floor; cells below it are not solid.

    Args:
        surfels: filtered depth of V views.
        intrinsics: f32[V, 3, 3].
        pose: f32[V, 4, 4], camera to frame.
        settings: settings of the fusion.

    Returns:
        The solid cells bool[X, Y, Z] in a grid around the measured points, along the axes of the
        frame, and the corner f32[3] of the first cell in metres.

    Source: Kutulakos and Seitz, "A theory of shape by space carving", IJCV 2000.
    """
    points = surfels.points[surfels.depth > 0]
    corner = points.min(0)
    shape = np.ceil((points.max(0) - corner) / settings.solid_voxel).astype(int)
    axes = [corner[k] + (np.arange(shape[k]) + 0.5) * settings.solid_voxel for k in range(3)]
    solid = np.zeros(shape, bool)
    for start in range(0, shape[0], SLAB):
        layers = [axes[0][start : start + SLAB], *axes[1:]]
        votes = np.zeros([len(axis) for axis in layers], np.int8)
        for view in range(len(surfels.depth)):
            matrix = intrinsics[view] @ pose[view, :3, :3].T
            image = _image_coordinates(layers, matrix, pose[view, :3, 3])
            ahead = _depth_ahead(surfels.depth[view], *image)
            votes += (ahead < -settings.skin) & (ahead > -settings.thickness)
            votes -= ahead > 0
        solid[start : start + SLAB] = votes > 0
    return solid & (axes[2] > settings.floor), corner


def _image_coordinates(
    axes: list[np.ndarray], matrix: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project a grid given by its axes: homogeneous column, row and z-depth, each f32[X, Y, Z]."""
    x, y, z = (
        ((axis - position[k])[:, None] * matrix[:, k]).astype(np.float32)
        for k, axis in enumerate(axes)
    )
    # A projection is linear, so the axes are projected separately and added.
    plan = x[:, None] + y[None]  # (X, Y, 3)
    return tuple(plan[:, :, None, k] + z[None, None, :, k] for k in range(3))


def _depth_ahead(depth: np.ndarray, u: np.ndarray, v: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the depth map f32[H, W] at the cells' pixels minus z, NaN where it is not known."""
    height, width = depth.shape
    front = np.maximum(z, NEAREST_M)
    column, row = (u / front).astype(np.int32), (v / front).astype(np.int32)
    known = (z > NEAREST_M) & (u >= 0) & (v >= 0) & (column < width) & (row < height)
    pixel = np.where(known, row * width + column, height * width)
    measured = np.append(np.where(depth > 0, depth, np.nan), np.nan).astype(np.float32)
    return measured[pixel] - z


def solid_mesh(
    solid: np.ndarray, corner: np.ndarray, voxel: float, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a watertight mesh around the solid cells.

    The fused surface is open where no view observed it, so that its inside is not defined.

    Args:
        solid: bool[X, Y, Z].
        corner: f32[3], corner of the first cell, metres.
        voxel: side of a cell, metres.
        smoothing: sigma of the Gaussian blur, cells.

    Returns:
        Vertices f32[N, 3] in metres, and faces i32[F, 3] whose normals point outwards.
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
    """Colour vertices from the views whose depth agrees with them, weighted by confidence.

    Args:
        vertices: f32[N, 3], metres.
        rgb: u8[V, H, W, 3].
        surfels: filtered depth of the views.
        intrinsics: f32[V, 3, 3].
        pose: f32[V, 4, 4], camera to frame.
        tolerance: largest difference of depth, metres.

    Returns:
        Colours u8[N, 3], mid grey where no view agrees, and bool[N], whether any view agrees.
    """
    # A tiny grey weight avoids a division by zero.
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
        confidence = np.where(agrees, surfels.weight[view, row, column], 0.0)
        total += confidence[:, None] * rgb[view, row, column]
        weight += confidence
    return np.rint(total / weight[:, None]).astype(np.uint8), weight > 1e-6


def drop_unsupported(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, supported: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the faces with three supported vertices, and the vertices of these faces.

    Marching cubes also makes a surface where the unobserved space of one view meets the free space
    of another; no view measured a surface there.
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
    """Sample points uniformly by area.

    Returns:
        Points f32[count, 3] in metres and colours u8[count, 3]; no points without a face.
    """
    if not len(faces):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    corners = vertices[faces]
    share = np.cumsum(np.linalg.norm(face_crosses(corners), axis=1), dtype=np.float64)
    # Evenly spaced positions: each face gets its share to within one point.
    place = (np.arange(count) + rng.random()) / count * share[-1]
    face = np.minimum(np.searchsorted(share, place), len(faces) - 1)
    first, second = rng.random((2, count), np.float32)
    flip = first + second > 1
    first[flip], second[flip] = 1 - first[flip], 1 - second[flip]
    weights = np.stack([1 - first - second, first, second], 1)[..., None]
    points = (corners[face] * weights).sum(1)
    blended = (colours[faces[face]] * weights).sum(1)
    return points.astype(np.float32), np.rint(blended).astype(np.uint8)
