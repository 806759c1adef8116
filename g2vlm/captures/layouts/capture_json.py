"""A plain folder that describes itself in capture.json.

    {"frames": [{"color": "rgb/0.jpg", "depth": "depth/0.png", "pose": [[4 rows of 4]]}, ...],
     "intrinsics": [fx, fy, cx, cy], "depth_scale": 1000, "up": [0, 1, 0]}

Poses are camera to world in metres, camera axes x right, y down, z forward; null where tracking was
lost. intrinsics are those of the depth images in pixels, with the centre of the first pixel at
(0, 0); a frame may have its own. Matrices may be nested or flat.
depth_scale is stored units a metre. Optional: up (world direction), name of a frame,
color_intrinsics and color_from_depth (4 x 4) where colour is not registered to depth.
"""

from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures.cameras import parse_intrinsics, to_numbers
from g2vlm.captures.files import has, path_inside, read_json
from g2vlm.captures.layout import FrameFiles, Layout, Listing
from g2vlm.captures.poses import LOST, nearest_rigid, pose_matrix
from metrics.files import InputError
from metrics.schemas import short_repr

_KEYS = {"frames", "intrinsics", "depth_scale", "up", "color_intrinsics", "color_from_depth"}
_FRAME_KEYS = {"color", "depth", "pose", "intrinsics", "name"}


class CaptureJson(Layout):
    """capture.json names all files."""

    name = "capture.json"
    priority = 10

    def recognise(self, folder: Path) -> bool:
        return has(folder / "capture.json")

    def read(self, folder: Path) -> Listing:
        path = folder / "capture.json"
        values = read_json(path, folder)
        if not isinstance(values, dict) or not isinstance(values.get("frames"), list):
            raise InputError(f"{path}: no list of frames; write {{'frames': [...], ...}}")
        _check_keys(values, _KEYS, str(path))
        frames = tuple(
            _frame(item, folder, f"{path}: frame {number}")
            for number, item in enumerate(values["frames"])
        )
        scale = values.get("depth_scale")
        if scale is not None and (
            isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < np.inf
        ):
            raise InputError(
                f"{path}: depth_scale {short_repr(scale)} is not a number of stored units a metre; "
                "write e.g. 1000"
            )
        return Listing(
            frames,
            _intrinsics(values, "intrinsics", str(path)),
            scale,
            colour_intrinsics=_intrinsics(values, "color_intrinsics", str(path)),
            colour_from_depth=_colour_from_depth(values, str(path)),
            up=_up(values, str(path)),
        )


def _check_keys(values: dict[str, Any], keys: set[str], source: str) -> None:
    unknown = sorted(set(values) - keys)
    if unknown:
        raise InputError(
            f"{source}: unknown key {short_repr(unknown[0])}; use {', '.join(sorted(keys))}"
        )


def _frame(item: Any, folder: Path, source: str) -> FrameFiles:
    if not isinstance(item, dict) or not {"color", "depth", "pose"} <= set(item):
        raise InputError(f"{source}: needs color, depth and pose; add what is missing")
    _check_keys(item, _FRAME_KEYS, source)
    for key in ("color", "depth", "name"):
        if not isinstance(item.get(key, ""), str):
            raise InputError(f"{source}: {key} {short_repr(item[key])} is not text; write a name")
    return FrameFiles(
        item.get("name", Path(item["color"]).stem),
        path_inside(folder, item["color"], source),
        path_inside(folder, item["depth"], source),
        _pose(item["pose"], "pose", source),
        _intrinsics(item, "intrinsics", source),
    )


def _intrinsics(values: dict[str, Any], key: str, source: str) -> np.ndarray | None:
    return None if values.get(key) is None else parse_intrinsics(values[key], source)


def _colour_from_depth(values: dict[str, Any], source: str) -> np.ndarray | None:
    """Return the optional rigid transform f64[4, 4]."""
    if values.get("color_from_depth") is None:
        return None
    matrix = _pose(values["color_from_depth"], "color_from_depth", source)
    nearest_rigid(matrix, f"{source}: color_from_depth")
    return matrix


def _pose(value: Any, key: str, source: str) -> np.ndarray:
    """Return a pose f64[4, 4], nested or flat; `LOST` for null."""
    if value is None:
        return LOST
    try:
        return pose_matrix(to_numbers(value), f"{source}: {key}")
    except ValueError as error:
        raise InputError(
            f"{source}: {key} is not 4 x 4 numbers ({error}); write nested lists of numbers"
        ) from error


def _up(values: dict[str, Any], source: str) -> np.ndarray | None:
    """Return the optional direction [3]."""
    if values.get("up") is None:
        return None
    try:
        up = to_numbers(values["up"])
    except ValueError:
        up = np.zeros(0)
    if up.shape != (3,):
        raise InputError(f"{source}: up {short_repr(values['up'])} is not 3 numbers; write x, y, z")
    return up
