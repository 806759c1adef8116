"""Heads that read an encoded scene: pointmap and votes, occupancy, relations, descriptors."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import SceneBatch
from g2vlm.models.boxes import axis_gaps, mask_mean
from g2vlm.models.config import CELL, ModelConfig
from g2vlm.models.grid import ViewGrid
from g2vlm.models.layers import GroupedInput, Standardise, exact, mlp, read_side_by_side, standard
from g2vlm.models.state import RelationLogits, SceneState
from metrics.scene_graph.predicates import LABELS

NEAREST = 4
TRUNCATION = 0.3
CORRECTION = 0.3
# Length of what `RelationHead.geometry` says of a pair.
PAIR = 20
# Sides of boxes are compared from here on: what is thinner says nothing more of a pair.
LEAST_SIDE_M = 0.02
# Log of what inner products of descriptors are first multiplied by, and the most they may be.
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
        self.patch_kinds = mlp(config.token_features, 2 * config.hidden, classes)
        self.vote = mlp(config.point_hidden + classes, config.point_hidden, 6)
        self.point_kinds = nn.Linear(config.point_features, classes)
        with torch.no_grad():
            self.out.weight.mul_(0.3)
            self.out.bias.zero_()

    def forward(
        self, features: Tensor, guesses: Tensor, batch: SceneBatch, grid: ViewGrid
    ) -> dict[str, Tensor]:
        """Read features [B,P,F] and the patches' first guesses [B,T,4] that `grid` spreads.

        Returns tensors named as in `SceneState`. Classes are read from the frozen features as
        well: a short way that learns within few steps what the encoder then refines.
        """
        with exact(features):
            parts = self.out(features.float()).split(self.sizes, dim=-1)
        log_depth, delta, offset, log_error, colour, classes = parts
        rays, camera, sensor = batch.rays, batch.camera, batch.depth
        early = torch.cat([guesses, self.patch_kinds(batch.tokens)], dim=-1)
        spread, kinds = grid.spread(early).split([4, classes.shape[-1]], dim=-1)
        classes = classes + kinds + self.point_kinds(batch.features)
        shares = classes.softmax(-1)
        box = read_side_by_side(self.vote[0], features, shares.detach())
        box = self.vote[1:](box).float()
        guess = depth = None
        if self.config.lifts:
            guess = 3 * (spread[..., 0] + log_depth[..., 0]).clamp(-3, 2).exp()
            depth = guess
            if self.config.senses:
                corrected = sensor + CORRECTION * torch.tanh(delta[..., 0])
                depth = torch.where(sensor > 0, corrected, guess)
            points = camera + rays * depth[..., None]
        else:
            points = 3 * (spread[..., 1:] + offset)
        error = (log_error[..., 0] - 3).clamp(-7, 2)
        low, high = points.detach()[..., None, :].add(box.unflatten(-1, (2, 3))).unbind(-2)
        size = F.softplus(8 * (high - low)) / 8 + 0.02
        centre = (low + high) / 2
        return {
            "points": points,
            "depth": depth,
            "guess": guess,
            "log_error": error,
            "confidence": (-error.detach().exp() / 0.1).exp(),
            "colours": colour,
            "class_logits": classes,
            "kinds": shares,
            "centres": centre,
            "boxes": torch.cat([centre, size], dim=-1),
        }


def nearest_points(points: Tensor, queries: Tensor, count: int = NEAREST) -> Tensor:
    """Indices i64[B,N,count] of the points [B,P,3] nearest to queries [B,N,3]."""
    if points.device.type != "cpu":
        return torch.cdist(queries, points).topk(count, largest=False).indices
    pairs = zip(points.detach().numpy(), queries.detach().numpy(), strict=True)
    found = [cKDTree(cloud, balanced_tree=False).query(x, count)[1] for cloud, x in pairs]
    return torch.from_numpy(np.stack(found))


class OccupancyHead(nn.Module):
    """Solid or free at any 3D point, from its nearest points and its projections into the views."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        small = config.point_hidden
        self.value = nn.Linear(small, small // 2)
        self.near = mlp(small // 2 + 9, small, small)
        self.seen = mlp(small // 2 + 7, small // 2, small // 2)
        self.views = GroupedInput({"seen": small})
        self.out = mlp(3 * small + 4, small, 1)

    def box_features(self, state: SceneState, index: Tensor, xyz: Tensor) -> Tensor:
        """Where xyz [B,N,K,3] lies in the boxes voted by points `index` [B,N,K]: [B,N,K,5]."""
        rows = torch.arange(len(index), device=index.device)[:, None, None]
        box = state.boxes.detach()[rows, index]
        place = ((xyz - box[..., :3]) / box[..., 3:]).clamp(-2, 2)
        nothing = state.kinds.detach()[..., -1][rows, index][..., None]
        inside = torch.tanh(8 * (0.5 - place.abs().amax(-1, keepdim=True)))
        return torch.cat([place, inside, nothing], dim=-1)

    def forward(self, state: SceneState, xyz: Tensor) -> Tensor:
        """Logits [B,N] of solid at `xyz` [B,N,3]."""
        value = self.value(state.point_features)
        points = state.points.detach()
        index = nearest_points(points, xyz)
        rows = torch.arange(len(xyz), device=xyz.device)[:, None, None]
        offset = xyz[:, :, None] - points[rows, index]
        distance = offset.norm(dim=-1, keepdim=True)
        place = torch.cat([(offset * 4).clamp(-4, 4), (distance * 4).clamp(max=4)], dim=-1)
        boxes = self.box_features(state, index, xyz[:, :, None])
        near = F.gelu(self.near(torch.cat([value[rows, index], place, boxes], dim=-1)))
        weight = (-distance / 0.1).softmax(2)
        joined = [(near * weight).sum(2), near.amax(2)]
        seen = {"seen": self.project(state, value, xyz)} if self.config.lifts else {}
        known = self.views(seen) if seen else self.views.absent["seen"].expand_as(joined[0])
        height = xyz[..., 2:] * xyz.new_tensor([0.5, 2.0, 4.0, 8.0])
        height = torch.cat([height[..., :1], height[..., 1:].sin()], dim=-1)
        return self.out(torch.cat([*joined, known, height], dim=-1))[..., 0]

    def project(self, state: SceneState, value: Tensor, xyz: Tensor) -> Tensor:
        """Features [B,N,F] of xyz's projections: truncated signed distance, inside, the cell's."""
        batch, (rows, columns) = state.batch, state.grid.cells
        turn, origin = batch.pose[:, :, :3, :3], batch.pose[:, :, :3, 3]
        with exact(xyz):
            local = torch.einsum("bvij,bnvi->bnvj", turn, xyz[:, :, None] - origin[:, None])
            pixel = torch.einsum("bvij,bnvj->bnvi", batch.intrinsics, local)
        depth = local[..., 2].clamp(min=0.05)
        cell = (pixel[..., :2] / depth[..., None] / CELL).floor()
        limit = cell.new_tensor([columns, rows])
        inside = ((cell >= 0) & (cell < limit)).all(-1) & (local[..., 2] > 0.05)
        cell = cell.clamp(min=0).minimum(limit - 1).long()
        view = torch.arange(len(turn[0]), device=xyz.device)
        index = (view * rows + cell[..., 1]) * columns + cell[..., 0]
        which = torch.arange(len(xyz), device=xyz.device)[:, None, None]
        gap = (state.depth.detach()[which, index] - depth) / TRUNCATION
        seen = inside.float()[..., None]
        place = torch.cat([gap.clamp(-1, 1)[..., None] * seen, seen], dim=-1)
        boxes = self.box_features(state, index, xyz[:, :, None]) * seen
        each = F.gelu(self.seen(torch.cat([value[which, index], place, boxes], dim=-1))) * seen
        return torch.cat([each.amax(2), each.sum(2) / seen.sum(2).clamp(min=1)], dim=-1)


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
        """Pair features [B,N,N,PAIR] of boxes [B,N,6] and front directions [B,N,2]."""
        centre, size = boxes[..., :3], boxes[..., 3:].clamp(min=LEAST_SIDE_M)
        count = boxes.shape[1]
        offset = centre[:, :, None] - centre[:, None]
        gap = axis_gaps(boxes)
        apart = gap.clamp(min=0).norm(dim=-1, keepdim=True)
        level = offset[..., :2] / offset[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-3)
        # Unlike `size`, not clamped: what lies on a rug rests on its true top.
        half = boxes[..., 5] / 2
        low, high = centre[..., 2] - half, centre[..., 2] + half
        rests = torch.stack(
            [low[:, :, None] - high[:, None], high[:, :, None] - low[:, None]], dim=-1
        )
        volume = size.log().sum(-1)
        larger = (volume[:, :, None] - volume[:, None])[..., None]
        sides = (level[..., :1].abs() - level[..., 1:].abs()) * 2
        aims = F.normalize(front, dim=-1, eps=1e-3)[:, :, None].expand(-1, -1, count, -1)
        towards = -(aims * level).sum(-1, keepdim=True)
        near = (-apart).exp()
        own = size.log()[:, :, None].expand(-1, -1, count, -1)
        return torch.cat(
            [
                offset,
                gap.clamp(-2, 2),
                apart,
                near,
                level,
                sides,
                rests,
                larger,
                towards,
                aims,
                own,
            ],
            dim=-1,
        )

    def forward(self, pooled: Tensor, boxes: Tensor) -> RelationLogits:
        """Logits of all ordered pairs from pooled features [B,N,F] and boxes [B,N,6]."""
        front = self.front(pooled)
        seen = self.object(pooled)
        count = seen.shape[1]
        first = seen[:, :, None].expand(-1, -1, count, -1)
        second = seen[:, None].expand(-1, count, -1, -1)
        pairs = torch.cat([first, second, self.geometry(boxes, front)], dim=-1)
        families = self.pair(pairs).split(self.sizes, dim=-1)
        return RelationLogits(dict(zip(LABELS, families, strict=True)), front)


def pool_scene(state: SceneState) -> Tensor:
    """What the trunk says of whole scenes [B,D]: tokens and classes, their means and maxima."""
    kinds = state.kinds
    pooled = [state.tokens.mean(1), state.tokens.amax(1)]
    # The gradient of `amax` looks for all that are equal, which over all points takes long.
    pooled += [(kinds.mean(1) + 1e-6).sqrt(), kinds.max(1).values]
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
        """What inner products are multiplied by before the softmax of L_align."""
        return self.scale.exp().clamp(max=LARGEST_SCALE)

    def embed_scene(self, pooled: Tensor) -> Tensor:
        """[B,E] of scenes of which the trunk says `pooled` [B,K] (`pool_scene`)."""
        return F.normalize(self.scene(self.standard_scene(pooled)), dim=-1)

    def embed_text(self, pooled: Tensor) -> Tensor:
        """[...,E] of sentences about scenes, from their frozen embeddings [...,W]."""
        return F.normalize(self.text(self.standard_text(standard(pooled))), dim=-1)

    def embed_objects(self, state: SceneState, masks: Tensor, boxes: Tensor) -> Tensor:
        """[B,N,E] of the objects under masks [B,N,P] with boxes [B,N,6]."""
        seen = [state.point_features, state.kinds, state.batch.rgb - 0.5]
        size = boxes[..., 3:].clamp(min=0.02).log()
        pooled = [mask_mean(masks, values) for values in seen]
        return F.normalize(self.object(torch.cat([*pooled, size], dim=-1)), dim=-1)
