"""Render recipes into one shard: `<shard>.safetensors` (tensors) and `<shard>.jsonl` (annotations).

A tensor's key is "<scene>/<field>"; shapes are those of `g2vlm.scenes.dataset.SceneViews`, except
that `normal` is int8 in 1/127, `sensor` uint16 in millimetres, and the occupancy is packed to bits
under the key `solids`, its shape under `solids_shape`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh
from g2vlm.scenes.render.raycast import (
    Camera,
    RayScene,
    frame_from_room,
    optical_rays,
    pixel_grid,
    recipe_camera,
)
from g2vlm.scenes.render.scene import scene_mesh, scene_occupancy
from g2vlm.scenes.render.sensor import cloud_of_views, measure
from g2vlm.scenes.render.settings import SensorModel
from g2vlm.scenes.render.views import Layers, render_views
from g2vlm.scenes.truth import annotate
from metrics.constants import FIRST_OBJECT, INPUT_VIEWS
from metrics.files import atomic_path, rng, write_lines
from metrics.geometry import bounds, dots, lengths, transform


def render_shard(
    recipes: list[dict],
    language: dict[str, dict],
    catalog: Any,
    config: dict,
    out_base: str | Path,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `<out_base>.safetensors` and `<out_base>.jsonl`, each whole or not at all.

    Args:
        recipes: of the shard's scenes.
        language: scene id to its line of language.jsonl.
        catalog: the furniture `Catalog`.
        config: the experiment's `render` section.
        out_base: path of the shard without suffix.
        seed: of the experiment.
        progress: called with (scenes done, scenes in all).

    Raises:
        InputError: a recipe cannot be rendered.
    """
    library = ModelLibrary(catalog)
    tensors: dict[str, np.ndarray] = {}
    lines = []
    for done, recipe in enumerate(recipes, 1):
        fields = render_scene(recipe, library, config, seed)
        tensors.update({f"{recipe['id']}/{name}": value for name, value in fields.items()})
        lines.append(annotate(recipe, language.get(recipe["id"], {}), fields))
        if progress:
            progress(done, len(recipes))
    write_lines(f"{out_base}.jsonl", lines)
    with atomic_path(f"{out_base}.safetensors") as temporary:
        save_file(tensors, temporary)


def render_scene(
    recipe: dict, library: ModelLibrary, config: dict, seed: int
) -> dict[str, np.ndarray]:
    """Return the tensors of one scene by field name, see the module.

    Args:
        recipe: of the scene.
        library: of the furniture.
        config: the experiment's `render` section.
        seed: of the experiment.
    """
    mesh = scene_mesh(recipe, library)
    cameras = [recipe_camera(c, config["width"], config["height"]) for c in recipe["cameras"]]
    layers, rgb, exposure = render_views(RayScene(mesh), cameras, recipe["light"])
    matrix = frame_from_room(recipe["cameras"][0])  # (4, 4)
    normal = layers.normal @ matrix[:3, :3].T.astype(np.float32)
    fields = {
        "intrinsics": np.stack([c.intrinsics for c in cameras]).astype(np.float32),
        "pose": np.stack([matrix @ c.pose for c in cameras]).astype(np.float32),
        "frame_from_room": matrix.astype(np.float32),
        "room": (np.array(recipe["room"]["size_mm"], float) / 1000.0).astype(np.float32),
        **_objects(recipe, mesh, layers.instance, matrix),
        "rgb": rgb,
        "depth": layers.depth,
        "normal": np.rint(normal * 127).astype(np.int8),
        "instance": layers.instance,
        "exposure": np.array([exposure], np.float32),
        "sensor": _sensor(recipe, cameras, layers, config, seed),
    }
    fields["partial"] = _partial(recipe, fields, config, seed)
    grid = scene_occupancy(recipe, mesh)
    fields["solids"] = np.packbits(grid)
    fields["solids_shape"] = np.array(grid.shape, np.int32)
    return fields


def _objects(recipe: dict, mesh: SceneMesh, instance: np.ndarray, matrix: np.ndarray) -> dict:
    """Return the objects' boxes (of the whole object, seen or not) and yaw, and their pixels.

    Args:
        instance: uint8 [V, H, W].
        matrix: [4, 4] from the room frame to the scene's frame.
    """
    boxes, yaws, pixels = [], [], []
    first_yaw = recipe["cameras"][0]["yaw_deg"]
    # (256, V): pixels of each instance value in each view.
    counts = np.stack([np.bincount(view.ravel(), minlength=256) for view in instance], axis=1)
    for position, item in enumerate(recipe["objects"]):
        low, high = bounds(transform(mesh.object_vertices(position), matrix))
        boxes.append(np.concatenate([(low + high) / 2, high - low]))
        yaws.append(np.deg2rad((item["yaw_deg"] - first_yaw + 180) % 360 - 180))
        pixels.append(counts[FIRST_OBJECT + item["index"]])
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 6),
        "yaw": np.array(yaws, np.float32),
        "pixels": np.array(pixels, np.int32).reshape(-1, len(instance)),
    }


def _sensor(
    recipe: dict, cameras: list[Camera], layers: Layers, config: dict, seed: int
) -> np.ndarray:
    """Return the simulated sensor's depth uint16 [V, H, W] in millimetres."""
    pixels = pixel_grid(cameras[0].width, cameras[0].height)
    cosine = np.empty(layers.depth.shape)  # (V, H, W): of the angle between ray and normal
    for view, camera in enumerate(cameras):
        rays = optical_rays(camera, pixels)  # (H W, 3) in the camera's axes, like the normals
        normals = layers.normal[view].reshape(-1, 3) @ camera.pose[:3, :3]
        cosine[view].flat = np.abs(dots(rays, normals)) / lengths(rays)
    model = SensorModel(**config["sensor"])
    generator = rng(seed, "sensor", recipe["id"])
    return measure(layers.depth, cosine, layers.opacity, model, generator)


def _partial(recipe: dict, fields: dict, config: dict, seed: int) -> np.ndarray:
    """Return the partial point cloud float32 [P, 6] of the input views."""
    rgb, sensor, intrinsics, pose = (
        fields[name][:INPUT_VIEWS] for name in ("rgb", "sensor", "intrinsics", "pose")
    )
    generator = rng(seed, "partial", recipe["id"])
    count = config["partial_points"]
    return cloud_of_views(rgb, sensor / 1000.0, intrinsics, pose, count, generator)
