"""Every training scene as the trained model reads it, once the model stands still.

A step of training shows a head a few dozen objects of three or four scenes. From a standing model
an object or a scene is a row of numbers: thousands of them are gathered in seconds, for what is
fitted last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import build_text
from g2vlm.models.boxes import face_box, sides
from g2vlm.models.detection import clusters, member_masks, point_classes, suppress
from g2vlm.models.heads import pool_scene
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import measure_room
from g2vlm.models.referring_head import ObjectSet
from g2vlm.models.state import SceneState
from g2vlm.training.data import TrainSet, input_batch
from g2vlm.training.targets import TrainScene, covered

SCENES_A_BATCH = 4
# Objects are gathered from at most this many scenes: clustering one takes a core a while.
MOST_SEEN = 1000
PROGRESS_SECONDS = 5.0
# A cluster stands for the object that it shares this much of both their points with.
LEAST_MASK_IOU = 0.3


@dataclass(frozen=True)
class SeenScene:
    """What the model says of one scene's M objects: `given` true masks, then clusters of its own,
    best first.

    values [M,K], faces [M,6]: what the box head reads of them (`BoxHead.describe`); objects:
    an `ObjectSet` [M,...] with the boxes of the day; index i64[M]: the object's index in the
    annotation, -1 = the cluster stands for none; true f32[M,6]: that object's box; tokens [T,D] of
    the scene; room [K]: its measures (`measure_room`).
    """

    values: Tensor
    faces: Tensor
    objects: ObjectSet
    index: np.ndarray
    true: Tensor
    given: int
    tokens: Tensor
    room: Tensor

    @torch.no_grad()
    def draw(self, model: G2VLM) -> SeenScene:
        """The same objects with the boxes that the model's head draws now."""
        if not model.config.votes:
            return self
        boxes = model.boxes.settle(self.values, self.faces)
        return replace(self, objects=replace(self.objects, boxes=boxes))

    @cached_property
    def sets(self) -> list[tuple[ObjectSet, np.ndarray]]:
        """The true masks, and what of the clusters is detected, where there are any; each with its
        objects' indices in the annotation."""
        drawn = self.objects.boxes[self.given :].cpu().numpy()
        chosen = [np.arange(self.given), self.given + np.array(suppress(drawn), int)]
        parts = vars(self.objects)
        return [
            (ObjectSet(**{name: part[rows] for name, part in parts.items()}), self.index[rows])
            for rows in chosen
            if len(rows)
        ]


@dataclass(frozen=True)
class Survey:
    """pooled [S,D]: what the trunk says of every scene; seen: the objects of the first of them."""

    pooled: Tensor
    seen: list[SeenScene]


@torch.no_grad()
def survey(model: G2VLM, scenes: Sequence[TrainScene]) -> Survey:
    """Read all scenes, and the objects of the first `MOST_SEEN`, unless it knows no objects.

    The model is left in training mode as it came.
    """
    device = next(model.parameters()).device
    shown_at = time.monotonic()
    model.eval()
    pooled, seen = [], []
    for start in range(0, len(scenes), SCENES_A_BATCH):
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            print(f"train: last look, scene {start}/{len(scenes)}", flush=True)
            shown_at = time.monotonic()
        some = scenes[start : start + SCENES_A_BATCH]
        state = model.encode(input_batch(some, model.config).to(device))
        pooled.append(pool_scene(state))
        if model.config.language and start < MOST_SEEN:
            seen += _see(model, state, some)
    model.train()
    return Survey(torch.cat(pooled), seen)


def caption_embeddings(data: TrainSet) -> list[np.ndarray]:
    """The frozen text encoder's embeddings f32[K,W] of every scene's own K captions."""
    lines = [[item["text"] for item in scene.annotation["captions"]] for scene in data.scenes]
    empty = np.zeros((0, data.texts.width), np.float32)
    return [build_text(data.texts, [line]).pooled[0].numpy() if line else empty for line in lines]


def _see(model: G2VLM, state: SceneState, scenes: Sequence[TrainScene]) -> list[SeenScene]:
    """What the model says of every true mask and cluster of a batch's scenes."""
    device = state.points.device
    found = [_masks(model, state, place, scene) for place, scene in enumerate(scenes)]
    count = max(1, max(len(masks) for masks, _ in found))
    padded = np.zeros((len(scenes), count, state.points.shape[1]), np.float32)
    for place, (masks, _) in enumerate(found):
        padded[place, : len(masks)] = masks
    inside = torch.from_numpy(padded).to(device)
    read = model.boxes.describe(state, inside)
    drawn = face_box(*sides(read[1]))
    objects = vars(model.see_objects(state, inside, drawn))
    rooms = measure_room(state.points)
    out = []
    for place, (scene, (masks, owner)) in enumerate(zip(scenes, found, strict=True)):
        size = len(masks)
        index = [entry["index"] for entry in scene.annotation["objects"]]
        boxes = scene.all_boxes[owner] if len(index) else np.zeros((size, 6), np.float32)
        out.append(
            SeenScene(
                *(part[place, :size] for part in read),
                ObjectSet(**{name: part[place, :size] for name, part in objects.items()}),
                np.where(owner >= 0, np.array([*index, -1])[owner], -1),
                torch.from_numpy(boxes).to(device),
                len(scene.rows),
                state.tokens[place],
                rooms[place],
            )
        )
    return out


def _masks(
    model: G2VLM, state: SceneState, place: int, scene: TrainScene
) -> tuple[np.ndarray, np.ndarray]:
    """True masks, then clusters, f32[M,P] of one scene, and the row i64[M] of `all_boxes` of the
    object that each stands for, -1 = none."""
    rows = {entry["index"]: row for row, entry in enumerate(scene.annotation["objects"])}
    own = np.array([rows[index] for index in scene.rows], int)
    found = clusters(point_classes(state, model.config, place))
    if not found:
        return covered(scene.masks), own
    masks = member_masks(found, len(scene.owner))
    owned = (scene.owner[None] == np.arange(len(rows))[:, None]).astype(np.float32)
    shared = masks @ owned.T
    union = masks.sum(1)[:, None] + owned.sum(1)[None] - shared
    overlap = np.concatenate([shared / np.maximum(union, 1), np.zeros((len(masks), 1))], axis=1)
    best = np.where(overlap.max(1) > LEAST_MASK_IOU, overlap.argmax(1), -1)
    return np.concatenate([covered(scene.masks), masks]), np.concatenate([own, best])
