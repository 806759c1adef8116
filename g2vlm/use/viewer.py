"""The page that displays one result: viewer.html with the data of a capture in it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np

from g2vlm.captures import Capture
from g2vlm.inference.surface import Mesh
from g2vlm.use.surfaces import Cloud
from metrics.geometry import transform
from viewer import encode, encode_millimetres, script

MOST_POINTS = 150_000
_FRUSTUM_M = 0.25


def viewer_page(document: dict[str, Any], capture: Capture, cloud: Cloud, solids: Mesh) -> str:
    """Return the page as HTML.

    Args:
        document: the content of result.json.
        capture: the frames; the page draws their cameras.
        cloud: coloured points; at most 150 000 of them, evenly spaced, go into the page.
        solids: the furniture's volumes.
    """
    page = (files("g2vlm.use") / "viewer.html").read_text(encoding="utf-8")
    data = document | geometry(capture, cloud, solids)
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # Escaped, no text in the data can end the script element or begin a comment in it.
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return page.replace("{{viewer}}", script()).replace("{{scene}}", safe)


def geometry(capture: Capture, cloud: Cloud, solids: Mesh) -> dict[str, Any]:
    """Return points, solids and cameras as base64 arrays; positions are i16 in millimetres."""
    kept = np.linspace(0, len(cloud.points) - 1, min(MOST_POINTS, len(cloud.points)))
    kept = kept.round().astype(int)
    return {
        "cloud": {
            "xyz": encode_millimetres(cloud.points[kept]),
            "rgb": encode(cloud.colours[kept]),
        },
        "solids": {
            "xyz": encode_millimetres(solids.vertices),
            "rgb": encode(solids.colours),
            "faces": encode(solids.faces.astype("<u4")),
        },
        "cameras": [_frustum(capture, frame) for frame in range(len(capture))],
    }


def _frustum(capture: Capture, frame: int) -> list[list[float]]:
    """Return the camera's position and the corners of its image 0.25 m ahead: 5 positions."""
    width, height = capture.size
    matrix, pose = capture.intrinsics[frame], capture.pose[frame]
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
    local = _FRUSTUM_M * pixels @ np.linalg.inv(matrix).T  # (4, 3)
    corners = transform(local, pose)
    return np.round(np.vstack([pose[:3, 3], corners]), 3).tolist()
