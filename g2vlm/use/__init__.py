"""Run a trained checkpoint on your own capture: the public interface, imported on first use."""

from importlib import import_module
from typing import Any

_MODULES = {
    "Capture": "g2vlm.captures",
    "load_capture": "g2vlm.captures",
    "G2VLMProcessor": "g2vlm.use.processor",
    "G2VLMModel": "g2vlm.use.model",
    "Result": "g2vlm.use.results",
}
__all__ = ["Capture", "G2VLMModel", "G2VLMProcessor", "Result", "load_capture"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the command line starts fast."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
