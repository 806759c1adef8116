"""Features of every training scene from the trained, frozen network, for the heads fitted last.

A training step shows a head a few dozen objects of three or four scenes. Under a frozen network an
object or a scene is one row of numbers, and thousands of rows are gathered in seconds.

Shapes: S scenes, P points, M masks of a scene (ground truth first, then detected).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import build_text, stack_scenes
from g2vlm.models.boxes import corner_box, split_faces
from g2vlm.models.detection import clusters, member_masks, suppress
from g2vlm.models.heads import pool_scene
from g2vlm.models.model import G2VLM
from g2vlm.models.qa_context import measure_room
from g2vlm.models.referring_head import ObjectSet
from g2vlm.models.state import SceneState, point_classes
from g2vlm.training.data import TrainSet, pad
from g2vlm.training.targets import TrainScene, mask_shares

SCENES_A_BATCH = 4
# Objects of at most this many scenes are cached: clustering a scene takes a core a while.
MOST_SCENES = 1000
PROGRESS_SECONDS = 5.0
# A cluster is matched to an object with at least this IoU of their points.
LEAST_MASK_IOU = 0.3

# A scene's objects, and their indices in its annotation (-1 = none of them).
IndexedSet = tuple[ObjectSet, np.ndarray]


@dataclass(frozen=True)
class CachedScene:
    """A scene's M masks as the frozen network sees them: ground truth, then clusters, best first.

    Attributes:
        box_features: [M,K], what the box head reads (`BoxHead.features`).
        faces: [M,6], visible faces.
        objects: `ObjectSet` of [M,...], with visible extents or predicted boxes.
        index: i64 [M], index in the annotation of the object that the mask shows, -1 = none.
        true_boxes: f32 [M,6], box of that object.
        gt_count: number of ground-truth masks.
        tokens: [T,D].
        room: [K], from `measure_room`.
    """

    box_features: Tensor
    faces: Tensor
    objects: ObjectSet
    index: np.ndarray
    true_boxes: Tensor
    gt_count: int
    tokens: Tensor
    room: Tensor

    @torch.no_grad()
    def with_predicted_boxes(self, model: G2VLM) -> "CachedScene":
        """Return the scene with the boxes that the box head predicts now."""
        if not model.config.votes:
            return self
        boxes = model.box_head.predict_symmetric(self.box_features, self.faces)
        return replace(self, objects=replace(self.objects, boxes=boxes))

    @cached_property
    def sets(self) -> list[IndexedSet]:
        """The ground-truth objects and the detected objects, each set unless it is empty."""
        fields = vars(self.objects)
        detected = suppress(fields["boxes"][self.gt_count :].cpu().numpy())
        chosen = [np.arange(self.gt_count), self.gt_count + np.array(detected, int)]
        return [
            (ObjectSet(**{name: field[rows] for name, field in fields.items()}), self.index[rows])
            for rows in chosen
            if len(rows)
        ]


@torch.no_grad()
def cache_features(model: G2VLM, scenes: Sequence[TrainScene]) -> tuple[Tensor, list[CachedScene]]:
    """Encode all scenes once. Objects are cached for methods with language only.

    The model is in training mode before and after.

    Returns:
        pooled features [S,D] of every scene, and the objects of the first `MOST_SCENES`.
    """
    device = next(model.parameters()).device
    reported = time.monotonic()
    model.eval()
    pooled, cached = [], []
    for start in range(0, len(scenes), SCENES_A_BATCH):
        if time.monotonic() - reported > PROGRESS_SECONDS:
            print(f"train: caching features, scene {start}/{len(scenes)}", flush=True)
            reported = time.monotonic()
        batch = scenes[start : start + SCENES_A_BATCH]
        inputs = stack_scenes([scene.inputs for scene in batch], model.config)
        state = model.encode(inputs.to(device))
        pooled.append(pool_scene(state))
        if model.config.language and start < MOST_SCENES:
            cached += _cache_objects(model, state, batch)
    model.train()
    return torch.cat(pooled), cached


def caption_embeddings(data: TrainSet) -> list[np.ndarray]:
    """Return the frozen text embeddings f32 [K,W] of the K captions of every scene."""
    lines = [[item["text"] for item in scene.annotation["captions"]] for scene in data.scenes]
    empty = np.zeros((0, data.texts.width), np.float32)
    return [build_text(data.texts, [line]).pooled[0].numpy() if line else empty for line in lines]


def _cache_objects(
    model: G2VLM, state: SceneState, scenes: Sequence[TrainScene]
) -> list[CachedScene]:
    """Return what the network computes for every mask of a batch's scenes."""
    device = state.points.device
    masks = [_masks(model, state, place, scene) for place, scene in enumerate(scenes)]
    inside = pad([scene_masks for scene_masks, _ in masks]).to(device)  # (B, M, P)
    features, faces = model.box_head.features(state, inside)
    objects = vars(model.object_set(state, inside, corner_box(*split_faces(faces))))
    rooms = measure_room(state.points)
    cached = []
    for place, (scene, (scene_masks, owner)) in enumerate(zip(scenes, masks, strict=True)):
        size = len(scene_masks)
        # With -1 at the end, the owner -1 (none) has the index -1.
        index = np.array([*(entry["index"] for entry in scene.annotation["objects"]), -1])
        boxes = np.zeros((size, 6), np.float32)
        if len(index) > 1:
            boxes = scene.all_boxes[owner]
        cached.append(
            CachedScene(
                box_features=features[place, :size],
                faces=faces[place, :size],
                objects=ObjectSet(**{name: part[place, :size] for name, part in objects.items()}),
                index=np.where(owner >= 0, index[owner], -1),
                true_boxes=torch.from_numpy(boxes).to(device),
                gt_count=len(scene.rows),
                tokens=state.tokens[place],
                room=rooms[place],
            )
        )
    return cached


def _masks(
    model: G2VLM, state: SceneState, place: int, scene: TrainScene
) -> tuple[np.ndarray, np.ndarray]:
    """Return one scene's ground-truth masks and clusters, and the objects that they show.

    Returns:
        masks f32 [M,P], and for each the row i64 [M] of `all_boxes` of its object, -1 = none.
    """
    rows = {entry["index"]: row for row, entry in enumerate(scene.annotation["objects"])}
    own = np.array([rows[index] for index in scene.rows], int)
    found = clusters(point_classes(state, model.config, place))
    if not found:
        return mask_shares(scene.masks), own
    masks = member_masks(found, len(scene.owner))
    owned = (scene.owner[None] == np.arange(len(rows))[:, None]).astype(np.float32)  # (objects, P)
    shared = masks @ owned.T
    union = masks.sum(1)[:, None] + owned.sum(1)[None] - shared
    # A column of zeros, so that a scene without objects has a maximum too.
    overlap = np.concatenate([shared / np.maximum(union, 1), np.zeros((len(masks), 1))], axis=1)
    best = np.where(overlap.max(1) > LEAST_MASK_IOU, overlap.argmax(1), -1)
    return np.concatenate([mask_shares(scene.masks), masks]), np.concatenate([own, best])
