"""A plain folder that describes itself in capture.json.

    {"frames": [{"color": "rgb/0.jpg", "depth": "depth/0.png", "pose": [[4 rows of 4]]}, ...],
     "intrinsics": [fx, fy, cx, cy], "depth_scale": 1000, "up": [0, 1, 0]}

Poses are camera to world in metres, camera axes x right, y down, z forward. intrinsics are those of
the depth images in pixels, with the centre of the first pixel at (0, 0); a frame may have its own.
depth_scale is stored units a metre. Optional: up (world direction), name of a frame,
color_intrinsics and color_from_depth (4 x 4) where colour is not registered to depth.
"""

from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures.cameras import parse_intrinsics
from g2vlm.captures.files import path_inside
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from metrics.files import InputError, read_json

_KEYS = {"frames", "intrinsics", "depth_scale", "up", "color_intrinsics", "color_from_depth"}
_FRAME_KEYS = {"color", "depth", "pose", "intrinsics", "name"}


class CaptureJson(Layout):
    """capture.json names all files."""

    name = "capture.json"
    priority = 10

    def recognise(self, folder: Path) -> bool:
        return (folder / "capture.json").is_file()

    def read(self, folder: Path) -> Listing:
        path = folder / "capture.json"
        values = read_json(path)
        if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
            raise InputError(f"{path}: no list of frames; write {{'frames': [...], ...}}")
        _check_keys(values, _KEYS, str(path))
        frames = tuple(
            _frame(item, folder, f"{path}: frame {number}")
            for number, item in enumerate(values["frames"])
        )
        scale = values.get("depth_scale")
        if scale is not None and (not isinstance(scale, int | float) or scale <= 0):
            raise InputError(
                f"{path}: depth_scale {scale!r} is not a number of stored units a metre; write "
                "e.g. 1000"
            )
        return Listing(
            frames,
            _intrinsics(values, "intrinsics", str(path)),
            scale,
            colour_intrinsics=_intrinsics(values, "color_intrinsics", str(path)),
            colour_from_depth=_array(values, "color_from_depth", (4, 4), str(path)),
            up=_array(values, "up", (3,), str(path)),
        )


def _check_keys(values: dict[str, Any], keys: set[str], source: str) -> None:
    unknown = sorted(set(values) - keys)
    if unknown:
        raise InputError(f"{source}: unknown key {unknown[0]!r}; use {', '.join(sorted(keys))}")


def _frame(item: Any, folder: Path, source: str) -> FrameFiles:
    if not isinstance(item, dict) or not {"color", "depth", "pose"} <= set(item):
        raise InputError(f"{source}: needs color, depth and pose; add what is missing")
    _check_keys(item, _FRAME_KEYS, source)
    return FrameFiles(
        str(item.get("name", Path(str(item["color"])).stem)),
        path_inside(folder, str(item["color"]), source),
        path_inside(folder, str(item["depth"]), source),
        _array(item, "pose", (4, 4), source),
        _intrinsics(item, "intrinsics", source),
    )


def _intrinsics(values: dict[str, Any], key: str, source: str) -> np.ndarray | None:
    return None if values.get(key) is None else parse_intrinsics(values[key], source)


def _array(
    values: dict[str, Any], key: str, shape: tuple[int, ...], source: str
) -> np.ndarray | None:
    """Return an optional array of the given shape."""
    if values.get(key) is None:
        return None
    try:
        array = np.array(values[key], float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape:
        size = " x ".join(str(n) for n in shape)
        raise InputError(f"{source}: {key} is not {size} numbers; write nested lists of numbers")
    return array
