"""Which way is up: the floor plane of a capture, upright images, the levelled first-camera frame.

Poses come in any world (many are y-down or tilted). The floor is the large plane with nothing
below it and the cameras above it, found by RANSAC (Fischler and Bolles 1981) over surface points
with normals; how the cameras were held says which of the room's planes can be the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.files import rng
from metrics.geometry import transform

_TRIES = 300
_GRID = 64
_PLANE_M = 0.04
_BELOW_M, _MOST_BELOW = 0.12, 0.03
_LEAST_SHARE = 0.03
_CAMERA_HEIGHT_M = (0.2, 3.2)
_TILT = np.cos(np.radians(50))
_ALIGNED = np.cos(np.radians(12))
# Cameras are held upright more often than on their side, and seldom upside down.
_HELD = {"upright": 1.0, "left side up": 0.5, "right side up": 0.5, "upside down": 0.35}
_AXES = np.array([[0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, 1, 0]], float)
# Trackers that know gravity put an axis of their world along it.
_ON_AXIS, _ON_AXIS_GAIN = np.cos(np.radians(3)), 1.3
_UNSURE = 0.7
# A side wall is no floor: a camera on its side still looks down on average.
_LOOKS_DOWN = -0.1


@dataclass(frozen=True)
class Level:
    """up f64[3]: unit vector in the capture's world; floor: its height along it, metres; notes."""

    up: np.ndarray
    floor: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plane:
    score: float
    up: np.ndarray
    floor: float


def find_level(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, up: np.ndarray | None = None
) -> Level:
    """Find the floor of frames f32[N, H, W], f64[N, 3, 3], f64[N, 4, 4] camera to world.

    `up` [3] gives the direction roughly. Deterministic. Without a floor in sight the cameras' own
    upward direction is taken, and the notes say so.
    """
    points, normals = surface_points(depth, intrinsics, pose)
    cameras = pose[:, :3, 3]
    if up is not None:
        hints = {"as given": np.asarray(up, float) / np.linalg.norm(up)}
    else:
        mean = np.einsum("nij,kj->ki", pose[:, :3, :3], _AXES) / len(pose)
        hints = {
            name: axis / max(np.linalg.norm(axis), 1e-9)
            for name, axis in zip(_HELD, mean, strict=True)
        }
    ahead = pose[:, :3, 2].mean(0)
    found = {}
    for name, hint in hints.items():
        plane = _floor(points, normals, cameras, hint, _HELD.get(name, 1.0))
        sure = name in ("upright", "as given")
        if plane is not None and (sure or ahead @ plane.up < _LOOKS_DOWN):
            found[name] = plane
    if not found:
        direction = next(iter(hints.values()))
        low = float(np.quantile(points @ direction, 0.02)) if len(points) else 0.0
        note = "No floor is in sight: levelled by how the cameras were held, heights are relative"
        return Level(direction, low, (f"{note}; give --up if it is wrong.",))
    order = sorted(found, key=lambda name: -found[name].score)
    best = found[order[0]]
    notes: tuple[str, ...] = ()
    if order[0] not in ("upright", "as given"):
        notes += (f"The camera was held {order[0]}; images are turned upright.",)
    if len(order) > 1 and found[order[1]].score > _UNSURE * best.score:
        notes += ("Which plane is the floor is not certain; give --up if heights look wrong.",)
    return Level(best.up, best.floor, notes)


def surface_points(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sampled surface points f64[M, 3] and unit normals [M, 3] towards the camera."""
    step = max(1, depth.shape[2] // _GRID)
    rows, columns = (np.arange(step // 2, n, step) for n in depth.shape[1:])
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), -1)
    pixels = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)
    places, normals = [], []
    for image, matrix, camera in zip(depth, intrinsics, pose, strict=True):
        z = image[np.ix_(rows, columns)].astype(float)
        local = (pixels @ np.linalg.inv(matrix).T) * z[..., None]
        across = local[1:-1, 2:] - local[1:-1, :-2]
        down = local[2:, 1:-1] - local[:-2, 1:-1]
        normal = np.cross(down, across)
        length = np.linalg.norm(normal, axis=-1)
        window = np.stack([z[1:-1, 2:], z[1:-1, :-2], z[2:, 1:-1], z[:-2, 1:-1], z[1:-1, 1:-1]])
        inverse = 1 / np.maximum(window, 1e-3)
        bend = np.abs(inverse[:4].reshape(2, 2, *length.shape).sum(1) - 2 * inverse[4]).max(0)
        kept = (window > 0).all(0) & (bend < 0.05 * inverse[4]) & (length > 1e-9)
        centre, normal = local[1:-1, 1:-1][kept], normal[kept] / length[kept][:, None]
        normal *= -np.sign((normal * centre).sum(1, keepdims=True))
        places.append(transform(centre, camera))
        normals.append(normal @ camera[:3, :3].T)
    return np.concatenate(places), np.concatenate(normals)


def _floor(
    points: np.ndarray, normals: np.ndarray, cameras: np.ndarray, hint: np.ndarray, held: float
) -> _Plane | None:
    """Return the best floor whose normal is within 50 degrees of `hint`, or none."""
    candidates = np.flatnonzero(normals @ hint > _TILT)
    if len(candidates) < 8:
        return None
    random = rng(0, "floor")
    seeds = random.choice(candidates, min(_TRIES, len(candidates)), replace=False)
    facing = normals[candidates]
    best: tuple[int, np.ndarray, float] = (0, hint, 0.0)
    for seed in np.sort(seeds):
        normal = normals[seed]
        height = float(points[seed] @ normal)
        inlier = np.abs(points[candidates] @ normal - height) < _PLANE_M
        inlier &= facing @ normal > _ALIGNED
        count = int(inlier.sum())
        if count > best[0] and _is_lowest(points, cameras, normal, height):
            best = (count, *_refit(points[candidates[inlier]], normal))
    share = best[0] / len(points)
    if share < _LEAST_SHARE:
        return None
    on_axis = np.abs(best[1]).max() > _ON_AXIS
    return _Plane(share * held * (_ON_AXIS_GAIN if on_axis else 1.0), best[1], best[2])


def _is_lowest(points: np.ndarray, cameras: np.ndarray, up: np.ndarray, floor: float) -> bool:
    """Whether next to nothing lies below the plane, and the cameras stand or are held above it."""
    above = np.median(cameras @ up) - floor
    below = np.mean(points @ up < floor - _BELOW_M)
    return _CAMERA_HEIGHT_M[0] < above < _CAMERA_HEIGHT_M[1] and bool(below < _MOST_BELOW)


def _refit(points: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the plane by least squares; returns its unit normal along `up` and its height."""
    middle = points.mean(0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][-1]
    normal = normal if normal @ up > 0 else -normal
    return normal, float(middle @ normal)


def levelled_frame(level: Level, first: np.ndarray) -> np.ndarray:
    """Return f64[4, 4] from the capture's world into the levelled frame of its first camera.

    Origin on the floor below the camera, x along its horizontal heading, z up. A camera that looks
    straight down or up heads where the top of its image points.
    """
    up, rotation = level.up, first[:3, :3]
    heading = rotation[:, 2]
    if abs(heading @ up) > 0.98:
        heading = -rotation[:, 1] * np.sign(-(heading @ up))
    ahead = heading - (heading @ up) * up
    ahead /= np.linalg.norm(ahead)
    out = np.eye(4)
    out[:3, :3] = np.stack([ahead, np.cross(up, ahead), up])
    below = first[:3, 3] - (first[:3, 3] @ up - level.floor) * up
    out[:3, 3] = -out[:3, :3] @ below
    return out


def quarter_turns(pose: np.ndarray) -> int:
    """Return how many counter-clockwise quarter turns bring an image of this pose [4, 4] upright.

    The pose is camera to levelled frame. Views straight up or down are left as they are.
    """
    right, down = pose[2, 0], pose[2, 1]
    if np.hypot(right, down) < 0.3:
        return 0
    return int(np.round(np.arctan2(right, -down) / (np.pi / 2))) % 4


def turned(
    rgb: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, turns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn one frame by counter-clockwise quarter turns: images, intrinsics and pose alike."""
    for _ in range(turns):
        width = depth.shape[1]
        rgb, depth = np.rot90(rgb), np.rot90(depth)
        (fx, _, cx), (_, fy, cy) = intrinsics[:2]
        intrinsics = np.array([[fy, 0, cy], [0, fx, width - cx], [0, 0, 1.0]])
        pose = pose.copy()
        # The new image's x runs along the old y, its y against the old x.
        pose[:3, :2] = np.stack([pose[:3, 1], -pose[:3, 0]], 1)
    return rgb, depth, intrinsics, pose
