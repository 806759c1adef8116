"""Texture images as small mip pyramids, and one flat atlas a scene for vectorised look-up."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from metrics.files import InputError

LEVELS = 9
LARGEST = 256


@dataclass(frozen=True)
class Texture:
    """Mip levels, largest first: `LEVELS` arrays uint8[h, w, 4] (sRGB and alpha)."""

    levels: tuple[np.ndarray, ...]
    cutout: bool


def read_texture(content: bytes, label: str) -> Texture:
    """Decode an image into a pyramid of at most 256 pixels a side; raises `InputError`."""
    try:
        image = Image.open(io.BytesIO(content)).convert("RGBA")
    except (OSError, ValueError) as error:
        raise InputError(f"{label}: not an image; fetch the catalog again") from error
    scale = min(1.0, LARGEST / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    levels = []
    for level in range(LEVELS):
        shape = (max(1, size[0] >> level), max(1, size[1] >> level))
        if shape != image.size:
            image = image.resize(shape, Image.Resampling.BOX)
        levels.append(np.asarray(image))
    return Texture(tuple(levels), bool(levels[0][..., 3].min() < 128))


class Atlas:
    """All textures of a scene laid end to end, so one gather samples any mix of them."""

    def __init__(self, textures: list[Texture]) -> None:
        self.cutout = np.array([t.cutout for t in textures], bool)
        pieces = [level.reshape(-1, 4) for t in textures for level in t.levels]
        self._texels = np.concatenate(pieces) if pieces else np.zeros((1, 4), np.uint8)
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        self._offset = (np.cumsum(lengths) - lengths).reshape(-1, LEVELS)
        shapes = [level.shape[:2] for t in textures for level in t.levels]
        self.shapes = np.array(shapes, np.int64).reshape(-1, LEVELS, 2)

    def sample(self, texture: np.ndarray, uv: np.ndarray, texels: np.ndarray) -> np.ndarray:
        """Look colours up, bilinearly within the nearest mip level and with repeating borders.

        texture: int[N]; uv: float[N, 2], v upwards; texels: float[N], level-0 texels a pixel
        covers. Returns float32[N, 4] in 0..255.
        """
        level = np.log2(np.maximum(texels, 1.0)).round().astype(np.int64).clip(0, LEVELS - 1)
        height, width = self.shapes[texture, level].T
        columns, rows = _neighbours(uv[:, 0], width), _neighbours(-uv[:, 1], height)
        offset = self._offset[texture, level]
        colour = np.zeros((len(texture), 4), np.float32)
        for y, wy in rows:
            row = offset + y * width
            for x, wx in columns:
                colour += self._texels.take(row + x, axis=0) * (wx * wy)[:, None]
        return colour


def _neighbours(place: np.ndarray, size: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the texels int64[N] before and behind a place, in repeats, with float32[N] shares."""
    x = (place - np.floor(place)) * size - 0.5
    first = np.floor(x).astype(np.int64)
    behind = (x - first).astype(np.float32)
    # Within one repeat the first texel is -1 at the least: comparisons stand in for a division.
    before, after = np.where(first < 0, size - 1, first), np.where(first + 1 >= size, 0, first + 1)
    return (before, 1 - behind), (after, behind)
