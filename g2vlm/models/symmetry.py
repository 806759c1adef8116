"""The eight symmetries of a floor plan, applied to measurements along its axes.

A mirrored room, or one with its two level axes exchanged, is again a room. Measurements of an
object then only change places and signs, so a symmetry is a permutation with signs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Bit 0 of a symmetry's number mirrors the first axis, bit 1 the second; bit 2 exchanges them after.
SYMMETRIES = 8
# A row of numbers as runs (kind, length):
# along: [3,n] ascending positions along the axes (n = 1: one position, n = 2: low and high);
# extent: [3] lengths along the axes;
# border: [4] numbers of the top, bottom, left and right image border;
# plain: unchanged.
Layout = Sequence[tuple[str, int]]


class Symmetries(nn.Module):
    """Applies the symmetries to rows of numbers [...,K] of one layout.

    Example:
        >>> box = Symmetries([("along", 3), ("extent", 3)])
        >>> row = torch.tensor([1.0, 2, 3, 4, 5, 6])
        >>> box(row, 1).tolist(), box(row, 4).tolist()
        ([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 5.0, 4.0, 6.0])
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        # The symmetries of the row 1, 2, ..., K hold both the order and the signs.
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
        """Return `rows` under symmetry number `which`; 0 is the identity."""
        return rows[..., self.order[which]] * self.sign[which]

    def undo(self, rows: Tensor, which: int) -> Tensor:
        """Return `rows` under the inverse of symmetry number `which`."""
        return rows[..., self.back_order[which]] * self.back_sign[which]


def _image(row: Tensor, layout: Layout, which: int) -> Tensor:
    """Return a row under symmetry number `which`."""
    parts = list(row.split([count for _, count in layout]))
    for place, (kind, _) in enumerate(layout):
        part = parts[place]
        if kind == "along":
            part = part.view(3, -1).clone()
            for axis in (0, 1):
                if which >> axis & 1:
                    # Mirrored, the highest position becomes the lowest.
                    part[axis] = -part[axis].flip(0)
            part = part.flatten()
        if which >> 2 & 1 and kind in ("along", "extent"):
            part = part.view(3, -1)[[1, 0, 2]].flatten()
        # An odd number of mirrors and exchanges reflects the image: left and right swap.
        if kind == "border" and which.bit_count() % 2:
            part = part[[0, 1, 3, 2]]
        parts[place] = part
    return torch.cat(parts)
