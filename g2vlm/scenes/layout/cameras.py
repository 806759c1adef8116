"""Where the eight cameras of a scene stand and what each sees of the boxes, decided analytically.

Only elementwise products, sums, quotients and comparisons of float64 are used, which every machine
rounds alike; nothing is summed over an axis but counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.assets.classes import OPAQUE
from g2vlm.scenes.layout.integer_geometry import SINES, UNIT, cosine, sine
from g2vlm.scenes.layout.room_state import Item, Room, connected, covered, walkable
from metrics.constants import INPUT_VIEWS

SEEN_PIXELS = 60
IMAGE = (128, 96)
APART_MM = 700
# Share of an object's box in the image that it fills, halves: a box is never full.
FILL = 0.5
_SINES = np.array(SINES, np.int64)
_COSINES = np.roll(_SINES, -90)


@dataclass(frozen=True)
class Cameras:
    """position: int64[K, 3] mm; yaw, pitch: int64[K] degrees; hfov: degrees, one a scene."""

    position: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    hfov: int

    def take(self, index: list[int]) -> Cameras:
        return Cameras(self.position[index], self.yaw[index], self.pitch[index], self.hfov)


def candidates(room: Room, count: int = 36) -> Cameras | None:
    """Draw camera places on walkable floor near the walls, looking at the room's middle."""
    hfov = 60 + 2 * room.draw(0, 7)
    free = connected(walkable(room))
    nx, ny = free.shape
    x, y = np.arange(nx)[:, None], np.arange(ny)[None, :]
    edge = np.minimum(np.minimum(x, nx - 1 - x), np.minimum(y, ny - 1 - y))
    spots = np.argwhere(free & (edge <= 7))
    if len(spots) < 8:
        return None
    order = room.rng.permutation(len(spots))
    position, yaw, pitch = [], [], []
    for k in order[: 3 * count]:
        place = [int(v) * 100 + 50 for v in spots[int(k)]] + [room.draw(1100, 1800)]
        if len(position) == count or not all(clears(item, place) for item in room.items):
            continue
        tx = room.size[0] // 2 + room.draw(-500, 500)
        ty = room.size[1] // 2 + room.draw(-500, 500)
        position.append(place)
        yaw.append(heading(tx - place[0], ty - place[1]))
        pitch.append(-room.draw(8, 26))
    if len(position) < 2 * INPUT_VIEWS:
        return None
    arrays = (np.array(v, np.int64) for v in (position, yaw, pitch))
    return Cameras(*arrays, hfov)


def heading(dx: int, dy: int) -> int:
    """Return the whole degree in 0..359 whose direction is nearest to (dx, dy).

    >>> heading(10, 0), heading(0, 5), heading(-3, -3)
    (0, 90, 225)
    """
    return int(np.argmax(dx * _COSINES + dy * _SINES))


def clears(item: Item, place: list[int]) -> bool:
    """Say whether an object is neither at a camera's place (mm) nor right above or below it."""
    if item.top <= 900 or item.base >= place[2] + 150:
        return True
    return not covered(item, np.int64(place[0]), np.int64(place[1]), 250)


def sample_points(items: list[Item]) -> np.ndarray:
    """Return float64[N, 15, 3] mm: corners drawn in a little, face centres and centre of boxes."""
    signs = [(i, j, k) for i in (-0.4, 0.4) for j in (-0.4, 0.4) for k in (0.1, 0.9)]
    signs += [(0, 0, 0.5), (-0.48, 0, 0.5), (0.48, 0, 0.5), (0, -0.48, 0.5), (0, 0.48, 0.5)]
    signs += [(0, 0, 0.03), (0, 0, 0.97)]
    unit = np.array(signs)
    rows = []
    for item in items:
        c, s = cosine(item.yaw) / UNIT, sine(item.yaw) / UNIT
        u, v = unit[:, 0] * item.size[0], unit[:, 1] * item.size[1]
        x, y = u * c - v * s + item.centre[0], u * s + v * c + item.centre[1]
        rows.append(np.stack([x, y, unit[:, 2] * item.size[2] + item.base], 1))
    return np.array(rows).reshape(len(items), len(signs), 3)


def project(cameras: Cameras, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixel u, v and depth (mm), each [K, ...], of points [..., 3] at the image size."""
    shape = (len(cameras.yaw),) + (1,) * (points.ndim - 1)
    cy, sy = (_table(f, cameras.yaw).reshape(shape) for f in (cosine, sine))
    cp, sp = (_table(f, cameras.pitch).reshape(shape) for f in (cosine, sine))
    delta = [points[None, ..., a] - cameras.position[:, a].reshape(shape) for a in range(3)]
    ahead = delta[0] * cy + delta[1] * sy
    right = delta[0] * sy - delta[1] * cy
    depth = ahead * cp + delta[2] * sp
    down = ahead * sp - delta[2] * cp
    # tan of half the field of view from the committed table; fields are even numbers of degrees.
    tangent = sine(cameras.hfov // 2) / cosine(cameras.hfov // 2)
    focal = IMAGE[0] / 2 / tangent
    safe = np.maximum(depth, 1.0)
    return right / safe * focal + IMAGE[0] / 2, down / safe * focal + IMAGE[1] / 2, depth


def _table(function, degrees: np.ndarray) -> np.ndarray:
    return np.array([function(int(t)) / UNIT for t in degrees])


def visible_points(cameras: Cameras, items: list[Item]) -> tuple[np.ndarray, ...]:
    """Return bool[K, N, P] of sample points in view and unoccluded, and their pixels u, v."""
    points = sample_points(items)
    seen, u, v = _in_view(cameras, points)
    for n, item in enumerate(items):
        if item.row.cls in OPAQUE:
            hit = _blocked(cameras.position, points, item)
            hit[:, n] = False
            for m, other in enumerate(items):
                if other.support == n:
                    hit[:, m] &= points[None, m, :, 2] < item.top
            seen &= ~hit
    return seen, u, v


def _in_view(cameras: Cameras, points: np.ndarray) -> tuple[np.ndarray, ...]:
    u, v, depth = project(cameras, points)
    seen = (depth > 200) & (u >= 0) & (u < IMAGE[0]) & (v >= 0) & (v < IMAGE[1])
    return seen, u, v


def seen_shares(cameras: Cameras, points: np.ndarray, items: list[Item]) -> list[int]:
    """Return the share (%) of points [P, 3] mm that each of K cameras sees past solid boxes."""
    seen, *_ = _in_view(cameras, points[None])
    for item in items:
        if item.row.cls in OPAQUE:
            seen &= ~_blocked(cameras.position, points[None], item)
    return [100 * int(n) // len(points) for n in np.count_nonzero(seen[:, 0], axis=1)]


def _blocked(eyes: np.ndarray, points: np.ndarray, item: Item) -> np.ndarray:
    """Return bool[K, N, P]: the segment from an eye to a point passes through a box, drawn in."""
    c, s = cosine(item.yaw) / UNIT, sine(item.yaw) / UNIT

    def local(xyz: np.ndarray) -> list[np.ndarray]:
        dx, dy = xyz[..., 0] - item.centre[0], xyz[..., 1] - item.centre[1]
        return [dx * c + dy * s, dy * c - dx * s, xyz[..., 2] - (item.base + item.size[2] / 2)]

    start = [a[:, None, None] for a in local(eyes.astype(np.float64))]
    end = [a[None] for a in local(points)]
    enter, leave = np.float64(0.0), np.float64(0.98)
    for axis in range(3):
        half = item.size[axis] * 0.45
        step = end[axis] - start[axis]
        step = np.where(np.abs(step) < 1e-6, 1e-6, step)
        a, b = (-half - start[axis]) / step, (half - start[axis]) / step
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return enter < leave


def pixel_estimate(cameras: Cameras, items: list[Item]) -> np.ndarray:
    """Return int64[K, N]: about how many of 128 x 96 pixels each camera sees of each box."""
    seen, u, v = visible_points(cameras, items)
    count = np.count_nonzero(seen, axis=2)
    extents = []
    for pixel, limit in ((u, IMAGE[0]), (v, IMAGE[1])):
        clipped = np.clip(pixel, 0, limit)
        low = np.where(seen, clipped, limit).min(2)
        high = np.where(seen, clipped, 0).max(2)
        extents.append(np.maximum(high - low, 0) * 1.15)
    return (extents[0] * extents[1] * FILL).astype(np.int64) * (count >= 3)


def choose(
    cameras: Cameras, pixels: np.ndarray, least: int = 3, apart: int = APART_MM
) -> list[int] | None:
    """Pick 4 input cameras that together see most, then 4 held-out ones; None if too few will do.

    pixels: int64[K, N]. A camera is fit when it sees at least `least` objects; input cameras keep
    `apart` mm from each other, held-out ones half of that from any.
    """
    seen = pixels >= SEEN_PIXELS
    fit = [k for k in range(len(pixels)) if np.count_nonzero(seen[k]) >= least]
    chosen: list[int] = []
    for role in range(2 * INPUT_VIEWS):
        union = np.zeros(pixels.shape[1], bool)
        for k in chosen:
            union |= seen[k]
        best, score = -1, (-1, -1)
        for k in fit:
            distance = apart if role < INPUT_VIEWS else apart // 2
            if k in chosen or not _apart(cameras, chosen, k, distance):
                continue
            worth = (np.count_nonzero(seen[k] & ~union), np.count_nonzero(seen[k]))
            if worth > score:
                best, score = k, worth
        if best < 0:
            return None
        chosen.append(best)
    return chosen


def _apart(cameras: Cameras, chosen: list[int], k: int, limit: int) -> bool:
    for other in chosen:
        dx, dy = (int(d) for d in cameras.position[k, :2] - cameras.position[other, :2])
        if dx * dx + dy * dy < limit * limit:
            return False
    return True
