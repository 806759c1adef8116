"""The mesh and the solids of any recipe: of a drawn room, or of a captured one."""

from __future__ import annotations

import numpy as np

from g2vlm.scenes.real.mesh import captured_scene, captured_solids, unjudged
from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh, build_scene
from g2vlm.scenes.render.occupancy import room_solids


def scene_mesh(recipe: dict, library: ModelLibrary) -> SceneMesh:
    """Return a recipe's mesh in the room frame; raises `InputError` for a bad recipe or source."""
    if "capture" in recipe:
        return captured_scene(recipe, library.data_dir)
    return build_scene(recipe, library)


def scene_solids(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool[X, Y, Z] at 4 cm in the room frame: cells that furniture fills."""
    if "capture" in recipe:
        return captured_solids(recipe, mesh)
    size = np.array(recipe["room"]["size_mm"], float) / 1000.0
    objects = [mesh.object_triangles(k) for k in range(len(recipe["objects"]))]
    return room_solids(objects, size.astype(np.float32))


def unknown_points(
    recipe: dict, mesh: SceneMesh, points: np.ndarray, solids: np.ndarray
) -> np.ndarray:
    """Return bool[N]: room points (float[N, 3] m) of which it is not known whether they are solid.

    None in a drawn room; in a captured one what is closed but in no labelled box. solids:
    bool[X, Y, Z] of `scene_solids`.
    """
    if "capture" in recipe:
        return unjudged(recipe, mesh, points, solids)
    return np.zeros(len(points), bool)
