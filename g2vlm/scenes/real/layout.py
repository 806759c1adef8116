"""Make the recipe of a captured room: its boxes as objects, their supports, and its cameras."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from g2vlm.scenes.layout.cameras import (
    APART_MM,
    SEEN_PIXELS,
    VIEWS,
    Cameras,
    choose_cameras,
    heading,
    pixel_estimate,
)
from g2vlm.scenes.layout.integer_geometry import Point, corners, edges, point_to_footprint
from g2vlm.scenes.layout.recipes import CARRIERS, camera_fields, items_of
from g2vlm.scenes.layout.room_state import CELL_MM, Item, largest_component
from g2vlm.scenes.real import FOLDER, REAL_ROOMS
from g2vlm.scenes.real.capture import Box, CapturedRoom, read_room
from g2vlm.scenes.real.source import CAPTURES
from metrics.constants import INPUT_VIEWS
from metrics.files import InputError, rng

KINDS = {
    "office_large": "office",
    "living_room": "living",
    "music_room": "music",
    "office_small": "office",
    "meeting_room": "meeting",
}
# An object whose base is this far above a top (negative: inside) stands on it; a screen's box, for
# example, leaves out its foot.
_REST_MM = (-60, 200)
# Its centre may lie this far beyond the edge of the top.
_OVERHANG_MM = 50
# A camera keeps this far from every surface between two heights: from the knees, so that a person
# could stand there, or from the chest where a room is too full for that.
_CLEAR_MM = 300
_BODY_MM = 1900
_FROM_MM = (250, 900)
# Spacing of the points that represent the mesh in the search for free floor.
_SPACING_MM = 50
# Candidate cameras a draw, and draws for each choice of limits.
_CANDIDATES = 96
_DRAWS = 3
# A camera is at least this far from the point that it looks at.
_NEAREST_MM = 800
# An opening at most this far from a wall belongs to this room.
_OPENING_MM = 250


def captured_recipes(
    data_dir: Path, count: int, seed: int
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield the recipes of the first captured rooms, with their estimated pixels int64 [8, N].

    Args:
        data_dir: the data folder, which holds the captures.
        count: of rooms.
        seed: of the data.

    Raises:
        InputError: `count` is too large.
    """
    if count > len(CAPTURES):
        raise InputError(
            f"data.splits.{REAL_ROOMS}: {count} rooms, but there are {len(CAPTURES)}; lower it"
        )
    for number, capture in enumerate(list(CAPTURES)[:count]):
        path, name = data_dir / FOLDER / f"{capture}.json", f"{REAL_ROOMS}-{number:04d}"
        yield captured_recipe(path, name, KINDS[capture], seed)


def captured_recipe(
    path: Path, name: str, kind: str, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the recipe of one capture, and its estimated pixels int64 [8, N].

    Args:
        path: of the capture.
        name: id of the scene.
        kind: of room.
        seed: of the data.
    """
    room = read_room(path)
    generator = rng(seed, "scene", name)
    recipe: dict[str, Any] = {
        "id": name,
        "split": REAL_ROOMS,
        "pair": None,
        "kind": kind,
        "capture": path.stem,
        "room": {"size_mm": list(room.size), "outline_mm": [list(p) for p in room.outline]},
        "light": _light(room),
        "objects": objects_of(path.stem, room.boxes),
        "openings": openings_of(room),
    }
    items = items_of(recipe, {})
    for low in _FROM_MM:
        placed = _cameras(room, np.argwhere(free_cells(room, low)), items, generator)
        if placed:
            return {**recipe, "cameras": camera_fields(placed[0])}, placed[1]
    raise InputError(f"{path}: no place for 8 cameras; leave the capture out")


def objects_of(capture: str, boxes: list[Box]) -> list[dict[str, Any]]:
    """Return the boxes of a capture as a recipe's objects, without a colour.

    Args:
        capture: name of the capture, which takes the place of a catalog in model names.
        boxes: in the room frame.
    """
    return [
        {
            "index": k,
            "model": f"{capture}#{k}",
            "class": box.cls,
            "colour": None,
            "centre_mm": list(box.centre),
            "base_mm": box.base,
            "yaw_deg": box.yaw,
            "size_mm": list(box.size),
            "support": _support(k, boxes),
        }
        for k, box in enumerate(boxes)
    ]


def _support(index: int, boxes: list[Box]) -> int:
    """Return the index of the box that a box stands on, -1 if it stands on none."""
    box = boxes[index]
    for k, below in enumerate(boxes):
        gap = box.base - (below.base + below.size[2])
        if below.cls in CARRIERS and k != index and _REST_MM[0] <= gap <= _REST_MM[1]:
            ring = corners(below.centre, below.size, below.yaw)
            if point_to_footprint(box.centre, ring) <= _OVERHANG_MM:
                return k
    return -1


def openings_of(room: CapturedRoom) -> list[dict[str, Any]]:
    """Return the doors and windows in the room's own walls; captures show some beyond them."""
    rows = []
    for opening in room.openings:
        (ax, ay), (bx, by) = opening["ends_mm"]
        middle = ((ax + bx) // 2, (ay + by) // 2)
        # A wall is a footprint without depth, whose distance counts from both sides.
        distances = (point_to_footprint(middle, [a, b, a]) for a, b in edges(room.outline))
        if min(distances) <= _OPENING_MM:
            rows.append(opening)
    return rows


def inside_outline(outline: list[Point], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which points (int64 mm, broadcast) an outline encloses, by the even-odd rule."""
    inside = np.zeros(np.broadcast(x, y).shape, bool)
    for (ax, ay), (bx, by) in edges(outline):
        crosses = (ay > y) != (by > y)
        side = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
        inside ^= crosses & ((side > 0) == (by > ay))
    return inside


def mesh_points(room: CapturedRoom) -> np.ndarray:
    """Cover the mesh with points int64 [P, 3] mm, at most 5 cm apart along its edges."""
    triangles = room.vertices[room.faces]  # (F, 3, 3)
    edges = np.abs(triangles - np.roll(triangles, 1, axis=1)).max(axis=(1, 2))  # (F,)
    steps = np.maximum(-(-edges // _SPACING_MM), 1)  # (F,): parts of the longest edge, rounded up
    points = []
    # Triangles of as many steps share one lattice of integer weights (i, j, n - i - j).
    for n in np.unique(steps):
        a, b, c = triangles[steps == n].transpose(1, 0, 2)
        for i in range(int(n) + 1):
            for j in range(int(n) + 1 - i):
                points.append((i * a + j * b + (n - i - j) * c) // n)
    return np.concatenate(points)


def free_cells(room: CapturedRoom, low: int) -> np.ndarray:
    """Return bool [X, Y], connected 10 cm floor cells where a camera may be.

    Args:
        room: as captured.
        low: height in mm above which the space around the camera must be free.
    """
    nx, ny = (-(-side // CELL_MM) for side in room.size[:2])
    points = mesh_points(room)
    body = points[(points[:, 2] > low) & (points[:, 2] < _BODY_MM)]
    cells = body[:, :2] // CELL_MM
    cells = cells[((cells >= 0) & (cells < (nx, ny))).all(1)]
    taken = np.zeros((nx, ny), bool)
    taken[cells[:, 0], cells[:, 1]] = True
    # Grow what is taken by the distance that a camera keeps; the room's border counts as taken.
    side = 2 * (_CLEAR_MM // CELL_MM) + 1
    taken = ndimage.binary_dilation(taken, np.ones((side, side)), border_value=1)
    x = np.arange(nx)[:, None] * CELL_MM + CELL_MM // 2
    y = np.arange(ny)[None, :] * CELL_MM + CELL_MM // 2
    return largest_component(inside_outline(room.outline, x, y) & ~taken)


def _light(room: CapturedRoom) -> dict[str, Any]:
    """Return one lamp under the ceiling, over the middle of the free space, and fixed daylight."""
    cells = np.argwhere(free_cells(room, _FROM_MM[1]))
    x, y = (int(v) * CELL_MM + CELL_MM // 2 for v in cells[len(cells) // 2])
    lamp = [x, y, room.size[2] - 400]
    return {"sun_azimuth_deg": 60, "sun_elevation_deg": 50, "lamps_mm": [lamp]}


def _cameras(
    room: CapturedRoom, spots: np.ndarray, items: list[Item], generator: np.random.Generator
) -> tuple[Cameras, np.ndarray] | None:
    """Choose eight cameras in free cells `spots` int64 [S, 2]; return them with their estimated
    pixels int64 [8, N].

    They see at least three objects each and are well apart, where possible: the limits fall until
    some draw meets them. Of the draws that do, the one whose inputs see most objects is kept.
    """
    for least in range(min(3, len(items)), 0, -1):
        for apart in (APART_MM, APART_MM * 2 // 3, APART_MM // 3):
            best = None
            for _ in range(_DRAWS):
                cameras = _candidates(spots, items, generator)
                if cameras is None:
                    continue
                pixels = pixel_estimate(cameras, items)
                pixels[behind_walls(room.outline, cameras, items)] = 0
                order = choose_cameras(cameras, pixels, least, apart)
                if order is None:
                    continue
                seen = int((pixels[order[:INPUT_VIEWS]] >= SEEN_PIXELS).any(0).sum())
                if best is None or seen > best[0]:
                    best = (seen, cameras.take(order), pixels[order])
            if best is not None:
                return best[1], best[2]
    return None


def behind_walls(outline: list[Point], cameras: Cameras, items: list[Item]) -> np.ndarray:
    """Return bool [K, N], whether a wall is between each camera and the middle of each object."""
    eye = cameras.position[:, None, :2]  # (K, 1, 2)
    middle = np.array([item.centre for item in items], np.int64)[None]  # (1, N, 2)
    hidden = np.zeros(np.broadcast_shapes(eye.shape, middle.shape)[:2], bool)
    for a, b in edges(np.array(outline)):
        # Two segments cross if each has the other's ends on both of its sides.
        wall_crosses = _side(eye, middle, a) * _side(eye, middle, b) < 0
        hidden |= wall_crosses & (_side(a, b, eye) * _side(a, b, middle) < 0)
    return hidden


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return -1, 0 or 1, the side of the line from a to b on which points p [..., 2] lie."""
    cross = (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1])
    return np.sign(cross - (b[..., 1] - a[..., 1]) * (p[..., 0] - a[..., 0]))


def _candidates(
    spots: np.ndarray, items: list[Item], generator: np.random.Generator
) -> Cameras | None:
    """Draw cameras in free cells that look at the middle between two objects, not too near to it.

    Returns None if there is no place for eight.
    """
    if len(spots) < VIEWS:
        return None

    def draw(low: int, high: int) -> int:
        return int(generator.integers(low, high + 1))

    hfov = 66 + 2 * draw(0, 4)
    position, yaw, pitch = [], [], []
    for _ in range(4 * _CANDIDATES):
        cell = spots[draw(0, len(spots) - 1)]
        x, y = (int(v) * CELL_MM + CELL_MM // 2 for v in cell)
        pair = [items[draw(0, len(items) - 1)].centre for _ in range(2)]
        dx = (pair[0][0] + pair[1][0]) // 2 - x
        dy = (pair[0][1] + pair[1][1]) // 2 - y
        if dx * dx + dy * dy < _NEAREST_MM * _NEAREST_MM:
            continue
        position.append([x, y, draw(1100, 1800)])
        yaw.append(heading(dx, dy))
        pitch.append(-draw(8, 26))
        if len(position) == _CANDIDATES:
            break
    return Cameras.of(position, yaw, pitch, hfov) if len(position) >= VIEWS else None
