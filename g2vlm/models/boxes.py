"""The box of an object from its mask: extents of the masked points, completed by a learned head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g2vlm.models.config import CELL, ModelConfig
from g2vlm.models.layers import Standardise, exact, mlp
from g2vlm.models.state import SceneState
from g2vlm.models.symmetry import SYMMETRIES, Symmetries

QUANTILES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1.0)
LOW, MIDDLE, HIGH = 1, 5, 9
# As thin as the thinnest models; a rug has twice that.
THINNEST_M = 0.004
# What a face's correction is measured in: the span between the outer quantiles, at least this.
LEAST_SPAN_M = 0.05
# A height is the visible span times e to this times a correction, within bounds: of something tall
# no more than a sliver may be seen.
STRETCH = 4.0
STRETCH_BOUNDS = (-5.0, 4.0)
# What the head reads of an object's shape: quantiles along each axis in metres and in spans, their
# middle, the spans, the cameras seen from there, how many points, how many on each image border.
SHAPE = (
    ("along", 3 * len(QUANTILES)),
    ("along", 3 * len(QUANTILES)),
    ("along", 3),
    ("extent", 3),
    ("along", 3),
    ("plain", 1),
    ("border", 4),
)


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


def sides(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high [...,3] of faces [...,6], which hold both of each axis side by side."""
    low, high = faces.unflatten(-1, (3, 2)).unbind(-1)
    return low, high


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
    mask touches an image border, and from what the object looks like. What stands on the floor
    begins there to the millimetre, and heights are stretched, not moved: a rug is thinner than the
    sensor's noise.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rows, columns = config.height // CELL, config.width // CELL
        self.sees_cameras = config.lifts
        edge = torch.zeros(4, rows, columns)
        edge[0, 0], edge[1, -1], edge[2, :, 0], edge[3, :, -1] = 1, 1, 1, 1
        self.register_buffer("border", edge.flatten(1).T, persistent=False)
        self.shape = sum(count for _, count in SHAPE)
        self.standard_shape = Standardise(self.shape)
        self.look = nn.Linear(config.point_hidden + len(config.classes) + 1, config.point_hidden)
        inner = self.shape + config.point_hidden
        self.face = mlp(inner, 2 * config.point_hidden, config.hidden, 7)
        with torch.no_grad():
            self.face[-1].weight.mul_(0.1)
            self.face[-1].bias.zero_()
        self.shapes, self.faces, self.boxes = (
            Symmetries(layout) for layout in (SHAPE, [("along", 6)], [("along", 3), ("extent", 3)])
        )

    def describe(self, state: SceneState, masks: Tensor) -> tuple[Tensor, Tensor]:
        """What the head reads of masks [B,N,P]: [B,N,K], and their visible faces [B,N,6]."""
        quantiles = mask_quantiles(state.points.detach(), masks)
        low, middle, high = (quantiles[..., place] for place in (LOW, MIDDLE, HIGH))
        camera = torch.zeros_like(middle)
        if self.sees_cameras:
            camera = mask_mean(masks, state.batch.camera) - middle
        size = masks.sum(-1, keepdim=True).log1p()
        border = self.border.repeat(state.batch.pose.shape[1], 1)
        cut = (masks @ border).log1p()
        visible = quantiles - middle[..., None]
        span = (high - low).clamp(min=LEAST_SPAN_M)
        relative = (visible / span[..., None]).clamp(-3, 3)
        look = [mask_mean(masks, seen) for seen in (state.point_features, state.kinds.detach())]
        shape = [visible.flatten(-2), relative.flatten(-2), middle / 3, span.log(), camera / 3]
        shape += [size / 4, cut / 2]
        values = torch.cat([*shape, *look], dim=-1)
        return values, torch.stack([low, high], dim=-1).flatten(-2)

    def complete(self, values: Tensor, faces: Tensor) -> Tensor:
        """Boxes [...,6] from what `describe` read."""
        shape, look = self.split(values)
        return self.draw(shape, self.look(look), faces)

    def split(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The shape and the look in what `describe` read [...,K]."""
        return values.split([self.shape, values.shape[-1] - self.shape], dim=-1)

    def draw(self, shape: Tensor, read_look: Tensor, faces: Tensor) -> Tensor:
        """Boxes [...,6] of shapes, looks as the head has read them, and visible faces."""
        low, high = sides(faces)
        span = (high - low).clamp(min=LEAST_SPAN_M)
        moved = self.face(torch.cat([self.standard_shape(shape), read_look], dim=-1))
        down, up, stands = moved.split([3, 3, 1], dim=-1)
        low, high = low - down * span, high + up * span
        bottom = low[..., 2:] * stands.sigmoid()
        top = bottom + span[..., 2:] * (STRETCH * up[..., 2:]).clamp(*STRETCH_BOUNDS).exp()
        low = torch.cat([low[..., :2], bottom], dim=-1)
        high = torch.cat([high[..., :2], top], dim=-1)
        return face_box(low, high)

    def image(self, shape: Tensor, faces: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """The shape and the visible faces in the room under symmetry `which`; looks stay."""
        return self.shapes(shape, which), self.faces(faces, which)

    def settle(self, values: Tensor, faces: Tensor) -> Tensor:
        """The mean of the boxes [...,6] that the eight images of the room give.

        The look is the same in all of them and read once.
        """
        shape, look = self.split(values)
        read_look = self.look(look)
        found = []
        for which in range(SYMMETRIES):
            turned, turned_faces = self.image(shape, faces, which)
            found.append(self.boxes.undo(self.draw(turned, read_look, turned_faces), which))
        return torch.stack(found).mean(0)

    def forward(self, state: SceneState, masks: Tensor, learned: bool) -> Tensor:
        """Boxes [B,N,6] of masks [B,N,P]; without `learned` the visible extents alone."""
        values, faces = self.describe(state, masks)
        if not learned:
            return face_box(*sides(faces))
        return self.complete(values, faces) if self.training else self.settle(values, faces)
