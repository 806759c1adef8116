"""Texture images as small mip pyramids, and one flat atlas a scene for vectorised look-up.

A mip pyramid (Williams, "Pyramidal parametrics", SIGGRAPH 1983) holds an image at halving sizes, so
that a pixel that covers many texels reads one that is their mean.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from metrics.files import InputError

# The largest level has at most LARGEST texels a side, the last of LEVELS at most one.
LEVELS = 9
LARGEST = 256


@dataclass(frozen=True)
class Texture:
    """Mip pyramid of an image.

    Args:
        levels: `LEVELS` arrays uint8 [h, w, 4] (sRGB and alpha), largest first.
        cutout: whether some texels are clear.
    """

    levels: tuple[np.ndarray, ...]
    cutout: bool


def read_texture(content: bytes, label: str) -> Texture:
    """Decode an image file into a mip pyramid.

    Args:
        content: of the file.
        label: names the file.

    Raises:
        InputError: the image cannot be decoded.
    """
    try:
        image = Image.open(io.BytesIO(content)).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{label}: unreadable image ({error}); run `make data` again") from error
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
    """All texels of a scene in one array, so that one gather samples any mix of textures.

    Args:
        textures: T of the scene.
    """

    def __init__(self, textures: list[Texture]) -> None:
        self.cutout = np.array([t.cutout for t in textures], bool)
        pieces = [level.reshape(-1, 4) for t in textures for level in t.levels]
        self._texels = np.concatenate(pieces) if pieces else np.zeros((1, 4), np.uint8)
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        # (T, LEVELS): where each level starts in the array of texels.
        self._offset = (np.cumsum(lengths) - lengths).reshape(-1, LEVELS)
        shapes = [level.shape[:2] for t in textures for level in t.levels]
        self.shapes = np.array(shapes, np.int64).reshape(-1, LEVELS, 2)  # height, width

    def sample(self, texture: np.ndarray, uv: np.ndarray, texels: np.ndarray) -> np.ndarray:
        """Sample textures bilinearly within the nearest mip level, with repeating borders.

        Args:
            texture: int [N], which texture.
            uv: float [N, 2] texture coordinates, v upwards.
            texels: float [N], how many texels of the largest level a pixel is wide.

        Returns:
            float32 [N, 4] sRGB and alpha in 0..255.
        """
        # Each level halves the size: a pixel 2^k texels wide reads level k.
        level = np.log2(np.maximum(texels, 1.0)).round().astype(np.int64).clip(0, LEVELS - 1)
        height, width = self.shapes[texture, level].T
        # Rows of an image run downwards, v upwards.
        columns, rows = _neighbours(uv[:, 0], width), _neighbours(-uv[:, 1], height)
        offset = self._offset[texture, level]
        colour = np.zeros((len(texture), 4), np.float32)
        for y, wy in rows:
            row = offset + y * width
            for x, wx in columns:
                colour += self._texels.take(row + x, axis=0) * (wx * wy)[:, None]
        return colour


def _neighbours(place: np.ndarray, size: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the two texels on either side of each place along one axis, and their shares.

    Args:
        place: float [N] in repeats of the image: 0 is one border, 1 the other.
        size: int64 [N] texels a repeat.

    Returns:
        (index int64 [N], share float32 [N]) of the texel before and of the one after.
    """
    x = (place - np.floor(place)) * size - 0.5
    first = np.floor(x).astype(np.int64)
    share = (x - first).astype(np.float32)
    # The first texel is at least -1 and the second at most `size`: comparisons replace a modulo.
    before, after = np.where(first < 0, size - 1, first), np.where(first + 1 >= size, 0, first + 1)
    return (before, 1 - share), (after, share)
