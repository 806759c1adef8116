"""Heads fitted anew, last of all, on what the trained model says of every training scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from g2vlm.models.boxes import BoxHead
from g2vlm.models.heads import FIRST_SCALE, Descriptors
from g2vlm.models.layers import standard
from g2vlm.models.model import G2VLM
from g2vlm.models.symmetry import SYMMETRIES
from g2vlm.training.cache_features import SeenScene
from g2vlm.training.language_losses import box_loss
from metrics.files import rng

# Of 256 to 1,024 objects a step and rates .002 to .008, begun anew or not, the best on val.
OBJECTS_A_STEP = 512
BOX_RATE = 8e-3
# Of a linear map and one hidden layer, dropout 0 to .6 and decay .05 to 1, the best on val.
SCENES_A_STEP = 128
RETRIEVAL_STEPS = 400
RETRIEVAL_RATE = 3e-3
RETRIEVAL_DROPOUT = 0.3
RETRIEVAL_DECAY = 1.0


def refit_boxes(
    model: G2VLM, seen: Sequence[SeenScene], supervised: np.ndarray, seed: int, steps: int
) -> float | None:
    """Fit `model.boxes` anew for `steps` on true masks and the model's own clusters, in rooms as
    they are and under the symmetries of their floor plan.

    `supervised` bool[S] says of which scenes the boxes may be seen. Returns the mean loss of the
    last tenth of the steps, None without an object to learn from; the same objects, weights and
    seed give the same bits.
    """
    some = [one for one, shown in zip(seen, supervised, strict=False) if shown]
    known = [torch.from_numpy(one.index >= 0) for one in some]
    if not sum(int(rows.sum()) for rows in known):
        return None
    values, faces, true = (
        torch.cat([getattr(one, name)[rows] for one, rows in zip(some, known, strict=True)])
        for name in ("values", "faces", "true")
    )
    draw, count = rng(seed, "refit_boxes", ""), len(true)
    torch.manual_seed(int(draw.integers(2**62)))
    head = model.boxes
    head.load_state_dict(BoxHead(model.config).state_dict())
    shapes, looks = head.split(values)
    head.standard_shape.fit(torch.cat([head.shapes(shapes, k) for k in range(SYMMETRIES)]))
    optimizer = torch.optim.AdamW(head.parameters(), lr=BOX_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        rows = torch.from_numpy(draw.integers(count, size=OBJECTS_A_STEP)).to(true.device)
        which = int(draw.integers(SYMMETRIES))
        shape, visible = head.image(shapes[rows], faces[rows], which)
        drawn = head.draw(shape, head.look(looks[rows]), visible)
        loss = box_loss(drawn, head.boxes(true[rows], which))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-max(1, steps // 10) :]))


def refit_retrieval(
    descriptors: Descriptors, pooled: torch.Tensor, captions: Sequence[np.ndarray], seed: int
) -> float | None:
    """Fit the maps of scenes and sentences anew by L_align, over batches of many scenes.

    `pooled` [S,D] is what the trunk says of the scenes, `captions` f32[K,W] their own captions'
    frozen embeddings. A caption's one positive is its own scene: it holds for another one in a
    hundred. Returns the last loss; None with fewer than two scenes that have a caption.
    """
    told = np.array([row for row, found in enumerate(captions) if len(found)], int)
    if len(told) < 2:
        return None
    draw = rng(seed, "refit_retrieval", "")
    torch.manual_seed(int(draw.integers(2**62)))
    texts = [standard(torch.from_numpy(found).to(pooled.device)) for found in captions]
    descriptors.standard_scene.fit(pooled)
    descriptors.standard_text.fit(torch.cat(texts))
    maps = (descriptors.scene, descriptors.text)
    for one in maps:
        one.reset_parameters()
    torch.nn.init.constant_(descriptors.scale, FIRST_SCALE)
    scenes, texts = (
        descriptors.standard_scene(pooled),
        [descriptors.standard_text(t) for t in texts],
    )
    groups = [
        {"params": [one.weight for one in maps], "weight_decay": RETRIEVAL_DECAY},
        {"params": [*(one.bias for one in maps), descriptors.scale], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RETRIEVAL_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, RETRIEVAL_STEPS)
    own = torch.arange(min(SCENES_A_STEP, len(told)), device=pooled.device)
    for _ in range(RETRIEVAL_STEPS):
        rows = draw.permutation(told)[: len(own)].tolist()
        said = torch.stack([texts[row][draw.integers(len(texts[row]))] for row in rows])
        seen = descriptors.scene(F.dropout(scenes[rows], RETRIEVAL_DROPOUT))
        heard = descriptors.text(F.dropout(said, RETRIEVAL_DROPOUT))
        scores = descriptors.sharpness * F.normalize(heard, dim=-1) @ F.normalize(seen, dim=-1).T
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return float(loss.detach())
