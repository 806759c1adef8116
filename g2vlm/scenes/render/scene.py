"""The mesh and the true occupancy of any recipe, of a synthetic room or of a captured one."""

import numpy as np

from g2vlm.scenes.assets.textures import Atlas
from g2vlm.scenes.real.mesh import captured_mesh, captured_occupancy
from g2vlm.scenes.render.meshes import Material, ModelLibrary, SceneMesh, place_model
from g2vlm.scenes.render.occupancy import room_occupancy
from g2vlm.scenes.render.room import room_shell
from metrics.constants import FIRST_OBJECT


def scene_mesh(recipe: dict, library: ModelLibrary) -> SceneMesh:
    """Return a recipe's mesh in the room frame; raises `InputError` for a bad recipe or source."""
    if "capture" in recipe:
        return captured_mesh(recipe, library.data_dir)
    shell, shell_instance = room_shell(recipe)
    textures = [library.floor(recipe["room"]["floor"])]
    table = list(shell.materials)
    parts = [(shell.vertices, shell.faces, shell.uv, shell_instance, shell.material)]
    objects, v_end, f_end = [], len(shell.vertices), len(shell.faces)
    for item in recipe["objects"]:
        model = library.model(item["model"])
        instance = np.full(len(model.faces), FIRST_OBJECT + item["index"], np.uint8)
        # Indices of a model count from 0; in the scene they follow those of all before it.
        faces, material = model.faces + np.int32(v_end), model.material + np.int32(len(table))
        parts.append((place_model(model, item), faces, model.uv, instance, material))
        table += [
            Material(m.colour, m.opacity, m.texture + len(textures) if m.texture >= 0 else -1)
            for m in model.materials
        ]
        textures += model.textures
        v_start, f_start = v_end, f_end
        v_end, f_end = v_end + len(model.vertices), f_end + len(model.faces)
        objects.append((slice(v_start, v_end), slice(f_start, f_end)))
    vertices, faces, uv, instance, material = map(np.concatenate, zip(*parts, strict=True))
    return SceneMesh(
        vertices=vertices,
        faces=faces,
        uv=uv,
        instance=instance,
        material=material,
        colour=np.array([m.colour for m in table], np.float32),
        opacity=np.array([m.opacity for m in table], np.float32),
        texture=np.array([m.texture for m in table], np.int32),
        emissive=np.array([m.emissive for m in table], bool),
        atlas=Atlas(textures),
        objects=tuple(objects),
    )


def scene_occupancy(recipe: dict, mesh: SceneMesh) -> np.ndarray:
    """Return bool [X, Y, Z], the cells of `VOXEL_M` in the room frame that furniture fills."""
    if "capture" in recipe:
        return captured_occupancy(recipe, mesh)
    size = np.array(recipe["room"]["size_mm"], float) / 1000.0
    objects = [mesh.object_triangles(k) for k in range(len(recipe["objects"]))]
    return room_occupancy(objects, size.astype(np.float32))
