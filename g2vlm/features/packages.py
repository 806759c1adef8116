"""The weights of frozen models, located without importing their packages, and the torch device."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch

from metrics.files import InputError, sha256_file


def package_file(package: str, ending: str) -> Path:
    """Return the file of an installed package whose path has this ending.

    Raises:
        InputError: the package or the file is not installed.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise InputError(f"{package}: package not installed; run `make env`") from error
    for file in files:
        if str(file).endswith(ending):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise InputError(f"{package}: holds no {ending}; reinstall it")


def load_frozen(kind: Any, name: str, fault: str) -> torch.nn.Module:
    """Return a `transformers` model from a folder or the local cache, with all of its weights.

    Only safetensors files are read: a pickled checkpoint can run code when it is loaded.

    Args:
        kind: the model class, or an `AutoModel`.
        name: the folder or the cached name.
        fault: what to print after the name where it is no such model.

    Raises:
        InputError: it is no such model, or its checkpoint lacks weights, which `transformers` would
            draw at random.
    """
    try:
        model, loaded = kind.from_pretrained(
            name, local_files_only=True, output_loading_info=True, use_safetensors=True
        )
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise InputError(f"{name}: {fault}") from error
    # Many text models are published without a pooler, whose output is not used here.
    missing = sorted(key for key in loaded["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise InputError(
            f"{name}: the checkpoint lacks {len(missing)} of the model's tensors, such as "
            f"{missing[0]}; give a folder with all weights"
        )
    return model


def folder_sha256(name: str, state: dict[str, torch.Tensor]) -> str:
    """Return the sha256 of a model's weights: of the files in folder `name`, or of its tensors."""
    digest = hashlib.sha256()
    folder = Path(name)
    if folder.is_dir():
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(sha256_file(path).encode())
    else:
        for key, tensor in sorted(state.items()):
            digest.update(key.encode())
            digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def device_or_best(device: str | None = None) -> str:
    """Return `device`, or by default the GPU where there is one, else the CPU."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
