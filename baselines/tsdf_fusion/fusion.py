"""Fusion of a few depth views into a truncated signed distance volume (Curless and Levoy 1996).

Distances are point-to-plane: each pixel is a small plane fitted to its neighbourhood, which
keeps slanted floors thin at the low resolution of the inputs. Only voxels near a measured point
are touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from metrics.geometry import lift_depth, to_frame


@dataclass(frozen=True)
class Settings:
    """How scenes are fused; the values in use are in settings.json.

    voxel, truncation: of the distance volume (m). window: pixels either side of a plane fit.
    edge: relative depth step that parts two surfaces. share: of the window that must lie on the
    pixel's plane. support: how near a vertex must be to a measured depth (m). samples: points
    drawn from the mesh. solid_voxel: cell of the solids (m). skin, thickness: from where to
    where unseen space behind a surface counts as solid (m). floor: below this height nothing is
    solid (m). smoothing: sigma of the blur before the solids are closed by a mesh (cells).
    """

    voxel: float = 0.04
    truncation: float = 0.08
    window: int = 1
    edge: float = 0.05
    share: float = 0.3
    support: float = 0.08
    samples: int = 60000
    solid_voxel: float = 0.04
    skin: float = 0.02
    thickness: float = 0.48
    floor: float = 0.03
    smoothing: float = 1.0


@dataclass(frozen=True)
class Surfels:
    """Filtered depth of V views: a plane a pixel, in its camera.

    depth f32[V,H,W] (0 where dropped), normal f32[V,H,W,3] towards the camera, offset
    f32[V,H,W] = normal · point, weight f32[V,H,W] (confidence), points f32[V,H,W,3] in frame.
    """

    depth: np.ndarray
    normal: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Volume:
    """Fused volume: distance f32[X,Y,Z] (m, positive in free space), weight, origin, voxel.

    Index (0,0,0) is the sample at `origin`.
    """

    distance: np.ndarray
    weight: np.ndarray
    origin: np.ndarray
    voxel: float


def fit_surfels(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, settings: Settings
) -> Surfels:
    """Smooth sensor depth [V,H,W] by plane fits and drop pixels at depth edges.

    Inverse depth is linear in pixel coordinates on a plane, so a least-squares fit of it over
    the neighbours within `edge` (relative depth) gives the plane without bias. Confidence is
    cos(incidence) / z², the inverse of the sensor's axial noise.
    """
    slope_u, slope_v, level, support = _fit_inverse_depth(depth, settings)
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    fx, fy = focal[:, 0, None, None], focal[:, 1, None, None]
    height, width = depth.shape[1:]
    u = np.arange(width, dtype=np.float32) + 0.5 - centre[:, 0, None, None]
    v = np.arange(height, dtype=np.float32)[:, None] + 0.5 - centre[:, 1, None, None]
    # 1/z = a u + b v + c at pixel (u, v) is the plane (a fx, b fy, c') · (x, y, z) = 1.
    plane = np.stack([slope_u * fx, slope_v * fy, level - slope_u * u - slope_v * v], -1)
    length = np.linalg.norm(plane, axis=-1)
    kept = support & (level > 0) & (length > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = np.where(kept, 1.0 / level, 0.0).astype(np.float32)
        normal = np.where(kept[..., None], -plane / length[..., None], 0.0).astype(np.float32)
        offset = np.where(kept, -1.0 / length, 0.0).astype(np.float32)
    points = lift_depth(smooth, intrinsics)
    distance = np.linalg.norm(points, axis=-1)
    incidence = np.where(kept, -offset / np.maximum(distance, 1e-6), 0.0)
    kept &= incidence > 0.1
    weight = np.where(kept, incidence / np.maximum(smooth, 1e-3) ** 2, 0.0).astype(np.float32)
    return Surfels(np.where(kept, smooth, 0.0), normal, offset, weight, to_frame(points, pose))


def _fit_inverse_depth(
    depth: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit 1/z = a du + b dv + c over each pixel's window; returns a, b, c and a keep mask."""
    radius = settings.window
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=depth > 0)
    padded = np.pad(inverse, ((0, 0), (radius, radius), (radius, radius)))
    height, width = depth.shape[1:]
    sums = {key: np.zeros_like(depth) for key in ("n", "u", "v", "uu", "uv", "vv", "d", "ud", "vd")}
    offsets = [(dv, du) for dv in range(-radius, radius + 1) for du in range(-radius, radius + 1)]
    for dv, du in offsets:
        near = padded[:, radius + dv :, radius + du :][:, :height, :width]
        used = (np.abs(near - inverse) < settings.edge * inverse).astype(np.float32)
        value = used * near
        sums["n"] += used
        sums["d"] += value
        for key, factor in (
            ("u", du),
            ("v", dv),
            ("uu", du * du),
            ("uv", du * dv),
            ("vv", dv * dv),
        ):
            if factor:
                sums[key] += factor * used
        for key, factor in (("ud", du), ("vd", dv)):
            if factor:
                sums[key] += factor * value
    slope_u, slope_v, level, solvable = _solve_planes(sums)
    enough = sums["n"] > settings.share * len(offsets)
    return slope_u, slope_v, level, (depth > 0) & enough & solvable


def _solve_planes(
    sums: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve the 3x3 normal equations of every pixel by elimination of the mean."""
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
    """Fuse V views into one volume around the measured points (frame axes, metres).

    Raises `ValueError` where no view has a pixel left.
    """
    origin, shape, where = _touched(surfels, settings)
    centres = np.stack(np.unravel_index(where, shape), 1).astype(np.float32)
    centres = centres * np.float32(settings.voxel) + origin
    total, weight = np.zeros(len(where), np.float32), np.zeros(len(where), np.float32)
    for view in range(len(surfels.depth)):
        index, distance, trust = _signed_distance(
            surfels, view, centres, intrinsics[view], pose[view]
        )
        # Behind a surface belief fades to nothing at -truncation, so that the back of a thin
        # thing in one view does not outweigh free space in another (Bylow et al. 2013).
        belief = trust * np.clip(1.0 + distance / settings.truncation, 0.0, 1.0)
        total[index] += belief * np.minimum(distance, settings.truncation)
        weight[index] += belief
    dense = np.full(shape, settings.truncation, np.float32)
    dense.flat[where] = total / np.maximum(weight, 1e-9)
    weights = np.zeros(shape, np.float32)
    weights.flat[where] = weight
    return Volume(dense, weights, origin, settings.voxel)


def _touched(
    surfels: Surfels, settings: Settings
) -> tuple[np.ndarray, tuple[int, ...], np.ndarray]:
    """Return origin, shape and the flat indices of the voxels near a measured point."""
    points = surfels.points[surfels.depth > 0]
    if not len(points):
        raise ValueError("no view has a pixel with depth left after filtering")
    reach = settings.truncation + settings.voxel
    origin = np.floor((points.min(0) - reach) / settings.voxel) * settings.voxel
    shape = tuple(np.ceil((points.max(0) + reach - origin) / settings.voxel).astype(int) + 1)
    touched = np.zeros(shape, np.uint8)
    touched[tuple(np.rint((points - origin) / settings.voxel).astype(int).T)] = 1
    steps = 2 * int(np.ceil(settings.truncation / settings.voxel)) + 1
    near = ndimage.maximum_filter(touched, size=steps)
    return origin.astype(np.float32), shape, np.flatnonzero(near)


def _signed_distance(
    surfels: Surfels, view: int, centres: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of voxel centres f32[N,3] to the plane of the pixel they fall on.

    Returns the indices i64[M] of the voxels that a kept pixel sees, their signed distance f32[M]
    (m, positive on the camera's side) and the pixel's confidence f32[M].
    """
    height, width = surfels.depth.shape[1:]
    x, y, z = pose[:3, :3].T @ (centres - pose[:3, 3]).T
    front = np.maximum(z, np.float32(0.05))
    u = intrinsics[0, 0] * x / front + intrinsics[0, 2]
    v = intrinsics[1, 1] * y / front + intrinsics[1, 2]
    inside = (z > 0.05) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    column, row = u.astype(np.int32), v.astype(np.int32)
    trust = surfels.weight[view].reshape(-1)
    pixel = np.where(inside, row * width + column, 0)
    seen = np.flatnonzero(inside & (trust[pixel] > 0))
    pixel = pixel[seen]
    # One table, one gather: the plane and the confidence of each pixel lie side by side.
    table = np.concatenate(
        [surfels.normal[view], surfels.offset[view, ..., None], surfels.weight[view, ..., None]], -1
    ).reshape(-1, 5)
    a, b, c, offset, trust = table[pixel].T
    return seen, a * x[seen] + b * y[seen] + c * z[seen] - offset, trust
