"""Small random rooms of coloured boxes, traced analytically, with features and words around them.

The class of a box is its colour, so that a network can learn to see and to name it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from g2vlm.features.readers import SceneFeatures, TextStates

HEIGHT, WIDTH, VIEWS = 24, 32, 4
CLASSES = ("chair", "table", "lamp")
PALETTE = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
LOW, HIGH = np.array([-0.5, -2.0, 0.0]), np.array([4.0, 2.0, 2.4])
TOKENS, POINTS, TEXT = 20, 8, 16


@dataclass(frozen=True)
class Room:
    """One room: boxes f32[N,6], classes and everything seen of it."""

    name: str
    boxes: np.ndarray
    kinds: list[int]
    depth: np.ndarray
    instance: np.ndarray
    normal: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


def camera(position: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Camera-to-frame pose f32[4,4] of a camera looking along yaw (CCW) and pitch (up)."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = position
    return pose


def trace(origin: np.ndarray, rays: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Depth, instance and normal along rays [H,W,3] of unit z-depth."""
    safe = np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    far = np.maximum((LOW - origin) / safe, (HIGH - origin) / safe)
    depth, axis = far.min(-1), far.argmin(-1)
    instance = np.where(axis == 2, 1, 2).astype(np.uint8)
    for index, box in enumerate(boxes):
        ends = [(box[:3] + sign * box[3:] / 2 - origin) / safe for sign in (-1, 1)]
        enter, leave = np.minimum(*ends), np.maximum(*ends).min(-1)
        hit = (enter.max(-1) < leave) & (enter.max(-1) > 0) & (enter.max(-1) < depth)
        depth = np.where(hit, enter.max(-1), depth)
        axis = np.where(hit, enter.argmax(-1), axis)
        instance = np.where(hit, 10 + index, instance).astype(np.uint8)
    normal = -np.sign(np.take_along_axis(safe, axis[..., None], -1)) * np.eye(3)[axis]
    return depth.astype(np.float32), instance, normal.astype(np.float32)


def make_room(name: str) -> Room:
    """A room with two to four boxes on the floor, seen from four corners."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    count = int(draw.integers(2, 5))
    size = draw.uniform(0.4, 0.9, (count, 3))
    centre = np.stack([draw.uniform(1.0, 3.0, count), draw.uniform(-1.3, 1.3, count)], 1)
    boxes = np.concatenate([centre, size[:, 2:] / 2, size], 1).astype(np.float32)
    focal = WIDTH / 2 / np.tan(np.radians(35))
    matrix = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]], np.float32)
    places = [(0, 0, 1.5), (0.2, 1.5, 1.6), (0.2, -1.6, 1.6), (3.6, 1.6, 1.7)]
    turns = [(0.0, -0.3), (-0.6, -0.35), (0.5, -0.35), (-2.3, -0.4)]
    poses = [camera(np.array(p, float), *t) for p, t in zip(places, turns, strict=True)]
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    local = np.stack([(x - WIDTH / 2) / focal, (y - HEIGHT / 2) / focal, np.ones_like(x)], -1)
    seen = [trace(p[:3, 3], local @ p[:3, :3].T, boxes) for p in poses]
    depth, instance, normal = (np.stack(part) for part in zip(*seen, strict=True))
    return Room(
        name=name,
        boxes=boxes,
        kinds=[int(kind) for kind in draw.integers(0, len(CLASSES), count)],
        depth=depth,
        instance=instance,
        normal=normal,
        intrinsics=np.stack([matrix] * VIEWS),
        pose=np.stack(poses),
    )


def colours(room: Room) -> np.ndarray:
    """RGB u8[V,H,W,3]: grey structure, boxes in their class's colour."""
    image = np.full((*room.instance.shape, 3), 128, np.uint8)
    for index, kind in enumerate(room.kinds):
        image[room.instance == 10 + index] = PALETTE[kind]
    return image


def question(name: str, kind: str, text: str, objects: list[int], answer: str) -> dict[str, Any]:
    """A question as an annotation holds it."""
    return {"id": name, "type": kind, "text": text, "objects": objects, "answer": answer}


def annotation(room: Room) -> dict[str, Any]:
    """The annotation line of a room."""
    objects = [
        {"index": k, "class": CLASSES[kind], "colour": "red", "box": box.tolist(), "yaw": 0.5 * k}
        for k, (kind, box) in enumerate(zip(room.kinds, room.boxes, strict=True))
    ]
    volume = room.boxes[:, 3:].prod(1)
    pairs = [(i, j) for i in range(len(objects)) for j in range(len(objects)) if i != j]
    references = [
        {
            "id": f"r{row:02d}",
            "text": f"the {name}",
            "targets": [k for k, kind in enumerate(room.kinds) if CLASSES[kind] == name],
            "anchors": [0],
        }
        for row, name in enumerate(CLASSES)
    ]
    first, longest = objects[0]["class"], round(100 * float(room.boxes[0, 3:].max()))
    return {
        "scene": room.name,
        "objects": objects,
        "relations": [[i, j, "larger"] for i, j in pairs if volume[i] > 1.5 * volume[j]],
        "void": [[i, j, family] for i, j in pairs for family in ("side", "facing")],
        "references": references,
        "questions": [
            question("q00", "count", "how many boxes", [], str(len(objects))),
            question("q01", "room_size", "how large is the room", [], "18.0"),
            question("q02", "object_size", f"how long is the {first}", [0], str(longest)),
            question("q03", "relative_distance", f"which is nearer the {first}", [0], first),
            question("q04", "relative_direction", f"where is the {first}", [0], "left"),
        ],
        "captions": [{"id": "c00", "text": f"a room with {len(objects)} boxes", "facts": []}],
        "phrases": [{"id": "p00", "text": "a lamp", "class": "lamp", "colour": None, "size": None}],
    }


class Rooms:
    """A split of rooms: the store, the image features and the text features in one."""

    width = TEXT

    def __init__(self, count: int = 4) -> None:
        self.ids = [f"room-{number}" for number in range(count)]
        self.rooms = {name: make_room(name) for name in self.ids}

    def annotation(self, name: str) -> dict[str, Any]:
        """The annotation line."""
        return annotation(self.rooms[name])

    @lru_cache  # noqa: B019 - a handful of rooms, and the lattice takes a while
    def views(self, name: str) -> SimpleNamespace:
        """The truth of a scene, as SceneViews has it."""
        room = self.rooms[name]
        cells = np.ceil((HIGH - LOW) / 0.04).astype(int)
        centres = (np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), -1) + 0.5) * 0.04
        occupancy = np.zeros(cells, bool)
        for box in room.boxes:
            occupancy |= (np.abs(centres + LOW - box[:3]) < box[3:] / 2).all(-1)
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, 3] = LOW
        return SimpleNamespace(
            depth=room.depth,
            normal=room.normal,
            instance=room.instance,
            occupancy=occupancy,
            room=HIGH - LOW,
            frame_from_room=matrix,
        )

    def inputs(self, name: str) -> SimpleNamespace:
        """What a method sees, as SceneInputs has it."""
        room = self.rooms[name]
        draw = np.random.default_rng(zlib.crc32(name.encode()) + 1)
        sensor = room.depth + draw.normal(0, 0.01, room.depth.shape).astype(np.float32)
        sensor[draw.random(sensor.shape) < 0.05] = 0
        partial = np.concatenate([draw.uniform(LOW, HIGH, (64, 3)), np.ones((64, 3))], 1)
        return SimpleNamespace(
            scene=name,
            rgb=colours(room),
            depth=sensor,
            intrinsics=room.intrinsics,
            pose=room.pose,
            partial=partial.astype(np.float32),
            gt_masks=np.where(room.instance >= 10, room.instance - 9, 0).astype(np.uint8),
            gt_indices=list(range(len(room.kinds))),
        )

    def __getitem__(self, name: str) -> SceneFeatures:
        """Image features: colours through a fixed random projection."""
        image = colours(self.rooms[name]).astype(np.float32) / 255 - 0.5
        draw = np.random.default_rng(3)
        cells = image[:, 2::4, 2::4].reshape(VIEWS, -1, 3) @ draw.normal(size=(3, POINTS))
        rows, columns = -(-HEIGHT // 16), -(-WIDTH // 16)
        padded = np.pad(image, ((0, 0), (0, rows * 16 - HEIGHT), (0, 0), (0, 0)), mode="edge")
        patches = padded.reshape(VIEWS, rows, 16, columns, 16, 3).mean((2, 4))
        tokens = patches.reshape(VIEWS, -1, 3) @ draw.normal(size=(3, TOKENS))
        return SceneFeatures(tokens.astype(np.float16), cells.astype(np.float16))

    def gather(self, texts: list[str]) -> TextStates:
        """Text features: a fixed random vector a word."""
        words = [text.split() for text in texts]
        length = max([1, *map(len, words)])
        states = np.zeros((len(texts), length, TEXT), np.float32)
        mask = np.zeros((len(texts), length), bool)
        for row, line in enumerate(words):
            for place, word in enumerate(line):
                states[row, place] = np.random.default_rng(zlib.crc32(word.encode())).normal(
                    size=TEXT
                )
                mask[row, place] = True
        pooled = states.sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)
        pooled = pooled.astype(np.float32)
        return TextStates(states, mask, pooled)
