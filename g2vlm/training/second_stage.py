"""The box head and the retrieval head, fitted from scratch on cached features."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.boxes import SYMMETRIES, BoxHead
from g2vlm.models.heads import FIRST_SCALE, Descriptors
from g2vlm.models.layers import standard
from g2vlm.models.model import G2VLM
from g2vlm.training.cache_features import CachedScene
from g2vlm.training.language_losses import box_loss
from metrics.files import rng

# Best on `val` of 256 to 1,024 objects a step and rates 0.002 to 0.008, from scratch or not.
OBJECTS_A_STEP = 512
BOX_RATE = 8e-3
# Best on `val` of a linear map and one hidden layer, dropout 0 to 0.6, and decay 0.05 to 1.
SCENES_A_STEP = 128
RETRIEVAL_STEPS = 400
RETRIEVAL_RATE = 3e-3
RETRIEVAL_DROPOUT = 0.3
RETRIEVAL_DECAY = 1.0


def fit_box_head(
    model: G2VLM, cached: Sequence[CachedScene], supervised: np.ndarray, seed: int, steps: int
) -> float | None:
    """Fit `model.box_head` from scratch on ground-truth masks and clusters.

    Rooms are used as they are and under the symmetries of their floor plan. The same objects,
    weights and seed give the same bits.

    Args:
        model: the trained model; its box head is replaced.
        cached: the objects of the first scenes.
        supervised: bool [S], whether a scene's boxes may be used.
        seed: of the training.
        steps: optimizer steps.

    Returns:
        the mean loss of the last tenth of the steps, None without any object.
    """
    scenes = [scene for scene, used in zip(cached, supervised, strict=False) if used]
    known = [torch.from_numpy(scene.index >= 0) for scene in scenes]
    if not sum(int(rows.sum()) for rows in known):
        return None
    features, faces, true = (
        torch.cat([getattr(scene, name)[rows] for scene, rows in zip(scenes, known, strict=True)])
        for name in ("box_features", "faces", "true_boxes")
    )
    random = seeded_generator(seed, "refit_boxes")
    head = model.box_head
    head.load_state_dict(BoxHead(model.config).state_dict())
    shapes, appearances = head.split(features)
    head.standard_shape.fit(
        torch.cat([head.shape_symmetry(shapes, which) for which in range(SYMMETRIES)])
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=BOX_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def sample_losses() -> dict[str, Tensor]:
        rows = torch.from_numpy(random.integers(len(true), size=OBJECTS_A_STEP)).to(true.device)
        which = int(random.integers(SYMMETRIES))
        moved = head.transform(shapes[rows], faces[rows], which)
        boxes = head.predict(*moved, head.appearance(appearances[rows]))
        return {"box": box_loss(boxes, head.box_symmetry(true[rows], which))}

    return minimise(optimizer, schedule, steps, sample_losses, {"box": 1.0})["box"]


def fit_retrieval_head(
    descriptors: Descriptors, pooled: Tensor, captions: Sequence[np.ndarray], seed: int
) -> float | None:
    """Fit the projections of scenes and captions from scratch by L_align, in large batches.

    The one positive of a caption is its own scene: it holds for one in a hundred of the others.

    Args:
        descriptors: the retrieval head; its projections are replaced.
        pooled: [S,D], pooled features of the scenes.
        captions: f32 [K,W], frozen embeddings of each scene's captions.
        seed: of the training.

    Returns:
        the mean loss of the last tenth of the steps, None with fewer than two captioned scenes.
    """
    captioned = np.array([row for row, rows in enumerate(captions) if len(rows)], int)
    if len(captioned) < 2:
        return None
    random = seeded_generator(seed, "refit_retrieval")
    texts = [standard(torch.from_numpy(rows).to(pooled.device)) for rows in captions]
    descriptors.standard_scene.fit(pooled)
    descriptors.standard_text.fit(torch.cat(texts))
    scene_layer, text_layer = descriptors.scene, descriptors.text
    for layer in (scene_layer, text_layer):
        layer.reset_parameters()
    torch.nn.init.constant_(descriptors.scale, FIRST_SCALE)
    scenes = descriptors.standard_scene(pooled)  # (S, D)
    texts = [descriptors.standard_text(rows) for rows in texts]
    groups = [
        {"params": [scene_layer.weight, text_layer.weight], "weight_decay": RETRIEVAL_DECAY},
        {"params": [scene_layer.bias, text_layer.bias, descriptors.scale], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RETRIEVAL_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, RETRIEVAL_STEPS)
    # Caption k of a batch belongs to scene k.
    own = torch.arange(min(SCENES_A_STEP, len(captioned)), device=pooled.device)

    def sample_losses() -> dict[str, Tensor]:
        rows = random.permutation(captioned)[: len(own)].tolist()
        caption = torch.stack([texts[row][random.integers(len(texts[row]))] for row in rows])
        scene = scene_layer(F.dropout(scenes[rows], RETRIEVAL_DROPOUT))
        text = text_layer(F.dropout(caption, RETRIEVAL_DROPOUT))
        scores = descriptors.sharpness * F.normalize(text, dim=-1) @ F.normalize(scene, dim=-1).T
        return {"align": (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2}

    return minimise(optimizer, schedule, RETRIEVAL_STEPS, sample_losses, {"align": 1.0})["align"]


def seeded_generator(seed: int, key: str) -> np.random.Generator:
    """Return the generator of one head's fit, and seed PyTorch's from it.

    The keys hold old names of the heads: others would change every weight.
    """
    random = rng(seed, key, "")
    torch.manual_seed(int(random.integers(2**62)))
    return random


def minimise(
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    steps: int,
    sample_losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    clip: float | None = None,
) -> dict[str, float]:
    """Take optimizer steps along the weighted sum of sampled losses.

    Args:
        optimizer: over what is fitted.
        schedule: its learning rate.
        steps: optimizer steps.
        sample_losses: samples a batch and returns its losses by name.
        weights: weight of each loss in the sum.
        clip: largest norm of the gradient, None = any.

    Returns:
        the mean losses of the last tenth of the steps.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    log = []
    for _ in range(steps):
        losses = sample_losses()
        total = sum(weights[name] * value for name, value in losses.items())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        schedule.step()
        log.append({name: float(value.detach()) for name, value in losses.items()})
    last = log[-max(1, steps // 10) :]
    return {name: float(np.mean([losses[name] for losses in last])) for name in last[0]}
