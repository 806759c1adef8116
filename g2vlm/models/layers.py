"""Building blocks shared by the parts of the network, and the grids of a view.

The grids are point cells, patches and groups of patches. Each is an image of the view. Values
[B,V*n,K] of V views are such images with their K channels last, so that PyTorch's pooling and
interpolation read them without a copy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2vlm.models.config import CELL, PATCH
from metrics.files import rng

# Length of `relative_features`.
RELATIVE = 6
# Wavelengths of `waves`.
OCTAVES = 5
# Cells per patch side, patches per group side.
STEP = PATCH // CELL
COARSE = 2
# (rows, columns)
Size = tuple[int, int]


def mlp(*sizes: int) -> nn.Sequential:
    """Return linear layers of these sizes with GELU between them."""
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def standard(values: Tensor) -> Tensor:
    """Return values [...,K] with mean 0 and standard deviation 1 over the last axis.

    The deviations of frozen features range from 0.05 to 0.7, and small inputs learn slowly.
    """
    return F.layer_norm(values, values.shape[-1:])


def project_words(linear: nn.Linear, states: Tensor, mask: Tensor) -> Tensor:
    """Return standardised word states [...,L,W] after a linear layer, [...,L,D].

    Words where `mask` bool[...,L] is false are zero. Sentences are padded to the longest, so most
    places hold no word, and only real words are computed.
    """
    words = linear(standard(states[mask]))  # (number of real words, D)
    out = words.new_zeros(*mask.shape, words.shape[-1])
    out[mask] = words
    return out


def linear_of_parts(linear: nn.Linear, *parts: Tensor) -> Tensor:
    """Return `linear(torch.cat(parts, -1))` without copying the parts [...,K] together.

    A part that needs no gradient costs none.
    """
    weights = linear.weight.split([part.shape[-1] for part in parts], dim=1)
    out = F.linear(parts[0], weights[0], linear.bias)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        out = out + F.linear(part, weight)
    return out


def exact(values: Tensor) -> torch.autocast:
    """Return a context that computes in float32 within an autocast region.

    bfloat16 would round positions to centimetres.
    """
    return torch.autocast(values.device.type, enabled=False)


class Standardise(nn.Module):
    """Standardises each frozen feature by its mean and deviation over the training data.

    Both are saved with the weights. Before `fit`, features pass unchanged.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, values: Tensor) -> None:
        """Measure mean and deviation of `values` [N, size]; a constant feature keeps its scale."""
        spread, mean = torch.std_mean(values.double(), dim=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-4, spread, torch.ones_like(spread)))

    def forward(self, values: Tensor) -> Tensor:
        """Return features [..., size] standardised and cut off at 8 deviations."""
        return ((values - self.mean) / self.scale).clamp(-8, 8)


def waves(values: Tensor, longest: float) -> Tensor:
    """Return sines and cosines [...,2*OCTAVES*K] of values [...,K] as Fourier features.

    The wavelengths are `longest`, half of that, and so on. They let linear layers resolve both the
    room and a shelf, and the digits of a number.

    Source: Tancik et al. 2020.
    """
    scale = 2 * math.pi / longest * 2.0 ** torch.arange(OCTAVES, device=values.device)
    angle = (values[..., None] * scale).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def relative_features(xyz: Tensor) -> Tensor:
    """Return pairwise features [...,T,T,6] of patch j seen from patch i, from positions [...,T,3].

    They are distance / 3 m, exp(-distance / 1 m), cosine and sine of the horizontal direction, and
    sine and cosine of the elevation.

    Source: the spatial features of ViL3DRel (Chen et al. 2022), with an added proximity term.
    """
    offset = xyz[..., None, :, :] - xyz[..., :, None, :]  # (..., i, j, 3)
    x, y, z = offset.unbind(-1)
    # A small constant keeps the gradient of the root finite for a patch and itself.
    level = x.square() + y.square()
    distance = (level + z.square() + 1e-6).sqrt()
    level = (level + 1e-6).sqrt()
    return torch.stack(
        [
            distance / 3,
            (-distance).exp(),
            x / level,
            y / level,
            z / distance,
            level / distance,
        ],
        dim=-1,
    )


class GroupedInput(nn.Module):
    """Concatenates named groups of inputs; a group that is switched off is a learned constant."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.total = sum(sizes.values())
        self.absent = nn.ParameterDict({k: nn.Parameter(torch.zeros(n)) for k, n in sizes.items()})

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Concatenate `values` {group: [..., size]}; at least one group must be on."""
        lead = next(iter(values.values())).shape[:-1]
        parts = [
            values[name] if name in values else self.absent[name].expand(*lead, size)
            for name, size in self.sizes.items()
        ]
        return torch.cat(parts, dim=-1)


class Attention(nn.Module):
    """Multi-head attention of queries [B,N,D] over keys [B,M,D] with an optional additive bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return [B,N,D]; `bias` broadcasts to [B,heads,N,M]."""
        return self.attend(x, self.read(memory), bias)

    def read(self, memory: Tensor) -> Tensor:
        """Return the keys and values [2,B,heads,M,d] of a memory [B,M,D]."""
        pair = self.key_value(memory).unflatten(-1, (2, self.heads, -1))
        return pair.permute(2, 0, 3, 1, 4)

    def attend(self, x: Tensor, pair: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the attention [B,N,D] of queries over keys and values from `read`."""
        batch, length, width = x.shape
        query = self.query(x).view(batch, length, self.heads, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, *pair, bias)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Dropout(nn.Module):
    """Dropout with a generator of its own, which `seed_dropout` seeds by the module's name.

    A variant of the network that skips some modules then draws the same masks in the others.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self._generator = torch.Generator()

    def seed(self, number: int, device: torch.device) -> None:
        """Begin a new stream of masks for tensors on `device`."""
        self._generator = torch.Generator(device).manual_seed(number)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with a share of its entries zero and the others scaled up, in training."""
        if not self.training or not self.rate:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.rate, generator=self._generator)
        return x * kept.div_(max(1 - self.rate, 1e-6))


def seed_dropout(module: nn.Module, seed: int, key: str) -> None:
    """Seed every `Dropout` in a module by its name, the seed and the key of a step or a fit."""
    device = next(module.parameters()).device
    for name, part in module.named_modules():
        if isinstance(part, Dropout):
            part.seed(int(rng(seed, f"dropout {key}", name).integers(2**62)), device)


class Block(nn.Module):
    """Pre-norm transformer layer over one set."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, heads)
        self.feed = mlp(width, 2 * width, width)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the updated set [B,N,D]."""
        inner = self.norms[0](x)
        x = x + self.drop(self.attention(inner, inner))
        return x + self.drop(self.feed(self.norms[1](x)))


class GraphLayer(nn.Module):
    """Message passing over the k nearest neighbours, with relative offsets as edge features.

    The first layer of the edge convolution is split into a part for nodes and one for edges, so
    that nodes are projected once and not once per edge.

    Source: EdgeConv of Wang et al. 2019.
    """

    def __init__(self, width: int, message: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.norm = nn.LayerNorm(width)
        self.nodes = nn.Linear(width, 2 * message)
        self.edge = nn.Linear(4, message, bias=False)

    def forward(self, x: Tensor, xyz: Tensor) -> Tensor:
        """Return messages [B,T,message] for nodes [B,T,D] at positions [B,T,3]."""
        count = min(self.neighbours, xyz.shape[1])
        near = torch.cdist(xyz, xyz).topk(count, largest=False).indices  # (B, T, k)
        rows = torch.arange(len(x), device=x.device)[:, None, None]
        offset = xyz[rows, near] - xyz[:, :, None]  # (B, T, k, 3)
        edge = torch.cat([offset, offset.norm(dim=-1, keepdim=True)], dim=-1)
        own, other = self.nodes(self.norm(x)).chunk(2, dim=-1)
        # Maximum over neighbours, (B, T, message).
        return F.gelu((other[rows, near] + self.edge(edge)).amax(2) + own)


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
    rows, columns = (torch.arange(length, device="cpu") // step for length in fine)
    return (rows[:, None] * coarse_columns + columns).flatten()
