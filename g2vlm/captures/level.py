"""Which way is up: the floor plane of a capture, upright images, the levelled frame.

Poses come in any world; in many, y points down or the axes are tilted. The floor is the large plane
with nothing below it and the cameras above it. RANSAC (Fischler and Bolles 1981) finds it among
surface points with normals; how the cameras were held limits which planes can be the floor.
"""

from dataclasses import dataclass

import numpy as np

from metrics.files import rng
from metrics.geometry import transform

_TRIES = 300
# Surface points are sampled with this many pixels across an image.
_SAMPLES_A_ROW = 64
# Inliers of a floor: distance from the plane, and angle between the normals.
_PLANE_M = 0.04
_ALIGNED = np.cos(np.radians(12))
# At most this share of the points lies this far below a floor.
_BELOW_M, _MAX_SHARE_BELOW = 0.12, 0.03
_LEAST_SHARE = 0.03
_CAMERA_HEIGHT_M = (0.2, 3.2)
# Largest angle between the floor's normal and the upward direction of a held camera.
_TILT = np.cos(np.radians(50))
# The upward direction in camera axes for each way to hold a camera. Cameras are held upright more
# often than on their side, and seldom upside down: weights of their planes.
_HELD_WEIGHT = {"upright": 1.0, "left side up": 0.5, "right side up": 0.5, "upside down": 0.35}
_HELD_UP = np.array([[0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, 1, 0]], float)
_CERTAIN = ("upright", "as given")
# Trackers that know gravity have a world axis along it, so such a plane gets more weight.
_ON_AXIS, _ON_AXIS_WEIGHT = np.cos(np.radians(3)), 1.3
# The floor is uncertain when the second best plane scores at least this much of the best.
_UNSURE = 0.7
# A side wall is no floor: a camera on its side still looks down on average.
_LOOKS_DOWN = -0.1


@dataclass(frozen=True)
class Level:
    """The floor of a capture.

    Args:
        up: f64[3], unit vector in the capture's world.
        floor: height of the floor along `up`, metres.
        notes: sentences on what is uncertain.
    """

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
    """Find the floor. Deterministic.

    Without a floor in sight, the mean upward direction of the cameras is used, with a note.

    Args:
        depth: f32[N, H, W] metres, 0 = no measurement.
        intrinsics: f64[N, 3, 3].
        pose: f64[N, 4, 4] camera to world.
        up: rough upward direction [3] in the world, where known.
    """
    points, normals = surface_points(depth, intrinsics, pose)
    cameras = pose[:, :3, 3]  # (N, 3)
    hints = _up_hints(pose, up)
    ahead = pose[:, :3, 2].mean(0)  # (3,) mean viewing direction
    planes = {}
    for name, hint in hints.items():
        plane = _find_floor(points, normals, cameras, hint, _HELD_WEIGHT.get(name, 1.0))
        if plane is not None and (name in _CERTAIN or ahead @ plane.up < _LOOKS_DOWN):
            planes[name] = plane
    if not planes:
        direction = next(iter(hints.values()))
        floor = float(np.quantile(points @ direction, 0.02)) if len(points) else 0.0
        note = (
            "No floor is in sight: levelled by how the cameras were held, heights are relative; "
            "give --up if it is wrong."
        )
        return Level(direction, floor, (note,))
    order = sorted(planes, key=lambda name: -planes[name].score)
    best = planes[order[0]]
    notes: tuple[str, ...] = ()
    if order[0] not in _CERTAIN:
        notes += (f"The camera was held {order[0]}; images are turned upright.",)
    if len(order) > 1 and planes[order[1]].score > _UNSURE * best.score:
        notes += ("Which plane is the floor is not certain; give --up if heights look wrong.",)
    return Level(best.up, best.floor, notes)


def _up_hints(pose: np.ndarray, up: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return candidate upward directions [3]: the given one, or one for each way to hold."""
    if up is not None:
        return {"as given": np.asarray(up, float) / np.linalg.norm(up)}
    mean = np.einsum("nij,kj->ki", pose[:, :3, :3], _HELD_UP) / len(pose)  # (4, 3)
    return {
        name: direction / max(np.linalg.norm(direction), 1e-9)
        for name, direction in zip(_HELD_WEIGHT, mean, strict=True)
    }


def surface_points(
    depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sample surface points f64[M, 3] and unit normals [M, 3] towards the camera."""
    step = max(1, depth.shape[2] // _SAMPLES_A_ROW)
    rows, columns = (np.arange(step // 2, n, step) for n in depth.shape[1:])
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), -1)
    pixels = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)  # (R, C, 3)
    all_points, all_normals = [], []
    for image, matrix, camera in zip(depth, intrinsics, pose, strict=True):
        z = image[np.ix_(rows, columns)].astype(float)  # (R, C)
        local = (pixels @ np.linalg.inv(matrix).T) * z[..., None]  # (R, C, 3) camera axes
        # Central differences: the border rows and columns have no normal.
        across = local[1:-1, 2:] - local[1:-1, :-2]  # (R - 2, C - 2, 3)
        down = local[2:, 1:-1] - local[:-2, 1:-1]
        normal = np.cross(down, across)
        length = np.linalg.norm(normal, axis=-1)
        # Right, left, below, above and centre.
        window = np.stack([z[1:-1, 2:], z[1:-1, :-2], z[2:, 1:-1], z[:-2, 1:-1], z[1:-1, 1:-1]])
        # Inverse depth is linear over a plane, so its second difference shows edges and corners.
        inverse = 1 / np.maximum(window, 1e-3)
        bend = np.abs(inverse[:4].reshape(2, 2, *length.shape).sum(1) - 2 * inverse[4]).max(0)
        kept = (window > 0).all(0) & (bend < 0.05 * inverse[4]) & (length > 1e-9)
        points, normal = local[1:-1, 1:-1][kept], normal[kept] / length[kept][:, None]
        normal *= -np.sign((normal * points).sum(1, keepdims=True))
        all_points.append(transform(points, camera))
        all_normals.append(normal @ camera[:3, :3].T)
    return np.concatenate(all_points), np.concatenate(all_normals)


def _find_floor(
    points: np.ndarray, normals: np.ndarray, cameras: np.ndarray, hint: np.ndarray, weight: float
) -> _Plane | None:
    """Return the best floor whose normal is within 50 degrees of `hint`, or None."""
    candidates = np.flatnonzero(normals @ hint > _TILT)
    if len(candidates) < 8:
        return None
    seeds = rng(0, "floor").choice(candidates, min(_TRIES, len(candidates)), replace=False)
    candidate_normals = normals[candidates]
    best: tuple[int, np.ndarray, float] = (0, hint, 0.0)  # inliers, normal, height
    for seed in np.sort(seeds):
        # A point and its normal are a plane: RANSAC with samples of one.
        normal = normals[seed]
        height = float(points[seed] @ normal)
        inlier = np.abs(points[candidates] @ normal - height) < _PLANE_M
        inlier &= candidate_normals @ normal > _ALIGNED
        count = int(inlier.sum())
        if count > best[0] and _is_lowest(points, cameras, normal, height):
            best = (count, *_fit_plane(points[candidates[inlier]], normal))
    share = best[0] / len(points)
    if share < _LEAST_SHARE:
        return None
    on_axis = np.abs(best[1]).max() > _ON_AXIS
    return _Plane(share * weight * (_ON_AXIS_WEIGHT if on_axis else 1.0), best[1], best[2])


def _is_lowest(points: np.ndarray, cameras: np.ndarray, up: np.ndarray, floor: float) -> bool:
    """Return whether hardly a point is below the plane and the cameras are above it."""
    camera_height = np.median(cameras @ up) - floor
    below = np.mean(points @ up < floor - _BELOW_M)
    lowest, highest = _CAMERA_HEIGHT_M
    return lowest < camera_height < highest and bool(below < _MAX_SHARE_BELOW)


def _fit_plane(points: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a plane by least squares; returns its unit normal along `up` and its height."""
    mean = points.mean(0)
    # The direction of least spread is the last right singular vector.
    normal = np.linalg.svd(points - mean, full_matrices=False)[2][-1]
    normal = normal if normal @ up > 0 else -normal
    return normal, float(mean @ normal)


def levelled_frame(level: Level, first: np.ndarray) -> np.ndarray:
    """Return f64[4, 4] from the capture's world to the levelled frame of its first camera.

    The origin is on the floor below the camera, x is its horizontal heading, z is up. The heading
    of a camera that looks straight down or up is the direction of the top of its image.

    Args:
        level: the floor.
        first: f64[4, 4], pose of the first camera in the capture's world.
    """
    up, rotation = level.up, first[:3, :3]
    heading = rotation[:, 2]
    if abs(heading @ up) > 0.98:
        heading = -rotation[:, 1] * np.sign(-(heading @ up))
    forward = heading - (heading @ up) * up
    forward /= np.linalg.norm(forward)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([forward, np.cross(up, forward), up])
    origin = first[:3, 3] - (first[:3, 3] @ up - level.floor) * up
    frame[:3, 3] = -frame[:3, :3] @ origin
    return frame


def quarter_turns(pose: np.ndarray) -> int:
    """Return how many counter-clockwise quarter turns make an image upright.

    Images straight up or down stay as they are. `pose` is f64[4, 4], camera to levelled frame.
    """
    # Heights of the image's x axis (right) and y axis (down).
    right, down = pose[2, 0], pose[2, 1]
    if np.hypot(right, down) < 0.3:
        return 0
    return int(np.round(np.arctan2(right, -down) / (np.pi / 2))) % 4


def turn_frame(
    rgb: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, turns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn images, intrinsics and pose of one frame by counter-clockwise quarter turns."""
    for _ in range(turns):
        width = depth.shape[1]
        rgb, depth = np.rot90(rgb), np.rot90(depth)
        (fx, _, cx), (_, fy, cy) = intrinsics[:2]
        intrinsics = np.array([[fy, 0, cy], [0, fx, width - cx], [0, 0, 1.0]])
        pose = pose.copy()
        # The new image's x is the old y, its y is opposite to the old x.
        pose[:3, :2] = np.stack([pose[:3, 1], -pose[:3, 0]], 1)
    return rgb, depth, intrinsics, pose
