"""Surfaces that tests write in many spellings, and the area by which they are known."""

import json
import struct
from pathlib import Path

import numpy as np

from metrics.reconstruction.surface_files import read_surface

# A box of 2 x 1 x 1 m, whose area is 10 m2.
BOX = np.array([(x, y, z) for x in (0, 2) for y in (0, 1) for z in (0, 1)], float)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = [t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))]
BOX_AREA = 10.0
# Concave outlines in the plane z = 0 with their areas. No fan covers the comb; the first corner of
# the L and of the arrow is one from which a fan leaves the outline.
CONCAVE = {
    "L": ([(2, 0), (2, 1), (1, 1), (1, 2), (0, 2), (0, 0)], 3.0),
    "arrow": ([(0, 0), (2, 2), (0, 1), (-2, 2)], 2.0),
    "comb": (
        [(0, 0), (7, 0), (7, 3), (6, 3), (6, 1), (4, 1), (4, 3), (3, 3), (3, 1), (1, 1), (1, 3)]
        + [(0, 3)],
        13.0,
    ),
}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def area(path: Path) -> float:
    """Return the area of the mesh in a file."""
    found = read_surface(path)
    assert found.faces is not None, f"{path.name} was read as a cloud"
    corners = found.points[found.faces]
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(crosses, axis=1).sum() / 2)


def glb(document: dict, binary: bytes = b"") -> bytes:
    """Return a GLB file of a document and its buffer."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        binary += b"\0" * (-len(binary) % 4)
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def box_document(positions: np.ndarray | None = None, component: int = 5126) -> tuple[dict, bytes]:
    """Return the document and the buffer of the box as one indexed mesh."""
    points = (BOX.astype("<f4") if positions is None else positions).tobytes()
    corners = np.array(TRIANGLES, "<u2").tobytes()
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": component, "count": 8, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(corners)},
        ],
        "buffers": [{"byteLength": len(points) + len(corners)}],
    }
    return document, points + corners
