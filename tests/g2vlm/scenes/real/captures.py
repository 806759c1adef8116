"""Make captures of a plain room in the layout that the headset's emulator loads."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

# Metres, y up, as a capture is: 4 m along x, 3 m along z, 2.6 m high.
WIDTH, DEPTH, HEIGHT = 4.0, 3.0, 2.6
# label: centre of the footprint (x, z), base, size (along x, along z, up)
FURNITURE = (
    ("TABLE", (2.0, -0.6), 0.0, (1.2, 0.8, 0.75)),
    ("LAMP", (2.2, -0.6), 0.75, (0.3, 0.3, 0.4)),
    ("COUCH", (0.6, -1.6), 0.0, (0.9, 1.8, 0.8)),
    ("STORAGE", (3.6, -2.2), 0.0, (0.5, 1.0, 1.4)),
)
# Half a turn of -90 degrees about x: a box's own z becomes the room's up.
UPRIGHT = {"x": -(0.5**0.5), "y": 0.0, "z": 0.0, "w": 0.5**0.5}
LEVEL = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}


def entity(label: str, place: tuple[float, float, float], turn: dict, **parts: Any) -> dict:
    """Return one entity: its label, its pose and what else it has."""
    return {
        "uuid": label,
        "semanticLabel_META": label,
        "locatable_META": {
            "orientation": dict(turn),
            "position": dict(zip("xyz", place, strict=True)),
        },
        **parts,
    }


def box(label: str, place: tuple[float, float], base: float, size: tuple) -> dict:
    """Return a labelled box, its pose at the middle of its top as captures have it."""
    w, d, h = size
    bounds = {
        "offset": {"x": -w / 2, "y": -d / 2, "z": -h},
        "extent": {"width": w, "height": d, "depth": h},
    }
    middle = (place[0], base + h, place[1])
    return entity(label, middle, UPRIGHT, bounded3D_META=bounds)


def plane(label: str, place: tuple, turn: dict, width: float, height: float) -> dict:
    """Return a plane whose middle is at `place`, in the x and z of its pose."""
    bounds = {
        "offset": {"x": -width / 2, "y": -height / 2},
        "extent": {"width": width, "height": height},
    }
    return entity(label, place, turn, bounded2D_META=bounds)


def about_y(degrees: float) -> np.ndarray:
    """Return float[4], the quaternion (x, y, z, w) of a turn about the upright axis."""
    half = np.deg2rad(degrees) / 2
    return np.array([0.0, np.sin(half), 0.0, np.cos(half)])


def multiply(a: np.ndarray, b: np.ndarray) -> dict:
    """Return the quaternion product a b, as a capture writes it."""
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    values = [*vector, a[3] * b[3] - a[:3] @ b[:3]]
    return dict(zip("xyzw", map(float, values), strict=True))


def wall(a: tuple[float, float], b: tuple[float, float], label="WALL_FACE", low=0.0, high=HEIGHT):
    """Return an upright plane over the floor points a and b (x, z)."""
    (ax, az), (bx, bz) = a, b
    up = np.array([UPRIGHT[k] for k in "xyzw"])
    turn = multiply(about_y(np.degrees(np.arctan2(-(bz - az), bx - ax))), -up)
    middle = ((ax + bx) / 2, (low + high) / 2, (az + bz) / 2)
    return plane(label, middle, turn, float(np.hypot(bx - ax, bz - az)), high - low)


def shell(low: tuple, high: tuple, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of a box's surface, every side cut into cells x cells squares."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, cells + 1)] * 2, indexing="ij"), -1)
    flat = grid.reshape(-1, 2)
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    squares = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    vertices, faces = [], []
    for axis in range(3):
        for side in (0.0, 1.0):
            faces.append(squares + len(flat) * len(vertices))
            vertices.append(np.insert(flat, axis, side, axis=1))
    low, high = np.array(low), np.array(high)
    return np.concatenate(vertices) * (high - low) + low, np.concatenate(faces)


def capture(furniture: tuple = FURNITURE) -> dict:
    """Return a capture of the plain room: walls, a door, a window, boxes and a closed mesh."""
    shells = [shell((0, 0, -DEPTH), (WIDTH, HEIGHT, 0), 24)]
    for _, (x, z), base, (w, d, h) in furniture:
        shells.append(shell((x - w / 2, base, z - d / 2), (x + w / 2, base + h, z + d / 2), 6))
    starts = np.cumsum([0, *[len(v) for v, _ in shells[:-1]]])
    vertices = np.concatenate([v for v, _ in shells]).astype("<f4")
    faces = np.concatenate([f + s for (_, f), s in zip(shells, starts, strict=True)])
    mesh = {
        "vertices": base64.b64encode(vertices.tobytes()).decode(),
        "indices": base64.b64encode(faces.astype("<u4").tobytes()).decode(),
    }
    ring = [(0.0, 0.0), (WIDTH, 0.0), (WIDTH, -DEPTH), (0.0, -DEPTH)]
    rows = [wall(a, b) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
    middle = (WIDTH / 2, -DEPTH / 2)
    rows += [
        plane(label, (middle[0], y, middle[1]), LEVEL, WIDTH, DEPTH)
        for label, y in (("FLOOR", 0.0), ("CEILING", HEIGHT))
    ]
    rows.append(wall((0.0, -0.2), (0.0, -1.1), "DOOR_FRAME", 0.0, 2.0))
    rows.append(wall((1.0, -DEPTH), (3.0, -DEPTH), "WINDOW_FRAME", 0.9, 2.1))
    for label, (x, z), base, (w, d, h) in furniture:
        rows.append(box(label, (x, z), base, (w, d, h)))
        rows.append(plane(label, (x, base + h, z), LEVEL, w, d))
    rows.append(box("OTHER", (1.2, -2.6), 0.0, (0.4, 0.4, 0.5)))
    rows.append(entity("GLOBAL_MESH", (0.0, 0.0, 0.0), LEVEL, triangleMesh_META=mesh))
    return {"type": "scene", "version": 1, "spatialEntities": rows}


def write(folder: Path, name: str, value: dict) -> Path:
    """Write a capture as data/ holds it and return its path."""
    path = folder / "sources" / "rooms" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path
