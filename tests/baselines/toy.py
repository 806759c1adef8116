"""Two small rooms of boxes, ray cast in closed form, written as shards and truth folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOM = np.array([4.0, 3.0, 2.5])
CLASSES = ("table", "chair", "chair", "lamp")
COLOURS = {"table": (160, 90, 40), "chair": (200, 30, 30), "lamp": (240, 240, 60)}
GREY = (128, 128, 128)
SOLID_VOXEL = 0.04


def boxes_of(generator: np.random.Generator) -> np.ndarray:
    """Four boxes [4, 6] (centre, size) in the room: a table, two chairs, a lamp on the table."""
    shift = generator.uniform(-0.1, 0.1, 2)
    table = [2.6 + shift[0], 1.5 + shift[1], 0.36, 0.8, 1.2, 0.72]
    first = [1.8, 0.6 + shift[0], 0.44, 0.48, 0.48, 0.88]
    second = [3.5, 2.5 + shift[1], 0.44, 0.48, 0.48, 0.88]
    lamp = [table[0], table[1], 0.72 + 0.2, 0.24, 0.24, 0.4]
    return np.array([table, first, second, lamp])


def cameras(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight inward cameras: intrinsics f32[8,3,3] and camera-to-room poses f64[8,4,4]."""
    places = [(0.3, 0.3), (3.7, 0.4), (3.6, 2.7), (0.4, 2.6), (2.0, 0.3), (3.7, 1.5), (1.0, 2.7)]
    poses = []
    for x, y in [*places, (0.3, 1.5)]:
        forward = np.array([2.4 - x, 1.5 - y, -0.6])
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
        pose[:3, 3] = [x, y, 1.5]
        poses.append(pose)
    focal = width / 2 / np.tan(np.radians(35))
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return np.tile(intrinsics, (8, 1, 1)).astype(np.float32), np.stack(poses)


def cast(
    origin: np.ndarray, directions: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest hit of rays [N, 3] from inside the room: depth [N], normal [N, 3], instance [N]."""
    inverse = 1.0 / np.where(np.abs(directions) < 1e-9, 1e-9, directions)
    ends = np.maximum(-origin * inverse, (ROOM - origin) * inverse)
    axis = ends.argmin(1)
    rows = np.arange(len(ends))
    depth = ends[rows, axis]
    normal = np.zeros_like(directions)
    normal[rows, axis] = -np.sign(directions[rows, axis])
    downward = directions[rows, 2] < 0
    instance = np.where(axis == 2, np.where(downward, 1, 3), 2)
    for index, box in enumerate(boxes):
        low = (box[:3] - box[3:] / 2 - origin) * inverse
        high = (box[:3] + box[3:] / 2 - origin) * inverse
        near, far = np.minimum(low, high), np.maximum(low, high)
        enter = near.max(1)
        hit = (enter < far.min(1)) & (enter > 0) & (enter < depth)
        face = near.argmax(1)
        depth = np.where(hit, enter, depth)
        normal[hit] = 0.0
        normal[rows[hit], face[hit]] = -np.sign(directions[rows[hit], face[hit]])
        instance = np.where(hit, 10 + index, instance)
    return depth, normal, instance


def frame_of(pose: np.ndarray) -> np.ndarray:
    """Room-to-frame transform of the levelled first camera."""
    yaw = np.arctan2(pose[1, 2], pose[0, 2])
    c, s = np.cos(yaw), np.sin(yaw)
    matrix = np.eye(4)
    matrix[:3, :3] = [[c, s, 0], [-s, c, 0], [0, 0, 1]]
    matrix[:3, 3] = -matrix[:3, :3] @ [pose[0, 3], pose[1, 3], 0]
    return matrix


def aligned(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Axis-aligned boxes [N, 6] in the frame around boxes [N, 6] of the room."""
    signs = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, -1).T
    corners = boxes[:, None, :3] + signs * boxes[:, None, 3:]
    moved = corners @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = moved.min(1), moved.max(1)
    return np.concatenate([(low + high) / 2, high - low], 1)


def render(seed: int, width: int, height: int) -> dict[str, np.ndarray]:
    """Tensors of one scene in the layout of a shard, without the scene's prefix."""
    boxes = boxes_of(np.random.default_rng(seed))
    intrinsics, poses = cameras(width, height)
    matrix = frame_of(poses[0])
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3)
    palette = np.array([GREY] * 10 + [COLOURS[name] for name in CLASSES], np.uint8)
    views = []
    for camera, pose in zip(intrinsics, poses, strict=True):
        rays = pixels @ np.linalg.inv(camera).T @ pose[:3, :3].T
        views.append(cast(pose[:3, 3], rays, boxes))
    depth = np.stack([view[0] for view in views]).reshape(8, height, width)
    normal = np.stack([view[1] for view in views]) @ matrix[:3, :3].T
    instance = np.stack([view[2] for view in views]).reshape(8, height, width)
    counts = [(instance == 10 + index).sum((1, 2)) for index in range(len(boxes))]
    in_frame = aligned(boxes, matrix)
    return {
        "rgb": palette[instance],
        "depth": depth.astype(np.float32),
        "sensor": np.rint(depth * 1000).astype(np.uint16),
        "normal": np.rint(normal * 127).astype(np.int8).reshape(8, height, width, 3),
        "instance": instance.astype(np.uint8),
        "intrinsics": intrinsics,
        "pose": (matrix @ poses).astype(np.float32),
        "boxes": in_frame.astype(np.float32),
        "yaw": np.zeros(len(boxes), np.float32),
        "pixels": np.stack(counts).astype(np.int32),
        "exposure": np.ones(1, np.float32),
        "partial": np.zeros((512, 6), np.float32),
        **solids(boxes),
        "frame_from_room": matrix.astype(np.float32),
        "room": ROOM.astype(np.float32),
    }


def solids(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Bit-packed solid grid at 4 cm in the room's axes."""
    shape = np.ceil(ROOM / SOLID_VOXEL).astype(int)
    axes = [(np.arange(count) + 0.5) * SOLID_VOXEL for count in shape]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    grid = np.zeros(shape, bool)
    for box in boxes:
        grid |= (np.abs(centres - box[:3]) <= box[3:] / 2).all(-1)
    return {"solids": np.packbits(grid), "solids_shape": shape.astype(np.int32)}


def annotation(scene: str, split: str, tensors: dict[str, np.ndarray]) -> dict:
    """One line of a shard's annotations."""
    objects = [
        {
            "index": index,
            "class": name,
            "colour": "red" if name == "chair" else "brown",
            "model": f"Toy#{name}",
            "box": tensors["boxes"][index].tolist(),
            "yaw": 0.0,
            "pixels": int(tensors["pixels"][index, :4].sum()),
            "state": "eligible",
        }
        for index, name in enumerate(CLASSES)
    ]
    even = int(scene.rsplit("-", 1)[1]) % 2 == 0
    return {
        "scene": scene,
        "split": split,
        "pair": None,
        "kind": "dining",
        "objects": objects,
        "relations": [[3, 0, "on"], [0, 3, "under"], [0, 1, "larger"], [1, 0, "left"]],
        "void": [[1, 2, "side"]],
        "references": [
            _reference("r00", "the table", [0], "unique"),
            _reference("r01", "the chair near the table", [1], "multiple"),
            _reference("r02", "every chair", [1, 2], "multi"),
            _reference("r03", "the sofa", [], "zero"),
        ],
        "questions": [
            _question("q00", "count", "how many chairs are there?", "2", "number", []),
            _question("q01", "existence", "is there a lamp?", "yes" if even else "no", "word", []),
            _question("q02", "relative_direction", "where is it?", "left", "choice",
                      ["left", "right", "front", "behind"]),
        ],
        "captions": [
            {
                "id": "c00",
                "text": "a dining room with two red chairs",
                "facts": [{"type": "exists", "class": "chair", "colour": "red", "count": 2}],
            }
        ],
        "phrases": [
            {"id": "p00", "text": "a red chair", "class": "chair", "colour": "red", "size": None}
        ],
        "dropped": {"references": 0},
    }  # fmt: skip


def _reference(name: str, text: str, targets: list[int], kind: str) -> dict:
    return {
        "id": name,
        "text": text,
        "targets": targets,
        "anchors": [],
        "kind": kind,
        "form": "class",
        "tags": [],
    }


def _question(
    name: str, kind: str, text: str, answer: str, answer_kind: str, choices: list[str]
) -> dict:
    return {
        "id": name,
        "type": kind,
        "text": text,
        "answer": answer,
        "answer_kind": answer_kind,
        "choices": choices,
        "objects": [],
    }


def write_split(
    scenes_dir: Path, truth_dir: Path, split: str, count: int, width: int, height: int
) -> None:
    """Write `count` scenes of one split as a shard and as a truth folder."""
    folder, truth = scenes_dir / split, truth_dir / split
    folder.mkdir(parents=True)
    truth.mkdir(parents=True)
    shard, geometry, lines = {}, {}, []
    names = [f"{split}-{number:04d}" for number in range(count)]
    for number, scene in enumerate(names):
        tensors = render(number, width, height)
        shard |= {f"{scene}/{field}": value for field, value in tensors.items()}
        geometry |= {f"{scene}/{key}": value for key, value in truth_of(tensors, number).items()}
        lines.append(annotation(scene, split, tensors))
    save_file({key: np.ascontiguousarray(value) for key, value in shard.items()},
              folder / "000.safetensors")  # fmt: skip
    _write_lines(folder / "000.jsonl", lines)
    for line in lines:
        chairs = [f"{scene}:{index}" for scene in names for index in (1, 2)]
        line |= {"given": [0, 1, 2, 3], "relevance": {"c00": names}}
        line["phrase_relevance"] = {"p00": chairs}
    save_file({key: np.ascontiguousarray(value) for key, value in geometry.items()},
              truth / "geometry.safetensors")  # fmt: skip
    _write_lines(truth / "annotations.jsonl", lines)


def _write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def truth_of(tensors: dict[str, np.ndarray], seed: int, samples: int = 4000) -> dict:
    """Truth tensors of one scene: surface samples, occupancy points, room and cameras."""
    generator = np.random.default_rng(seed)
    matrix = tensors["frame_from_room"].astype(np.float64)
    surface, normals, paint = sample_surface(
        boxes_of(np.random.default_rng(seed)), generator, samples
    )
    points = generator.uniform(0, ROOM, (2000, 3))
    shape = tensors["solids_shape"]
    grid = np.unpackbits(tensors["solids"])[: shape.prod()].reshape(shape).astype(bool)
    cell = np.minimum((points / SOLID_VOXEL).astype(int), shape - 1)
    corners = np.array(np.meshgrid(*[[0, side] for side in ROOM])).reshape(3, -1).T

    def moved(xyz: np.ndarray) -> np.ndarray:
        return (xyz @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)

    return {
        "surface": moved(surface),
        "surface_normal": np.rint(normals @ matrix[:3, :3].T * 127).astype(np.int8),
        "surface_flag": np.ones(samples, np.uint8),
        "surface_colour": paint,
        "occupancy_points": moved(points),
        "occupancy": grid[tuple(cell.T)].astype(np.uint8),
        "room_corners": moved(corners),
        "diagonal": np.array([np.linalg.norm(ROOM)], np.float32),
        "held_depth": tensors["depth"][4:],
        "held_intrinsics": tensors["intrinsics"][4:],
        "held_pose": tensors["pose"][4:],
        "input_depth": tensors["depth"][:4],
        "input_intrinsics": tensors["intrinsics"][:4],
        "input_pose": tensors["pose"][:4],
        "boxes": tensors["boxes"],
        "yaw": tensors["yaw"],
    }


def sample_surface(
    boxes: np.ndarray, generator: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area-weighted samples of the room's inside and the boxes' outside, in the room."""
    solids_ = np.concatenate([[[*(ROOM / 2), *ROOM]], boxes])
    faces = [
        (box, axis, side) for box in range(len(solids_)) for axis in range(3) for side in (-1, 1)
    ]
    area = np.array([np.delete(solids_[b, 3:], axis).prod() for b, axis, _ in faces])
    chosen = generator.choice(len(faces), count, p=area / area.sum())
    box, axis, side = np.array(faces)[chosen].T
    local = generator.uniform(-0.5, 0.5, (count, 3))
    rows = np.arange(count)
    local[rows, axis] = side / 2
    normal = np.zeros((count, 3))
    normal[rows, axis] = np.where(box == 0, -side, side)
    palette = np.array([GREY] + [COLOURS[name] for name in CLASSES], np.uint8)
    return solids_[box, :3] + local * solids_[box, 3:], normal, palette[box]
