"""Fusion of a few depth views into a truncated signed distance volume (Curless and Levoy 1996).

Distances are point-to-plane: a small plane is fitted to the neighbourhood of each pixel. This keeps
slanted floors thin at the low resolution of the inputs. Only voxels near a measured point are
updated.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from metrics.constants import NEAREST_M
from metrics.geometry import lift_depth, to_frame


@dataclass(frozen=True)
class Settings:
    """Settings of the fusion; settings.json holds the values.

    Attributes:
        voxel: side of a voxel of the distance volume, metres.
        truncation: largest distance in the volume, metres.
        window: pixels on each side of the pixel in a plane fit.
        edge: relative step of depth that separates two surfaces.
        share: part of the window that must lie on the pixel's plane.
        support: largest distance of a vertex from a measured depth, metres.
        samples: points sampled on the mesh.
        solid_voxel: side of a solid cell, metres.
        skin: distance behind a surface from which unseen space counts as solid, metres.
        thickness: distance behind a surface up to which unseen space counts as solid, metres.
        floor: height below which nothing is solid, metres.
        smoothing: sigma of the blur before the solid cells are meshed, cells.
    """

    voxel: float
    truncation: float
    window: int
    edge: float
    share: float
    support: float
    samples: int
    solid_voxel: float
    skin: float
    thickness: float
    floor: float
    smoothing: float


@dataclass(frozen=True)
class Surfels:
    """Filtered depth of V views as one plane per pixel, in the pixel's camera.

    Attributes:
        depth: f32[V, H, W], metres, 0 where dropped.
        normal: f32[V, H, W, 3], towards the camera.
        offset: f32[V, H, W], normal · point, metres.
        weight: f32[V, H, W], confidence.
        points: f32[V, H, W, 3], metres, in the common frame.
    """

    depth: np.ndarray
    normal: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Volume:
    """A truncated signed distance volume.

    Attributes:
        distance: f32[X, Y, Z], metres, positive in free space.
        weight: f32[X, Y, Z], sum of the confidences.
        origin: f32[3], position of the sample (0, 0, 0), metres.
        voxel: distance of two samples, metres.
    """

    distance: np.ndarray
    weight: np.ndarray
    origin: np.ndarray
    voxel: float


def fit_surfels(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, settings: Settings
) -> Surfels:
    """Smooth sensor depth by plane fits and drop pixels at depth edges.

    On a plane, inverse depth is linear in pixel coordinates. So a least-squares fit of inverse
    depth over the neighbours within `edge` (relative depth) gives the plane without bias. The
    confidence is cos(incidence) / z², the inverse of the sensor's axial noise.

    Args:
        depth: f32[V, H, W], metres, 0 for none.
        intrinsics: f32[V, 3, 3].
        pose: f32[V, 4, 4], camera to frame.
        settings: settings of the fusion.
    """
    slope_u, slope_v, level, support = _fit_inverse_depth(depth, settings)
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    fx, fy = focal[:, 0, None, None], focal[:, 1, None, None]
    height, width = depth.shape[1:]
    u = np.arange(width, dtype=np.float32) + 0.5 - centre[:, 0, None, None]
    v = np.arange(height, dtype=np.float32)[:, None] + 0.5 - centre[:, 1, None, None]
    # 1/z = a u + b v + c at pixel (u, v) is the plane (a fx, b fy, c') · (x, y, z) = 1.
    plane = np.stack([slope_u * fx, slope_v * fy, level - slope_u * u - slope_v * v], -1)  # VHW3
    length = np.linalg.norm(plane, axis=-1)
    kept = support & (level > 0) & (length > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = np.where(kept, 1.0 / level, 0.0).astype(np.float32)
        normal = np.where(kept[..., None], -plane / length[..., None], 0.0).astype(np.float32)
        offset = np.where(kept, -1.0 / length, 0.0).astype(np.float32)
    points = lift_depth(smooth, intrinsics)
    distance = np.linalg.norm(points, axis=-1)
    # The cosine of the angle between ray and normal. Depth at grazing angles is too noisy.
    incidence = np.where(kept, -offset / np.maximum(distance, 1e-6), 0.0)
    kept &= incidence > 0.1
    weight = np.where(kept, incidence / np.maximum(smooth, 1e-3) ** 2, 0.0).astype(np.float32)
    return Surfels(np.where(kept, smooth, 0.0), normal, offset, weight, to_frame(points, pose))


def _fit_inverse_depth(
    depth: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit 1/z = a du + b dv + c over each pixel's window; return a, b, c and a mask [V, H, W]."""
    radius = settings.window
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=depth > 0)
    padded = np.pad(inverse, ((0, 0), (radius, radius), (radius, radius)))
    height, width = depth.shape[1:]
    # Sums over the window: of 1, du, dv and inverse depth d, and of their products.
    sums = {key: np.zeros_like(depth) for key in ("n", "u", "v", "uu", "uv", "vv", "d", "ud", "vd")}
    offsets = [(dv, du) for dv in range(-radius, radius + 1) for du in range(-radius, radius + 1)]
    for dv, du in offsets:
        near = padded[:, radius + dv :, radius + du :][:, :height, :width]
        used = (np.abs(near - inverse) < settings.edge * inverse).astype(np.float32)
        value = used * near
        for key, term, factor in (
            ("n", used, 1),
            ("u", used, du),
            ("v", used, dv),
            ("uu", used, du * du),
            ("uv", used, du * dv),
            ("vv", used, dv * dv),
            ("d", value, 1),
            ("ud", value, du),
            ("vd", value, dv),
        ):
            if factor:
                sums[key] += factor * term
    slope_u, slope_v, level, solvable = _solve_planes(sums)
    enough = sums["n"] > settings.share * len(offsets)
    return slope_u, slope_v, level, (depth > 0) & enough & solvable


def _solve_planes(
    sums: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve the 3x3 normal equations of every pixel, with the mean eliminated."""
    count = np.maximum(sums["n"], 1.0)
    mean_u, mean_v, mean_d = sums["u"] / count, sums["v"] / count, sums["d"] / count
    uu = sums["uu"] - count * mean_u**2
    vv = sums["vv"] - count * mean_v**2
    uv = sums["uv"] - count * mean_u * mean_v
    ud = sums["ud"] - count * mean_u * mean_d
    vd = sums["vd"] - count * mean_v * mean_d
    determinant = uu * vv - uv * uv
    solvable = determinant > 1e-3
    safe = np.where(solvable, determinant, 1.0)
    slope_u, slope_v = (ud * vv - vd * uv) / safe, (vd * uu - ud * uv) / safe
    return slope_u, slope_v, mean_d - slope_u * mean_u - slope_v * mean_v, solvable


def fuse(surfels: Surfels, intrinsics: np.ndarray, pose: np.ndarray, settings: Settings) -> Volume:
    """Fuse V views into one volume around the measured points, along the axes of the frame."""
    origin, shape, active = _active_voxels(surfels, settings)
    centres = np.stack(np.unravel_index(active, shape), 1).astype(np.float32)  # (N, 3)
    centres = centres * np.float32(settings.voxel) + origin
    total, weight = np.zeros(len(active), np.float32), np.zeros(len(active), np.float32)
    for view in range(len(surfels.depth)):
        index, distance, confidence = _signed_distance(
            surfels, view, centres, intrinsics[view], pose[view]
        )
        # Behind a surface the weight falls to 0 at -truncation, so that the back of a thin object
        # in one view does not outweigh free space in another (Bylow et al. 2013).
        faded = confidence * np.clip(1.0 + distance / settings.truncation, 0.0, 1.0)
        total[index] += faded * np.minimum(distance, settings.truncation)
        weight[index] += faded
    dense = np.full(shape, settings.truncation, np.float32)
    dense.flat[active] = total / np.maximum(weight, 1e-9)
    weights = np.zeros(shape, np.float32)
    weights.flat[active] = weight
    return Volume(dense, weights, origin, settings.voxel)


def _active_voxels(
    surfels: Surfels, settings: Settings
) -> tuple[np.ndarray, tuple[int, ...], np.ndarray]:
    """Return the volume's origin and shape, and the flat indices of voxels near measured points."""
    points = surfels.points[surfels.depth > 0]
    reach = settings.truncation + settings.voxel
    origin = np.floor((points.min(0) - reach) / settings.voxel) * settings.voxel
    shape = tuple(np.ceil((points.max(0) + reach - origin) / settings.voxel).astype(int) + 1)
    measured = np.zeros(shape, np.uint8)
    measured[tuple(np.rint((points - origin) / settings.voxel).astype(int).T)] = 1
    steps = 2 * int(np.ceil(settings.truncation / settings.voxel)) + 1
    near = ndimage.maximum_filter(measured, size=steps)
    return origin.astype(np.float32), shape, np.flatnonzero(near)


def _signed_distance(
    surfels: Surfels, view: int, centres: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distances of voxels to the planes of the pixels to which they project.

    Args:
        surfels: the planes of all views.
        view: index of the view.
        centres: f32[N, 3], voxel centres, metres.
        intrinsics: f32[3, 3] of the view.
        pose: f32[4, 4] of the view.

    Returns:
        Indices i64[M] of the voxels that project to a kept pixel, their signed distances f32[M] in
        metres, positive on the camera's side, and the pixels' confidences f32[M].
    """
    height, width = surfels.depth.shape[1:]
    x, y, z = pose[:3, :3].T @ (centres - pose[:3, 3]).T
    front = np.maximum(z, np.float32(NEAREST_M))
    u = intrinsics[0, 0] * x / front + intrinsics[0, 2]
    v = intrinsics[1, 1] * y / front + intrinsics[1, 2]
    inside = (z > NEAREST_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    column, row = u.astype(np.int32), v.astype(np.int32)
    confidence = surfels.weight[view].reshape(-1)
    pixel = np.where(inside, row * width + column, 0)
    kept = np.flatnonzero(inside & (confidence[pixel] > 0))
    pixel = pixel[kept]
    # One table needs one gather, which is faster than five.
    table = np.concatenate(
        [surfels.normal[view], surfels.offset[view, ..., None], surfels.weight[view, ..., None]], -1
    ).reshape(-1, 5)
    a, b, c, offset, confidence = table[pixel].T
    return kept, a * x[kept] + b * y[kept] + c * z[kept] - offset, confidence
