"""Write the truth of a rendered split in the layout that `metrics` reads.

The layout is documented in `metrics.truth`; everything is in metres in the scene's frame.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pykdtree.kdtree import KDTree

from g2vlm.scenes.assets.catalog import Catalog
from g2vlm.scenes.assets.classes import CLASSES, SYNONYMS, plural
from g2vlm.scenes.dataset import ELIGIBLE_PIXELS, SceneStore, SceneViews
from g2vlm.scenes.language.generate import facts_hold, phrase_holds
from g2vlm.scenes.language.question_templates import SIDES
from g2vlm.scenes.layout.recipes import load_recipes
from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh
from g2vlm.scenes.render.occupancy import surface_points
from g2vlm.scenes.render.raycast import Camera, RayScene, recipe_camera
from g2vlm.scenes.render.scene import scene_mesh, unknown_points
from g2vlm.scenes.render.shading import albedo, expose, irradiance, to_bytes, towards
from metrics.constants import (
    COMPLETION,
    FIRST_OBJECT,
    FREE,
    INPUT_VIEWS,
    OBSERVED,
    SOLID,
    VOID,
    VOXEL_M,
)
from metrics.files import InputError, atomic_path, rng, write_lines
from metrics.submission.writer import TensorSpool

_COUNTED = ("count", "existence")


def annotate(recipe: dict, language: dict, fields: dict[str, np.ndarray]) -> dict:
    """Return one annotation line: objects with their state, and the language that they allow."""
    objects = _objects(recipe, fields)
    line = {
        "scene": recipe["id"],
        "split": recipe["split"],
        "pair": recipe.get("pair"),
        "kind": recipe["kind"],
        "objects": objects,
    }
    line["relations"] = _pairs(language.get("relations", []), objects)
    line["void"] = _pairs(language.get("void", []), objects)
    dropped = {}
    for name, keep in (
        ("references", _keep_reference),
        ("questions", _keep_question),
        ("captions", _keep_caption),
        ("phrases", _keep_phrase),
    ):
        items = language.get(name, [])
        line[name] = [item for item in items if keep(item, line)]
        dropped[name] = len(items) - len(line[name])
    line["dropped"] = dropped
    return line


def eligible(line: dict) -> list[dict]:
    """Return an annotation's eligible objects in index order."""
    return [item for item in line["objects"] if item["state"] == "eligible"]


def _objects(recipe: dict, fields: dict[str, np.ndarray]) -> list[dict]:
    seen = fields["pixels"][:, :INPUT_VIEWS].sum(axis=1)
    objects = []
    for position, item in enumerate(recipe["objects"]):
        pixels = int(seen[position])
        state = "eligible" if pixels >= ELIGIBLE_PIXELS else "void" if pixels else "absent"
        objects.append(
            {
                "index": item["index"],
                "class": item["class"],
                "colour": item["colour"],
                "model": item["model"],
                "box": [round(float(x), 4) for x in fields["boxes"][position]],
                "yaw": round(float(fields["yaw"][position]), 4),
                "size_mm": item["size_mm"],
                "pixels": pixels,
                "first_view_pixels": int(fields["pixels"][position, 0]),
                "state": state,
            }
        )
    return objects


def _states(line: dict) -> dict[int, str]:
    return {item["index"]: item["state"] for item in line["objects"]}


def _pairs(pairs: list[list], objects: list[dict]) -> list[list]:
    seen = {item["index"] for item in objects if item["state"] == "eligible"}
    return [pair for pair in pairs if pair[0] in seen and pair[1] in seen]


def _all_eligible(indices: list[int], line: dict) -> bool:
    states = _states(line)
    return all(states.get(index) == "eligible" for index in indices)


def _in_first_view(indices: list[int], line: dict) -> bool:
    shown = {item["index"]: item["first_view_pixels"] for item in line["objects"]}
    return all(shown.get(index, 0) >= ELIGIBLE_PIXELS for index in indices)


def _keep_reference(item: dict, line: dict) -> bool:
    meant = [*item["targets"], *item["anchors"]]
    if item["form"] == "ordinal":  # It ranks all of the class.
        kinds = {o["class"] for o in line["objects"] if o["index"] in meant}
        meant += [o["index"] for o in line["objects"] if o["class"] in kinds]
    if "view_dependent" in item["tags"] and not _in_first_view(meant, line):
        return False
    return _all_eligible(meant, line)


def _keep_question(item: dict, line: dict) -> bool:
    if not _all_eligible(item["objects"], line):
        return False
    if item["choices"] == SIDES and not _in_first_view(item["objects"], line):
        return False
    if item["type"] not in _COUNTED:
        return True
    classes = _question_classes(item, line)
    return not any(o["state"] == "void" and o["class"] in classes for o in line["objects"])


def _question_classes(item: dict, line: dict) -> set[str]:
    """Return the classes a question counts: of its objects, or named in its text if it has none."""
    if item["objects"]:
        wanted = set(item["objects"])
        return {o["class"] for o in line["objects"] if o["index"] in wanted}
    text, found = item["text"].lower(), set()
    words = [(word, name) for name in CLASSES for word in (name, *SYNONYMS.get(name, ()))]
    # Longer words first, so that "coffee table" is not taken for a table.
    for word, name in sorted(words, key=lambda pair: -len(pair[0])):
        pattern = rf"\b({re.escape(word.lower())}|{re.escape(plural(word.lower()))})\b"
        text, count = re.subn(pattern, " ", text)
        if count:
            found.add(name)
    return found


def _keep_caption(item: dict, line: dict) -> bool:
    return bool(facts_hold(item["facts"], line))


def _keep_phrase(item: dict, line: dict) -> bool:
    return any(phrase_holds(item, candidate) for candidate in eligible(line))


_VOID_M = 0.02
_SPACING_M = 0.01
_SEEN_M = 0.004
_FOOTPRINT_M = 0.02
_REDRAWS = 4
_REPORT_EVERY = 10


def write_truth(
    store: SceneStore,
    data_dir: str | Path,
    out_dir: str | Path,
    surface_samples: int,
    occupancy_points: int,
    seed: int,
) -> None:
    """Write `geometry.safetensors` and `annotations.jsonl` of all scenes of a store.

    data_dir: the data folder that the store was rendered from. Raises `InputError` when a scene
    is not in it.
    """
    lines = [store.annotation(scene) for scene in store.ids]
    recipes = _recipes(data_dir, lines)
    library = ModelLibrary(Catalog(data_dir))
    start, spool = time.monotonic(), TensorSpool()
    try:
        for done, scene in enumerate(store.ids, 1):
            counts = (surface_samples, occupancy_points)
            tensors = scene_truth(recipes[scene], store.views(scene), library, counts, seed)
            for name, value in tensors.items():
                spool.add(f"{scene}/{name}", value)
            if done % _REPORT_EVERY == 0 or done == len(lines):
                _report(done, len(lines), time.monotonic() - start)
        write_lines(Path(out_dir) / "annotations.jsonl", with_relevance(lines))
        with atomic_path(Path(out_dir) / "geometry.safetensors") as temporary:
            spool.save(temporary)
    finally:
        spool.close()


def _recipes(data_dir: str | Path, lines: list[dict]) -> dict[str, dict]:
    splits = sorted({line["split"] for line in lines})
    found = {r["id"]: r for split in splits for r in load_recipes(data_dir, split)}
    missing = [line["scene"] for line in lines if line["scene"] not in found]
    if missing:
        raise InputError(f"{data_dir}/scenes.jsonl: no scene {missing[0]}; render the split again")
    return found


def _report(done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    print(
        f"truth: {done}/{total} scenes ({100 * done // total}%), {left:.0f} s left",
        file=sys.stderr,
        flush=True,
    )


def scene_truth(
    recipe: dict, views: SceneViews, library: ModelLibrary, counts: tuple[int, int], seed: int
) -> dict[str, np.ndarray]:
    """Return the true geometry of one scene by tensor name; counts: surface samples, points."""
    mesh = scene_mesh(recipe, library)
    generator = rng(seed, "truth", recipe["id"])
    size = views.rgb.shape[2], views.rgb.shape[1]
    cameras = [recipe_camera(camera, *size) for camera in recipe["cameras"]]
    room = views.room.astype(float)
    tensors = _surface(mesh, cameras, recipe["light"], views, counts[0], generator)
    points = generator.random((counts[1], 3)) * room
    corners = np.array(list(itertools.product(*((0.0, side) for side in room))))
    return tensors | {
        "occupancy_points": _to_frame(points, views),
        "occupancy": _occupancy(points, recipe, mesh, views),
        "room_corners": _to_frame(corners, views),
        "diagonal": np.array([np.linalg.norm(room)], np.float32),
        "held_depth": views.depth[INPUT_VIEWS:],
        "held_intrinsics": views.intrinsics[INPUT_VIEWS:],
        "held_pose": views.pose[INPUT_VIEWS:],
        "input_depth": views.depth[:INPUT_VIEWS],
        "input_intrinsics": views.intrinsics[:INPUT_VIEWS],
        "input_pose": views.pose[:INPUT_VIEWS],
        "boxes": views.boxes,
        "yaw": views.yaw,
    }


def _to_frame(points: np.ndarray, views: SceneViews) -> np.ndarray:
    matrix = views.frame_from_room.astype(float)
    return (points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def _surface(
    mesh: SceneMesh,
    cameras: list[Camera],
    light: dict,
    views: SceneViews,
    count: int,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Sample every surface by area; flags come from rays to the camera centres."""
    rays = RayScene(mesh)
    faces, weights = sample_faces(mesh, count, generator)
    points = np.einsum("nk,nkc->nc", weights, mesh.triangles[faces])
    seen = first_camera(rays, cameras, points)
    normals = mesh.normals[faces]
    centres = np.array([camera.centre for camera in cameras])
    # Surfaces that no camera sees show the side that faces the middle of the room.
    viewer = np.where((seen >= 0)[:, None], centres[seen], views.room / 2)
    normals = towards(normals, points - viewer)
    colour, _ = albedo(mesh, faces, weights, np.full(count, _FOOTPRINT_M))
    shown = expose(colour * irradiance(rays, points, normals, light)[:, None], views.exposure)
    glowing = mesh.emissive[mesh.material[faces]]
    shown[glowing] = colour[glowing]
    flag = np.where(seen < 0, 0, np.where(seen < INPUT_VIEWS, OBSERVED, COMPLETION))
    turned = normals @ views.frame_from_room[:3, :3].T.astype(float)
    return {
        "surface": _to_frame(points, views),
        "surface_normal": np.rint(turned * 127).astype(np.int8),
        "surface_flag": flag.astype(np.uint8),
        "surface_colour": to_bytes(shown),
    }


def sample_faces(
    mesh: SceneMesh, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points uniformly by area: faces int64[count], weights float32[count, 3] of corners.

    Points that fall on clear texels (between leaves, in grilles) are drawn again.
    """
    ladder = np.cumsum(mesh.areas, dtype=np.float64)
    ladder /= ladder[-1]
    faces = np.zeros(count, np.int64)
    weights = np.zeros((count, 3), np.float32)
    todo = np.arange(count)
    for _ in range(_REDRAWS):
        drawn = np.searchsorted(ladder, generator.random(len(todo)))
        faces[todo] = np.minimum(drawn, len(ladder) - 1)
        root, split = np.sqrt(generator.random(len(todo))), generator.random(len(todo))
        weights[todo] = np.stack([1 - root, root * (1 - split), root * split], axis=1)
        todo = todo[mesh.is_clear(faces[todo], weights[todo])]
        if not len(todo):
            break
    return faces, weights


def first_camera(rays: RayScene, cameras: list[Camera], points: np.ndarray) -> np.ndarray:
    """Return int64[N], the first camera whose image shows each room point, or -1."""
    seen = np.full(len(points), -1)
    for index, camera in enumerate(cameras):
        todo = np.flatnonzero(seen < 0)
        todo = todo[_in_image(camera, points[todo])]
        seen[todo[rays.visible(camera.centre, points[todo], _SEEN_M)]] = index
    return seen


def _in_image(camera: Camera, points: np.ndarray) -> np.ndarray:
    local = (points - camera.centre) @ camera.pose[:3, :3]
    pixel = local @ camera.intrinsics.T
    limit = np.array([camera.width, camera.height]) * local[:, 2:]
    inside = (pixel[:, :2] >= 0) & (pixel[:, :2] < limit)
    return (local[:, 2] > 1e-3) & inside.all(axis=1)


def _occupancy(points: np.ndarray, recipe: dict, mesh: SceneMesh, views: SceneViews) -> np.ndarray:
    """Label room points: uint8[N], free, solid, or void: within 2 cm of a furniture surface, or
    where a captured room does not tell."""
    cells = np.minimum((points / VOXEL_M).astype(np.int64), np.array(views.occupancy.shape) - 1)
    labels = np.where(views.occupancy[tuple(cells.T)], SOLID, FREE).astype(np.uint8)
    furniture = mesh.triangles[mesh.instance >= FIRST_OBJECT]
    if len(furniture):
        tree = KDTree(surface_points(furniture, _SPACING_M))
        near, _ = tree.query(points.astype(np.float32), k=1, distance_upper_bound=_VOID_M)
        labels[np.isfinite(near)] = VOID
    labels[unknown_points(recipe, mesh, points, views.occupancy)] = VOID
    return labels


def with_relevance(lines: list[dict]) -> list[dict]:
    """Add to annotations what each caption and phrase truly fits in the whole split."""
    return [
        line
        | {
            "given": [item["index"] for item in eligible(line)],
            "relevance": {c["id"]: _fitting_scenes(c, lines) for c in line["captions"]},
            "phrase_relevance": {p["id"]: _fitting_objects(p, lines) for p in line["phrases"]},
        }
        for line in lines
    ]


def _fitting_scenes(caption: dict[str, Any], lines: list[dict]) -> list[str]:
    return [line["scene"] for line in lines if facts_hold(caption["facts"], line)]


def _fitting_objects(phrase: dict[str, Any], lines: list[dict]) -> list[str]:
    return [
        f"{line['scene']}:{item['index']}"
        for line in lines
        for item in eligible(line)
        if phrase_holds(phrase, item)
    ]
