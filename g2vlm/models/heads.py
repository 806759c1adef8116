"""Heads over an encoded scene: pointmap and votes, occupancy, relations, descriptors.

Shapes: B scenes, V views, P points, T patches, N objects, D hidden, F point features, C classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import SceneBatch
from g2vlm.models.boxes import axis_gaps, mask_mean
from g2vlm.models.config import CELL, ModelConfig
from g2vlm.models.layers import (
    GroupedInput,
    Standardise,
    ViewGrid,
    exact,
    linear_of_parts,
    mlp,
    standard,
)
from g2vlm.models.state import RelationLogits, SceneState
from metrics.constants import NEAREST_M
from metrics.scene_graph.predicates import LABELS

# Points that occupancy at a position is computed from.
NEAREST = 4
# Signed distances to the predicted depth are cut off here, as in a TSDF.
TRUNCATION_M = 0.3
# The final depth differs from the sensor's by at most this.
CORRECTION_M = 0.3
# Depth, in metres, at log depth 0.
DEPTH_SCALE_M = 3
# Length of `RelationHead.geometry`.
PAIR = 20
# Sides of boxes are compared from this length on; thinner sides carry no information on a pair.
LEAST_SIDE_M = 0.02
# Initial log scale of inner products of descriptors, and the largest scale.
FIRST_SCALE = 2.5
LARGEST_SCALE = 50.0


class PointHeads(nn.Module):
    """Pointmap, confidence, colour, class and object votes of every point."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        classes = len(config.classes) + 1
        self.sizes = (1, 1, 3, 1, 3, classes)
        self.out = nn.Linear(config.point_hidden, sum(self.sizes))
        self.patch_classes = mlp(config.token_features, 2 * config.hidden, classes)
        self.vote = mlp(config.point_hidden + classes, config.point_hidden, 6)
        self.point_classes = nn.Linear(config.point_features, classes)
        # Training begins near the sensor's depth.
        with torch.no_grad():
            self.out.weight.mul_(0.3)
            self.out.bias.zero_()

    def forward(
        self, features: Tensor, guesses: Tensor, batch: SceneBatch, grid: ViewGrid
    ) -> dict[str, Tensor]:
        """Predict the dense outputs of a scene.

        Args:
            features: [B,P,F], point features.
            guesses: [B,T,4], log depth and position that the encoder predicted from images alone.
            batch: the inputs, standardised.
            grid: interpolates patches at points.

        Returns:
            tensors by their names in `SceneState`.

        Classes are also predicted directly from the frozen features. This shortcut learns within
        few steps what the encoder then refines.
        """
        with exact(features):
            parts = self.out(features.float()).split(self.sizes, dim=-1)
        log_depth, delta, offset, log_error, colour, classes = parts
        # One interpolation of both: (B, T, 4 + C + 1) to (B, P, 4 + C + 1).
        patches = torch.cat([guesses, self.patch_classes(batch.tokens)], dim=-1)
        spread, by_patch = grid.spread(patches).split([4, classes.shape[-1]], dim=-1)
        classes = classes + by_patch + self.point_classes(batch.features)
        probabilities = classes.softmax(-1)
        # Votes know the class, because a sofa's box is larger than a chair's.
        box = linear_of_parts(self.vote[0], features, probabilities.detach())
        box = self.vote[1:](box).float()  # (B, P, 6), offsets of low and high from the point
        image_depth = depth = None
        if self.config.lifts:
            log_depth = spread[..., 0] + log_depth[..., 0]
            depth = image_depth = DEPTH_SCALE_M * log_depth.clamp(-3, 2).exp()
            if self.config.senses:
                corrected = batch.depth + CORRECTION_M * torch.tanh(delta[..., 0])
                depth = torch.where(batch.depth > 0, corrected, image_depth)
            points = batch.camera + batch.rays * depth[..., None]
        else:
            points = DEPTH_SCALE_M * (spread[..., 1:] + offset)
        # Errors of 1 mm to 7 m; training starts at 5 cm.
        error = (log_error[..., 0] - 3).clamp(-7, 2)
        low, high = points.detach()[..., None, :].add(box.unflatten(-1, (2, 3))).unbind(-2)
        # A smooth maximum with 0 keeps a gradient where high is below low.
        size = F.softplus(8 * (high - low)) / 8 + 0.02
        return {
            "points": points,
            "depth": depth,
            "image_depth": image_depth,
            "log_error": error,
            "confidence": (-error.detach().exp() / 0.1).exp(),
            "colours": colour,
            "class_logits": classes,
            "class_probabilities": probabilities,
            "boxes": torch.cat([(low + high) / 2, size], dim=-1),
        }


class PointSearch:
    """Finds the nearest of the points [B,P,3]; on a CPU by search trees, which are built once."""

    def __init__(self, points: Tensor) -> None:
        self._points = points.detach()
        self._trees: list[cKDTree] = []
        if points.device.type == "cpu":
            self._trees = [cKDTree(xyz, balanced_tree=False) for xyz in self._points.numpy()]

    def __call__(self, queries: Tensor, count: int = NEAREST) -> Tensor:
        """Return indices i64 [B,N,count] of the points nearest to queries [B,N,3]."""
        if not self._trees:
            return torch.cdist(queries, self._points).topk(count, largest=False).indices
        clouds = queries.detach().numpy()
        rows = [tree.query(xyz, count)[1] for tree, xyz in zip(self._trees, clouds, strict=True)]
        return torch.from_numpy(np.stack(rows))


@dataclass(frozen=True)
class PointTable:
    """What occupancy at any position reads of a scene's points, computed once.

    Attributes:
        near: [B,P,F+10], for nearest points: the part of their features that is the same for all
            positions, then their position, voted box and probability of being structure.
        views: [B,P,F/2+8], for points that a position is projected onto: their features likewise,
            then their depth, voted box and probability of being structure. None without known rays.
        search: over the points.
    """

    near: Tensor
    views: Tensor | None
    search: PointSearch


class OccupancyHead(nn.Module):
    """Solid or free at any 3D position, from the nearest points and from projections into views."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        small = config.point_hidden
        self.value = nn.Linear(small, small // 2)
        self.neighbour = mlp(small // 2 + 9, small, small)
        self.projection = mlp(small // 2 + 7, small // 2, small // 2)
        self.views = GroupedInput({"projection": small})
        self.out = mlp(3 * small + 4, small, 1)

    def read(self, state: SceneState) -> PointTable:
        """Return what `forward` reads of the points."""
        value = self.value(state.point_features)
        boxes = state.boxes.detach()
        nothing = state.class_probabilities.detach()[..., -1:]
        points = state.points.detach()
        near = torch.cat([self._of_value(self.neighbour, value), points, boxes, nothing], dim=-1)
        views = None
        if self.config.lifts:
            depth = state.depth.detach()[..., None]
            of_value = self._of_value(self.projection, value)
            views = torch.cat([of_value, depth, boxes, nothing], dim=-1)
        return PointTable(near, views, PointSearch(points))

    def _of_value(self, layers: nn.Sequential, value: Tensor) -> Tensor:
        """Return the part of a first layer that depends on the points' values [B,P,F/2] alone."""
        return F.linear(value, layers[0].weight[:, : value.shape[-1]], layers[0].bias)

    def _features(self, layers: nn.Sequential, of_value: Tensor, place: Tensor) -> Tensor:
        """Return layers' outputs for values of points and what else the first layer reads."""
        weight = layers[0].weight[:, self.value.out_features :]
        return F.gelu(layers[1:](of_value + F.linear(place, weight)))

    def forward(self, state: SceneState, xyz: Tensor, table: PointTable | None = None) -> Tensor:
        """Return logits [B,N] of being solid at positions [B,N,3].

        Args:
            state: the encoded scene.
            xyz: [B,N,3], metres.
            table: from `read`, where several calls share it.
        """
        table = table or self.read(state)
        index = table.search(xyz)  # (B, N, 4)
        rows = torch.arange(len(xyz), device=xyz.device)[:, None, None]
        of_value, points, box, nothing = table.near[rows, index].split(
            [self.neighbour[0].out_features, 3, 6, 1], dim=-1
        )
        offset = xyz[:, :, None] - points  # (B, N, 4, 3)
        distance = offset.norm(dim=-1, keepdim=True)
        place = [(offset * 4).clamp(-4, 4), (distance * 4).clamp(max=4)]
        boxes = box_features(box, nothing, xyz[:, :, None])
        near = self._features(self.neighbour, of_value, torch.cat([*place, boxes], dim=-1))
        # Points 10 cm farther than the nearest weigh e times less.
        weight = (-distance / 0.1).softmax(2)
        joined = [(near * weight).sum(2), near.amax(2)]
        if self.config.lifts:
            views = self.views({"projection": self.project(state, table, xyz)})
        else:
            views = self.views.absent["projection"].expand_as(joined[0])
        # Waves of the height resolve table tops and shelves.
        height = xyz[..., 2:] * xyz.new_tensor([0.5, 2.0, 4.0, 8.0])
        height = torch.cat([height[..., :1], height[..., 1:].sin()], dim=-1)
        return self.out(torch.cat([*joined, views, height], dim=-1))[..., 0]

    def project(self, state: SceneState, table: PointTable, xyz: Tensor) -> Tensor:
        """Return features [B,N,F] of positions projected into all views.

        In each view they are the truncated signed distance to the predicted depth, whether the
        position is inside the view, the features of the cell, and the box that it votes for.

        Args:
            state: the encoded scene.
            table: of its points.
            xyz: [B,N,3], positions.
        """
        batch, (rows, columns) = state.batch, state.grid.cells
        turn, origin = batch.pose[:, :, :3, :3], batch.pose[:, :, :3, 3]
        with exact(xyz):
            # Camera coordinates (B, N, V, 3): the transposed rotation of the offset.
            local = torch.einsum("bvij,bnvi->bnvj", turn, xyz[:, :, None] - origin[:, None])
            pixel = torch.einsum("bvij,bnvj->bnvi", batch.intrinsics, local)
        depth = local[..., 2].clamp(min=NEAREST_M)
        cell = (pixel[..., :2] / depth[..., None] / CELL).floor()
        limit = cell.new_tensor([columns, rows])
        inside = ((cell >= 0) & (cell < limit)).all(-1) & (local[..., 2] > NEAREST_M)
        cell = cell.clamp(min=0).minimum(limit - 1).long()
        view = torch.arange(len(turn[0]), device=xyz.device)
        index = (view * rows + cell[..., 1]) * columns + cell[..., 0]  # (B, N, V), points
        which = torch.arange(len(xyz), device=xyz.device)[:, None, None]
        of_value, surface, box, nothing = table.views[which, index].split(
            [self.projection[0].out_features, 1, 6, 1], dim=-1
        )
        gap = (surface - depth[..., None]) / TRUNCATION_M
        inside = inside.float()[..., None]  # (B, N, V, 1)
        boxes = box_features(box, nothing, xyz[:, :, None]) * inside
        place = torch.cat([gap.clamp(-1, 1) * inside, inside, boxes], dim=-1)
        each = self._features(self.projection, of_value, place) * inside
        # Maximum and mean over the views that contain the position.
        return torch.cat([each.amax(2), each.sum(2) / inside.sum(2).clamp(min=1)], dim=-1)


def box_features(box: Tensor, nothing: Tensor, xyz: Tensor) -> Tensor:
    """Return where positions [B,N,1,3] lie in the boxes that K points vote for.

    Args:
        box: [B,N,K,6], the points' boxes.
        nothing: [B,N,K,1], the points' probability of being structure.
        xyz: [B,N,1,3], metres.

    Returns:
        [B,N,K,5]: position in units of the box, whether it is inside, and `nothing`.
    """
    place = ((xyz - box[..., :3]) / box[..., 3:]).clamp(-2, 2)  # -0.5..0.5 inside
    inside = torch.tanh(8 * (0.5 - place.abs().amax(-1, keepdim=True)))
    return torch.cat([place, inside, nothing], dim=-1)


class RelationHead(nn.Module):
    """Relations of object pairs from their features and the geometry of their boxes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        small = config.point_hidden
        self.sizes = [len(labels) for labels in LABELS.values()]
        self.object = mlp(small, small, small)
        self.front = mlp(small, small, 2)
        self.pair = mlp(2 * small + PAIR, 2 * small, small, sum(self.sizes))

    @staticmethod
    def geometry(boxes: Tensor, front: Tensor) -> Tensor:
        """Return features [B,N,N,PAIR] of pairs (i, j) of boxes [B,N,6] with fronts [B,N,2]."""
        centre, size = boxes[..., :3], boxes[..., 3:].clamp(min=LEAST_SIDE_M)
        count = boxes.shape[1]
        offset = centre[:, :, None] - centre[:, None]  # (B, i, j, 3), from j to i
        gap = axis_gaps(boxes)
        apart = gap.clamp(min=0).norm(dim=-1, keepdim=True)  # distance of the closest points
        level = offset[..., :2] / offset[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-3)
        # Unlike `size` this is not clamped: an object on a rug rests on its true top.
        half = boxes[..., 5] / 2
        low, high = centre[..., 2] - half, centre[..., 2] + half
        # Height of i's underside over j's top, and of i's top over j's underside.
        rests = torch.stack(
            [low[:, :, None] - high[:, None], high[:, :, None] - low[:, None]], dim=-1
        )
        volume = size.log().sum(-1)
        aims = F.normalize(front, dim=-1, eps=1e-3)[:, :, None].expand(-1, -1, count, -1)
        return torch.cat(
            [
                offset,
                gap.clamp(-2, 2),
                apart,
                (-apart).exp(),
                level,
                # Above 0 where j lies ahead of or behind i rather than to its side.
                (level[..., :1].abs() - level[..., 1:].abs()) * 2,
                rests,
                (volume[:, :, None] - volume[:, None])[..., None],
                -(aims * level).sum(-1, keepdim=True),  # cosine of i's front and the way to j
                aims,
                size.log()[:, :, None].expand(-1, -1, count, -1),
            ],
            dim=-1,
        )

    def forward(self, pooled: Tensor, boxes: Tensor) -> RelationLogits:
        """Return the logits of all ordered pairs from features [B,N,F] and boxes [B,N,6]."""
        front, objects = self.front(pooled), self.object(pooled)
        count = objects.shape[1]
        first = objects[:, :, None].expand(-1, -1, count, -1)
        second = objects[:, None].expand(-1, count, -1, -1)
        pairs = torch.cat([first, second, self.geometry(boxes, front)], dim=-1)
        families = zip(LABELS, self.pair(pairs).split(self.sizes, dim=-1), strict=True)
        return RelationLogits(dict(families), front)


def pool_scene(state: SceneState) -> Tensor:
    """Return one vector per scene [B,2D+2C+2]: means and maxima of tokens and class probabilities.

    The retrieval head and the linear retrieval probe read it.
    """
    tokens, classes = state.tokens, state.class_probabilities
    pooled = [
        tokens.mean(1),
        tokens.amax(1),
        (classes.mean(1) + 1e-6).sqrt(),
        # Not `amax`: its gradient searches all points for ties, which is slow.
        classes.max(1).values,
    ]
    return torch.cat(pooled, dim=-1)


class Descriptors(nn.Module):
    """Unit-norm embeddings of scenes, objects and sentences in one space."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, size = config.hidden, config.embedding
        classes = len(config.classes) + 1
        pooled = 2 * width + 2 * classes
        self.standard_scene = Standardise(pooled)
        self.scene = nn.Linear(pooled, size)
        self.object = mlp(config.point_hidden + classes + 6, width, size)
        self.standard_text = Standardise(config.text_features)
        self.text = nn.Linear(config.text_features, size)
        self.phrase = mlp(config.text_features, width, size)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))

    @property
    def sharpness(self) -> Tensor:
        """Scale of inner products before the softmax of L_align."""
        return self.scale.exp().clamp(max=LARGEST_SCALE)

    def embed_scene(self, pooled: Tensor) -> Tensor:
        """Return descriptors [B,E] of scenes from pooled features [B,K] (`pool_scene`)."""
        return F.normalize(self.scene(self.standard_scene(pooled)), dim=-1)

    def embed_text(self, pooled: Tensor) -> Tensor:
        """Return descriptors [...,E] of sentences about scenes, from frozen embeddings [...,W]."""
        return F.normalize(self.text(self.standard_text(standard(pooled))), dim=-1)

    def embed_phrase(self, pooled: Tensor) -> Tensor:
        """Return descriptors [...,E] of phrases about objects, from frozen embeddings [...,W]."""
        return F.normalize(self.phrase(standard(pooled)), dim=-1)

    def embed_objects(self, state: SceneState, masks: Tensor, boxes: Tensor) -> Tensor:
        """Return descriptors [B,N,E] of the objects under masks [B,N,P] with boxes [B,N,6]."""
        features = [
            mask_mean(masks, state.point_features),
            mask_mean(masks, state.class_probabilities),
            mask_mean(masks, state.batch.rgb - 0.5),
            boxes[..., 3:].clamp(min=0.02).log(),
        ]
        return F.normalize(self.object(torch.cat(features, dim=-1)), dim=-1)
