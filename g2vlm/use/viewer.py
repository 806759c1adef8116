"""The page that shows a result: one file, no network, drawn with WebGL."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np

from g2vlm.use.results import Result

MOST_POINTS = 150_000


def viewer_page(result: Result) -> str:
    """Return the page; what it shows is data in it, never markup."""
    page = (files("g2vlm.use") / "viewer.html").read_text(encoding="utf-8")
    text = json.dumps(scene_data(result), separators=(",", ":"), ensure_ascii=False)
    # No text in the data can end the script element or begin a comment in it.
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return page.replace("{{scene}}", safe)


def scene_data(result: Result) -> dict[str, Any]:
    """Return what the page draws: result.json, points, solids and cameras (millimetres)."""
    cloud = result.cloud
    chosen = np.linspace(0, len(cloud.points) - 1, min(MOST_POINTS, len(cloud.points)))
    chosen = chosen.round().astype(int)
    solids = result.solids
    capture = result.capture
    return result.to_json() | {
        "cloud": {"xyz": _millimetres(cloud.points[chosen]), "rgb": _text(cloud.colours[chosen])},
        "solids": {
            "xyz": _millimetres(solids.vertices),
            "rgb": _text(solids.colours),
            "faces": _text(solids.faces.astype("<u4")),
        },
        "cameras": [_frustum(capture, frame) for frame in range(len(capture))],
    }


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _millimetres(points: np.ndarray) -> str:
    return _text(np.clip(np.round(points * 1000), -32767, 32767).astype("<i2"))


def _frustum(capture: Any, frame: int) -> list[list[float]]:
    """Return the camera's place and the corners of its image 25 cm ahead: 5 positions."""
    width, height = capture.size
    matrix, pose = capture.intrinsics[frame], capture.pose[frame]
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
    local = 0.25 * pixels @ np.linalg.inv(matrix).T
    corners = local @ pose[:3, :3].T + pose[:3, 3]
    return np.round(np.vstack([pose[:3, 3], corners]), 3).tolist()
