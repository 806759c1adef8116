"""Scenes and sentences as tensors: what the network reads, and nothing a method may not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.config import CELL, ModelConfig
from metrics.files import InputError
from metrics.geometry import to_camera

PATCH = 16


@dataclass(frozen=True)
class SceneArrays:
    """One scene's inputs, one row a point (V views of h x w cells of 4 x 4 pixels, P = V*h*w).

    tokens f16[T,416]; features f16[P,96]; rgb f32[P,3] in 0..1; depth f32[P] metres (0 = none) at
    the cell's centre pixel; normal f32[P,3] in the frame (0 = none); partial f32[P] metres, depth
    of the nearest partial point that falls into the cell (0 = none); intrinsics f32[V,3,3];
    pose f32[V,4,4] camera-to-frame.
    """

    scene: str
    tokens: np.ndarray
    features: np.ndarray
    rgb: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    partial: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class SceneBatch:
    """B scenes of `SceneArrays`, stacked, with the point's rays.

    rays f32[B,P,3]: frame direction of the point's pixel for a z-depth of 1 m; camera f32[B,P,3]:
    the camera's position. The other fields are those of `SceneArrays` with a leading B, in f32.
    """

    scenes: tuple[str, ...]
    tokens: Tensor
    features: Tensor
    rgb: Tensor
    depth: Tensor
    normal: Tensor
    partial: Tensor
    intrinsics: Tensor
    pose: Tensor
    rays: Tensor
    camera: Tensor

    def to(self, device: torch.device | str) -> SceneBatch:
        """Return the batch on another device."""
        return replace(self, **_moved(self, device))


@dataclass(frozen=True)
class TextBatch:
    """Q sentences for each of B scenes: states f32[B,Q,L,384], mask bool[B,Q,L] (true = a token),
    pooled f32[B,Q,384], present bool[B,Q] (false = padding)."""

    states: Tensor
    mask: Tensor
    pooled: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> TextBatch:
        """Return the batch on another device."""
        return replace(self, **_moved(self, device))


def _moved(batch: Any, device: torch.device | str) -> dict[str, Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)}


def centre_pixels(values: np.ndarray) -> np.ndarray:
    """Take [V,H,W,...] at the pixel (4r+2, 4c+2) of every cell: [V,h,w,...]."""
    return values[:, CELL // 2 :: CELL, CELL // 2 :: CELL]


def cell_pixels(values: np.ndarray) -> np.ndarray:
    """Group [V,H,W] by cells: [V,h,w,16]."""
    views, height, width = values.shape
    cells = values.reshape(views, height // CELL, CELL, width // CELL, CELL)
    return cells.transpose(0, 1, 3, 2, 4).reshape(views, height // CELL, width // CELL, -1)


def cell_depth(depth: np.ndarray) -> np.ndarray:
    """Depth of each cell's centre pixel, or the lower median of the cell where it has none.

    `depth` f32[V,H,W] metres, 0 = none; returns f32[V,h,w], 0 where the whole cell has none.
    """
    centre = centre_pixels(depth)
    cells = np.sort(np.where(cell_pixels(depth) > 0, cell_pixels(depth), np.inf), axis=-1)
    count = np.isfinite(cells).sum(-1)
    median = np.take_along_axis(cells, np.maximum(count - 1, 0)[..., None] // 2, -1)[..., 0]
    return np.where(centre > 0, centre, np.where(count > 0, median, 0)).astype(np.float32)


def pixel_rays(intrinsics: Tensor, pose: Tensor, height: int, width: int, step: int = CELL):
    """Frame directions for a z-depth of 1 m: f32[...,V,h,w,3] at pixel centres, every `step` px.

    `intrinsics` [...,V,3,3], `pose` [...,V,4,4]. With step 1 every pixel has its ray.
    """
    offset = step // 2 + 0.5
    rows = torch.arange(height // step, dtype=pose.dtype, device=pose.device) * step + offset
    columns = torch.arange(width // step, dtype=pose.dtype, device=pose.device) * step + offset
    focal = intrinsics[..., None, None, [0, 1], [0, 1]]
    centre = intrinsics[..., None, None, :2, 2]
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    camera = torch.cat(
        [(pixels - centre) / focal, torch.ones_like((pixels - centre)[..., :1])], dim=-1
    )
    return torch.einsum("...vij,...vhwj->...vhwi", pose[..., :3, :3], camera)


def depth_normals(depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Normals f32[V,h,w,3] in the frame, towards the camera, from cell depths; 0 = none.

    Central differences of the lifted neighbours. Inverse depth is linear over a plane in the image:
    a cell where it bends by more than 4% across its neighbours lies on an edge and gets none.
    """
    size = [CELL * side for side in depth.shape[1:]]
    rays = pixel_rays(torch.from_numpy(intrinsics), torch.from_numpy(pose), *size).numpy()
    points = rays * depth[..., None]
    normal = np.zeros_like(points)
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    cross = np.cross(down, across)
    length = np.linalg.norm(cross, axis=-1, keepdims=True)
    inverse = 1 / np.maximum(depth, 1e-3)
    middle = inverse[:, 1:-1, 1:-1]
    bends = [
        inverse[:, 1:-1, 2:] + inverse[:, 1:-1, :-2] - 2 * middle,
        inverse[:, 2:, 1:-1] + inverse[:, :-2, 1:-1] - 2 * middle,
    ]
    smooth = (depth[:, 1:-1, 1:-1] > 0) & (length[..., 0] > 1e-9)
    for bend in bends:
        smooth &= np.abs(bend) < 0.04 * middle
    unit = cross / np.maximum(length, 1e-9)
    away = np.sum(unit * rays[:, 1:-1, 1:-1], axis=-1, keepdims=True) > 0
    normal[:, 1:-1, 1:-1] = np.where(smooth[..., None], np.where(away, -unit, unit), 0)
    return normal.astype(np.float32)


def partial_depth(
    partial: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """Depth f32[V,h,w] of the nearest partial point that projects into each cell; 0 = none."""
    out = np.full((len(pose), *grid), np.inf, np.float32)
    for view, (camera, matrix) in enumerate(zip(pose, intrinsics, strict=True)):
        local = to_camera(partial[:, :3], camera)
        ahead = local[:, 2] > 0.05
        pixel = local[ahead] @ matrix.T
        cell = np.floor(pixel[:, :2] / pixel[:, 2:] / CELL).astype(int)
        inside = ((cell >= 0) & (cell < np.array(grid[::-1]))).all(1)
        where = (cell[inside, 1], cell[inside, 0])
        np.minimum.at(out[view], where, local[ahead][inside, 2])
    return np.where(np.isfinite(out), out, 0).astype(np.float32)


def scene_arrays(inputs: Any, tokens: np.ndarray, features: np.ndarray) -> SceneArrays:
    """Prepare one scene: `inputs` is a SceneInputs, `tokens` [4,T,416], `features` [4,P,96]."""
    depth = cell_depth(np.asarray(inputs.depth, np.float32))
    grid = depth.shape[1:]
    if features.shape[1] != grid[0] * grid[1]:
        raise InputError(
            f"{inputs.scene}: {features.shape[1]} point features a view for {grid[0]} x {grid[1]} "
            "cells; run the encode stage again"
        )
    intrinsics = np.asarray(inputs.intrinsics, np.float32)
    pose = np.asarray(inputs.pose, np.float32)
    colour = np.stack([cell_pixels(inputs.rgb[..., i]).mean(-1) for i in range(3)], -1) / 255
    return SceneArrays(
        scene=inputs.scene,
        tokens=np.ascontiguousarray(tokens.reshape(-1, tokens.shape[-1])),
        features=np.ascontiguousarray(features.reshape(-1, features.shape[-1])),
        rgb=colour.reshape(-1, 3).astype(np.float32),
        depth=depth.reshape(-1),
        normal=depth_normals(depth, intrinsics, pose).reshape(-1, 3),
        partial=partial_depth(np.asarray(inputs.partial), intrinsics, pose, grid).reshape(-1),
        intrinsics=intrinsics,
        pose=pose,
    )


def stack_scenes(arrays: Sequence[SceneArrays], config: ModelConfig) -> SceneBatch:
    """Stack prepared scenes of one image size into a batch."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(one, name) for one in arrays])).float()

    names = [field.name for field in fields(SceneArrays) if field.name != "scene"]
    values = {name: stacked(name) for name in names}
    pose = values["pose"]
    rays = pixel_rays(values["intrinsics"], pose, config.height, config.width)
    camera = pose[:, :, None, None, :3, 3].expand_as(rays)
    return SceneBatch(
        scenes=tuple(one.scene for one in arrays),
        rays=rays.flatten(1, 3),
        camera=camera.flatten(1, 3),
        **values,
    )


def build_batch(inputs: Sequence[Any], features: Sequence[Any], config: ModelConfig) -> SceneBatch:
    """Make a batch of SceneInputs and their cached `SceneFeatures`."""
    for one in inputs:
        if one.rgb.shape[1:3] != (config.height, config.width):
            raise InputError(
                f"{one.scene}: views of {one.rgb.shape[2]}x{one.rgb.shape[1]} pixels for a model "
                f"of {config.width}x{config.height}; render or train at one size"
            )
    pairs = zip(inputs, features, strict=True)
    return stack_scenes([scene_arrays(one, f.tokens, f.points) for one, f in pairs], config)


def object_masks(gt_masks: np.ndarray, count: int) -> np.ndarray:
    """Share of each point's cell that every given object covers: f32[count,P].

    `gt_masks` u8[V,H,W]: 0 none, 1+k = the k-th given object.
    """
    cells = cell_pixels(gt_masks).reshape(-1, CELL * CELL)
    kinds = np.arange(1, count + 1)[:, None, None]
    return (cells[None] == kinds).mean(-1, dtype=np.float32)


def build_text(features: Any, texts: Sequence[Sequence[str]]) -> TextBatch:
    """Pad sentences to a batch: `texts[b]` are the sentences of scene b, looked up in a
    `TextFeatures`.

    A padding sentence is one token of zeros, so that no attention runs over nothing.
    """
    found = features.gather([text for row in texts for text in row])
    present = np.zeros((len(texts), max(1, max(len(row) for row in texts))), bool)
    for b, row in enumerate(texts):
        present[b, : len(row)] = True
    length, size = found.states.shape[1:]
    states = np.zeros((*present.shape, length, size), np.float32)
    mask = np.zeros((*present.shape, length), bool)
    pooled = np.zeros((*present.shape, size), np.float32)
    mask[:, :, 0] = True
    states[present], mask[present], pooled[present] = found.states, found.mask, found.pooled
    return TextBatch(*(torch.from_numpy(value) for value in (states, mask, pooled, present)))
