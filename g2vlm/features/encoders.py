"""The encode stage: run the frozen encoders once and write the features that all methods read."""

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from g2vlm.features.readers import SceneFeatures
from g2vlm.scenes.dataset import SceneStore
from metrics.files import InputError, atomic_path, read_lines, write_json
from metrics.submission.writer import TensorSpool

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
    """Write the image features of every scene of a split: float16, see `SceneFeatures`.

    Args:
        store: the split's scenes; their four input views are encoded.
        out_path: the safetensors file.
        encoder: "mobilenet_v2", or the name or folder of an `AutoBackbone`.
        threads: CPU threads of torch.
        progress: called with (scenes done, scenes in all).
        device: a torch device; by default the GPU where there is one.

    Raises:
        InputError: the split has no scene, or the encoder's weights are not on this machine.
    """
    import torch

    from g2vlm.features.image_encoders import load_image_encoder

    ids = store.ids
    if not ids:
        raise InputError(f"{out_path}: the split has no scene to encode; run render first")
    torch.set_num_threads(threads)
    model = load_image_encoder(encoder, device)
    folder = Path(out_path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with closing(TensorSpool(folder)) as spool:
        # One scene's four views at a time: larger batches fall out of the cache and are slower.
        for done, scene in enumerate(ids, 1):
            features = view_features(model, store.inputs(scene).rgb)
            spool.add(f"{scene}/tokens", features.tokens)
            spool.add(f"{scene}/points", features.points)
            if progress:
                progress(done, len(ids))
        with atomic_path(out_path) as temporary:
            spool.save(temporary, {"encoder": encoder, "encoder_sha256": model.sha256})


def view_features(model: Any, rgb: np.ndarray) -> SceneFeatures:
    """Return the features of views u8[V, H, W, 3] by a loaded image encoder."""
    import torch

    out = model(torch.from_numpy(np.ascontiguousarray(rgb)).to(next(model.parameters()).device))
    return SceneFeatures(*(features.half().cpu().numpy() for features in out))


def encode_texts(
    annotation_files: Iterable[str | os.PathLike[str]],
    out_folder: str | os.PathLike[str],
    encoder: str = "minilm",
    threads: int = 1,
    progress: Progress | None = None,
) -> int:
    """Write the token states of the unique texts of all annotation files; returns their number.

    Writes text.safetensors (states float16 [tokens, C], offsets int64 [n + 1], pooled float16
    [n, C], the mean token state at unit length) and text.json (the texts in row order).

    Args:
        annotation_files: JSON-lines files of scenes.
        out_folder: where both files go.
        encoder: "minilm", or the name or folder of an `AutoModel`.
        threads: CPU threads of torch.
        progress: called with (texts done, texts in all).

    Raises:
        InputError: there is no text, or the encoder's weights are not on this machine.
    """
    import torch

    from g2vlm.features.text_encoders import TextEncoder

    unique = {
        item["text"]
        for path in annotation_files
        for annotation in read_lines(path)
        for field in ("references", "questions", "captions", "phrases")
        for item in annotation.get(field, ())
    }
    texts = sorted(unique)
    if not texts:
        raise InputError(f"{out_folder}: the annotations hold no text to encode; run render first")
    torch.set_num_threads(threads)
    model = TextEncoder(encoder)
    states: list[Any] = [None] * len(texts)  # f16[tokens, C] each
    for done, (row, state) in enumerate(model.states_by_length(texts, _TEXTS_A_BATCH), 1):
        states[row] = state.half()
        if progress:
            progress(done, len(texts))
    pooled = torch.stack([state.float().mean(0) for state in states])  # (n, C)
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
