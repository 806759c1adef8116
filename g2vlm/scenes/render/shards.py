"""Render recipes into one shard: `<shard>.safetensors` (tensors) and `<shard>.jsonl` (truth).

Tensors stand under "<scene>/<field>"; shapes are in `g2vlm.scenes.dataset.SceneViews`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh, bounds, dots, lengths
from g2vlm.scenes.render.raycast import (
    Camera,
    RayScene,
    frame_from_room,
    optical_rays,
    pixel_grid,
    recipe_camera,
)
from g2vlm.scenes.render.scene import scene_mesh, scene_solids
from g2vlm.scenes.render.sensor import back_project, measure, partial_cloud
from g2vlm.scenes.render.settings import SensorModel
from g2vlm.scenes.render.views import Layers, render_views
from g2vlm.scenes.truth import annotate
from metrics.constants import FIRST_OBJECT, INPUT_VIEWS
from metrics.files import InputError, atomic_path, rng, write_lines

_REPORT_EVERY = 10


def render_shard(
    recipes: list[dict],
    language: dict[str, dict],
    catalog: Any,
    config: dict,
    out_base: str | Path,
    seed: int = 0,
) -> None:
    """Render recipes into `<out_base>.safetensors` and `<out_base>.jsonl`, each whole or not.

    language: scene id to its line of language.jsonl; catalog: the furniture `Catalog`;
    config: the experiment's `render` section; seed: of the experiment. Raises `InputError` for a
    recipe that cannot be rendered.
    """
    library = ModelLibrary(catalog)
    tensors: dict[str, np.ndarray] = {}
    lines = []
    start = time.monotonic()
    for done, recipe in enumerate(recipes, 1):
        fields = render_scene(recipe, library, config, seed)
        tensors.update({f"{recipe['id']}/{name}": value for name, value in fields.items()})
        lines.append(annotate(recipe, language.get(recipe["id"], {}), fields))
        if done % _REPORT_EVERY == 0 or done == len(recipes):
            _report(Path(out_base).name, done, len(recipes), time.monotonic() - start)
    write_lines(f"{out_base}.jsonl", lines)
    with atomic_path(f"{out_base}.safetensors") as temporary:
        save_file(tensors, temporary)


def _report(name: str, done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    print(
        f"render {name}: {done}/{total} scenes ({100 * done // total}%), {left:.0f} s left",
        file=sys.stderr,
        flush=True,
    )


def render_scene(
    recipe: dict, library: ModelLibrary, config: dict, seed: int
) -> dict[str, np.ndarray]:
    """Return the tensors of one scene by field name."""
    _check(recipe)
    mesh = scene_mesh(recipe, library)
    cameras = [recipe_camera(c, config["width"], config["height"]) for c in recipe["cameras"]]
    layers, rgb, exposure = render_views(RayScene(mesh), cameras, recipe["light"])
    to_frame = frame_from_room(recipe["cameras"][0])
    fields = _calibration(recipe, cameras, to_frame)
    fields |= _objects(recipe, mesh, layers.instance, to_frame)
    normal = layers.normal @ to_frame[:3, :3].T.astype(np.float32)
    fields |= {
        "rgb": rgb,
        "depth": layers.depth,
        "normal": np.rint(normal * 127).astype(np.int8),
        "instance": layers.instance,
        "exposure": np.array([exposure], np.float32),
        "sensor": _sensor(recipe, cameras, layers, config, seed),
    }
    fields["partial"] = _partial(recipe, fields, config, seed)
    grid = scene_solids(recipe, mesh)
    fields["solids"] = np.packbits(grid)
    fields["solids_shape"] = np.array(grid.shape, np.int32)
    return fields


def _check(recipe: dict) -> None:
    roles = [camera["role"] for camera in recipe["cameras"]]
    if roles[:INPUT_VIEWS] != ["input"] * INPUT_VIEWS or "input" in roles[INPUT_VIEWS:]:
        raise InputError(
            f"scene {recipe['id']}: the 4 input cameras must come first; run `make data`"
        )
    if len(recipe["objects"]) > 255 - FIRST_OBJECT:
        raise InputError(f"scene {recipe['id']}: more than 245 objects; split the room")


def _calibration(recipe: dict, cameras: list[Camera], to_frame: np.ndarray) -> dict:
    return {
        "intrinsics": np.stack([c.intrinsics for c in cameras]).astype(np.float32),
        "pose": np.stack([to_frame @ c.pose for c in cameras]).astype(np.float32),
        "frame_from_room": to_frame.astype(np.float32),
        "room": (np.array(recipe["room"]["size_mm"], float) / 1000.0).astype(np.float32),
    }


def _objects(recipe: dict, mesh: SceneMesh, instance: np.ndarray, to_frame: np.ndarray) -> dict:
    """Return amodal boxes and yaw in the frame, and pixels by object and view."""
    boxes, yaws, pixels = [], [], []
    first_yaw = recipe["cameras"][0]["yaw_deg"]
    counts = np.stack([np.bincount(view.ravel(), minlength=256) for view in instance], axis=1)
    for position, item in enumerate(recipe["objects"]):
        corners = mesh.object_vertices(position)
        moved = corners @ to_frame[:3, :3].T + to_frame[:3, 3]
        low, high = bounds(moved)
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
    """Measure depth; `layers.normal` and the poses are both in the room's frame."""
    pixels = pixel_grid(cameras[0].width, cameras[0].height)
    cosine = np.empty(layers.depth.shape)
    for view, camera in enumerate(cameras):
        rays = optical_rays(camera, pixels)
        normals = layers.normal[view].reshape(-1, 3) @ camera.pose[:3, :3]
        cosine[view].flat = np.abs(dots(rays, normals)) / lengths(rays)
    model = SensorModel(**config["sensor"])
    generator = rng(seed, "sensor", recipe["id"])
    return measure(layers.depth, cosine, layers.opacity, model, generator)


def _partial(recipe: dict, fields: dict, config: dict, seed: int) -> np.ndarray:
    depth = fields["depth"][:INPUT_VIEWS]
    points = back_project(depth, fields["intrinsics"][:INPUT_VIEWS], fields["pose"][:INPUT_VIEWS])
    seen = depth > 0
    count = config["partial_points"]
    generator = rng(seed, "partial", recipe["id"])
    return partial_cloud(points[seen], fields["rgb"][:INPUT_VIEWS][seen], count, generator)
