"""The eight symmetries of a floor plan, on numbers that are measured along its axes.

A room in a mirror, or with its two level axes exchanged, is a room again. What is measured of an
object then only changes places and signs: each symmetry is an order and a sign of its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SYMMETRIES = 8
# Runs of numbers: how each changes, and its length. `along` [3,n]: places along the axes, ascending
# (n = 1: one place, n = 2: low and high); `extent` [3]: lengths along the axes; `border` [4]: of an
# image's top, bottom, left and right; `plain`: not at all.
Layout = Sequence[tuple[str, int]]


class Symmetries(nn.Module):
    """Images of rows of numbers [...,K] of a layout.

    >>> box = Symmetries([("along", 3), ("extent", 3)])
    >>> row = torch.tensor([1.0, 2, 3, 4, 5, 6])
    >>> box(row, 1).tolist(), box(row, 4).tolist()
    ([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 5.0, 4.0, 6.0])
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        # Numbered from 1, so that a sign can be read off.
        row = torch.arange(1.0, 1 + sum(count for _, count in layout))
        images = torch.stack([_image(row, layout, which) for which in range(SYMMETRIES)])
        order, sign = images.abs().long() - 1, images.sign()
        back = order.argsort(-1)
        for name, value in {
            "order": order,
            "sign": sign,
            "back_order": back,
            "back_sign": sign.gather(-1, back),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, rows: Tensor, which: int) -> Tensor:
        """The image of `rows` under symmetry `which`; 0 leaves them as they are."""
        return rows[..., self.order[which]] * self.sign[which]

    def undo(self, rows: Tensor, which: int) -> Tensor:
        """The rows whose image under symmetry `which` are `rows`."""
        return rows[..., self.back_order[which]] * self.back_sign[which]


def _image(row: Tensor, layout: Layout, which: int) -> Tensor:
    parts = list(row.split([count for _, count in layout]))
    mirrored = bin(which).count("1") % 2
    for place, (kind, _) in enumerate(layout):
        part = parts[place]
        if kind == "along":
            part = part.view(3, -1).clone()
            for axis in (0, 1):
                if which >> axis & 1:
                    part[axis] = -part[axis].flip(0)
            part = part.flatten()
        if which >> 2 & 1 and kind in ("along", "extent"):
            part = part.view(3, -1)[[1, 0, 2]].flatten()
        if kind == "border" and mirrored:
            part = part[[0, 1, 3, 2]]
        parts[place] = part
    return torch.cat(parts)
