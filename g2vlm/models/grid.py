"""The grids of a view, point cells, patches and groups of patches, and values moved between them.

Each grid is an image of the view. Values [B,V*n,K] of V views are such images with their K channels
last, so that PyTorch's pooling and interpolation read them without a copy.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from g2vlm.models.config import CELL, PATCH
from g2vlm.models.layers import exact

# Cells per patch side, patches per group side.
STEP = PATCH // CELL
COARSE = 2
# (rows, columns)
Size = tuple[int, int]


@dataclass(frozen=True)
class ViewGrid:
    """Rows and columns of a view's p cells, t patches and g groups of 2 x 2 patches.

    The last row or column of patches or groups may reach beyond the view. Means are then taken over
    the part inside.
    """

    cells: Size
    patches: Size
    groups: Size

    def pool(self, values: Tensor) -> Tensor:
        """Return the means [B,V*t,K] of cells' values [B,V*p,K] over each patch."""
        return _means(values, self.cells, STEP)

    def group(self, values: Tensor) -> Tensor:
        """Return the means [B,V*g,K] of patches' values [B,V*t,K] over each group."""
        return _means(values, self.patches, COARSE)

    def spread(self, values: Tensor) -> Tensor:
        """Return patches' values [B,V*t,K] interpolated at cells, [B,V*p,K].

        Interpolation is bilinear between the patches' centres and constant beyond the outer ones.
        """
        with exact(values):
            wide = F.interpolate(_images(values, self.patches), scale_factor=STEP, mode="bilinear")
        return _rows(wide[..., : self.cells[0], : self.cells[1]], len(values))

    def parent(self) -> Tensor:
        """Return the patch i64[p] of each cell."""
        return _parents(self.cells, self.patches[1], STEP)

    def ungroup(self) -> Tensor:
        """Return the group i64[t] of each patch."""
        return _parents(self.patches, self.groups[1], COARSE)


def view_grid(height: int, width: int) -> ViewGrid:
    """Return the grids of views of `height` x `width` pixels."""
    patches = (math.ceil(height / PATCH), math.ceil(width / PATCH))
    groups = (math.ceil(patches[0] / COARSE), math.ceil(patches[1] / COARSE))
    return ViewGrid((height // CELL, width // CELL), patches, groups)


def _images(values: Tensor, size: Size) -> Tensor:
    # (B, V*n, K) to (B*V, K, rows, columns)
    return values.float().unflatten(1, (-1, *size)).flatten(0, 1).permute(0, 3, 1, 2)


def _rows(images: Tensor, batch: int) -> Tensor:
    # The inverse of `_images`.
    return images.permute(0, 2, 3, 1).unflatten(0, (batch, -1)).flatten(1, 3)


def _means(values: Tensor, size: Size, step: int) -> Tensor:
    with exact(values):
        means = F.avg_pool2d(_images(values, size), step, ceil_mode=True, count_include_pad=False)
    return _rows(means, len(values))


def _parents(fine: Size, coarse_columns: int, step: int) -> Tensor:
    rows, columns = (torch.arange(length) // step for length in fine)
    return (rows[:, None] * coarse_columns + columns).flatten()
