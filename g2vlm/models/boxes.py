"""The box of an object from its mask: extents of the masked points, completed by a learned head.

Shapes: B scenes, N objects, P points, F point features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from g2vlm.models.config import CELL, ModelConfig
from g2vlm.models.layers import Standardise, exact, mlp
from g2vlm.models.state import SceneState

QUANTILES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1.0)
# Places in QUANTILES of the visible extent and its middle. The outermost points are often outliers.
LOW, MIDDLE, HIGH = 1, 5, 9
# As thin as the thinnest models; a rug is twice as thick.
THINNEST_M = 0.004
# Corrections are measured in the visible span of an axis, at least this.
LEAST_SPAN_M = 0.05
# A height is the visible span times e to STRETCH times a correction, within bounds: only a sliver
# of a tall object may be visible.
STRETCH = 4.0
STRETCH_BOUNDS = (-5.0, 4.0)
# Bit 0 of a symmetry's number mirrors the first axis, bit 1 the second; bit 2 exchanges them after.
SYMMETRIES = 8
# A row of numbers as runs (kind, length):
# along: [3,n] ascending positions along the axes (n = 1: one position, n = 2: low and high);
# extent: [3] lengths along the axes;
# border: [4] numbers of the top, bottom, left and right image border;
# plain: unchanged.
Layout = Sequence[tuple[str, int]]
# What the head reads of an object's shape (see `Layout`): quantiles along each axis in
# metres and in spans, their middle, the spans, the offset of the cameras, the number of points, and
# the number of points on each image border.
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
    """Return the means [B,N,K] of point values [B,P,K] under masks [B,N,P]; 0 for an empty mask."""
    weight = masks / masks.sum(-1, keepdim=True).clamp(min=1e-6)
    with exact(values):
        return weight.float() @ values.float()


@torch.no_grad()
def mask_quantiles(points: Tensor, masks: Tensor) -> Tensor:
    """Return weighted quantiles of points under masks, along each axis.

    The q-quantile is the first point, along the axis, up to which a share q of the mask's weight
    lies.

    Args:
        points: [B,P,3], metres.
        masks: [B,N,P], 0..1.

    Returns:
        [B,N,3,len(QUANTILES)], zeros for an empty mask.
    """
    ordered, index = points.transpose(1, 2).sort(-1)  # (B, 3, P)
    count = masks.shape[1]
    index = index[:, None].expand(-1, count, -1, -1)  # (B, N, 3, P)
    # Each mask's weights in the order of the points along each axis.
    weight = masks[:, :, None].expand(-1, -1, 3, -1).gather(-1, index)
    total = weight.cumsum(-1)
    share = total.new_tensor(QUANTILES).clamp(min=1e-6, max=1 - 1e-6)
    reached = (total[..., -1:] * share).contiguous()  # (B, N, 3, quantiles)
    place = torch.searchsorted(total, reached).clamp(max=points.shape[1] - 1)
    quantiles = ordered[:, None].expand(-1, count, -1, -1).gather(-1, place)
    return quantiles * (total[..., -1:] > 0)


def split_faces(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Return low and high corners [...,3] of faces [...,6], which hold (low, high) axis by axis."""
    return faces.unflatten(-1, (3, 2)).unbind(-1)


def corner_box(low: Tensor, high: Tensor) -> Tensor:
    """Return boxes [...,6] (centre, size) between low and high corners [...,3]."""
    return torch.cat([(low + high) / 2, (high - low).clamp(min=THINNEST_M)], dim=-1)


def axis_gaps(boxes: Tensor) -> Tensor:
    """Return the gaps [B,N,N,3] between boxes [B,N,6] along each axis, in metres.

    A negative gap is an overlap. The norm of the positive part is the distance of the boxes.
    """
    centre, half = boxes[..., :3], boxes[..., 3:] / 2
    return (centre[:, :, None] - centre[:, None]).abs() - half[:, :, None] - half[:, None]


class Symmetries(nn.Module):
    """Applies the symmetries of a floor plan to rows of numbers [...,K] of one layout.

    A mirrored room, or one with its two level axes exchanged, is again a room. Measurements of an
    object then only change places and signs, so a symmetry is a permutation with signs.

    Example:
        >>> box = Symmetries([("along", 3), ("extent", 3)])
        >>> row = torch.tensor([1.0, 2, 3, 4, 5, 6])
        >>> box(row, 1).tolist(), box(row, 4).tolist()
        ([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 5.0, 4.0, 6.0])
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        # The symmetries of the row 1, 2, ..., K hold both the order and the signs.
        row = torch.arange(1.0, 1 + sum(count for _, count in layout), device="cpu")
        images = torch.stack([_image(row, layout, which) for which in range(SYMMETRIES)])
        self.register_buffer("order", images.abs().long() - 1, persistent=False)
        self.register_buffer("sign", images.sign(), persistent=False)

    def forward(self, rows: Tensor, which: int) -> Tensor:
        """Return `rows` under symmetry number `which`; 0 is the identity."""
        return rows[..., self.order[which]] * self.sign[which]

    def undo(self, rows: Tensor, which: int) -> Tensor:
        """Return `rows` under the inverse of symmetry number `which`."""
        return (rows * self.sign[which])[..., self.order[which].argsort()]


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


class BoxHead(nn.Module):
    """Amodal boxes of masks: the visible extent of the masked points plus a learned correction.

    Quantiles along each axis give the visible extent. The correction predicts what is occluded, cut
    off by the image or lost by the sensor, from those quantiles, the position of the cameras, the
    part of the mask on each image border, and the appearance. An object on the floor begins there
    exactly, and heights are stretched, not shifted, because a rug is thinner than the noise of the
    sensor.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.knows_cameras, self.supervised = config.lifts, config.votes
        border = torch.zeros(4, config.height // CELL, config.width // CELL, device="cpu")
        border[0, 0], border[1, -1], border[2, :, 0], border[3, :, -1] = 1, 1, 1, 1
        self.register_buffer("border", border.flatten(1).T, persistent=False)  # (p, 4)
        self.shape_size = sum(count for _, count in SHAPE)
        self.standard_shape = Standardise(self.shape_size)
        small = config.point_hidden
        self.appearance = nn.Linear(small + len(config.classes) + 1, small)
        self.correction = mlp(self.shape_size + small, 2 * small, config.hidden, 7)
        # Training begins near the visible extent.
        with torch.no_grad():
            self.correction[-1].weight.mul_(0.1)
            self.correction[-1].bias.zero_()
        self.shape_symmetry = Symmetries(SHAPE)
        self.face_symmetry = Symmetries([("along", 6)])
        self.box_symmetry = Symmetries([("along", 3), ("extent", 3)])

    def features(self, state: SceneState, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the head reads of masks [B,N,P].

        Returns:
            features [B,N,K] (shape, then appearance) and visible faces [B,N,6].
        """
        quantiles = mask_quantiles(state.points.detach(), masks)  # (B, N, 3, quantiles)
        low, middle, high = (quantiles[..., place] for place in (LOW, MIDDLE, HIGH))
        camera = torch.zeros_like(middle)  # (B, N, 3), mean camera relative to the object
        if self.knows_cameras:
            camera = mask_mean(masks, state.batch.camera) - middle
        # The border of one view (p, 4), repeated for all views.
        cut_off = (masks @ self.border.repeat(state.batch.pose.shape[1], 1)).log1p()  # (B, N, 4)
        visible = quantiles - middle[..., None]
        span = (high - low).clamp(min=LEAST_SPAN_M)
        features = [
            # The shape, as in SHAPE.
            visible.flatten(-2),
            (visible / span[..., None]).clamp(-3, 3).flatten(-2),
            middle / 3,
            span.log(),
            camera / 3,
            masks.sum(-1, keepdim=True).log1p() / 4,
            cut_off / 2,
            # The appearance.
            mask_mean(masks, state.point_features),
            mask_mean(masks, state.class_probabilities.detach()),
        ]
        return torch.cat(features, dim=-1), torch.stack([low, high], dim=-1).flatten(-2)

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shape and the appearance in the features [...,K]."""
        return features.split([self.shape_size, features.shape[-1] - self.shape_size], dim=-1)

    def predict(self, shape: Tensor, faces: Tensor, appearance: Tensor) -> Tensor:
        """Return boxes [...,6] of shapes, visible faces [...,6] and projected appearances."""
        return self.correct(self.standard_shape(shape), faces, appearance)

    def correct(self, standard_shape: Tensor, faces: Tensor, appearance: Tensor) -> Tensor:
        """Return the boxes of `predict` from shapes that are standardised already."""
        low, high = split_faces(faces)
        span = (high - low).clamp(min=LEAST_SPAN_M)
        moved = self.correction(torch.cat([standard_shape, appearance], dim=-1))
        down, up, above_floor = moved.split([3, 3, 1], dim=-1)
        low, high = low - down * span, high + up * span
        # The floor is z = 0: a gate of 0 places the lower face exactly there.
        bottom = low[..., 2:] * above_floor.sigmoid()
        top = bottom + span[..., 2:] * (STRETCH * up[..., 2:]).clamp(*STRETCH_BOUNDS).exp()
        return corner_box(
            torch.cat([low[..., :2], bottom], dim=-1), torch.cat([high[..., :2], top], dim=-1)
        )

    def transform(self, shape: Tensor, faces: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """Return shape and visible faces in the room under symmetry `which`."""
        return self.shape_symmetry(shape, which), self.face_symmetry(faces, which)

    def predict_symmetric(self, features: Tensor, faces: Tensor) -> Tensor:
        """Return the mean of the boxes [...,6] predicted in the eight symmetric rooms.

        The appearance is the same in all of them and projected once.
        """
        shape, appearance = self.split(features)
        appearance = self.appearance(appearance)
        boxes = []
        for which in range(SYMMETRIES):
            box = self.predict(*self.transform(shape, faces, which), appearance)
            boxes.append(self.box_symmetry.undo(box, which))
        return torch.stack(boxes).mean(0)

    def forward(self, state: SceneState, masks: Tensor) -> Tensor:
        """Return boxes [B,N,6] of the objects under masks [B,N,P] in 0..1.

        A method whose boxes were never supervised returns the visible extents.
        """
        features, faces = self.features(state, masks)
        if not self.supervised:
            return corner_box(*split_faces(faces))
        if not self.training:
            return self.predict_symmetric(features, faces)
        shape, appearance = self.split(features)
        return self.predict(shape, faces, self.appearance(appearance))
