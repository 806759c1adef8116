"""Fixed linear maps between a view's point cells, its patches and coarse groups of patches.

Dense matrices, because a product with one is fast, works on every grid (also when the last row of
patches is cut) and has a deterministic gradient on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.batch import CELL, PATCH

COARSE = 2


@dataclass(frozen=True)
class ViewGrid:
    """Cells and patches of one view.

    parent i64[p]: each cell's patch; pool f32[t,p]: mean over a patch's cells; spread f32[p,t]:
    bilinear interpolation from patch centres to cells; group f32[g,t]: mean over 2 x 2 patches;
    ungroup i64[t]: each patch's group.
    """

    cells: tuple[int, int]
    patches: tuple[int, int]
    parent: Tensor
    pool: Tensor
    spread: Tensor
    group: Tensor
    ungroup: Tensor


def view_grid(height: int, width: int) -> ViewGrid:
    """Build the maps for views of `height` x `width` pixels."""
    cells = (height // CELL, width // CELL)
    patches = (math.ceil(height / PATCH), math.ceil(width / PATCH))
    groups = (math.ceil(patches[0] / COARSE), math.ceil(patches[1] / COARSE))
    parent = _parents(cells, patches, PATCH // CELL)
    ungroup = _parents(patches, groups, COARSE)
    spread = np.kron(_interpolation(cells[0], patches[0]), _interpolation(cells[1], patches[1]))
    return ViewGrid(
        cells=cells,
        patches=patches,
        parent=torch.from_numpy(parent),
        pool=_means(parent, patches[0] * patches[1]),
        spread=torch.from_numpy(spread.astype(np.float32)),
        group=_means(ungroup, groups[0] * groups[1]),
        ungroup=torch.from_numpy(ungroup),
    )


def _parents(fine: tuple[int, int], coarse: tuple[int, int], step: int) -> np.ndarray:
    rows = np.minimum(np.arange(fine[0]) // step, coarse[0] - 1)
    columns = np.minimum(np.arange(fine[1]) // step, coarse[1] - 1)
    return (rows[:, None] * coarse[1] + columns).ravel().astype(np.int64)


def _means(parent: np.ndarray, count: int) -> Tensor:
    matrix = (np.arange(count)[:, None] == parent).astype(np.float32)
    return torch.from_numpy(matrix / matrix.sum(1, keepdims=True))


def _interpolation(cells: int, patches: int) -> np.ndarray:
    """Linear weights [cells, patches], held constant beyond the outer patch centres."""
    step = PATCH / CELL
    position = np.clip((np.arange(cells) + 0.5) / step - 0.5, 0, patches - 1)
    low = np.minimum(np.floor(position).astype(int), max(patches - 2, 0))
    matrix = np.zeros((cells, patches))
    matrix[np.arange(cells), low] = 1 - (position - low)
    if patches > 1:
        matrix[np.arange(cells), low + 1] += position - low
    return matrix
