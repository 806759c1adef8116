"""The shell of a synthetic room: textured floor, walls cut around doors and windows, ceiling."""

import numpy as np

from g2vlm.scenes.render.meshes import Material, Model
from metrics.constants import CEILING, FLOOR, OPENING, WALL

# Width of the frame of a door or window.
FRAME_M = 0.05
# Width and height in cm that one repeat covers, from Sweet Home 3D's texture catalog.
TILE_CM = {
    "woodenFloor": (42.5, 42.5),
    "oldWoodenFloor": (26.9, 26.9),
    "greyTile": (31.5, 31.5),
    "stoneTiles": (60.0, 40.0),
    "redTiles": (40.0, 40.0),
    "beigeTile": (20.0, 20.0),
}
# Indices into the materials of a shell.
_FLOOR, _WALL, _CEILING, _DOOR, _FRAME, _PANE = range(6)


def wall_frame(wall: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a wall's start corner [3], its horizontal direction [3] and its length, in metres.

    Walls are numbered counter-clockwise seen from above, each starting where the last one ends:
    0 along y = 0, 1 along x = sx, 2 along y = sy, 3 along x = 0. An opening's offset is measured
    from the start corner.

    Args:
        wall: 0 to 3.
        size: float [3] of the room in metres.
    """
    sx, sy = float(size[0]), float(size[1])
    starts = ((0.0, 0.0, 0.0), (sx, 0.0, 0.0), (sx, sy, 0.0), (0.0, sy, 0.0))
    directions = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    return np.array(starts[wall]), np.array(directions[wall]), sx if wall % 2 == 0 else sy


def room_shell(recipe: dict) -> tuple[Model, np.ndarray]:
    """Build the shell of a recipe's room in the room frame, all normals into the room.

    Returns:
        the shell in metres, whose texture 0 is the floor's and belongs to the caller; and the
        instance value uint8 [F] of each face, one of `metrics.constants`.
    """
    room = recipe["room"]
    size = np.array(room["size_mm"], float) / 1000.0
    sx, sy, height = size
    ground = np.array([[0, 0, 0], [sx, 0, 0], [sx, sy, 0], [0, sy, 0]], float)
    # Each quad: corners [4, 3], instance value, material.
    quads: list[tuple[np.ndarray, int, int]] = [
        (ground, FLOOR, _FLOOR),
        (ground[::-1] + [0.0, 0.0, height], CEILING, _CEILING),
    ]
    for wall in range(4):
        quads += _wall_quads(wall, size, [o for o in recipe["openings"] if o["wall"] == wall])
    vertices = np.concatenate([corners for corners, _, _ in quads])  # (4 Q, 3)
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    faces = (4 * np.arange(len(quads))[:, None, None] + halves).reshape(-1, 3)  # (2 Q, 3)
    tile = np.array(TILE_CM[room["floor"]]) / 100.0
    wall_colour = tuple(value / 255.0 for value in room["wall_rgb"])
    materials = (
        Material((1.0, 1.0, 1.0), texture=0),
        Material(wall_colour),
        Material((0.95, 0.95, 0.93)),
        Material((0.52, 0.36, 0.23)),
        Material((0.93, 0.92, 0.90)),
        Material((0.78, 0.88, 0.97), emissive=True),
    )
    shell = Model(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        (vertices[faces][..., :2] / tile).astype(np.float32),
        np.repeat([material for _, _, material in quads], 2).astype(np.int32),
        materials,
        textures=(),
    )
    return shell, np.repeat([instance for _, instance, _ in quads], 2).astype(np.uint8)


def _wall_quads(wall: int, size: np.ndarray, openings: list[dict]) -> list[tuple]:
    """Return the quads of a wall, cut along the edges of its openings and their frames.

    The cuts run over the whole wall, so that no two surfaces overlap.
    """
    start, along, length = wall_frame(wall, size)
    up = np.array([0.0, 0.0, 1.0])
    rectangles = []  # (left, right, bottom, top, kind) along the wall, in metres
    for opening in openings:
        left, base = opening["offset_mm"] / 1000.0, opening["base_mm"] / 1000.0
        right, top = left + opening["width_mm"] / 1000.0, base + opening["height_mm"] / 1000.0
        rectangles.append((left, right, base, top, opening["kind"]))
    s_cuts = _cuts([(left, right) for left, right, *_ in rectangles], length)
    z_cuts = _cuts([(base, top) for _, _, base, top, _ in rectangles], float(size[2]))
    quads = []
    for s0, s1 in zip(s_cuts, s_cuts[1:], strict=False):
        for z0, z1 in zip(z_cuts, z_cuts[1:], strict=False):
            instance, material = _cell(rectangles, (s0 + s1) / 2, (z0 + z1) / 2)
            corners = [
                start + s * along + z * up for s, z in ((s0, z0), (s1, z0), (s1, z1), (s0, z1))
            ]
            quads.append((np.array(corners)[::-1], instance, material))
    return quads


def _cuts(spans: list[tuple[float, float]], limit: float) -> list[float]:
    """Return 0, `limit` and, between them, the ends of spans and of the frames inside them."""
    cuts = {x for a, b in spans for x in (a, a + FRAME_M, b - FRAME_M, b)}
    return [0.0, *[cut for cut in sorted(cuts) if 0.0 < cut < limit], limit]


def _cell(rectangles: list[tuple], s: float, z: float) -> tuple[int, int]:
    """Return instance value and material of a wall at (s, z): wall, frame, door or pane."""
    for left, right, base, top, kind in rectangles:
        if left < s < right and base < z < top:
            # A door has no frame at the floor.
            below = z - base if kind == "window" else FRAME_M
            if min(s - left, right - s, top - z, below) < FRAME_M:
                return OPENING, _FRAME
            return OPENING, _PANE if kind == "window" else _DOOR
    return WALL, _WALL
