"""Where a network runs."""

from __future__ import annotations

import torch


def device_or_best(device: str | None = None) -> str:
    """Return the torch device that is asked for, or else the GPU where there is one."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
