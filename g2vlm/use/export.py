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

import os
from pathlib import Path

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
    from g2vlm.use.viewer import viewer_page

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
