"""The data of the report's 3D view: points, the predicted mesh, boxes with names, walls."""

from typing import Any

import numpy as np

from metrics.files import rng
from report.scene_figures import ceiling_cut, walls
from report.scenes import Scene, colours_or_grey
from viewer import encode, encode_millimetres

POINTS = 12_000
BOXES = 40
FACES = 24_000
# Sides in metres of the cells whose vertices are merged, tried in order until the mesh is small.
CELLS = (0.02, 0.04, 0.06, 0.09, 0.13, 0.2)
# Points farther than this (metres) from the origin are left out.
REACH = 32.0
# Colour of a mesh without one.
MESH_GREY = 170


def room_view(scene: Scene, title: str) -> dict[str, Any]:
    """Return the data of one scene for room_view.js.

    Clouds and mesh are base64: little-endian int16 millimetres, uint8 RGB, uint32 triangles. Boxes
    are in metres. A wall is [x, y, offset]: its outward normal and its distance along that normal.
    """
    truth = scene.geometry
    corners = truth.room_corners
    ceiling = ceiling_cut(corners)
    likely = sorted(scene.predicted_graph[0], key=lambda o: -o["score"])[:BOXES]
    low, high = corners.min(0), corners.max(0)
    return {
        "scene": scene.name,
        "title": title,
        "centre": np.round((low + high) / 2, 3).tolist(),
        "radius": round(float(np.linalg.norm(high - low) / 2), 3),
        "walls": [np.round([*normal, offset], 4).tolist() for normal, offset in walls(corners)],
        "clouds": {
            "prediction": _cloud(*scene.points, ceiling, scene.name),
            "truth": _cloud(truth.surface, truth.surface_colour, ceiling, scene.name),
        },
        "mesh": _mesh(scene, ceiling),
        "boxes": {"prediction": _boxes(likely), "truth": _boxes(scene.true_objects)},
    }


def _cloud(points: np.ndarray, colours: np.ndarray, ceiling: float, name: str) -> dict[str, Any]:
    keep = np.flatnonzero((points[:, 2] < ceiling) & (np.abs(points) < REACH).all(1))
    if len(keep) > POINTS:
        # The generator's key holds the old name of this module: changing it changes the sample.
        keep = np.sort(rng(0, "viewer", name).choice(keep, POINTS, replace=False))
    return {"xyz": encode_millimetres(points[keep]), "rgb": encode(colours[keep])}


def _mesh(scene: Scene, ceiling: float) -> dict[str, Any] | None:
    """Return the predicted mesh below the ceiling, or None; colours are grey where it has none."""
    if (mesh := scene.mesh) is None:
        return None
    faces = mesh.faces[(mesh.vertices[mesh.faces][..., 2] < ceiling).all(1)]
    vertices = np.clip(mesh.vertices, -REACH, REACH)
    colours = colours_or_grey(mesh.colours, len(vertices), MESH_GREY)
    for cell in CELLS:
        if len(faces) <= FACES:
            break
        vertices, faces, colours = cluster(vertices, faces, colours, cell)
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)[:FACES]
    return {
        "xyz": encode_millimetres(vertices[used]),
        "rgb": encode(colours[used]),
        "faces": encode(faces.astype("<u4")),
    }


def cluster(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, cell: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge the vertices that share a cell into their mean; drop triangles that collapse.

    Args:
        vertices: f32 [V, 3] in metres.
        faces: int [F, 3] indices of vertices.
        colours: u8 [V, 3], which are averaged too.
        cell: side of a cubic cell in metres.

    Returns:
        Vertices f32 [W, 3], faces [G, 3] and colours u8 [W, 3].

    Source: Rossignac and Borrel, "Multi-resolution 3D approximations", 1993, with means as
    representatives.
    """
    keys = np.floor(vertices / cell).astype(np.int64)  # (V, 3)
    _, group, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)  # (V,) index of each vertex's cell
    merged = [
        np.stack([np.bincount(group, values[:, k], len(size)) for k in range(3)], 1) / size[:, None]
        for values in (vertices, colours)
    ]
    faces = group[faces]
    first, second, third = faces.T
    faces = faces[(first != second) & (second != third) & (third != first)]
    return merged[0].astype(np.float32), faces, np.round(merged[1]).astype(np.uint8)


def _boxes(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": thing["class"], "box": [round(float(v), 3) for v in thing["box"]]}
        for thing in objects
    ]
