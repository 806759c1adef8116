"""The geometry encoder: points and patches of posed views become tokens with 3D positions.

Shapes: B scenes, V views, t patches and p points per view, T = V*t, P = V*p, D hidden, F point
features.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.batch import SceneArrays, SceneBatch, stack_scenes
from g2vlm.models.config import ModelConfig
from g2vlm.models.layers import (
    OCTAVES,
    Block,
    GraphLayer,
    GroupedInput,
    Standardise,
    mlp,
    view_grid,
    waves,
)

# Longest wavelength of a position's Fourier features, and their length with the position itself.
LONGEST_M = 16.0
FOURIER = 3 + 2 * 3 * OCTAVES
# Offsets in cells, along rows and columns, at which the depth around a point is read.
WINDOW = (-6, -3, -1, 0, 1, 3, 6)
DEEPEST_STEP_M = 1.0


class Encoder(nn.Module):
    """Per-point features pooled into patches, a two-scale graph over them, and a transformer.

    A switch that removes a group of point inputs leaves a learned constant in its place.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = view_grid(config.height, config.width)
        self.patches = math.prod(self.grid.patches)
        self.register_buffer("parent", self.grid.parent(), persistent=False)
        self.register_buffer("ungroup", self.grid.ungroup(), persistent=False)
        self.register_buffer("window", depth_window(*self.grid.cells), persistent=False)
        width, small = config.hidden, config.point_hidden
        self.groups = GroupedInput(
            {
                "image": config.point_features,
                "rgb": 3,
                "depth": 3,
                "normal": 4,
                "ray": 6,
                "position": 6,
                "partial": 3,
                "shape": len(WINDOW) ** 2 - 1,
            }
        )
        self.standard_tokens = Standardise(config.token_features)
        self.standard_points = Standardise(config.point_features)
        # Mean log depth and position of each patch over the training scenes, for the first view and
        # for the others; predictions from images are offsets from them.
        self.register_buffer("means", torch.zeros(2, self.patches, 4))
        self.positions = GroupedInput({"fourier": FOURIER})
        self.image = mlp(config.token_features, 2 * width, width)
        self.patch_embedding = nn.Parameter(torch.randn(self.patches, width).mul_(0.02))
        # The first camera sets the frame; the others come in any order and number.
        self.first_view = nn.Parameter(torch.randn(width).mul_(0.02))
        self.coarse = mlp(width, small, 4)
        self.local = nn.Linear(self.groups.total, small)
        self.pooled = nn.Linear(small, width)
        self.plain = nn.Linear(self.groups.total, width)
        self.position_embedding = nn.Linear(FOURIER, width)
        self.fine_graph = GraphLayer(width, small, config.neighbours)
        self.coarse_graph = GraphLayer(width, small, config.neighbours)
        self.join_scales = nn.Linear(2 * small, width)
        self.layers = nn.ModuleList(
            [Block(width, config.heads, config.dropout) for _ in range(config.layers)]
        )
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, small)
        self.mix = nn.ModuleList([nn.Linear(small, small), nn.Linear(small, small)])
        self.point_norm = nn.LayerNorm(small)

    def fit(self, scenes: Iterable[tuple[SceneArrays[np.ndarray], np.ndarray]]) -> None:
        """Measure what the network knows of the training scenes before it is trained.

        That is means and deviations of the frozen features, on a tenth of their rows, and `means`.

        Args:
            scenes: inputs, and true depths [P] of the points, metres, 0 = none.
        """
        rows = []
        # Sums over scenes and views of the patches' values, and of the shares with a depth.
        total = torch.zeros(2, self.patches, 5)
        for arrays, depth in scenes:
            # Copies, so that the other rows are not kept.
            rows.append((arrays.tokens[::10].copy(), arrays.features[::10].copy()))
            known = self._depths_and_positions(arrays, torch.from_numpy(depth).float())
            total += torch.stack([known[0], known[1:].sum(0)])
        self.means.copy_(total[..., :4] / total[..., 4:].clamp(min=1e-6))
        standards = (self.standard_tokens, self.standard_points)
        for standard, parts in zip(standards, zip(*rows, strict=True), strict=True):
            standard.fit(torch.from_numpy(np.concatenate(parts)))

    def _depths_and_positions(self, arrays: SceneArrays[np.ndarray], depth: Tensor) -> Tensor:
        """Return log depth / 3 m, position / 3 m and 1 of points with a depth, [V,t,5] by patch."""
        batch = stack_scenes([arrays], self.config)
        valid = (depth > 0).float()[None, :, None]
        xyz = batch.camera + batch.rays * depth[None, :, None]
        log_depth = (depth.clamp(min=1e-3) / 3).log()[None, :, None]
        values = torch.cat([log_depth, xyz / 3, torch.ones_like(valid)], dim=-1) * valid
        return by_view(self.grid.pool(values), self.patches)[0]

    def first_positions(self, batch: SceneBatch, coarse: Tensor) -> Tensor:
        """Return patch positions [B,T,3] before encoding, from the sensor or predicted from images.

        Args:
            batch: the inputs.
            coarse: [B,T,4], log depth / 3 m and position / 3 m predicted from each patch's image.
        """
        if not self.config.lifts:
            return 3 * coarse[..., 1:]
        depth = 3 * coarse[..., :1].clamp(-3, 2).exp()
        camera = batch.pose[:, :, :3, 3].repeat_interleave(self.patches, dim=1)  # (B, T, 3)
        if not self.config.senses:
            return camera + self.grid.pool(batch.rays) * depth
        valid = (batch.depth > 0).float()[..., None]
        lifted = batch.rays * batch.depth[..., None]  # (B, P, 3), relative to the camera
        # One pooling of all three. Points without depth are zero, so the mean over points with a
        # depth is the pooled sum divided by their share.
        ray, point, share = self.grid.pool(torch.cat([batch.rays, lifted, valid], dim=-1)).split(
            (3, 3, 1), dim=-1
        )
        return camera + torch.where(share > 0, point / share.clamp(min=1e-6), ray * depth)

    def point_inputs(self, batch: SceneBatch, token_xyz: Tensor) -> Tensor:
        """Return the inputs [B,P,I] of every point, with constants for groups switched off.

        Args:
            batch: the inputs, standardised.
            token_xyz: [B,T,3], positions of the patches.
        """
        config = self.config
        # Lengths are scaled to about -1..1; flags mark missing values.
        values = {"image": batch.features, "rgb": batch.rgb - 0.5}
        valid = (batch.depth > 0).float()[..., None]
        depth = batch.depth[..., None]
        if config.depth:
            values["depth"] = torch.cat([depth / 3, valid / depth.clamp(min=0.3), valid], dim=-1)
            values["shape"] = self.depth_steps(batch.depth)
        if config.normals:
            has = (batch.normal.abs().sum(-1, keepdim=True) > 0).float()
            values["normal"] = torch.cat([batch.normal, has], dim=-1)
        if config.lifts and not config.two_d:
            values["ray"] = torch.cat([batch.rays, batch.camera / 3], dim=-1)
        if config.positions and config.senses:
            position = batch.camera + batch.rays * depth
            centre = by_view(token_xyz, self.patches)[:, :, self.parent].flatten(1, 2)
            # Within a patch points differ by centimetres, which needs a finer scale.
            local = ((position - centre) * 4).clamp(-4, 4)
            values["position"] = torch.cat([position / 3, local], dim=-1) * valid
        if config.partial and config.lifts:
            partial = batch.partial[..., None]
            has = (partial > 0).float()
            differs = ((partial - depth) * 4).clamp(-2, 2) * has * valid
            # The difference to the sensor's depth would reveal it to a method without depth.
            difference = differs if config.depth else torch.zeros_like(differs)
            values["partial"] = torch.cat([partial / 3, has, difference], dim=-1)
        return self.groups(values)

    def depth_steps(self, depth: Tensor) -> Tensor:
        """Return how much deeper [B,P,48] the cells around each point are, in metres, at most 1.

        This sparse window of the depth image shows where an object ends. Entries are 0 where either
        cell has no depth or the window leaves the view.
        """
        padded = F.pad(depth.unflatten(1, (-1, *self.grid.cells)), (WINDOW[-1],) * 4)
        other = padded.flatten(2)[:, :, self.window].flatten(1, 2)  # (B, P, 48)
        own = depth[..., None]
        known = (other > 0) & (own > 0)
        return ((other - own) * known).clamp(-DEEPEST_STEP_M, DEEPEST_STEP_M)

    def forward(self, batch: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a standardised batch.

        Returns:
            tokens [B,T,D], point features [B,P,F], and the patches' first predictions [B,T,4] of
            log depth and position, from images alone.
        """
        images = by_view(self.image(batch.tokens), self.patches) + self.patch_embedding
        images = torch.cat([images[:, :1] + self.first_view, images[:, 1:]], dim=1).flatten(1, 2)
        coarse = self.coarse(F.gelu(images)).float() + self.view_means(images.shape[1])
        xyz = self.first_positions(batch, coarse).detach()
        inputs = self.point_inputs(batch, xyz)
        local = F.relu(self.local(inputs))
        # The geometry module pools learned features of points into patches, as PointNet does
        # (Qi et al. 2017). Without it, the plain inputs are averaged.
        if self.config.geometry_module:
            tokens = images + self.pooled(self.grid.pool(local))
        else:
            tokens = images + self.plain(self.grid.pool(inputs))
        if self.config.positions:
            fourier = torch.cat([xyz / 4, waves(xyz, LONGEST_M)], dim=-1)
            positions = self.positions({"fourier": fourier})
        else:
            positions = self.positions.absent["fourier"]
        tokens = tokens + self.position_embedding(positions)
        if self.config.geometry_module:
            tokens = tokens + self.message(tokens, xyz)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens)
        # Points take in the patches around them: a residual layer, then normalisation.
        mixed = F.relu(self.mix[0](local) + self.grid.spread(self.down(tokens)))
        return tokens, self.point_norm(mixed + F.relu(self.mix[1](mixed))), coarse

    def view_means(self, count: int) -> Tensor:
        """Return `means` [T,4] of the views of T = `count` patches."""
        others = count // self.patches - 1
        return torch.cat([self.means[:1], self.means[1:].expand(others, -1, -1)]).flatten(0, 1)

    def message(self, tokens: Tensor, xyz: Tensor) -> Tensor:
        """Return messages [B,T,D] among patches and among groups of patches, joined."""
        fine = self.fine_graph(tokens, xyz)  # (B, T, F)
        coarse = self.coarse_graph(self.grid.group(tokens), self.grid.group(xyz))
        coarse = by_view(coarse, math.prod(self.grid.groups))[:, :, self.ungroup].flatten(1, 2)
        return self.join_scales(torch.cat([fine, coarse], dim=-1))


def by_view(values: Tensor, size: int) -> Tensor:
    """Return values [B,V*size,...] as [B,V,size,...]."""
    return values.unflatten(1, (-1, size))


def depth_window(rows: int, columns: int) -> Tensor:
    """Return flat indices i64 [p,48] of the cells around each cell of a view.

    They index the depth image padded by the window's reach on all sides.
    """
    reach, wide = WINDOW[-1], columns + 2 * WINDOW[-1]
    window = [(y, x) for y in WINDOW for x in WINDOW if y or x]
    around = torch.tensor(window, device="cpu") + reach
    y, x = (torch.arange(length, device="cpu") for length in (rows, columns))
    own = y[:, None] * wide + x
    return own.flatten()[:, None] + around[:, 0] * wide + around[:, 1]
