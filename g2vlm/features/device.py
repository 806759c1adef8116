"""The torch device of a network."""

from __future__ import annotations

import torch


def device_or_best(device: str | None = None) -> str:
    """Return `device`, or by default the GPU where there is one, else the CPU."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
