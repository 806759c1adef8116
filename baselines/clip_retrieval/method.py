"""Retrieval of scenes and objects with a pretrained image-text model, without geometry."""

from collections.abc import Callable
from typing import Any

import numpy as np

from baselines.contract import Context, Inputs
from baselines.pretrained import Pretrained, open_pretrained, to_pil
from metrics.geometry import unit

DESCRIPTION = "Pretrained CLIP or SigLIP: mean image descriptor of a scene against its sentences"
PRODUCES = ("retrieval", "grounding_retrieval")
DEFAULT_REASON = "compares images with sentences and does nothing else"
PRETRAINED = True
THREADS = 4
USES_GPU = True

# A crop extends beyond the object by this share of its sides.
MARGIN = 0.1
BATCH_SIZE = 64


def predict(context: Context) -> None:
    """Score every caption against every scene, and every phrase against every object."""
    pretrained = open_pretrained(
        context,
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING",
        "AutoProcessor",
        "image-text model like CLIP",
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
        embeddings = embed_images(pretrained, [*inputs.rgb, *object_crops(inputs)])
        descriptors.append(unit(embeddings[:count].mean(0)))
        crops.append(embeddings[count:])
        objects += [f"{scene}:{index}" for index in inputs.gt_indices]
        captions += [(f"{scene}/{name}", text) for name, text in inputs.captions]
        phrases += [(f"{scene}/{name}", text) for name, text in inputs.phrases]
    texts = embed_texts(pretrained, [text for _, text in captions + phrases])
    of_captions, of_phrases = texts[: len(captions)], texts[len(captions) :]
    writer.retrieval(
        [name for name, _ in captions], scenes.ids, of_captions @ np.stack(descriptors).T
    )
    writer.grounding_retrieval(
        [name for name, _ in phrases], objects, of_phrases @ np.concatenate(crops).T
    )


def object_crops(inputs: Any) -> list[np.ndarray]:
    """Return a crop u8[h, w, 3] of each object, from the view with most of its pixels."""
    crops = []
    for number in range(1, len(inputs.gt_indices) + 1):
        mask = inputs.gt_masks == number  # (V, H, W)
        view = int(mask.sum((1, 2)).argmax())
        sides = []
        for axis, length in enumerate(mask.shape[1:]):
            pixels = np.flatnonzero(mask[view].any(1 - axis))
            margin = round(MARGIN * (pixels[-1] + 1 - pixels[0]))
            sides.append(slice(max(pixels[0] - margin, 0), min(pixels[-1] + 1 + margin, length)))
        crops.append(inputs.rgb[view][tuple(sides)])
    return crops


def embed_images(pretrained: Pretrained, images: list[np.ndarray]) -> np.ndarray:
    """Return the unit descriptors f32[N, D] of N images u8[h, w, 3]."""

    def describe(batch: list[Any]) -> Any:
        return pretrained.model.get_image_features(**pretrained.inputs(images=batch))

    return _in_batches(describe, to_pil(images))


def embed_texts(pretrained: Pretrained, texts: list[str]) -> np.ndarray:
    """Return the unit descriptors f32[N, D] of N sentences, truncated to the model's length."""
    config, tokenizer = pretrained.model.config, pretrained.processor.tokenizer
    length = min(config.text_config.max_position_embeddings, tokenizer.model_max_length)
    # SigLIP was trained on sentences padded to the full length.
    padding = "max_length" if config.model_type.startswith("siglip") else True

    def describe(batch: list[str]) -> Any:
        inputs = pretrained.inputs(text=batch, padding=padding, truncation=True, max_length=length)
        return pretrained.model.get_text_features(**inputs)

    return _in_batches(describe, texts)


def _in_batches(describe: Callable[[list[Any]], Any], items: list[Any]) -> np.ndarray:
    import torch

    rows = []
    with torch.inference_mode():
        for start in range(0, len(items), BATCH_SIZE):
            output = describe(items[start : start + BATCH_SIZE])
            # Some classes return the descriptors, others an output object with them.
            if not isinstance(output, torch.Tensor):
                output = output.pooler_output
            rows.append(output.float().cpu().numpy())
    return unit(np.concatenate(rows))
