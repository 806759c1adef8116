"""The box of an object from its mask: extents of the masked points, completed by a learned head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g2vlm.models.batch import CELL
from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import exact, mlp
from g2vlm.models.state import SceneState

QUANTILES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1.0)
LOW, MIDDLE, HIGH = 1, 5, 9
THINNEST_M = 0.02
# What a face's correction is measured in: the span between the outer quantiles, at least this.
LEAST_SPAN_M = 0.05


def mask_mean(masks: Tensor, values: Tensor) -> Tensor:
    """Weighted mean [B,N,K] of point values [B,P,K] under masks [B,N,P]; 0 for an empty mask."""
    weight = masks / masks.sum(-1, keepdim=True).clamp(min=1e-6)
    with exact(values):
        return weight.float() @ values.float()


@torch.no_grad()
def mask_quantiles(points: Tensor, masks: Tensor) -> Tensor:
    """Weighted quantiles [B,N,3,len(QUANTILES)] of points [B,P,3] under masks [B,N,P].

    The q-quantile is the first point, along the axis, up to which a share q of the mask's weight
    lies. An empty mask gives zeros.
    """
    ordered, index = points.transpose(1, 2).sort(-1)
    count = masks.shape[1]
    spread = index[:, None].expand(-1, count, -1, -1)
    weight = masks[:, :, None].expand(-1, -1, 3, -1).gather(-1, spread)
    total = weight.cumsum(-1)
    share = total.new_tensor(QUANTILES).clamp(min=1e-6, max=1 - 1e-6)
    wanted = (total[..., -1:] * share).contiguous()
    place = torch.searchsorted(total, wanted).clamp(max=points.shape[1] - 1)
    found = ordered[:, None].expand(-1, count, -1, -1).gather(-1, place)
    return found * (total[..., -1:] > 0)


def face_box(low: Tensor, high: Tensor) -> Tensor:
    """Box [...,6] (centre, size) between low and high [...,3]."""
    return torch.cat([(low + high) / 2, (high - low).clamp(min=THINNEST_M)], dim=-1)


def axis_gaps(boxes: Tensor) -> Tensor:
    """Free space [B,N,N,3] between boxes [B,N,6] along each axis, in metres; negative = they
    overlap along it. The norm of its positive part is the distance of the closest points."""
    centre, half = boxes[..., :3], boxes[..., 3:] / 2
    return (centre[:, :, None] - centre[:, None]).abs() - half[:, :, None] - half[:, None]


class BoxHead(nn.Module):
    """Amodal boxes of masks: quantiles of the masked points, moved by a learned correction.

    Quantiles along each axis stand for the visible extent; what is occluded, cut off by the image
    or lost by the sensor is learned from them, from where the cameras stand, from how much of the
    mask touches an image border, and from what the object looks like.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rows, columns = config.height // CELL, config.width // CELL
        self.sees_cameras = config.lifts
        edge = torch.zeros(4, rows, columns)
        edge[0, 0], edge[1, -1], edge[2, :, 0], edge[3, :, -1] = 1, 1, 1, 1
        self.register_buffer("border", edge.flatten(1).T, persistent=False)
        self.shape = 3 * len(QUANTILES) + 3 + 3 + 3 + 1 + 4
        self.look = nn.Linear(config.point_hidden + len(config.classes) + 1, config.point_hidden)
        inner = self.shape + config.point_hidden
        self.face = mlp(inner, 2 * config.point_hidden, config.hidden, 6)
        with torch.no_grad():
            self.face[-1].weight.mul_(0.1)
            self.face[-1].bias.zero_()

    def describe(self, state: SceneState, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the head reads of masks [B,N,P]: [B,N,K], and their extents low, high [B,N,3]."""
        quantiles = mask_quantiles(state.points.detach(), masks)
        low, middle, high = (quantiles[..., place] for place in (LOW, MIDDLE, HIGH))
        camera = torch.zeros_like(middle)
        if self.sees_cameras:
            camera = mask_mean(masks, state.batch.camera) - middle
        size = masks.sum(-1, keepdim=True).log1p()
        border = self.border.repeat(state.batch.pose.shape[1], 1)
        cut = (masks @ border).log1p()
        visible = (quantiles - middle[..., None]).flatten(-2)
        span = (high - low).clamp(min=LEAST_SPAN_M)
        look = torch.cat([state.point_features, state.kinds.detach()], dim=-1)
        shape = [visible, middle / 3, span.log(), camera / 3, size / 4, cut / 2]
        return torch.cat([*shape, mask_mean(masks, look)], dim=-1), low, high

    def complete(self, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Boxes [...,6] from what `describe` read."""
        shape, look = values.split([self.shape, values.shape[-1] - self.shape], dim=-1)
        span = (high - low).clamp(min=LEAST_SPAN_M)
        moved = self.face(torch.cat([shape, self.look(look)], dim=-1))
        moved = moved * torch.cat([span, span], dim=-1)
        return face_box(low - moved[..., :3], high + moved[..., 3:])

    def forward(self, state: SceneState, masks: Tensor, learned: bool) -> Tensor:
        """Boxes [B,N,6] of masks [B,N,P]; without `learned` the visible extents alone."""
        values, low, high = self.describe(state, masks)
        return self.complete(values, low, high) if learned else face_box(low, high)
