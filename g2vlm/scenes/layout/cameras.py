"""Where the eight cameras of a scene are placed, and an estimate of what each of them sees.

The estimate treats objects as boxes: it projects sample points of each box and tests whether an
opaque box blocks the segment from the camera. Rendering later decides what is really seen.

All operations on float64 are elementwise sums, products, quotients and comparisons, which IEEE 754
rounds alike on every machine; sums over an axis, whose order may differ, are of counts alone.
Sines come from the committed table.

K cameras, N objects, P points; positions in mm in the room's frame, angles in degrees. Yaw is
counter-clockwise from x, pitch is positive upwards.
"""

from dataclasses import dataclass

import numpy as np

from g2vlm.scenes.assets.classes import OPAQUE
from g2vlm.scenes.layout.integer_geometry import SINES, UNIT, cosine, sine
from g2vlm.scenes.layout.room_state import (
    CELL_MM,
    Item,
    Room,
    covered,
    largest_component,
    walkable,
)
from metrics.constants import INPUT_VIEWS

# Input views, then as many held-out views.
VIEWS = 2 * INPUT_VIEWS
# Estimated pixels from which an object counts as seen by a camera.
SEEN_PIXELS = 60
# Width and height of the image that pixels are estimated for.
IMAGE = (128, 96)
# Least distance between two input cameras.
APART_MM = 700
# Fewest objects that each camera sees.
LEAST_SEEN = 3
# Cells between a camera and the edge of the grid: cameras are near the walls.
EDGE_CELLS = 7
# Share of its rectangle in the image that a box is taken to fill.
FILL = 0.5
# The rectangle around visible sample points is enlarged by this, for the points lie inside the box.
ENLARGE = 1.15
# Sample points closer to the camera than this do not count.
NEAREST_MM = 200
# Cosines and sines of 0..359 degrees, int64 [360] each, in units of 1 / UNIT.
_TABLES = np.roll(SINES, -90), np.array(SINES, np.int64)


@dataclass(frozen=True)
class Cameras:
    """K cameras of one scene.

    Attributes:
        position: int64 [K, 3], mm.
        yaw, pitch: int64 [K], degrees.
        hfov: horizontal field of view in degrees, an even number.
    """

    position: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    hfov: int

    @classmethod
    def of(
        cls, position: list[list[int]], yaw: list[int], pitch: list[int], hfov: int
    ) -> "Cameras":
        """Return cameras from lists of their fields."""
        return cls(*(np.array(values, np.int64) for values in (position, yaw, pitch)), hfov)

    def take(self, index: list[int]) -> "Cameras":
        """Return the cameras of some indices, in their order."""
        return Cameras(self.position[index], self.yaw[index], self.pitch[index], self.hfov)


def candidates(room: Room, count: int = 36) -> Cameras | None:
    """Draw up to `count` cameras on walkable floor near the walls, aimed near the room's middle.

    None where fewer than eight places are found.
    """
    hfov = 60 + 2 * room.draw(0, 7)
    free = largest_component(walkable(room))
    nx, ny = free.shape
    x, y = np.arange(nx)[:, None], np.arange(ny)[None, :]
    edge = np.minimum(np.minimum(x, nx - 1 - x), np.minimum(y, ny - 1 - y))  # (nx, ny)
    cells = np.argwhere(free & (edge <= EDGE_CELLS))
    if len(cells) < VIEWS:
        return None
    order = room.rng.permutation(len(cells))
    position, yaw, pitch = [], [], []
    for k in order[: 3 * count]:
        x, y = (int(v) * CELL_MM + CELL_MM // 2 for v in cells[int(k)])
        place = [x, y, room.draw(1100, 1800)]
        if len(position) == count or not all(clears(item, place) for item in room.items):
            continue
        target_x = room.size[0] // 2 + room.draw(-500, 500)
        target_y = room.size[1] // 2 + room.draw(-500, 500)
        position.append(place)
        yaw.append(heading(target_x - place[0], target_y - place[1]))
        pitch.append(-room.draw(8, 26))
    return Cameras.of(position, yaw, pitch, hfov) if len(position) >= VIEWS else None


def heading(dx: int, dy: int) -> int:
    """Return the whole degree in 0..359 whose direction is nearest to (dx, dy).

    >>> heading(10, 0), heading(0, 5), heading(-3, -3)
    (0, 90, 225)
    """
    # The nearest direction has the largest inner product.
    cosines, sines = _TABLES
    return int(np.argmax(dx * cosines + dy * sines))


def clears(item: Item, place: list[int]) -> bool:
    """Return whether an object is neither at a camera's place (mm) nor right above or below it."""
    if item.top <= 900 or item.base >= place[2] + 150:
        return True
    return not covered(item, np.int64(place[0]), np.int64(place[1]), 250)


# Points float64 [15, 3] in a unit box: corners moved inwards, the centre, face centres. x and y run
# from -0.5 to 0.5, z from 0 to 1.
_SAMPLES = np.array(
    [
        *((x, y, z) for x in (-0.4, 0.4) for y in (-0.4, 0.4) for z in (0.1, 0.9)),
        *((0, 0, 0.5), (-0.48, 0, 0.5), (0.48, 0, 0.5), (0, -0.48, 0.5), (0, 0.48, 0.5)),
        *((0, 0, 0.03), (0, 0, 0.97)),
    ]
)


def sample_points(items: list[Item]) -> np.ndarray:
    """Return float64 [N, 15, 3] of sample points of each box, in mm."""
    rows = []
    for item in items:
        c, s = cosine(item.yaw) / UNIT, sine(item.yaw) / UNIT
        u, v = _SAMPLES[:, 0] * item.size[0], _SAMPLES[:, 1] * item.size[1]
        x, y = u * c - v * s + item.centre[0], u * s + v * c + item.centre[1]
        rows.append(np.stack([x, y, _SAMPLES[:, 2] * item.size[2] + item.base], 1))
    return np.array(rows).reshape(len(items), *_SAMPLES.shape)


def project(cameras: Cameras, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which points [..., 3] in mm are in the image, bool [K, ...], and their pixels u, v."""
    shape = (len(cameras.yaw),) + (1,) * (points.ndim - 1)
    cos_yaw, sin_yaw = (table[cameras.yaw % 360].reshape(shape) / UNIT for table in _TABLES)
    cos_pitch, sin_pitch = (table[cameras.pitch % 360].reshape(shape) / UNIT for table in _TABLES)
    delta = [points[None, ..., a] - cameras.position[:, a].reshape(shape) for a in range(3)]
    # Turn by yaw on the floor, then by pitch in the vertical plane of the heading.
    ahead = delta[0] * cos_yaw + delta[1] * sin_yaw
    right = delta[0] * sin_yaw - delta[1] * cos_yaw
    depth = ahead * cos_pitch + delta[2] * sin_pitch
    down = ahead * sin_pitch - delta[2] * cos_pitch
    # The tangent of half the field of view from the table: half of an even number of degrees.
    tangent = sine(cameras.hfov // 2) / cosine(cameras.hfov // 2)
    focal = IMAGE[0] / 2 / tangent
    safe = np.maximum(depth, 1.0)
    u, v = right / safe * focal + IMAGE[0] / 2, down / safe * focal + IMAGE[1] / 2
    in_image = (u >= 0) & (u < IMAGE[0]) & (v >= 0) & (v < IMAGE[1])
    return in_image & (depth > NEAREST_MM), u, v


def visible_points(
    cameras: Cameras, items: list[Item]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which sample points each camera sees, bool [K, N, P], and their pixels u and v."""
    points = sample_points(items)
    seen, u, v = project(cameras, points)
    for n, item in enumerate(items):
        if item.row.cls in OPAQUE:
            hit = _blocked(cameras.position, points, item)
            # A box hides neither itself nor what stands on it, but for the part inside the box.
            hit[:, n] = False
            for m, other in enumerate(items):
                if other.support == n:
                    hit[:, m] &= points[None, m, :, 2] < item.top
            seen &= ~hit
    return seen, u, v


def seen_shares(cameras: Cameras, points: np.ndarray, items: list[Item]) -> list[int]:
    """Return the share (%) of points [P, 3] in mm that each of K cameras sees past opaque boxes."""
    seen, *_ = project(cameras, points[None])
    for item in items:
        if item.row.cls in OPAQUE:
            seen &= ~_blocked(cameras.position, points[None], item)
    return [100 * int(n) // len(points) for n in np.count_nonzero(seen[:, 0], axis=1)]


def _blocked(eyes: np.ndarray, points: np.ndarray, item: Item) -> np.ndarray:
    """Return which segments from an eye to a point pass through a box.

    Args:
        eyes: int64 [K, 3], mm.
        points: float64 [N, P, 3], mm.

    Returns:
        bool [K, N, P].
    """
    c, s = cosine(item.yaw) / UNIT, sine(item.yaw) / UNIT

    def local(xyz: np.ndarray) -> list[np.ndarray]:
        """Coordinates in the axes of the box, from its centre."""
        dx, dy = xyz[..., 0] - item.centre[0], xyz[..., 1] - item.centre[1]
        return [dx * c + dy * s, dy * c - dx * s, xyz[..., 2] - (item.base + item.size[2] / 2)]

    start = [a[:, None, None] for a in local(eyes.astype(np.float64))]  # (K, 1, 1) each
    end = [a[None] for a in local(points)]  # (1, N, P) each
    # Slab test: the part of the segment, from 0 at the eye to 1 at the point, that lies between
    # both planes of every axis. The box is a tenth smaller, and the last 2% of the segment do not
    # count, so that a surface near the point does not hide it.
    enter, leave = np.float64(0.0), np.float64(0.98)
    for axis in range(3):
        half = item.size[axis] * 0.45
        step = end[axis] - start[axis]  # (K, N, P)
        step = np.where(np.abs(step) < 1e-6, 1e-6, step)
        a, b = (-half - start[axis]) / step, (half - start[axis]) / step
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return enter < leave


def pixel_estimate(cameras: Cameras, items: list[Item]) -> np.ndarray:
    """Return int64 [K, N]: about how many of 128 x 96 pixels each camera sees of each box.

    Half of the rectangle around the visible sample points; 0 where fewer than three are visible.
    """
    seen, u, v = visible_points(cameras, items)
    count = np.count_nonzero(seen, axis=2)  # (K, N)
    extents = []
    for pixel, limit in ((u, IMAGE[0]), (v, IMAGE[1])):
        clipped = np.clip(pixel, 0, limit)
        low = np.where(seen, clipped, limit).min(2)
        high = np.where(seen, clipped, 0).max(2)
        extents.append(np.maximum(high - low, 0) * ENLARGE)
    return (extents[0] * extents[1] * FILL).astype(np.int64) * (count >= 3)


def choose_cameras(
    cameras: Cameras, pixels: np.ndarray, least: int = LEAST_SEEN, apart: int = APART_MM
) -> list[int] | None:
    """Choose 4 input cameras that together see most, then 4 held-out ones; None if too few fit.

    Greedy: each camera is the one that sees most objects that none before it sees, then most
    objects, then the first.

    Args:
        pixels: int64 [K, N] by `pixel_estimate`.
        least: fewest objects that a chosen camera sees.
        apart: least distance (mm) between input cameras; half of it from held-out ones to any.
    """
    seen = pixels >= SEEN_PIXELS  # (K, N)
    count = np.count_nonzero(seen, axis=1)  # (K,)
    floor = cameras.position[:, :2]
    squared = ((floor[:, None] - floor) ** 2).sum(2)  # (K, K): mm², on the floor
    fit = [k for k in range(len(pixels)) if count[k] >= least]
    chosen: list[int] = []
    for role in range(VIEWS):
        limit = apart if role < INPUT_VIEWS else apart // 2
        far = (squared[:, chosen] >= limit * limit).all(1)  # (K,)
        options = [k for k in fit if far[k] and k not in chosen]
        if not options:
            return None
        gain = np.count_nonzero(seen & ~seen[chosen].any(0), axis=1)  # (K,): objects not yet seen
        chosen.append(max(options, key=lambda k, gain=gain: (gain[k], count[k])))
    return chosen
