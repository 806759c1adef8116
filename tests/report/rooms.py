"""Small boxes of rooms with truth, rendered views and a noisy prediction, for gallery tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from metrics.files import write_lines
from metrics.submission.writer import SubmissionWriter

HOSTILE = '</script><img src=x onerror="document.title=1">'
SCENES = [f"dev_scene-{k:04d}" for k in range(24)]
# Forward along the room's x, right along -y, down along -z.
AHEAD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.4], [0, 0, 0, 1]], np.float32)
LENS = np.array([[12, 0, 8], [0, 12, 6], [0, 0, 1]], np.float32)
CUPBOARD = [3.2, 1, 0.95, 0.6, 0.8, 1.9]
PRODUCES = ["points", "objects", "graph", "grounding", "answers"]


def surface(generator: np.random.Generator, count: int = 12_000) -> tuple[np.ndarray, np.ndarray]:
    """Return points on a 4 x 3 x 2.5 m room with a table and a cupboard, and colours u8."""
    boxes = [((-0.5, -1.5, 0), (3.5, 1.5, 2.5), (214, 206, 190))]
    boxes += [((1.2, -0.6, 0), (2.2, 0.5, 0.75), (150, 90, 40))]
    boxes += [((2.9, 0.6, 0), (3.5, 1.4, 1.9), (60, 110, 90))]
    points, colours = [], []
    for low, high, colour in boxes:
        low, high = np.array(low), np.array(high)
        p = generator.uniform(low, high, (count // 3, 3))
        axis = generator.integers(0, 3, len(p))
        side = generator.random(len(p)) < 0.5
        p[np.arange(len(p)), axis] = np.where(side, low[axis], high[axis])
        points.append(p)
        shade = 1 - 0.15 * axis[:, None]
        colours.append(np.clip(np.array(colour) * shade, 0, 255).astype(np.uint8))
    return np.concatenate(points).astype(np.float32), np.concatenate(colours)


def write(truth: Path, scenes: Path, predictions: Path, names: list[str] = SCENES) -> None:
    """Write truth, one shard of views and the submission of a method called full."""
    generator = np.random.default_rng(0)
    tensors, views = {}, {}
    corners = np.array(
        [[x, y, z] for x in (-0.5, 3.5) for y in (-1.5, 1.5) for z in (0, 2.5)], np.float32
    )
    with SubmissionWriter(
        predictions, "full", 0, "dev_scene", True, PRODUCES, {}, None, {}
    ) as writer:
        for name in names:
            points, colours = surface(generator)
            tensors |= {f"{name}/{k}": v for k, v in _truth(points, colours, corners).items()}
            rgb = generator.integers(0, 255, (8, 12, 16, 3), dtype=np.uint8)
            sensor = generator.integers(0, 4000, (8, 12, 16), dtype=np.uint16)
            views |= {f"{name}/rgb": rgb, f"{name}/sensor": sensor}
            noise = generator.normal(0, 0.03, (len(points) // 2, 3)).astype(np.float32)
            writer.points(name, points[::2] + noise, colours[::2])
            box = [1.7, 0.0, 0.4, 1.1, 1.2, 0.8]
            found = [{"box": box, "class": "table", "score": 0.9}]
            found += [{"box": CUPBOARD, "class": "cupboard", "score": 0.8}]
            writer.objects(name, found, [(1, "near", 0, 0.9), (0, "on", 1, 0.5)])
            for reference in ("r00", "r01"):
                writer.grounding(name, reference, [box])
            writer.answer(name, "q00", "two")
    truth.mkdir(parents=True, exist_ok=True)
    scenes.mkdir(parents=True, exist_ok=True)
    save_file(tensors, truth / "geometry.safetensors")
    save_file(views, scenes / "000.safetensors")
    write_lines(truth / "annotations.jsonl", [_annotation(name) for name in names])


def _truth(points: np.ndarray, colours: np.ndarray, corners: np.ndarray) -> dict[str, np.ndarray]:
    views = {f"{kind}_depth": np.ones((4, 12, 16), np.float32) for kind in ("held", "input")}
    views |= {f"{kind}_intrinsics": np.stack([LENS] * 4) for kind in ("held", "input")}
    views |= {f"{kind}_pose": np.stack([AHEAD] * 4) for kind in ("held", "input")}
    return {
        "surface": points,
        "surface_normal": np.zeros(points.shape, np.int8),
        "surface_flag": np.ones(len(points), np.uint8),
        "surface_colour": colours,
        "occupancy_points": np.zeros((8, 3), np.float32),
        "occupancy": np.zeros(8, np.uint8),
        "room_corners": corners,
        "diagonal": np.array([5.6], np.float32),
        "boxes": np.zeros((2, 6), np.float32),
        "yaw": np.zeros(2, np.float32),
        **views,
    }


def _annotation(name: str) -> dict:
    objects = [
        {
            "index": 0,
            "class": "table",
            "colour": "brown",
            "box": [1.7, -0.05, 0.375, 1, 1.1, 0.75],
            "state": "eligible",
        },
        {
            "index": 1,
            "class": "cupboard",
            "colour": "green",
            "box": CUPBOARD,
            "state": "eligible",
        },
    ]
    references = [
        {"id": "r00", "kind": "unique", "tags": [], "targets": [0], "text": "the brown table"},
        {"id": "r01", "kind": "unique", "tags": [], "targets": [1], "text": HOSTILE},
    ]
    question = {"id": "q00", "type": "count", "text": "How many tables?", "answer": "1"}
    return {
        "scene": name,
        "split": "dev_scene",
        "objects": objects,
        "given": [0, 1],
        "relations": [[0, 1, "near"], [0, 1, "larger"]],
        "references": references,
        "questions": [question | {"answer_kind": "number", "objects": [0], "choices": []}],
        **{name: [] for name in ("void", "captions", "phrases")},
        **{name: {} for name in ("relevance", "phrase_relevance")},
    }
