"""Write a result: PLY, GLB, JSON, GraphML and a page, in one new folder.

| file | what |
| --- | --- |
| result.json | all that is said: objects, relations, answers, groundings, captions, notes |
| scene_graph.json, scene_graph.graphml | objects as nodes, relations as edges |
| points.ply | coloured points with confidence (-1: a frame the model did not read) |
| mesh.glb | the surfaces, textured with the frames |
| solids.glb | the furniture's volumes with vertex colours |
| viewer.html | all of it to look at, in one file |

Geometry stands in metres, z up, in the levelled frame, or in the capture's own world; GLB is y up,
as glTF prescribes.
"""

from __future__ import annotations

import base64
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.use.folder import check_frame, check_free
from g2vlm.use.results import FoundObject, Relation, Result
from g2vlm.use.surfaces import Cloud
from metrics.files import atomic_path, write_json

_JPEG_QUALITY = 90
# glTF has y up: (x, y, z) of the frame becomes (x, z, -y).
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def save(result: Result, folder: str | os.PathLike[str], frame: str = "levelled") -> None:
    """Write all files of a result into `folder`, whole or not at all.

    `frame` is "levelled" or "capture". Raises `InputError` when the folder exists and holds
    anything but an earlier result, which is replaced.
    """
    from g2vlm.use.export import viewer_page

    check_frame(frame)
    target = Path(folder)
    check_free(target)
    place = np.linalg.inv(result.capture.frame_from_capture) if frame == "capture" else np.eye(4)
    with atomic_path(target, folder=True) as temporary:
        write_json(temporary / "result.json", result.to_json() | {"geometry_frame": frame})
        write_json(temporary / "scene_graph.json", graph_json(result))
        write_graphml(result.objects, result.relations, temporary / "scene_graph.graphml")
        write_ply(result.cloud, place, temporary / "points.ply")
        write_surfaces(result, place, temporary / "mesh.glb")
        write_solids(result, place, temporary / "solids.glb")
        (temporary / "viewer.html").write_text(viewer_page(result), encoding="utf-8")


def graph_json(result: Result) -> dict:
    """Return nodes and edges as plain values."""
    return {
        "nodes": [
            {"id": item.name, "class": item.kind, "score": item.score, "box": list(item.box)}
            for item in result.objects
        ],
        "edges": [
            {
                "subject": item.subject,
                "predicate": item.predicate,
                "object": item.object,
                "score": item.score,
            }
            for item in result.relations
        ],
    }


def write_graphml(
    objects: tuple[FoundObject, ...], relations: tuple[Relation, ...], path: Path
) -> None:
    """Write the scene graph for graph tools; several relations of a pair are parallel edges."""
    import networkx

    graph = networkx.MultiDiGraph()
    for item in objects:
        x, y, z, width, depth, height = item.box
        graph.add_node(
            item.name,
            **{"class": item.kind, "score": item.score, "x": x, "y": y, "z": z},
            **{"size_x": width, "size_y": depth, "size_z": height},
        )
    for item in relations:
        graph.add_edge(item.subject, item.object, predicate=item.predicate, score=item.score)
    networkx.write_graphml(graph, path)


def write_ply(cloud: Cloud, place: np.ndarray, path: Path) -> None:
    """Write points as binary PLY (Turk 1994), moved by `place` f64[4, 4]."""
    kinds = [(name, "<f4") for name in "xyz"]
    kinds += [(name, "u1") for name in ("red", "green", "blue")] + [("confidence", "<f4")]
    rows = np.empty(len(cloud.points), np.dtype(kinds))
    moved = cloud.points @ place[:3, :3].T + place[:3, 3]
    for axis, name in enumerate("xyz"):
        rows[name] = moved[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = cloud.colours[:, channel]
    rows["confidence"] = cloud.confidence
    words = {"<f4": "float", "u1": "uchar"}
    fields = [f"property {words[kind]} {name}" for name, kind in kinds]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *fields]
    path.write_bytes(("\n".join([*head, "end_header"]) + "\n").encode() + rows.tobytes())


def write_surfaces(result: Result, place: np.ndarray, path: Path) -> None:
    """Write the textured surfaces as GLB, one mesh and one image a frame."""
    import io

    import trimesh
    from PIL import Image

    scene = trimesh.Scene()
    for part in result.surfaces:
        # A picture of known format goes into the file as it is, not blown up to PNG.
        buffer = io.BytesIO()
        Image.fromarray(part.image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=Image.open(buffer), metallicFactor=0.0, roughnessFactor=1.0
        )
        visual = trimesh.visual.TextureVisuals(uv=part.uv, material=material)
        mesh = trimesh.Trimesh(part.vertices, part.faces, visual=visual, process=False)
        scene.add_geometry(mesh, geom_name=f"frame {part.name}")
    _write_glb(scene, place, path)


def write_solids(result: Result, place: np.ndarray, path: Path) -> None:
    """Write the furniture's volumes as GLB with vertex colours."""
    import trimesh

    scene = trimesh.Scene()
    mesh = result.solids
    if len(mesh.faces):
        solid = trimesh.Trimesh(
            mesh.vertices, mesh.faces, vertex_colors=mesh.colours, process=False
        )
        scene.add_geometry(solid, geom_name="solids")
    _write_glb(scene, place, path)


def _write_glb(scene, place: np.ndarray, path: Path) -> None:
    scene.apply_transform(_Y_UP @ place)
    path.write_bytes(scene.export(file_type="glb"))


MOST_POINTS = 150_000


def viewer_page(result: Result) -> str:
    """Return the page; what it shows is data in it, never markup."""
    page = (files("g2vlm.use") / "viewer.html").read_text(encoding="utf-8")
    text = json.dumps(scene_data(result), separators=(",", ":"), ensure_ascii=False)
    # No text in the data can end the script element or begin a comment in it.
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return page.replace("{{scene}}", safe)


def scene_data(result: Result) -> dict[str, Any]:
    """Return what the page draws: result.json, points, solids and cameras (millimetres)."""
    cloud = result.cloud
    chosen = np.linspace(0, len(cloud.points) - 1, min(MOST_POINTS, len(cloud.points)))
    chosen = chosen.round().astype(int)
    solids = result.solids
    capture = result.capture
    return result.to_json() | {
        "cloud": {"xyz": _millimetres(cloud.points[chosen]), "rgb": _text(cloud.colours[chosen])},
        "solids": {
            "xyz": _millimetres(solids.vertices),
            "rgb": _text(solids.colours),
            "faces": _text(solids.faces.astype("<u4")),
        },
        "cameras": [_frustum(capture, frame) for frame in range(len(capture))],
    }


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _millimetres(points: np.ndarray) -> str:
    return _text(np.clip(np.round(points * 1000), -32767, 32767).astype("<i2"))


def _frustum(capture: Any, frame: int) -> list[list[float]]:
    """Return the camera's place and the corners of its image 25 cm ahead: 5 positions."""
    width, height = capture.size
    matrix, pose = capture.intrinsics[frame], capture.pose[frame]
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
    local = 0.25 * pixels @ np.linalg.inv(matrix).T
    corners = local @ pose[:3, :3].T + pose[:3, 3]
    return np.round(np.vstack([pose[:3, 3], corners]), 3).tolist()
