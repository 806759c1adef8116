"""Depth in metres and the registration of colour to it."""

from collections.abc import Sequence

import numpy as np

from g2vlm.captures.files import FIX
from g2vlm.captures.layout import Listing
from metrics.constants import NEAREST_M
from metrics.files import InputError
from metrics.geometry import transform

_ASPECT_TOLERANCE = 0.01
# Depth cameras measure nothing nearer than about 0.4 m, and the far end of a room is nearer than
# 15 m: a unit is certain when it alone puts the measurements between.
_NEAREST_M, _FARTHEST_M = 0.35, 15.0
_INTEGER_UNITS = (1000.0, 5000.0)
_FLOAT_UNITS = (1.0, 1000.0)
# Half of a room's surface is nearer than this and farther than that, whatever the unit.
_MEDIAN_M = (0.1, 20.0)
# No room is longer: a measurement beyond is none.
LONGEST_M = 30.0
# 65535, the largest 16-bit number, means "no measurement" in 7-Scenes, 3DMatch and others.
_NO_MEASUREMENT = 65535
# Share of pure white or black pixels from which on a row or column is a blank margin.
_BLANK_SHARE = 0.4


def no_measurement(values: np.ndarray) -> np.ndarray:
    """Return bool[H, W], where stored depth [H, W] holds no measurement.

    That is 0 and below, numbers that are not finite, and 65535 in images of integers.
    """
    missing = ~np.isfinite(values) | (values <= 0)
    if values.dtype.kind in "ui":
        missing |= values == _NO_MEASUREMENT
    return missing


def to_metres(values: np.ndarray, scale: float) -> np.ndarray:
    """Return f32[H, W] metres of stored depth [H, W], 0 where there is no measurement.

    Args:
        values: as stored.
        scale: stored units a metre.
    """
    with np.errstate(over="ignore"):  # what overflows is beyond any room
        metres = values.astype(np.float32) / np.float32(scale)
    missing = no_measurement(values) | ~(metres <= LONGEST_M)
    return np.where(missing, 0, metres).astype(np.float32)


def check_unit(stored: Sequence[np.ndarray], scale: float, source: str) -> None:
    """Check that depth in this unit can be that of a room.

    Args:
        stored: depth images [H, W] as stored.
        scale: stored units a metre.
        source: the capture, for messages.

    Raises:
        InputError: no image holds a measurement, or half of them lie nearer than 0.1 m or farther
            than 20 m; the message offers another unit.
    """
    valid = _sample(stored, source)
    median = float(np.median(valid))
    if _MEDIAN_M[0] <= median / scale <= _MEDIAN_M[1]:
        return
    units = [unit for unit in (1.0, 1000.0, 5000.0) if _NEAREST_M < median / unit < _FARTHEST_M]
    example = f", e.g. {units[0]:g} ({median / units[0]:.2f} m)" if units else ""
    raise InputError(
        f"{source}: its median depth is {median / scale:.3g} m at {scale:g} units a metre; give "
        f"--depth-scale UNITS_A_METRE{example}"
    )


def _sample(stored: Sequence[np.ndarray], source: str) -> np.ndarray:
    """Return the measurements f64[M] of every fourth row and column; refuses none."""
    parts = [image[::4, ::4] for image in stored]
    valid = np.concatenate([part[~no_measurement(part)] for part in parts]).astype(np.float64)
    if not len(valid):
        raise InputError(
            f"{source}: its depth images hold no measurement (0 and 65535 are none); {FIX}"
        )
    return valid


def depth_unit(stored: Sequence[np.ndarray], source: str) -> float:
    """Return the stored units a metre where the depth images [H, W] leave one possibility.

    Floats are metres or millimetres; integers are millimetres or 1/5000 m (TUM). A unit fits a room
    if it puts the 2% quantile of the measurements at 0.35 m or beyond and the 95% quantile at 15 m
    or nearer.

    Raises:
        InputError: none or both of the units fit a room; the message asks for --depth-scale.
    """
    valid = _sample(stored, source)
    units = _FLOAT_UNITS if stored[0].dtype.kind == "f" else _INTEGER_UNITS
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
    inside = ((pixel >= 0) & (pixel < limit)).all(-1) & (projected[..., 2] > NEAREST_M)
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
