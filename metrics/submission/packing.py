"""Arrays of a submission stored smaller: steps from row to row, deflated.

Neighbouring points, colours and triangles differ little, so their steps compress well. A packed
tensor has the name of its part with `SUFFIX`; its type is fixed by the part.
"""

import zlib

import numpy as np

from metrics.submission.items import MOST_FACES, MOST_POINTS, MOST_VOXELS

SUFFIX = "_zlib"
# Of zlib, 1 to 9. The default, 6, takes three times as long and saves 2% of the bytes.
LEVEL = 4
# The parts that may be packed: type, numbers of a row (0: the array has one axis), most rows.
PARTS = {
    "points": ("<i2", 3, MOST_POINTS),
    "colours": ("u1", 3, MOST_POINTS),
    "pixel_mask": ("u1", 0, MOST_VOXELS // 8),
    "confidence": ("u1", 0, MOST_POINTS),
    "vertices": ("<i2", 3, MOST_POINTS),
    "faces": ("<i4", 3, MOST_FACES),
    "vertex_colours": ("u1", 3, MOST_POINTS),
    "occupancy": ("u1", 0, MOST_VOXELS // 8),
}


def pack(part: str, array: np.ndarray) -> np.ndarray:
    """Return an array as the bytes u8 [n] of its packed tensor.

    Args:
        part: its name, of `PARTS`.
        array: of the part's type and shape.

    Example:
        >>> steps = pack("points", np.array([[1, 2, 3], [1, 2, 4]], np.int16))
        >>> unpack("points", steps).tolist()
        [[1, 2, 3], [1, 2, 4]]
    """
    rows = np.asarray(array, PARTS[part][0])
    steps = rows.copy()
    steps[1:] -= rows[:-1]  # steps beyond the type's range wrap, as their sum does
    return np.frombuffer(zlib.compress(steps.tobytes(), LEVEL), np.uint8)


def unpack(part: str, packed: np.ndarray) -> np.ndarray:
    """Return the array of a packed tensor: [M, 3], or [n] for parts with one axis.

    Args:
        part: its name, of `PARTS`.
        packed: what the file holds.

    Raises:
        ValueError: it is no whole zlib stream of rows of the part, or holds more than a scene may.
    """
    kind, columns, most = PARTS[part]
    row = np.dtype(kind).itemsize * max(columns, 1)
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise ValueError(f"is {packed.dtype} {list(packed.shape)}, not uint8 [n]")
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed.tobytes(), most * row + 1)
    except zlib.error as error:
        raise ValueError(f"is no zlib stream ({error})") from error
    if len(data) > most * row:
        raise ValueError(f"unpacks to more than {most} rows")
    if not stream.eof or stream.unused_data:
        raise ValueError("is a zlib stream that is cut short or followed by more bytes")
    if len(data) % row:
        raise ValueError(f"unpacks to {len(data)} bytes, not to rows of {row}")
    steps = np.frombuffer(data, kind).reshape((-1, columns) if columns else -1)
    return np.cumsum(steps, axis=0, dtype=steps.dtype)
