"""Decode the images of a capture: bounded before memory is used, values as they are stored."""

import math
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from metrics.files import InputError, read_bytes

# Limits of images: file size, pixels and the shorter side. Formats that Pillow may open: others
# run programs or are no photographs.
_LARGEST_FILE = 256 << 20
_MOST_DEPTH_PIXELS, _MOST_COLOUR_PIXELS = 1 << 24, 1 << 26
_LEAST_SIDE = 8
_FORMATS = ("PNG", "JPEG", "PPM", "TIFF", "BMP", "WEBP")
_FIX = "export this frame again"
_NPY = b"\x93NUMPY"
# Magic number, width, height and largest value, with comments between.
_BLANK = rb"(?:[ \t\r\n]|#[^\r\n]*[\r\n])"
_PGM_HEADER = re.compile(
    rb"(P[25])" + (_BLANK + rb"+(\d{1,6})") * 3 + rb"[ \t\r\n]",
)


def read_colour(path: Path, root: Path) -> np.ndarray:
    """Read a colour image of the capture in `root` as u8[H, W, 3], without its rotation tag.

    Images of one channel with 16 bits are scaled to 8.

    Raises:
        InputError: the file cannot be read, or the image is too large or too small.
    """
    image = _open_image(path, read_bytes(path, _FIX, root, _LARGEST_FILE), _MOST_COLOUR_PIXELS)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise InputError(f"{path}: not a colour image ({values.dtype}); {_FIX}")
        # 257 = 65535 / 255. Pillow's own conversion would cut off instead.
        grey = np.round(values / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2)
    try:
        return np.asarray(image.convert("RGB"))
    except ValueError as error:
        raise InputError(f"{path}: colours of mode {image.mode} are not read; {_FIX}") from error


def read_depth(path: Path, root: Path) -> np.ndarray:
    """Read stored depth [H, W] of the capture in `root`, unscaled.

    Returns:
        Numbers of 16 to 64 bits: integers or floats.

    Raises:
        InputError: the file cannot be read, is a picture of depth (8 bits or several channels), or
            the image is too large or too small.
    """
    data = read_bytes(path, _FIX, root, _LARGEST_FILE)
    if data.startswith(_NPY):
        values = _read_npy(path, data)
    elif data[:2] in (b"P2", b"P5"):
        values = _read_pgm(path, data)
    else:
        values = np.asarray(_open_image(path, data, _MOST_DEPTH_PIXELS))
    bits = 8 * values.dtype.itemsize
    if values.ndim != 2 or values.dtype.kind not in "uif" or not 16 <= bits <= 64:
        raise InputError(
            f"{path}: not a depth image ({values.dtype}, {values.ndim} axes); export 16-bit images "
            "of one channel"
        )
    _check_size(path, values.shape, _MOST_DEPTH_PIXELS)
    return values


def _check_size(path: Path, shape: tuple[int, ...], most: int) -> None:
    """Raise `InputError` for an image (rows, columns) of more pixels than `most` or too few."""
    height, width = shape
    if height * width > most or min(height, width) < _LEAST_SIDE:
        raise InputError(
            f"{path}: an image of {width}x{height}; export one of at least {_LEAST_SIDE}x"
            f"{_LEAST_SIDE} and at most {most >> 20} million pixels"
        )


def _open_image(path: Path, data: bytes, most: int) -> Any:
    """Decode an image with Pillow, as stored; the header's size is checked before the pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow warns of sizes that the check below refuses, and of unknown tags.
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(BytesIO(data), formats=_FORMATS)
            _check_size(path, image.size[::-1], most)
            image.load()
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: unreadable image (not {', '.join(_FORMATS)}); {_FIX}") from error
    except Exception as error:
        # Damaged files raise many kinds of errors in Pillow's decoders.
        reason = str(error)[:100] or type(error).__name__
        raise InputError(f"{path}: unreadable image ({reason}); {_FIX}") from error
    return image


def _read_npy(path: Path, data: bytes) -> np.ndarray:
    """Return the array of a NumPy file whose header announces no more than the file holds."""
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = read_header(stream)
    except Exception as error:
        # The header is a Python literal: its parser raises many kinds of errors.
        raise InputError(f"{path}: unreadable depth (a damaged header); {_FIX}") from error
    rest = data[stream.tell() :]
    negative = min(shape, default=0) < 0
    if dtype.hasobject or negative or len(rest) != dtype.itemsize * math.prod(shape):
        raise InputError(
            f"{path}: unreadable depth ({len(rest)} bytes for an array of {shape}, {dtype}); {_FIX}"
        )
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C")


def _read_pgm(path: Path, data: bytes) -> np.ndarray:
    """Return the numbers of a PGM file as they are stored; Pillow would scale them to 65535."""
    header = _PGM_HEADER.match(data)
    if not header:
        raise InputError(f"{path}: unreadable image (a damaged PGM header); {_FIX}")
    width, height, largest = (int(header[k]) for k in (2, 3, 4))
    _check_size(path, (height, width), _MOST_DEPTH_PIXELS)
    dtype = np.dtype("u1" if largest < 256 else ">u2")
    if header[1] == b"P5":
        # One blank ends the header, and the pixels may begin with bytes that look like blanks.
        pixels = data[header.end() : header.end() + width * height * dtype.itemsize]
        values = np.frombuffer(pixels[: len(pixels) // dtype.itemsize * dtype.itemsize], dtype)
    else:
        try:
            with warnings.catch_warnings(action="error"):  # NumPy warns of words among the numbers
                values = np.fromstring(data[header.end() :], np.int64, sep=" ").astype(dtype)
        except (ValueError, DeprecationWarning):
            values = np.zeros(0, dtype)
    if len(values) != width * height or largest > 65535:
        raise InputError(f"{path}: unreadable image (not {width * height} numbers); {_FIX}")
    return values.reshape(height, width)
