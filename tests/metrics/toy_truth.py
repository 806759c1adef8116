"""A tiny truth folder in the exact layout, and submissions against it: rooms with boxes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrics.files import rng, write_lines
from metrics.reconstruction.pointcloud import sample_mesh
from metrics.reconstruction.rendering import mesh_depth
from metrics.scene_graph.predicates import FAMILIES
from metrics.submission.writer import SubmissionWriter, TensorSpool
from metrics.truth import Truth

SIZE = (4.0, 3.0, 2.5)
SHAPE = (36, 48)
BOXES = [
    ("bed", [2.6, 0.5, 0.3, 1.6, 1.0, 0.6]),
    ("table", [1.4, -0.6, 0.35, 0.8, 0.8, 0.7]),
    ("lamp", [1.4, -0.6, 0.9, 0.2, 0.2, 0.4]),
    ("chair", [3.2, -0.9, 0.45, 0.5, 0.5, 0.9]),
]
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
TRIANGLES = np.array([t for a, b, c, d in QUADS for t in ([a, b, c], [a, c, d])])


def box_mesh(box: list[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the closed outward mesh of a box."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    box = np.asarray(box, float)
    return box[:3] + signs * box[3:] / 2, TRIANGLES


def joined(meshes: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return one mesh of several."""
    start = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + offset for (_, faces), offset in zip(meshes, start, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def room_box() -> np.ndarray:
    """Return the room's own box: the camera is near one end."""
    return np.array([SIZE[0] / 2 - 0.3, 0, SIZE[2] / 2, *SIZE])


def cameras(count: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return intrinsics and poses that look along x, slightly down, from x = 0."""
    matrix = np.array([[40.0, 0, SHAPE[1] / 2], [0, 40.0, SHAPE[0] / 2], [0, 0, 1]], np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    tilt = 0.25
    poses[:, :3, 0] = [0, -1, 0]
    poses[:, :3, 1] = [-np.sin(tilt), 0, -np.cos(tilt)]
    poses[:, :3, 2] = [np.cos(tilt), 0, -np.sin(tilt)]
    for view in range(count):
        poses[view, :3, 3] = [0.0, side * (view - 1.5) / 2, 1.4]
    return np.tile(matrix, (count, 1, 1)), poses


def seen_by(
    points: np.ndarray, depth: np.ndarray, matrix: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Return bool [N]: points that a camera sees."""
    seen = np.zeros(len(points), bool)
    for view in range(len(depth)):
        camera = (points - pose[view, :3, 3]) @ pose[view, :3, :3]
        front = camera[:, 2] > 0.05
        z = np.where(front, camera[:, 2], 1.0)
        column = np.floor(camera[:, 0] / z * 40 + SHAPE[1] / 2).astype(int)
        row = np.floor(camera[:, 1] / z * 40 + SHAPE[0] / 2).astype(int)
        inside = front & (column >= 0) & (column < SHAPE[1]) & (row >= 0) & (row < SHAPE[0])
        at = depth[view][np.where(inside, row, 0), np.where(inside, column, 0)]
        seen |= inside & (np.abs(at - z) < 0.05)
    return seen


def scene_tensors(scene: str, samples: int, points: int) -> dict[str, np.ndarray]:
    """Return one scene's tensors of geometry.safetensors."""
    generator = rng(0, "toy", scene)
    vertices, faces = joined([box_mesh(room_box()), *(box_mesh(box) for _, box in BOXES)])
    faces[:12] = faces[:12, ::-1]
    surface, normals, _, _ = sample_mesh(vertices, faces, samples, generator)
    found: dict[str, np.ndarray] = {}
    flag = np.zeros(samples, np.uint8)
    for name, side, bit in (("held", 1.2, 2), ("input", 0.3, 1)):
        matrix, pose = cameras(4, side)
        depth = mesh_depth(vertices, faces, SHAPE, matrix, pose)
        flag[seen_by(surface, depth, matrix, pose)] = bit
        found |= {f"{name}_depth": depth, f"{name}_intrinsics": matrix, f"{name}_pose": pose}
    room = room_box()
    inside = (room[:3] + (generator.random((points, 3)) - 0.5) * room[3:]).astype(np.float32)
    gaps = np.stack(
        [(np.abs(inside - np.array(box[:3])) - np.array(box[3:]) / 2).max(1) for _, box in BOXES]
    ).min(axis=0)
    return found | {
        "surface": surface,
        "surface_normal": np.round(normals * 127).astype(np.int8),
        "surface_flag": flag,
        "surface_colour": (np.abs(normals) * 255).astype(np.uint8),
        "occupancy_points": inside,
        "occupancy": np.where(np.abs(gaps) < 0.02, 2, gaps < 0).astype(np.uint8),
        "room_corners": box_mesh(room)[0].astype(np.float32),
        "diagonal": np.array([np.linalg.norm(SIZE)], np.float32),
        "boxes": np.array([box for _, box in BOXES], np.float32),
        "yaw": np.zeros(len(BOXES), np.float32),
    }


def annotation(scene: str, scenes: list[str]) -> dict:
    """Return one line of annotations.jsonl; every scene holds the same objects."""
    objects = [
        {"index": i, "class": name, "box": box, "state": "eligible", "pixels": 100}
        for i, (name, box) in enumerate(BOXES)
    ]
    objects.append(
        {"index": 4, "class": "vase", "box": [2, 1.2, 0.2, 0.3, 0.3, 0.4], "state": "void"}
    )
    for item in objects:
        item |= {"size_mm": [1000 * side for side in item["box"][3:]], "yaw": 0.0}
    relations = [[2, 1, "on"], [1, 2, "under"], [0, 1, "larger"], [0, 1, "left"], [1, 0, "right"]]
    others = [[i, j] for i in range(4) for j in range(4) if i != j and {i, j} != {0, 1}]
    void = [*([i, j, "side"] for i, j in others), [1, 3, "distance"]]
    reference = {"text": "it", "anchors": [], "form": "near"}
    return {
        "scene": scene,
        "split": "toy",
        "objects": objects,
        "given": [0, 1, 2, 3],
        "relations": relations,
        "void": void,
        "references": [
            reference | {"id": "r00", "targets": [0], "kind": "unique", "tags": []},
            reference
            | {"id": "r01", "targets": [3], "kind": "multiple", "tags": ["view_dependent"]},
            reference | {"id": "r02", "targets": [1, 2], "kind": "multi", "tags": []},
            reference | {"id": "r03", "targets": [], "kind": "zero", "tags": []},
        ],
        "questions": [
            question("q00", "count", "3", "number", []),
            question("q01", "existence", "yes", "word", []),
            question("q02", "relative_distance", "table", "choice", ["table", "chair"]),
        ],
        "captions": [{"id": "c00", "text": f"room {scene}", "facts": []}],
        "phrases": [{"id": "p00", "text": "bed", "class": "bed"}],
        "relevance": {"c00": [scene]},
        "phrase_relevance": {"p00": [f"{name}:0" for name in scenes]},
        "dropped": {},
    }


def question(name: str, kind: str, answer: str, answer_kind: str, choices: list[str]) -> dict:
    """Return one question."""
    return {
        "id": name,
        "type": kind,
        "text": "?",
        "answer": answer,
        "answer_kind": answer_kind,
        "choices": choices,
        "objects": [],
    }


def write_truth(folder: Path, scenes: int = 3, samples: int = 20_000, points: int = 2_000) -> Path:
    """Write a truth folder of a few rooms."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"toy-{number:04d}" for number in range(scenes)]
    spool = TensorSpool()
    for name in names:
        for key, array in scene_tensors(name, samples, points).items():
            spool.add(f"{name}/{key}", array)
    spool.save(folder / "geometry.safetensors")
    spool.close()
    write_lines(folder / "annotations.jsonl", [annotation(name, names) for name in names])
    return folder


TASKS = (
    "points",
    "mesh",
    "occupancy",
    "objects",
    "graph",
    "given_relations",
    "grounding",
    "picks",
    "retrieval",
    "probed_retrieval",
    "grounding_retrieval",
    "answers",
)


def write_oracle(folder: Path, truth_dir: Path) -> Path:
    """Write the truth through the submission format."""
    truth = Truth(truth_dir)
    with SubmissionWriter(folder, "oracle", 0, "toy", False, TASKS, mesh_kind="solids") as writer:
        for scene in truth.scenes:
            true = truth.geometry(scene)
            writer.points(scene, true.surface, true.surface_colour)
            oracle_solids(writer, scene)
            oracle_language(writer, truth.annotation(scene))
        oracle_tables(writer, truth)
    return folder


def oracle_tables(writer: SubmissionWriter, truth: Truth) -> None:
    """Write the true scores of retrieval."""
    count = len(truth.scenes)
    texts = [f"{scene}/c00" for scene in truth.scenes]
    writer.retrieval(texts, truth.scenes, np.eye(count))
    writer.probed_retrieval(texts, truth.scenes, np.eye(count))
    objects = [f"{scene}:{i}" for scene in truth.scenes for i in range(4)]
    scores = np.tile([1.0, 0, 0, 0], (count, count))
    writer.grounding_retrieval([f"{scene}/p00" for scene in truth.scenes], objects, scores)


def oracle_solids(writer: SubmissionWriter, scene: str) -> None:
    """Write the solids of a scene as a mesh and as a grid."""
    writer.mesh(scene, *joined([box_mesh(box) for _, box in BOXES]))
    origin, side = np.array([-0.5, -1.6, 0.0]), 0.05
    centres = np.stack(np.meshgrid(*(np.arange(n) for n in (90, 64, 52)), indexing="ij"), -1)
    centres = origin + (centres + 0.5) * side
    grid = np.zeros(centres.shape[:3], bool)
    for _, box in BOXES:
        gap = np.abs(centres - np.array(box[:3])) - np.array(box[3:]) / 2
        grid |= gap.max(axis=-1) < 0
    writer.occupancy(scene, grid, origin, side)


def oracle_language(writer: SubmissionWriter, line: dict) -> None:
    """Write one scene's true objects, relations, references and answers."""
    scene = line["scene"]
    nodes = [item for item in line["objects"] if item["state"] == "eligible"]
    objects = [
        {"box": o["box"], "class": o["class"], "score": 1.0, "oriented": [*o["box"], o["yaw"]]}
        for o in nodes
    ]
    place = {item["index"]: position for position, item in enumerate(nodes)}
    triplets = [
        [place[i], name, place[j], 1.0 - rank / 100]
        for rank, (i, j, name) in enumerate(line["relations"])
    ]
    writer.objects(scene, objects, triplets)
    family_of = {name: family for family, names in FAMILIES.items() for name in names}
    pairs = {
        (i, j): dict.fromkeys(FAMILIES, "none") | {"side": "left"}
        for i in line["given"]
        for j in line["given"]
        if i != j
    }
    for i, j, name in line["relations"]:
        pairs[i, j][family_of[name]] = name
    pairs = {
        key: {family: name for family, name in row.items() if (family, name) != ("side", "none")}
        for key, row in pairs.items()
    }
    scores = [[i, name, j, 1.0 - rank / 100] for rank, (i, j, name) in enumerate(line["relations"])]
    writer.relations(scene, [[i, j, row] for (i, j), row in pairs.items()], scores)
    box_of = {item["index"]: item["box"] for item in nodes}
    for item in line["references"]:
        pick = item["targets"][0] if item["targets"] else None
        writer.grounding(scene, item["id"], [box_of[i] for i in item["targets"]], pick)
    for item in line["questions"]:
        writer.answer(scene, item["id"], item["answer"])
