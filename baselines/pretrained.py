"""Open a `transformers` model from a local folder, with one clear error if it does not fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.contract import Context
from g2vlm.run.config import pretrained_folder
from metrics.files import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Pretrained:
    """A frozen model in evaluation mode with the processor that its folder holds."""

    folder: Path
    model: Any
    processor: Any

    @property
    def device(self) -> Any:
        """The device of its weights."""
        return next(self.model.parameters()).device

    @cached_property
    def parameters(self) -> int:
        """The number of its weights."""
        return sum(value.numel() for value in self.model.parameters())

    @cached_property
    def record(self) -> dict[str, str]:
        """The model in a submission: its class and the sha256 of its weights."""
        from g2vlm.features.packages import folder_sha256

        return {
            "model": type(self.model).__name__,
            "weights_sha256": folder_sha256(str(self.folder), {}),
        }

    def inputs(self, **given: Any) -> Any:
        """Return the processor's tensors for its arguments, on the model's device."""
        return self.processor(return_tensors="pt", **given).to(self.device, self.model.dtype)


def open_pretrained(
    context: Context, mapping: str, processor: str, kind: str, half: bool = False
) -> Pretrained:
    """Open the folder that the config's `pretrained` names for the baseline.

    Nothing is downloaded, no code of the folder is run and no pickle is read.

    Args:
        context: the context of the run; its `config` holds `pretrained`.
        mapping: the `transformers` table of the model classes that can be used.
        processor: the `transformers` class that reads the folder's processor.
        kind: such a model in words, for errors.
        half: whether a GPU computes in bfloat16.

    Raises:
        InputError: the folder is missing, holds another kind of model, lacks weights or cannot be
            read.
    """
    folder = pretrained_folder(context.config, context.name)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda and half else torch.float32
    known = getattr(transformers, mapping)
    config = _load(transformers.AutoConfig, folder, "config.json", trust_remote_code=False)
    if type(config) not in known:
        raise InputError(
            f"{folder}: a model of type {config.model_type!r} is not of the right kind ({kind}); "
            f"set pretrained.{context.name} to the folder of another model"
        )
    model, loaded = _load(
        known[type(config)],
        folder,
        "weights (*.safetensors)",
        use_safetensors=True,
        output_loading_info=True,
        dtype=dtype,
    )
    if loaded["missing_keys"]:
        first, *rest = sorted(loaded["missing_keys"])
        raise InputError(
            f"{folder}: its weights lack {first} and {len(rest)} others; save it again"
        )
    part = "processor (preprocessor_config.json, tokenizer)"
    reader = _load(getattr(transformers, processor), folder, part, trust_remote_code=False)
    if processor == "AutoProcessor" and not hasattr(reader, "image_processor"):
        raise InputError(
            f"{folder}: has no processor of images; save the model's processor in the same folder"
        )
    model.eval().requires_grad_(False)
    return Pretrained(folder, model.to("cuda" if cuda else "cpu"), reader)


def _load(kind: Any, folder: Path, part: str, **options: Any) -> Any:
    """Load a part of a model from its folder.

    Raises:
        InputError: `transformers` cannot read it.
    """
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    # Every class fails in its own way on a damaged folder.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: transformers cannot read its {part} ({type(error).__name__}: {reason}); "
            f"save the model and its processor there with save_pretrained"
        ) from error


def to_pil(rgb: np.ndarray | Sequence[np.ndarray]) -> list[Image]:
    """Return images u8[V, H, W, 3] as the PIL images that processors take."""
    from PIL import Image

    return [Image.fromarray(np.ascontiguousarray(view)) for view in rgb]
