"""The mesh and the true occupancy of any recipe, of a synthetic room or of a captured one."""

from __future__ import annotations

import numpy as np

from g2vlm.scenes.real.mesh import captured_mesh, captured_occupancy
from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh, build_scene
from g2vlm.scenes.render.occupancy import room_occupancy


def scene_mesh(recipe: dict, library: ModelLibrary) -> SceneMesh:
    """Return a recipe's mesh in the room frame; raises `InputError` for a bad recipe or source."""
    if "capture" in recipe:
        return captured_mesh(recipe, library.data_dir)
    return build_scene(recipe, library)


def scene_occupancy(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool [X, Y, Z], the cells of `VOXEL_M` in the room frame that furniture fills."""
    if "capture" in recipe:
        return captured_occupancy(recipe, mesh)
    size = np.array(recipe["room"]["size_mm"], float) / 1000.0
    objects = [mesh.object_triangles(k) for k in range(len(recipe["objects"]))]
    return room_occupancy(objects, size.astype(np.float32))
