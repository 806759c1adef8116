"""The box head fitted anew on objects as the trained model finds them.

A step of training shows the head a few dozen true masks. Once the rest of the model stands still,
an object is a row of numbers: thousands of them, true masks and the model's own clusters, are
learned from in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from g2vlm.inference.kinds import point_kinds
from g2vlm.inference.objects import clusters, member_masks
from g2vlm.models.model import G2VLM
from g2vlm.models.state import SceneState
from g2vlm.training.data import input_batch
from g2vlm.training.language_losses import box_loss
from g2vlm.training.targets import TrainScene, covered
from metrics.files import rng

MOST_SCENES = 200
SCENES_A_BATCH = 4
# A cluster stands for the object that it shares this much of both their points with.
LEAST_MASK_IOU = 0.3
OBJECTS_A_STEP = 256
LEARNING_RATE = 2e-3


def refit_boxes(model: G2VLM, scenes: Sequence[TrainScene], seed: int, steps: int) -> float:
    """Fit `model.boxes` for `steps` on the objects of `scenes`, whose 3D labels may be seen.

    Returns the mean loss of the last tenth of the steps; 0 without an object. The model is left in
    training mode as it came; the same scenes, weights and seed give the same bits.
    """
    draw = rng(seed, "refit_boxes", "")
    chosen = draw.permutation(len(scenes))[:MOST_SCENES]
    model.eval()
    parts = [
        _objects(model, [scenes[row] for row in chosen[start : start + SCENES_A_BATCH]])
        for start in range(0, len(chosen), SCENES_A_BATCH)
    ]
    model.train()
    values, low, high, true = (torch.cat(part) for part in zip(*parts, strict=True))
    if not len(true):
        return 0.0
    optimizer = torch.optim.AdamW(model.boxes.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        rows = torch.from_numpy(draw.integers(len(true), size=OBJECTS_A_STEP)).to(true.device)
        loss = box_loss(model.boxes.complete(values[rows], low[rows], high[rows]), true[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-max(1, steps // 10) :]))


@torch.no_grad()
def _objects(model: G2VLM, scenes: Sequence[TrainScene]) -> tuple[Tensor, ...]:
    """What the head reads of every true mask and matched cluster, and the true boxes [M,6]."""
    device = next(model.parameters()).device
    state = model.encode(input_batch(scenes, model.config).to(device))
    found = [_masks(model, state, place, scene) for place, scene in enumerate(scenes)]
    lengths = torch.tensor([len(masks) for masks, _ in found])
    count = int(lengths.max())
    padded = np.zeros((len(scenes), count, len(scenes[0].owner)), np.float32)
    for place, (masks, _) in enumerate(found):
        padded[place, : len(masks)] = masks
    kept = torch.arange(count) < lengths[:, None]
    read = model.boxes.describe(state, torch.from_numpy(padded).to(device))
    true = torch.from_numpy(np.concatenate([boxes for _, boxes in found]))
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
