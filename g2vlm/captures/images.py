"""Colour and depth images of a capture, and the registration of colour to depth."""

from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.captures.layout import Listing
from metrics.files import InputError
from metrics.geometry import transform

_ASPECT_TOLERANCE = 0.01
# Depth cameras measure nothing nearer than about 0.4 m, and the far end of a room is nearer than
# 15 m: a unit is certain when it alone puts the measurements between.
_NEAREST_M, _FARTHEST_M = 0.35, 15.0
_INTEGER_UNITS = (1000.0, 5000.0)
_FLOAT_UNITS = (1.0, 1000.0)
# Share of pure white or black pixels from which on a row or column is a blank margin.
_BLANK_SHARE = 0.4


def open_image(path: Path) -> Any:
    """Open an image as PIL does: as stored, because depth has no rotation tag."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; export the capture again") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: unreadable image ({error}); export this frame again") from error
    return image


def read_depth(path: Path) -> np.ndarray:
    """Read stored depth [H, W], integers or floats; 0 or not finite = no measurement."""
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: unreadable depth ({error}); export it again") from error
    else:
        values = np.asarray(open_image(path))
    if values.ndim != 2 or values.dtype == np.uint8:
        raise InputError(
            f"{path}: a picture of depth ({values.dtype}, {values.ndim} axes), not depth; export "
            "16-bit images of one channel"
        )
    return values


def depth_unit(values: np.ndarray, source: str) -> float:
    """Return the stored units a metre where the stored depths [M] leave one possibility.

    Floats are metres or millimetres; integers are millimetres or 1/5000 m (TUM).

    Raises:
        InputError: none or both of the units fit a room; the message asks for --depth-scale.
    """
    valid = values[np.isfinite(values) & (values > 0)]
    if not len(valid):
        raise InputError(f"{source}: its depth images hold no measurement; export them again")
    units = _FLOAT_UNITS if np.issubdtype(values.dtype, np.floating) else _INTEGER_UNITS
    near, median, far = (float(value) for value in np.quantile(valid, [0.02, 0.5, 0.95]))
    fits = [unit for unit in units if near / unit >= _NEAREST_M and far / unit <= _FARTHEST_M]
    if len(fits) == 1:
        return fits[0]
    options = " or ".join(f"{unit:g} ({median / unit:.2f} m)" for unit in units)
    raise InputError(
        f"{source}: the unit of depth is not certain (median value {median:g}); give --depth-scale "
        f"UNITS_A_METRE, e.g. {options}"
    )


def register_colour(
    colour: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, listing: Listing, source: str
) -> tuple[np.ndarray, str | None]:
    """Bring colour onto the pixels of depth.

    Args:
        colour: u8[H, W, 3].
        depth: f32[h, w] metres.
        intrinsics: f64[3, 3] of the depth image.
        listing: holds the colour camera, where colour is not registered.
        source: the colour file, for messages.

    Returns:
        Colour u8[h, w, 3], and a note where registration is assumed.

    Raises:
        InputError: the images differ in aspect ratio and the colour camera is unknown.
    """
    height, width = depth.shape
    if listing.colour_intrinsics is not None:
        return _project_colour(colour, depth, intrinsics, listing), None
    if colour.shape[:2] == depth.shape:
        return colour, None
    colour_size = f"{colour.shape[1]}x{colour.shape[0]}"
    depth_size = f"{width}x{height}"
    if abs(colour.shape[1] * height / (colour.shape[0] * width) - 1) > _ASPECT_TOLERANCE:
        raise InputError(
            f"{source}: colour of {colour_size} is not registered to depth of {depth_size}; write "
            "a capture.json with color_intrinsics (and color_from_depth), or export registered "
            "depth"
        )
    from PIL import Image

    resized = Image.fromarray(colour).resize((width, height), Image.Resampling.BOX)
    note = f"Colour of {colour_size} was scaled to depth of {depth_size}, taken as registered."
    return np.asarray(resized), note


def _project_colour(
    colour: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, listing: Listing
) -> np.ndarray:
    """Look up every depth pixel in the colour image; black where the colour camera misses it."""
    height, width = depth.shape
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    # A pixel without depth is looked up at 10 m, where the offset of the cameras hardly matters.
    z = np.where(depth > 0, depth, 10.0)
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)  # (h, w, 3)
    xyz = (pixels @ np.linalg.inv(intrinsics).T) * z[..., None]  # (h, w, 3) depth camera
    if listing.colour_from_depth is not None:
        xyz = transform(xyz, listing.colour_from_depth)  # (h, w, 3) colour camera
    projected = xyz @ listing.colour_intrinsics.T
    # Points behind the colour camera get a tiny depth here and are masked below.
    pixel = np.floor(projected[..., :2] / np.maximum(projected[..., 2:], 1e-3)).astype(int)
    limit = np.array([colour.shape[1], colour.shape[0]])
    inside = ((pixel >= 0) & (pixel < limit)).all(-1) & (projected[..., 2] > 0.05)
    pixel = np.clip(pixel, 0, limit - 1)
    return np.where(inside[..., None], colour[pixel[..., 1], pixel[..., 0]], 0).astype(np.uint8)


def without_margins(rgb: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of frames u8[N, H, W, 3] without their blank margins.

    Registration leaves margins where it had no colour: rows or columns along a side, at most a
    twentieth of the image, that are mostly pure white or pure black in some frame.
    """
    blank = (rgb == 255).all(-1) | (rgb == 0).all(-1)  # (N, H, W)
    kept = []
    for axis in (1, 2):
        is_margin = (blank.mean(3 - axis) > _BLANK_SHARE).any(0)  # (H,) or (W,)
        size = len(is_margin)
        first = _leading_true(is_margin[: size // 20])
        last = _leading_true(is_margin[::-1][: size // 20])
        kept.append(slice(first, size - last))
    return kept[0], kept[1]


def _leading_true(values: np.ndarray) -> int:
    """Return how many values are true before the first false one."""
    return int(np.argmin(np.append(values, False)))
