"""Write points as PLY, meshes as GLB, and the page that displays one result.

The writers of points and meshes take `matrix` f64[4, 4], which moves the levelled frame to that of
the file. GLB files are y up, as glTF requires.
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures import Capture
from g2vlm.inference.surface import Mesh
from g2vlm.use.surfaces import Cloud, TexturedPart
from metrics.geometry import transform
from metrics.scene_graph.predicates import LOCAL, PHRASES
from viewer import encode, encode_millimetres, script

MOST_POINTS = 150_000
_FRUSTUM_M = 0.25
_JPEG_QUALITY = 90
# glTF has y up: (x, y, z) of the frame becomes (x, z, -y).
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_PLY_TYPES = {"<f4": "float", "u1": "uchar"}


def write_ply(cloud: Cloud, matrix: np.ndarray, path: Path) -> None:
    """Write points as binary PLY (Turk 1994) with colours and confidence."""
    columns = [
        *((name, "<f4") for name in ("x", "y", "z")),
        *((name, "u1") for name in ("red", "green", "blue")),
        ("confidence", "<f4"),
    ]
    moved = transform(cloud.points, matrix)
    rows = np.rec.fromarrays([*moved.T, *cloud.colours.T, cloud.confidence], dtype=columns)
    header = [
        *("ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"),
        *(f"property {_PLY_TYPES[dtype]} {name}" for name, dtype in columns),
        *("end_header", ""),
    ]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())


def write_textured_glb(parts: Sequence[TexturedPart], matrix: np.ndarray, path: Path) -> None:
    """Write textured surfaces as GLB, one mesh and one image a frame.

    Raises:
        ValueError: there is no surface; a GLB file cannot be empty.
    """
    import trimesh
    from PIL import Image

    if not parts:
        raise ValueError("no frame has a surface")
    scene = trimesh.Scene()
    for part in parts:
        # trimesh embeds an image of known format as it is; without one it writes a large PNG.
        buffer = BytesIO()
        Image.fromarray(part.image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=Image.open(buffer), metallicFactor=0.0, roughnessFactor=1.0
        )
        visual = trimesh.visual.TextureVisuals(uv=part.uv, material=material)
        mesh = trimesh.Trimesh(part.vertices, part.faces, visual=visual, process=False)
        scene.add_geometry(mesh, geom_name=f"frame {part.name}")
    _write_glb(scene, matrix, path)


def write_solids_glb(mesh: Mesh, matrix: np.ndarray, path: Path) -> None:
    """Write the furniture's volumes as GLB with vertex colours.

    Raises:
        ValueError: no volume is solid; a GLB file cannot be empty.
    """
    import trimesh

    if not len(mesh.faces):
        raise ValueError("no volume is solid")
    scene = trimesh.Scene()
    solids = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=mesh.colours, process=False)
    scene.add_geometry(solids, geom_name="solids")
    _write_glb(scene, matrix, path)


def _write_glb(scene, matrix: np.ndarray, path: Path) -> None:
    scene.apply_transform(_Y_UP @ matrix)
    path.write_bytes(scene.export(file_type="glb"))


def viewer_page(document: dict[str, Any], capture: Capture, cloud: Cloud, solids: Mesh) -> str:
    """Return the page as HTML.

    Args:
        document: the content of result.json.
        capture: the frames; the page draws their cameras.
        cloud: coloured points; at most 150 000 of them, evenly spaced, go into the page.
        solids: the furniture's volumes.
    """
    page = (files("g2vlm.use") / "viewer.html").read_text(encoding="utf-8")
    # Arrays as base64; positions are i16 in millimetres.
    kept = np.linspace(0, len(cloud.points) - 1, min(MOST_POINTS, len(cloud.points)))
    kept = kept.round().astype(int)
    data = document | {
        "cloud": {
            "xyz": encode_millimetres(cloud.points[kept]),
            "rgb": encode(cloud.colours[kept]),
        },
        "solids": {
            "xyz": encode_millimetres(solids.vertices),
            "rgb": encode(solids.colours),
            "faces": encode(solids.faces.astype("<u4")),
        },
        "cameras": [_frustum(capture, frame) for frame in range(len(capture))],
        "phrases": PHRASES,
        "local_predicates": LOCAL,
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # Escaped, no text in the data can end the script element or begin a comment in it.
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return page.replace("{{viewer}}", script()).replace("{{scene}}", safe)


def _frustum(capture: Capture, frame: int) -> list[list[float]]:
    """Return the camera's position and the corners of its image 0.25 m ahead: 5 positions."""
    width, height = capture.size
    matrix, pose = capture.intrinsics[frame], capture.pose[frame]
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
    corners = transform(_FRUSTUM_M * pixels @ np.linalg.inv(matrix).T, pose)  # (4, 3)
    return np.round(np.vstack([pose[:3, 3], corners]), 3).tolist()
