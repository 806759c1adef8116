"""The room itself: textured floor, walls cut around doors and windows, ceiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.constants import CEILING, FLOOR, OPENING, WALL

FRAME_M = 0.05
# Width and height in cm that one repeat covers, from Sweet Home 3D's texture catalog.
TILE_CM = {
    "woodenFloor": (42.5, 42.5),
    "oldWoodenFloor": (26.9, 26.9),
    "greyTile": (31.5, 31.5),
    "stoneTiles": (60.0, 40.0),
    "blackAndWhiteTiles": (70.0, 70.0),
    "redTiles": (40.0, 40.0),
    "marbleWall": (50.0, 50.0),
    "lightBlueTile": (33.5, 33.5),
    "darkBlueTile": (33.5, 33.5),
    "pavingStone": (42.3, 30.0),
    "beigeTile": (20.0, 20.0),
    "blueTiles": (20.0, 20.0),
    "wallBeigeTile": (20.0, 31.5),
}
_DEFAULT_TILE_CM = (40.0, 40.0)
# Indices into `_materials`.
_FLOOR, _WALL, _CEILING, _DOOR, _FRAME, _PANE = range(6)


@dataclass(frozen=True)
class Shell:
    """vertices: float32[V, 3]; faces: int32[F, 3]; uv: float32[F, 3, 2]; instance: uint8[F];
    material: int32[F]; materials: (display colour, opacity, texture index, emissive) each."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    instance: np.ndarray
    material: np.ndarray
    materials: tuple[tuple, ...]


def _materials(wall_rgb: list[int]) -> tuple[tuple, ...]:
    wall = tuple(value / 255.0 for value in wall_rgb)
    return (
        ((1.0, 1.0, 1.0), 1.0, 0, False),
        (wall, 1.0, -1, False),
        ((0.95, 0.95, 0.93), 1.0, -1, False),
        ((0.52, 0.36, 0.23), 1.0, -1, False),
        ((0.93, 0.92, 0.90), 1.0, -1, False),
        ((0.78, 0.88, 0.97), 1.0, -1, True),
    )


def wall_frame(wall: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a wall's start corner, its horizontal direction (both float[3]) and its length in m.

    Walls are numbered counter-clockwise seen from above, each starting where the last one ends:
    0 along y = 0, 1 along x = sx, 2 along y = sy, 3 along x = 0. An opening's offset is measured
    from the start corner.
    """
    sx, sy = float(size[0]), float(size[1])
    starts = ((0.0, 0.0, 0.0), (sx, 0.0, 0.0), (sx, sy, 0.0), (0.0, sy, 0.0))
    directions = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    return np.array(starts[wall]), np.array(directions[wall]), sx if wall % 2 == 0 else sy


def room_shell(recipe: dict) -> Shell:
    """Build the shell of a recipe's room in the room frame."""
    room = recipe["room"]
    size = np.array(room["size_mm"], float) / 1000.0
    quads: list[tuple[np.ndarray, int, int]] = []
    sx, sy, height = size
    ground = np.array([[0, 0, 0], [sx, 0, 0], [sx, sy, 0], [0, sy, 0]], float)
    quads.append((ground, FLOOR, _FLOOR))
    quads.append((ground[::-1] + [0.0, 0.0, height], CEILING, _CEILING))
    for wall in range(4):
        quads += _wall_quads(wall, size, [o for o in recipe["openings"] if o["wall"] == wall])
    corners = np.array([quad for quad, _, _ in quads])
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    faces = (4 * np.arange(len(quads))[:, None, None] + halves).reshape(-1, 3)
    vertices = corners.reshape(-1, 3)
    tile = np.array(TILE_CM.get(room["floor"], _DEFAULT_TILE_CM)) / 100.0
    return Shell(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        (vertices[faces][..., :2] / tile).astype(np.float32),
        np.repeat([i for _, i, _ in quads], 2).astype(np.uint8),
        np.repeat([m for _, _, m in quads], 2).astype(np.int32),
        _materials(room["wall_rgb"]),
    )


def _wall_quads(wall: int, size: np.ndarray, openings: list[dict]) -> list[tuple]:
    """Cut a wall along the edges of its openings, so that no two surfaces overlap."""
    start, along, length = wall_frame(wall, size)
    up = np.array([0.0, 0.0, 1.0])
    rectangles = []
    for opening in openings:
        left, base = opening["offset_mm"] / 1000.0, opening["base_mm"] / 1000.0
        right, top = left + opening["width_mm"] / 1000.0, base + opening["height_mm"] / 1000.0
        rectangles.append((left, right, base, top, opening["kind"]))
    s_cuts = _cuts([x for r in rectangles for x in (r[0], r[0] + FRAME_M, r[1] - FRAME_M, r[1])])
    z_cuts = _cuts([x for r in rectangles for x in (r[2], r[2] + FRAME_M, r[3] - FRAME_M, r[3])])
    s_cuts = _bounded(s_cuts, length)
    z_cuts = _bounded(z_cuts, float(size[2]))
    quads = []
    for s0, s1 in zip(s_cuts, s_cuts[1:], strict=False):
        for z0, z1 in zip(z_cuts, z_cuts[1:], strict=False):
            instance, material = _cell(rectangles, (s0 + s1) / 2, (z0 + z1) / 2)
            corners = [
                start + s * along + z * up for s, z in ((s0, z0), (s1, z0), (s1, z1), (s0, z1))
            ]
            quads.append((np.array(corners)[::-1], instance, material))
    return quads


def _cuts(values: list[float]) -> list[float]:
    return sorted(set(values))


def _bounded(cuts: list[float], limit: float) -> list[float]:
    return [0.0, *[c for c in cuts if 0.0 < c < limit], limit]


def _cell(rectangles: list[tuple], s: float, z: float) -> tuple[int, int]:
    """Say what a wall cell around (s, z) is: wall, or an opening's frame, leaf or pane."""
    for left, right, base, top, kind in rectangles:
        if left < s < right and base < z < top:
            sides = (s - left, right - s, top - z, z - base if kind == "window" else FRAME_M)
            if min(sides) < FRAME_M:
                return OPENING, _FRAME
            return OPENING, _PANE if kind == "window" else _DOOR
    return WALL, _WALL
