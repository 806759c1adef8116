"""Write points as PLY and meshes as GLB.

Every writer takes `transform` f64[4, 4], which moves the levelled frame to the frame of the file.
GLB files are y up, as glTF requires.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from g2vlm.inference.surface import Mesh
from g2vlm.use.surfaces import Cloud, TexturedPart
from metrics.geometry import transform

_JPEG_QUALITY = 90
# glTF has y up: (x, y, z) of the frame becomes (x, z, -y).
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_PLY_TYPES = {"<f4": "float", "u1": "uchar"}


def write_ply(cloud: Cloud, matrix: np.ndarray, path: Path) -> None:
    """Write points as binary PLY (Turk 1994) with colours and confidence."""
    columns = [(name, "<f4") for name in ("x", "y", "z")]
    columns += [(name, "u1") for name in ("red", "green", "blue")]
    columns += [("confidence", "<f4")]
    rows = np.empty(len(cloud.points), np.dtype(columns))
    moved = transform(cloud.points, matrix)
    for axis, name in enumerate(("x", "y", "z")):
        rows[name] = moved[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = cloud.colours[:, channel]
    rows["confidence"] = cloud.confidence
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {_PLY_TYPES[dtype]} {name}" for name, dtype in columns]
    header += ["end_header", ""]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())


def write_textured_glb(parts: Sequence[TexturedPart], transform: np.ndarray, path: Path) -> None:
    """Write textured surfaces as GLB, one mesh and one image a frame."""
    import trimesh
    from PIL import Image

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
    _write_glb(scene, transform, path)


def write_solids_glb(mesh: Mesh, transform: np.ndarray, path: Path) -> None:
    """Write the furniture's volumes as GLB with vertex colours."""
    import trimesh

    scene = trimesh.Scene()
    if len(mesh.faces):
        solids = trimesh.Trimesh(
            mesh.vertices, mesh.faces, vertex_colors=mesh.colours, process=False
        )
        scene.add_geometry(solids, geom_name="solids")
    _write_glb(scene, transform, path)


def _write_glb(scene, transform: np.ndarray, path: Path) -> None:
    scene.apply_transform(_Y_UP @ transform)
    path.write_bytes(scene.export(file_type="glb"))
