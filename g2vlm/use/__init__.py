"""Use a trained checkpoint on one's own capture: the public interface, loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Capture": "g2vlm.captures",
    "load_capture": "g2vlm.captures",
    "G2VLMProcessor": "g2vlm.use.processor",
    "G2VLMModel": "g2vlm.use.model",
    "Result": "g2vlm.use.results",
}
__all__ = ["Capture", "G2VLMModel", "G2VLMProcessor", "Result", "load_capture"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module, so that the command line starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
