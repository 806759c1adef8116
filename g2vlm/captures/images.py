"""Colour and depth images of a capture, and colour brought onto the depth image's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g2vlm.captures.listing import Listing
from metrics.files import InputError
from metrics.geometry import transform

_SHAPE_TOLERANCE = 0.01
# A depth camera measures nothing nearer than about 0.4 m, and a room's far end is nearer than 15 m:
# a unit is certain when it alone puts the depths between.
_NEAREST_M, _FARTHEST_M = 0.35, 15.0
_UNITS = (1000.0, 5000.0)
_BLANK_SHARE = 0.4


def _open(path: Path):
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; export the capture again") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: unreadable image ({error}); export this frame again") from error
    return image


def read_colour(path: Path) -> np.ndarray:
    """Read u8[H, W, 3] as stored: a rotation tag is ignored, since depth has none."""
    return np.asarray(_open(path).convert("RGB"))


def read_depth(path: Path) -> np.ndarray:
    """Read stored depth [H, W], integers or floats, 0 or not finite = no measurement."""
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: unreadable depth ({error}); export it again") from error
    else:
        values = np.asarray(_open(path))
    if values.ndim != 2 or values.dtype == np.uint8:
        raise InputError(
            f"{path}: a picture of depth ({values.dtype}, {values.ndim} axes), not depth; export "
            "16-bit images of one channel"
        )
    return values


def to_metres(values: np.ndarray, scale: float, invalid: tuple[int, ...]) -> np.ndarray:
    """Return f32[...] metres, 0 = no measurement, from stored depths and units a metre."""
    bad = ~np.isfinite(values) | (values <= 0) | np.isin(values, invalid)
    return np.where(bad, 0, values.astype(np.float32) / np.float32(scale)).astype(np.float32)


def depth_units(values: np.ndarray, source: str) -> float:
    """Return stored units a metre where the values [M] leave one possibility.

    Floats are metres or millimetres, integers millimetres or TUM's fifths of one. Raises
    `InputError` that asks for --depth-scale where none or more than one puts the median between
    0.5 and 8 m.
    """
    valid = values[np.isfinite(values) & (values > 0)]
    if not len(valid):
        raise InputError(f"{source}: its depth images hold no measurement; export them again")
    units = (1.0, 1000.0) if np.issubdtype(values.dtype, np.floating) else _UNITS
    near, median, far = (float(value) for value in np.quantile(valid, [0.02, 0.5, 0.95]))
    fits = [unit for unit in units if near / unit >= _NEAREST_M and far / unit <= _FARTHEST_M]
    if len(fits) == 1:
        return fits[0]
    shown = " or ".join(f"{unit:g} ({median / unit:.2f} m)" for unit in units)
    raise InputError(
        f"{source}: the unit of depth is not certain (median value {median:g}); give --depth-scale "
        f"UNITS_A_METRE, e.g. {shown}"
    )


def register_colour(
    colour: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, listing: Listing, source: str
) -> tuple[np.ndarray, str | None]:
    """Return colour u8[h, w, 3] on depth's pixels f32[h, w] metres, and a note where assumed.

    Raises `InputError` for images of different shapes whose cameras are not known.
    """
    height, width = depth.shape
    if listing.colour_intrinsics is not None:
        return _projected(colour, depth, intrinsics, listing), None
    if colour.shape[:2] == depth.shape:
        return colour, None
    size = f"{colour.shape[1]}x{colour.shape[0]}", f"{width}x{height}"
    if abs(colour.shape[1] * height / (colour.shape[0] * width) - 1) > _SHAPE_TOLERANCE:
        raise InputError(
            f"{source}: colour of {size[0]} is not registered to depth of {size[1]}; write a "
            "capture.json with color_intrinsics (and color_from_depth), or export registered depth"
        )
    from PIL import Image

    resized = Image.fromarray(colour).resize((width, height), Image.Resampling.BOX)
    note = f"Colour of {size[0]} was scaled to depth of {size[1]}, taken as registered."
    return np.asarray(resized), note


def _projected(
    colour: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, listing: Listing
) -> np.ndarray:
    """Look up each depth pixel in the colour camera; black where that does not see it."""
    height, width = depth.shape
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    # A pixel without depth is looked up far away, where the offset of the cameras does not count.
    z = np.where(depth > 0, depth, 10.0)
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    xyz = (pixels @ np.linalg.inv(intrinsics).T) * z[..., None]
    if listing.colour_from_depth is not None:
        xyz = transform(xyz, listing.colour_from_depth)
    seen = xyz @ listing.colour_intrinsics.T
    place = np.floor(seen[..., :2] / np.maximum(seen[..., 2:], 1e-3)).astype(int)
    limit = np.array([colour.shape[1], colour.shape[0]])
    inside = ((place >= 0) & (place < limit)).all(-1) & (seen[..., 2] > 0.05)
    place = np.clip(place, 0, limit - 1)
    return np.where(inside[..., None], colour[place[..., 1], place[..., 0]], 0).astype(np.uint8)


def coloured_part(rgb: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of frames u8[N, H, W, 3] without their blank margins.

    Registration leaves margins where it found no colour: rows or columns from a side inwards, at
    most a twentieth of it, that are mostly pure white or pure black in some frame.
    """
    blank = (rgb == 255).all(-1) | (rgb == 0).all(-1)
    kept = []
    for axis in (1, 2):
        margin = (blank.mean(3 - axis) > _BLANK_SHARE).any(0)
        size, most = len(margin), len(margin) // 20
        first, last = (int(np.argmin(np.append(m[:most], False))) for m in (margin, margin[::-1]))
        kept.append(slice(first, size - last))
    return kept[0], kept[1]
