"""The encode stage: run the frozen encoders once and write what training and prediction read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from g2vlm.features.readers import SceneFeatures
from g2vlm.features.writer import TensorSpec, TensorStream
from metrics.files import InputError, atomic_path, read_lines, write_json

if TYPE_CHECKING:
    from g2vlm.features.text_encoders import TextEncoder
    from g2vlm.scenes.dataset import SceneStore

Progress = Callable[[int, int], None]
_TEXTS_A_BATCH = 64


def encode_images(
    store: SceneStore,
    out_path: str | os.PathLike[str],
    encoder: str = "mobilenet_v2",
    threads: int = 1,
    progress: Progress | None = None,
    device: str | None = None,
) -> None:
    """Write the frozen image features of every scene of a split (the four input views).

    `encoder` is "mobilenet_v2" or the name or folder of an `AutoBackbone`; `progress` is called
    with (scenes done, scenes in all); `device` is a torch device, by default the best. Layout: see
    `SceneFeatures`; float16. Raises `InputError` when the encoder's weights are not here.
    """
    import torch

    from g2vlm.features.image_encoders import load_image_encoder

    ids = list(store.ids)
    if not ids:
        raise InputError(f"{out_path}: the split has no scene to encode; run render first")
    torch.set_num_threads(threads)
    model = load_image_encoder(encoder, device)
    metadata = {"encoder": encoder, "encoder_sha256": model.sha256}
    with atomic_path(out_path) as temporary, TensorStream(temporary, metadata) as stream:
        # One scene's four views at a time: larger batches fall out of the cache and are slower.
        for done, scene in enumerate(ids, 1):
            found = view_features(model, store.inputs(scene).rgb)
            if done == 1:
                stream.declare(_image_specs(ids, found.tokens.shape, found.points.shape))
            stream.write(found.tokens)
            stream.write(found.points)
            if progress:
                progress(done, len(ids))


def view_features(model: Any, rgb: np.ndarray) -> SceneFeatures:
    """Return the features of views u8[V, H, W, 3] by an image encoder that stands ready."""
    import torch

    device = next(model.parameters()).device
    out = model(torch.from_numpy(np.ascontiguousarray(rgb)).to(device))
    return SceneFeatures(out.tokens.half().cpu().numpy(), out.points.half().cpu().numpy())


def _image_specs(ids: Sequence[str], tokens: Sequence[int], points: Sequence[int]):
    for scene in ids:
        yield TensorSpec(f"{scene}/tokens", "F16", tuple(tokens))
        yield TensorSpec(f"{scene}/points", "F16", tuple(points))


def texts_of(annotation: dict[str, Any]) -> Iterable[str]:
    """Yield every text of one scene's annotation that a model may be given."""
    for field in ("references", "questions", "captions", "phrases"):
        for item in annotation.get(field, ()):
            yield item["text"]


def encode_texts(
    annotation_files: Iterable[str | os.PathLike[str]],
    out_folder: str | os.PathLike[str],
    encoder: str = "minilm",
    threads: int = 1,
    progress: Progress | None = None,
) -> int:
    """Write the token states of the unique texts of all annotation files; returns their number.

    Writes text.safetensors (states float16 [tokens, C], offsets int64 [n + 1], pooled float16
    [n, C]: the mean token state at unit length) and text.json (the texts in row order).
    """
    import torch

    from g2vlm.features.text_encoders import TextEncoder

    unique = {t for path in annotation_files for row in read_lines(path) for t in texts_of(row)}
    texts = sorted(unique)
    if not texts:
        raise InputError(f"{out_folder}: the annotations hold no text to encode; run render first")
    torch.set_num_threads(threads)
    model = TextEncoder(encoder)
    states = _encode_sorted(model, texts, progress)
    pooled = torch.stack([state.float().mean(0) for state in states])
    pooled = torch.nn.functional.normalize(pooled, dim=1)
    offsets = np.cumsum([0, *(len(state) for state in states)], dtype=np.int64)
    folder = Path(out_folder)
    with atomic_path(folder / "text.safetensors") as temporary:
        save_file(
            {
                "states": torch.cat(states).numpy(),
                "offsets": offsets,
                "pooled": pooled.half().numpy(),
            },
            temporary,
            # One entry alone: safetensors writes several in an order that changes by process.
            metadata={"encoder_sha256": model.sha256},
        )
    write_json(folder / "text.json", {"texts": texts})
    return len(texts)


def _encode_sorted(model: TextEncoder, texts: Sequence[str], progress: Progress | None) -> list:
    """Encode in order of length, so that a batch is padded little; results in the given order."""
    ids = model.tokens(texts)
    order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
    states: list = [None] * len(texts)
    for start in range(0, len(order), _TEXTS_A_BATCH):
        rows = order[start : start + _TEXTS_A_BATCH]
        for row, state in zip(rows, model.states([ids[row] for row in rows]), strict=True):
            states[row] = state.half()
        if progress:
            progress(start + len(rows), len(order))
    return states
