"""Every training scene as the trained model reads it, once the model stands still.

A step of training shows a head a few dozen objects and four scenes. From a standing model an object
or a scene is a row of numbers: thousands of them are gathered in seconds, for what is fitted last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm.inference.kinds import point_kinds
from g2vlm.inference.objects import clusters, member_masks
from g2vlm.models.batch import build_text
from g2vlm.models.heads import pool_scene
from g2vlm.models.model import G2VLM
from g2vlm.models.state import SceneState
from g2vlm.training.data import TrainSet, input_batch
from g2vlm.training.targets import TrainScene, covered

SCENES_A_BATCH = 4
# Objects are gathered from at most this many scenes: clustering one takes a core a while.
MOST_BOXED = 1000
PROGRESS_SECONDS = 5.0
# A cluster stands for the object that it shares this much of both their points with.
LEAST_MASK_IOU = 0.3


@dataclass(frozen=True)
class Objects:
    """What the box head reads of M objects (`BoxHead.describe`) and their boxes.

    values [M,K]; low, high [M,3] extents of the visible points; boxes [M,6], the true ones.
    """

    values: Tensor
    low: Tensor
    high: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Survey:
    """pooled [S,D]: what the trunk says of every scene; objects: of those whose boxes may be seen,
    None where there are none."""

    pooled: Tensor
    objects: Objects | None


@torch.no_grad()
def survey(model: G2VLM, scenes: Sequence[TrainScene], boxed: np.ndarray) -> Survey:
    """Read all scenes; `boxed` bool[S] says in which of them boxes may be seen.

    Objects come from the first `MOST_BOXED` of those. The model is left in training mode as it
    came.
    """
    device = next(model.parameters()).device
    boxed = boxed & (np.cumsum(boxed) <= MOST_BOXED)
    shown_at = time.monotonic()
    model.eval()
    pooled, parts = [], []
    for start in range(0, len(scenes), SCENES_A_BATCH):
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            print(f"train: last look, scene {start}/{len(scenes)}", flush=True)
            shown_at = time.monotonic()
        some = scenes[start : start + SCENES_A_BATCH]
        state = model.encode(input_batch(some, model.config).to(device))
        pooled.append(pool_scene(state))
        shown = [place for place in range(len(some)) if boxed[start + place]]
        if shown:
            parts.append(_objects(model, state, some, shown))
    model.train()
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    found = bool(columns) and len(columns[-1]) > 0
    return Survey(torch.cat(pooled), Objects(*columns) if found else None)


def caption_embeddings(data: TrainSet) -> list[np.ndarray]:
    """The frozen text encoder's embeddings f32[K,W] of every scene's own K captions."""
    lines = [[item["text"] for item in scene.annotation["captions"]] for scene in data.scenes]
    empty = np.zeros((0, data.texts.width), np.float32)
    return [build_text(data.texts, [line]).pooled[0].numpy() if line else empty for line in lines]


def _objects(
    model: G2VLM, state: SceneState, scenes: Sequence[TrainScene], shown: Sequence[int]
) -> tuple[Tensor, ...]:
    """What the head reads of every true mask and matched cluster of the scenes at `shown`."""
    device = state.points.device
    found = {place: _masks(model, state, place, scenes[place]) for place in shown}
    lengths = torch.tensor([len(found[p][0]) if p in found else 0 for p in range(len(scenes))])
    count = int(lengths.max())
    padded = np.zeros((len(scenes), count, state.points.shape[1]), np.float32)
    for place, (masks, _) in found.items():
        padded[place, : len(masks)] = masks
    kept = torch.arange(count) < lengths[:, None]
    read = model.boxes.describe(state, torch.from_numpy(padded).to(device))
    true = torch.from_numpy(np.concatenate([boxes for _, boxes in found.values()]))
    return *(part[kept.to(device)] for part in read), true.to(device)


def _masks(
    model: G2VLM, state: SceneState, place: int, scene: TrainScene
) -> tuple[np.ndarray, np.ndarray]:
    """True masks and matched clusters f32[M,P] of one scene, and their objects' boxes f32[M,6]."""
    found = clusters(point_kinds(state, model.config, place))
    true = covered(scene.masks), scene.boxes
    if not len(found) or not len(scene.all_boxes):
        return true
    masks = member_masks(found, len(scene.owner))
    owned = (scene.owner[None] == np.arange(len(scene.all_boxes))[:, None]).astype(np.float32)
    shared = masks @ owned.T
    union = masks.sum(1)[:, None] + owned.sum(1)[None] - shared
    overlap = shared / np.maximum(union, 1)
    best = overlap.argmax(1)
    kept = overlap.max(1) > LEAST_MASK_IOU
    boxes = scene.all_boxes[best[kept]]
    return np.concatenate([true[0], masks[kept]]), np.concatenate([true[1], boxes])
