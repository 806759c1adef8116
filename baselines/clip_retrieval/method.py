"""Scenes and objects found by a sentence with a pretrained image-text model, without geometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from baselines.contract import Context, Inputs
from baselines.pretrained import Pretrained, open_pretrained, pictures
from metrics.geometry import unit

DESCRIPTION = "Pretrained CLIP or SigLIP: mean image descriptor of a scene against its sentences"
PRODUCES = ("retrieval", "grounding_retrieval")
DEFAULT_REASON = "compares images with sentences and does nothing else"
STOCHASTIC = False
MESH_KIND = None
USES_TRUTH = False
PRETRAINED = True
THREADS = 4
USES_GPU = True

# A crop keeps this share of the object's sides around it.
MARGIN = 0.1
ITEMS_A_BATCH = 64


def predict(context: Context) -> None:
    """Score every caption against every scene and every phrase against every given object."""
    pretrained = open_pretrained(
        context,
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING",
        "AutoProcessor",
        "image-text model of the CLIP kind",
    )
    for split, scenes in context.splits.items():
        with context.writer(split) as writer:
            writer.cost["parameters"] = pretrained.parameters
            writer.thresholds |= pretrained.record
            _write(writer, pretrained, scenes)


def _write(writer: Any, pretrained: Pretrained, scenes: Inputs) -> None:
    descriptors, crops, objects = [], [], []
    captions: list[tuple[str, str]] = []
    phrases: list[tuple[str, str]] = []
    for scene in scenes.ids:
        inputs = scenes.inputs(scene)
        count = len(inputs.rgb)
        found = embed_images(pretrained, [*inputs.rgb, *object_crops(inputs)])
        descriptors.append(unit(found[:count].mean(0)))
        crops.append(found[count:])
        objects += [f"{scene}:{index}" for index in inputs.gt_indices]
        captions += [(f"{scene}/{name}", text) for name, text in inputs.captions]
        phrases += [(f"{scene}/{name}", text) for name, text in inputs.phrases]
    words = embed_texts(pretrained, [text for _, text in captions + phrases])
    said, sought = words[: len(captions)], words[len(captions) :]
    writer.retrieval([name for name, _ in captions], scenes.ids, said @ np.stack(descriptors).T)
    writer.grounding_retrieval(
        [name for name, _ in phrases], objects, sought @ np.concatenate(crops).T
    )


def object_crops(inputs: Any) -> list[np.ndarray]:
    """Return each given object's surroundings u8[h, w, 3] in the view that shows most of it."""
    crops = []
    for number in range(1, len(inputs.gt_indices) + 1):
        shown = inputs.gt_masks == number
        view = int(shown.sum((1, 2)).argmax())
        sides = []
        for axis, length in enumerate(shown.shape[1:]):
            places = np.flatnonzero(shown[view].any(1 - axis))
            spare = round(MARGIN * (places[-1] + 1 - places[0]))
            sides.append(slice(max(places[0] - spare, 0), min(places[-1] + 1 + spare, length)))
        crops.append(inputs.rgb[view][tuple(sides)])
    return crops


def embed_images(pretrained: Pretrained, images: list[np.ndarray]) -> np.ndarray:
    """Return the unit descriptors f32[N, D] of N images u8[h, w, 3]."""

    def describe(batch: list[Any]) -> Any:
        return pretrained.model.get_image_features(**pretrained.inputs(images=batch))

    return _in_batches(describe, pictures(images))


def embed_texts(pretrained: Pretrained, texts: list[str]) -> np.ndarray:
    """Return the unit descriptors f32[N, D] of N sentences, cut where the model's length ends."""
    config, tokenizer = pretrained.model.config, pretrained.processor.tokenizer
    length = min(config.text_config.max_position_embeddings, tokenizer.model_max_length)
    # SigLIP saw every sentence padded to its full length in training and needs it so.
    padding = "max_length" if config.model_type.startswith("siglip") else True

    def describe(batch: list[str]) -> Any:
        inputs = pretrained.inputs(text=batch, padding=padding, truncation=True, max_length=length)
        return pretrained.model.get_text_features(**inputs)

    return _in_batches(describe, texts)


def _in_batches(describe: Callable[[list[Any]], Any], items: list[Any]) -> np.ndarray:
    import torch

    rows = []
    with torch.inference_mode():
        for start in range(0, len(items), ITEMS_A_BATCH):
            found = describe(items[start : start + ITEMS_A_BATCH])
            # Some classes return the descriptors, others an output that holds them.
            found = found if isinstance(found, torch.Tensor) else found.pooler_output
            rows.append(found.float().cpu().numpy())
    return unit(np.concatenate(rows))
