"""The 3D view that the page of a capture and the report page share.

`viewer.js` holds one WebGL implementation: `Viewer3D.create(canvas, options)`. A page embeds
`script()` in front of the code that calls it, and holds points and triangles as the base64 text
that `encode` and `encode_millimetres` return. This package imports nothing of the project, so that
`g2vlm` and `report` can both use it.
"""

import base64
from importlib.resources import files

import numpy as np

# Positions are int16 millimetres: what is farther from the origin is moved to this distance.
REACH_MM = 32_767


def script() -> str:
    """Return the JavaScript of the 3D view."""
    return files(__name__).joinpath("viewer.js").read_text(encoding="utf-8")


def encode(data: np.ndarray | bytes) -> str:
    """Return bytes, or the bytes of an array, as base64 text."""
    content = data if isinstance(data, bytes) else data.tobytes()
    return base64.b64encode(content).decode("ascii")


def encode_millimetres(points: np.ndarray) -> str:
    """Return points f[N, 3] in metres as base64 text of little-endian int16 millimetres.

    >>> encode_millimetres(np.array([[0.001, 0.0, -0.001]]))
    'AQAAAP//'
    """
    return encode(np.clip(np.round(points * 1000), -REACH_MM, REACH_MM).astype("<i2"))
