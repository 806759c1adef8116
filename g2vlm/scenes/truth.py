"""Write the truth of a rendered split in the layout that `metrics` reads.

`metrics.truth` documents the layout; everything is in metres in the scene's frame. `annotate` makes
a scene's annotation when it is rendered, `write_truth` the geometry and relevance of a whole split.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from pykdtree.kdtree import KDTree

from g2vlm.scenes.assets.catalog import Catalog
from g2vlm.scenes.dataset import ELIGIBLE_PIXELS, SceneStore, SceneViews
from g2vlm.scenes.language.generate import facts_hold, phrase_holds
from g2vlm.scenes.language.mention_parser import parse_nouns
from g2vlm.scenes.language.question_templates import SIDES
from g2vlm.scenes.language.templates import ONE_CLASS
from g2vlm.scenes.layout.recipes import load_recipes
from g2vlm.scenes.real.mesh import unknown_captured_points
from g2vlm.scenes.render.meshes import ModelLibrary, SceneMesh
from g2vlm.scenes.render.occupancy import cell_of, surface_points
from g2vlm.scenes.render.raycast import Camera, RayScene, recipe_camera
from g2vlm.scenes.render.scene import scene_mesh
from g2vlm.scenes.render.shading import albedo, expose, face_viewer, irradiance, to_srgb_bytes
from g2vlm.scenes.split_names import split_name
from metrics.constants import (
    COMPLETION,
    FIRST_OBJECT,
    FREE,
    INPUT_VIEWS,
    OBSERVED,
    SOLID,
    VOID,
)
from metrics.files import InputError, atomic_path, rng, write_lines
from metrics.geometry import UNIT_CORNERS, random_barycentric, to_camera, transform
from metrics.language.grounding import SINGLE
from metrics.submission.writer import TensorSpool

# Occupancy is void this near to a furniture surface, which is covered with points this far apart.
_VOID_M = 0.02
_SPACING_M = 0.01
# A camera sees a surface point if the ray towards it ends at most this far before it.
_SEEN_M = 0.004
# Colours of surface points are those of texels of this width.
_FOOTPRINT_M = 0.02
# How often a point on a clear texel is drawn again.
_REDRAWS = 4


def annotate(recipe: dict, language: dict, fields: dict[str, np.ndarray]) -> dict:
    """Return a scene's annotation: its objects with their state, and the sentences these allow.

    Args:
        recipe: of the scene.
        language: its line of language.jsonl.
        fields: the rendered tensors: `pixels`, `boxes` and `yaw` are read.
    """
    objects = _objects(recipe, fields)
    line = {
        "scene": recipe["id"],
        "split": split_name(recipe["split"]),
        "pair": recipe.get("pair"),
        "kind": recipe["kind"],
        "objects": objects,
        "relations": _eligible_pairs(language.get("relations", []), objects),
        "void": _eligible_pairs(language.get("void", []), objects),
    }
    dropped = {}
    for name, keep in (
        ("references", _keep_reference),
        ("questions", _keep_question),
        ("captions", lambda caption, line: facts_hold(caption["facts"], line)),
        ("phrases", lambda phrase, line: bool(_fitting_objects(phrase, [line]))),
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
    """Return the annotation of every object; its state says how much of it the inputs show."""
    seen = fields["pixels"][:, :INPUT_VIEWS].sum(axis=1)
    objects = []
    for position, item in enumerate(recipe["objects"]):
        pixels = int(seen[position])
        state = "void" if pixels else "absent"
        if pixels >= ELIGIBLE_PIXELS:
            state = "eligible"
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


def _eligible_pairs(pairs: list[list], objects: list[dict]) -> list[list]:
    """Return the relations [subject, object, predicate] between eligible objects."""
    indices = {item["index"] for item in objects if item["state"] == "eligible"}
    return [pair for pair in pairs if indices.issuperset(pair[:2])]


def _all_eligible(indices: list[int], line: dict) -> bool:
    return {item["index"] for item in eligible(line)}.issuperset(indices)


def _in_first_view(indices: list[int], line: dict) -> bool:
    pixels = {item["index"]: item["first_view_pixels"] for item in line["objects"]}
    return all(pixels.get(index, 0) >= ELIGIBLE_PIXELS for index in indices)


def _keep_reference(item: dict, line: dict) -> bool:
    """Return whether the inputs show all objects that a referring expression needs."""
    needed = [*item["targets"], *item["anchors"]]
    if item["form"] == "ordinal":  # It ranks all objects of the class.
        classes = {o["class"] for o in line["objects"] if o["index"] in needed}
        needed += [o["index"] for o in line["objects"] if o["class"] in classes]
    if "view_dependent" in item["tags"] and not _in_first_view(needed, line):
        return False
    return _all_eligible(needed, line)


def _keep_question(item: dict, line: dict) -> bool:
    """Return whether the inputs show what a question needs, and no void object affects a count."""
    if not _all_eligible(item["objects"], line):
        return False
    if item["choices"] == SIDES and not _in_first_view(item["objects"], line):
        return False
    if item["type"] not in ONE_CLASS:
        return True
    classes = _counted_classes(item, line)
    return not any(o["state"] == "void" and o["class"] in classes for o in line["objects"])


def _counted_classes(item: dict, line: dict) -> set[str]:
    """Return the classes a question counts: of its objects, or named in its text if it has none."""
    if item["objects"]:
        wanted = set(item["objects"])
        return {o["class"] for o in line["objects"] if o["index"] in wanted}
    return {name for noun in parse_nouns(item["text"]) for name in noun.classes}


def write_truth(
    store: SceneStore,
    data_dir: str | Path,
    out_dir: str | Path,
    surface_samples: int,
    occupancy_points: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `geometry.safetensors` and `annotations.jsonl` of all scenes of a store.

    Args:
        store: the rendered split.
        data_dir: the data folder that the store was rendered from.
        out_dir: where to write.
        surface_samples: number of surface points a scene.
        occupancy_points: number of occupancy points a scene.
        seed: of the experiment.
        progress: called with (scenes done, scenes in all).

    Raises:
        InputError: a scene is not in `data_dir`.
    """
    lines = [store.annotation(scene) for scene in store.ids]
    recipes = _recipes(data_dir, lines)
    library = ModelLibrary(Catalog(data_dir))
    counts = (surface_samples, occupancy_points)
    # Tensors go to disk scene by scene, so that memory does not grow with the split.
    with closing(TensorSpool()) as spool:
        for done, scene in enumerate(store.ids, 1):
            tensors = scene_truth(recipes[scene], store.views(scene), library, counts, seed)
            for name, value in tensors.items():
                spool.add(f"{scene}/{name}", value)
            if progress:
                progress(done, len(lines))
        write_lines(Path(out_dir) / "annotations.jsonl", with_relevance(lines))
        with atomic_path(Path(out_dir) / "geometry.safetensors") as temporary:
            spool.save(temporary)


def _recipes(data_dir: str | Path, lines: list[dict]) -> dict[str, dict]:
    """Return {scene: recipe} of all splits of the annotations."""
    splits = sorted({line["split"] for line in lines})
    recipes = {r["id"]: r for split in splits for r in load_recipes(data_dir, split)}
    missing = [line["scene"] for line in lines if line["scene"] not in recipes]
    if missing:
        raise InputError(f"{data_dir}/scenes.jsonl: no scene {missing[0]}; render the split again")
    return recipes


def scene_truth(
    recipe: dict, views: SceneViews, library: ModelLibrary, counts: tuple[int, int], seed: int
) -> dict[str, np.ndarray]:
    """Return the true geometry of one scene by the tensor names of `metrics.truth`.

    Args:
        recipe: of the scene.
        views: as rendered.
        library: of the furniture.
        counts: how many surface samples and occupancy points.
        seed: of the experiment.
    """
    mesh = scene_mesh(recipe, library)
    generator = rng(seed, "truth", recipe["id"])
    size = views.rgb.shape[2], views.rgb.shape[1]
    cameras = [recipe_camera(camera, *size) for camera in recipe["cameras"]]
    room = views.room.astype(float)
    tensors = _surface(mesh, cameras, recipe["light"], views, counts[0], generator)
    points = generator.random((counts[1], 3)) * room  # (P, 3), uniform in the room
    return tensors | {
        "occupancy_points": _to_frame(points, views),
        "occupancy": _occupancy(points, recipe, mesh, views),
        "room_corners": _to_frame(UNIT_CORNERS * room, views),
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
    """Return points [N, 3] of the room frame in the scene's frame, float32."""
    return transform(points, views.frame_from_room.astype(float)).astype(np.float32)


def _surface(
    mesh: SceneMesh,
    cameras: list[Camera],
    light: dict,
    views: SceneViews,
    count: int,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Sample every surface by area; rays from the cameras tell which samples each of them sees."""
    rays = RayScene(mesh)
    faces, weights = sample_faces(mesh, count, generator)
    points = np.einsum("nk,nkc->nc", weights, mesh.triangles[faces])  # (N, 3)
    seen = first_camera(rays, cameras, points)  # (N,)
    centres = np.array([camera.centre for camera in cameras])  # (V, 3)
    # A surface that no camera sees shows the side that faces the middle of the room.
    viewer = np.where((seen >= 0)[:, None], centres[seen], views.room / 2)
    normals = face_viewer(mesh.normals[faces], points - viewer)
    colour, _ = albedo(mesh, faces, weights, np.full(count, _FOOTPRINT_M))
    shaded = expose(colour * irradiance(rays, points, normals, light)[:, None], views.exposure)
    emissive = mesh.emissive[mesh.material[faces]]
    shaded[emissive] = colour[emissive]
    flag = np.where(seen < 0, 0, np.where(seen < INPUT_VIEWS, OBSERVED, COMPLETION))
    turned = normals @ views.frame_from_room[:3, :3].T.astype(float)
    return {
        "surface": _to_frame(points, views),
        "surface_normal": np.rint(turned * 127).astype(np.int8),
        "surface_flag": flag.astype(np.uint8),
        "surface_colour": to_srgb_bytes(shaded),
    }


def sample_faces(
    mesh: SceneMesh, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points uniformly by area; points on transparent texels (between leaves) are drawn again.

    Args:
        mesh: of the scene.
        count: how many points.
        generator: of random numbers.

    Returns:
        the face int64 [count] of each point and its barycentric weights float32 [count, 3] there.
    """
    # The cumulated share of the area turns a uniform number into a face.
    share = np.cumsum(mesh.areas, dtype=np.float64)  # (F,)
    share /= share[-1]
    faces = np.zeros(count, np.int64)
    weights = np.zeros((count, 3), np.float32)
    todo = np.arange(count)
    for _ in range(_REDRAWS):
        drawn = np.searchsorted(share, generator.random(len(todo)))
        faces[todo] = np.minimum(drawn, len(share) - 1)
        weights[todo] = random_barycentric(generator, len(todo))
        todo = todo[mesh.is_transparent(faces[todo], weights[todo])]
        if not len(todo):
            break
    return faces, weights


def first_camera(rays: RayScene, cameras: list[Camera], points: np.ndarray) -> np.ndarray:
    """Return int64 [N], the first camera that sees each point, -1 where none does.

    Args:
        rays: of the scene.
        cameras: in order, the input views first.
        points: float [N, 3] in the room frame, in metres.
    """
    seen = np.full(len(points), -1)
    for index, camera in enumerate(cameras):
        todo = np.flatnonzero(seen < 0)
        local = to_camera(points[todo], camera.pose)  # (K, 3)
        pixel = local @ camera.intrinsics.T  # (K, 3): image position times depth
        limit = np.array([camera.width, camera.height]) * local[:, 2:]
        inside = ((pixel[:, :2] >= 0) & (pixel[:, :2] < limit)).all(axis=1)
        todo = todo[inside & (local[:, 2] > 1e-3)]
        seen[todo[rays.visible(camera.centre, points[todo], _SEEN_M)]] = index
    return seen


def _occupancy(points: np.ndarray, recipe: dict, mesh: SceneMesh, views: SceneViews) -> np.ndarray:
    """Label room points uint8 [N] as free, solid or void.

    Void is within 2 cm of a furniture surface, where the grid is too coarse to tell, and space of a
    captured room of which it is unknown.
    """
    solid = views.occupancy[cell_of(points, views.occupancy.shape)]
    labels = np.where(solid, SOLID, FREE).astype(np.uint8)
    furniture = mesh.triangles[mesh.instance >= FIRST_OBJECT]
    if len(furniture):
        tree = KDTree(surface_points(furniture, _SPACING_M))
        near, _ = tree.query(points.astype(np.float32), k=1, distance_upper_bound=_VOID_M)
        labels[np.isfinite(near)] = VOID
    if "capture" in recipe:
        labels[unknown_captured_points(recipe, mesh, points, views.occupancy)] = VOID
    return labels


def with_relevance(lines: list[dict]) -> list[dict]:
    """Return annotations with the scenes of the split that each caption and phrase fits.

    The key `given` holds the indices of the ground-truth objects that tasks on known objects use.
    References become unique or multiple by what the inputs show (`visible_kind`).
    """
    return [
        line
        | {
            "references": [
                item | {"kind": visible_kind(item, line)} for item in line["references"]
            ],
            "given": [item["index"] for item in eligible(line)],
            "relevance": {c["id"]: _fitting_scenes(c, lines) for c in line["captions"]},
            "phrase_relevance": {p["id"]: _fitting_objects(p, lines) for p in line["phrases"]},
        }
        for line in lines
    ]


def visible_kind(reference: dict[str, Any], line: dict) -> str:
    """Return a reference's kind: "unique" or "multiple" of one target, else the generator's.

    A target is "multiple" where another eligible object has its class. The generator counts all
    objects of a room. Its word remains in the rendered scenes, which trainings are keyed by and
    which read no kind; the truth, which scores are split by, holds this one.

    Source: Chen et al. 2020 (ScanRefer), for objects that the inputs show.
    """
    if reference["kind"] not in SINGLE:
        return str(reference["kind"])
    classes = {item["index"]: item["class"] for item in eligible(line)}
    count = Counter(classes.values())
    several = any(count[classes[target]] > 1 for target in reference["targets"])
    return "multiple" if several else "unique"


def _fitting_scenes(caption: dict[str, Any], lines: list[dict]) -> list[str]:
    return [line["scene"] for line in lines if facts_hold(caption["facts"], line)]


def _fitting_objects(phrase: dict[str, Any], lines: list[dict]) -> list[str]:
    return [
        f"{line['scene']}:{item['index']}"
        for line in lines
        for item in eligible(line)
        if phrase_holds(phrase, item)
    ]
