"""capture.json: a plain folder that says itself what it holds.

    {"frames": [{"color": "rgb/0.jpg", "depth": "depth/0.png", "pose": [[4 rows of 4]]}, ...],
     "intrinsics": [fx, fy, cx, cy], "depth_scale": 1000, "up": [0, 1, 0]}

Poses are camera-to-world in metres, the camera's axes x right, y down, z forward. intrinsics are
the depth images' in pixels with the first pixel's centre at (0, 0); a frame may have its own.
depth_scale is stored units a metre. Optional: up (world direction), name of a frame,
color_intrinsics and color_from_depth (4 x 4) where colour is not registered to depth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures.cameras import parse_intrinsics
from g2vlm.captures.listing import FrameFiles, Listing
from metrics.files import InputError, read_json

_KEYS = {"frames", "intrinsics", "depth_scale", "up", "color_intrinsics", "color_from_depth"}
_FRAME_KEYS = {"color", "depth", "pose", "intrinsics", "name"}


def read_declared(folder: Path) -> Listing:
    """Read capture.json; raises `InputError` naming the file and the key to mend."""
    path = folder / "capture.json"
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
        raise InputError(f"{path}: no list of frames; write {{'frames': [...], ...}}")
    _known(values, _KEYS, str(path))
    frames = tuple(
        _frame(item, folder, f"{path}: frame {number}")
        for number, item in enumerate(values["frames"])
    )
    scale = values.get("depth_scale")
    if scale is not None and (not isinstance(scale, int | float) or scale <= 0):
        raise InputError(f"{path}: depth_scale {scale!r} is not stored units a metre; mend it")
    own, colour = values.get("intrinsics"), values.get("color_intrinsics")
    return Listing(
        "capture.json",
        frames,
        parse_intrinsics(own, str(path)) if own is not None else None,
        scale,
        colour_intrinsics=parse_intrinsics(colour, str(path)) if colour is not None else None,
        colour_from_depth=_optional(values, "color_from_depth", (4, 4), str(path)),
        up=_optional(values, "up", (3,), str(path)),
    )


def _known(values: dict[str, Any], keys: set[str], source: str) -> None:
    unknown = sorted(set(values) - keys)
    if unknown:
        raise InputError(f"{source}: unknown key {unknown[0]!r}; use {', '.join(sorted(keys))}")


def _frame(item: Any, folder: Path, source: str) -> FrameFiles:
    if not isinstance(item, dict) or not {"color", "depth", "pose"} <= set(item):
        raise InputError(f"{source}: needs color, depth and pose; mend it")
    _known(item, _FRAME_KEYS, source)
    own = item.get("intrinsics")
    return FrameFiles(
        str(item.get("name", Path(str(item["color"])).stem)),
        inside(folder, str(item["color"]), source),
        inside(folder, str(item["depth"]), source),
        _optional(item, "pose", (4, 4), source),
        parse_intrinsics(own, source) if own is not None else None,
    )


def _optional(values: dict[str, Any], key: str, shape: tuple[int, ...], source: str) -> Any:
    if values.get(key) is None:
        return None
    try:
        array = np.array(values[key], float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape:
        size = " x ".join(str(n) for n in shape)
        raise InputError(f"{source}: {key} is not {size} numbers; mend it")
    return array


def inside(folder: Path, name: str, source: str) -> Path:
    """Return the path of a file named in a capture; raises `InputError` if it leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{source}: {name!r} leads out of the capture's folder; copy it in")
    return path
