"""The retrieval probe of a trained model, fitted on the training scenes' own captions."""

from __future__ import annotations

import numpy as np
import torch

from g2vlm.models.batch import build_text
from g2vlm.models.heads import pool_scene
from g2vlm.models.model import G2VLM
from g2vlm.models.probe import RetrievalProbe
from g2vlm.training.data import TrainSet, input_batch

SCENES_A_BATCH = 8


@torch.no_grad()
def fit_probe(model: G2VLM, data: TrainSet) -> RetrievalProbe:
    """Fit the probe while the model stands still; it is left in training mode as it came."""
    device = next(model.parameters()).device
    model.eval()
    pooled, texts = [], []
    for start in range(0, len(data.scenes), SCENES_A_BATCH):
        some = data.scenes[start : start + SCENES_A_BATCH]
        state = model.encode(input_batch(some, model.config).to(device))
        pooled.append(pool_scene(state).cpu().numpy())
        texts += [_embeddings(data, scene.annotation["captions"]) for scene in some]
    model.train()
    return RetrievalProbe.fit(np.concatenate(pooled), texts)


def _embeddings(data: TrainSet, captions: list[dict]) -> np.ndarray:
    """The frozen text encoder's embeddings f32[K, W] of captions."""
    if not captions:
        return np.zeros((0, data.texts.width), np.float32)
    return build_text(data.texts, [[item["text"] for item in captions]]).pooled[0].numpy()
