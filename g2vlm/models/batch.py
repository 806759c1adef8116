"""Inputs of the network: batches of scenes and of sentences, without any ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from g2vlm.models.config import CELL, ModelConfig
from metrics.constants import NEAREST_M
from metrics.files import InputError
from metrics.geometry import to_camera

# Inverse depth may bend by this share across a cell's neighbours before the cell counts as an edge.
LARGEST_BEND = 0.04

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True)
class SceneArrays(Generic[Array]):
    """Inputs of one scene: T patches and P = V*h*w points, one for each cell of 4 x 4 pixels.

    Attributes:
        tokens: f16 [T,416], frozen patch features.
        features: f16 [P,96], frozen point features.
        rgb: f32 [P,3], mean colour in 0..1.
        depth: f32 [P], sensor depth at the cell's centre pixel, metres, 0 = none.
        normal: f32 [P,3], unit normal in the frame, 0 = none.
        partial: f32 [P], depth of the nearest partial point in the cell, metres, 0 = none.
        intrinsics: f32 [V,3,3].
        pose: f32 [V,4,4], camera to frame.
    """

    tokens: Array
    features: Array
    rgb: Array
    depth: Array
    normal: Array
    partial: Array
    intrinsics: Array
    pose: Array


@dataclass(frozen=True)
class Movable:
    """A dataclass of tensors that moves between devices."""

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class SceneBatch(SceneArrays[Tensor], Movable):
    """B scenes of `SceneArrays`, stacked as float32, with the rays of their points.

    Attributes:
        rays: [B,P,3], direction in the frame of the point's pixel, for a z-depth of 1 m.
        camera: [B,P,3], position of the point's camera.
        others: as in `SceneArrays`, with a leading B.
    """

    rays: Tensor
    camera: Tensor


@dataclass(frozen=True)
class TextBatch(Movable):
    """Frozen features of Q sentences for each of B scenes, padded.

    Attributes:
        states: f32 [B,Q,L,384], of each word piece.
        mask: bool [B,Q,L], true for a word piece, false for padding.
        pooled: f32 [B,Q,384], of the whole sentence.
        present: bool [B,Q], false for a sentence that is padding.
    """

    states: Tensor
    mask: Tensor
    pooled: Tensor
    present: Tensor


def centre_pixels(values: np.ndarray) -> np.ndarray:
    """Return the values [V,h,w,...] of images [V,H,W,...] at the centre pixel of each cell.

    The centre pixel of cell (r, c) is (4r + 2, 4c + 2).
    """
    return values[:, CELL // 2 :: CELL, CELL // 2 :: CELL]


def cell_pixels(values: np.ndarray) -> np.ndarray:
    """Return images [V,H,W] with the pixels grouped by cell, [V,h,w,16]."""
    views, height, width = values.shape
    cells = values.reshape(views, height // CELL, CELL, width // CELL, CELL)
    return cells.transpose(0, 1, 3, 2, 4).reshape(views, height // CELL, width // CELL, -1)


def cell_depth(depth: np.ndarray) -> np.ndarray:
    """Return the depth of each cell's centre pixel, or the cell's lower median where it has none.

    Args:
        depth: f32 [V,H,W], metres, 0 = none.

    Returns:
        f32 [V,h,w], 0 where no pixel of the cell has a depth.
    """
    centre = centre_pixels(depth)
    # Missing values sort to the end.
    cells = np.sort(np.where(cell_pixels(depth) > 0, cell_pixels(depth), np.inf), axis=-1)
    count = np.isfinite(cells).sum(-1)  # (V, h, w)
    median = np.take_along_axis(cells, np.maximum(count - 1, 0)[..., None] // 2, -1)[..., 0]
    return np.where(centre > 0, centre, np.where(count > 0, median, 0)).astype(np.float32)


def pixel_rays(
    intrinsics: Tensor, pose: Tensor, height: int, width: int, step: int = CELL
) -> Tensor:
    """Return directions in the frame for a z-depth of 1 m at every `step`-th pixel.

    Args:
        intrinsics: [...,V,3,3].
        pose: [...,V,4,4], camera to frame.
        height: rows of the views, pixels.
        width: columns of the views, pixels.
        step: distance between pixels; 1 gives a ray to every pixel.

    Returns:
        f32 [...,V,h,w,3].
    """
    # The centre pixel of a cell, and the centre of that pixel.
    offset = step // 2 + 0.5
    rows, columns = (
        torch.arange(side // step, dtype=pose.dtype, device=pose.device) * step + offset
        for side in (height, width)
    )
    focal = intrinsics[..., None, None, [0, 1], [0, 1]]
    centre = intrinsics[..., None, None, :2, 2]
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)  # (h, w, 2)
    camera = torch.cat(
        [(pixels - centre) / focal, torch.ones_like((pixels - centre)[..., :1])], dim=-1
    )
    return torch.einsum("...vij,...vhwj->...vhwi", pose[..., :3, :3], camera)


def depth_normals(depth: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return normals in the frame, facing the camera, from cell depths.

    A normal is the cross product of central differences of lifted neighbours. Over a plane, inverse
    depth is linear in the image. A cell whose inverse depth bends by more than 4% across its
    neighbours therefore lies on an edge and gets no normal.

    Args:
        depth: f32 [V,h,w], metres, 0 = none.
        intrinsics: f32 [V,3,3].
        pose: f32 [V,4,4], camera to frame.

    Returns:
        f32 [V,h,w,3], unit length or 0 = none.
    """
    size = [CELL * side for side in depth.shape[1:]]
    rays = pixel_rays(torch.from_numpy(intrinsics), torch.from_numpy(pose), *size).numpy()
    # Relative to the camera: its position cancels in the differences.
    points = rays * depth[..., None]  # (V, h, w, 3)
    normal = np.zeros_like(points)
    cross = np.cross(  # of the differences down a column and across a row
        points[:, 2:, 1:-1] - points[:, :-2, 1:-1], points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    )
    length = np.linalg.norm(cross, axis=-1, keepdims=True)
    inverse = 1 / np.maximum(depth, 1e-3)
    middle = inverse[:, 1:-1, 1:-1]
    smooth = (depth[:, 1:-1, 1:-1] > 0) & (length[..., 0] > 1e-9)
    for bend in (  # second differences along the row and the column
        inverse[:, 1:-1, 2:] + inverse[:, 1:-1, :-2] - 2 * middle,
        inverse[:, 2:, 1:-1] + inverse[:, :-2, 1:-1] - 2 * middle,
    ):
        smooth &= np.abs(bend) < LARGEST_BEND * middle
    unit = cross / np.maximum(length, 1e-9)
    away = np.sum(unit * rays[:, 1:-1, 1:-1], axis=-1, keepdims=True) > 0
    normal[:, 1:-1, 1:-1] = np.where(smooth[..., None], np.where(away, -unit, unit), 0)
    return normal.astype(np.float32)


def partial_depth(
    partial: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """Return the depth f32 [V,h,w] of the nearest partial point in each cell, 0 = none.

    Args:
        partial: f32 [M,>=3], points in the frame.
        intrinsics: f32 [V,3,3].
        pose: f32 [V,4,4], camera to frame.
        grid: (h, w).
    """
    out = np.full((len(pose), *grid), np.inf, np.float32)
    for view, (camera, matrix) in enumerate(zip(pose, intrinsics, strict=True)):
        local = to_camera(partial[:, :3], camera)
        ahead = local[:, 2] > NEAREST_M
        pixel = local[ahead] @ matrix.T
        cell = np.floor(pixel[:, :2] / pixel[:, 2:] / CELL).astype(int)
        inside = ((cell >= 0) & (cell < np.array(grid[::-1]))).all(1)
        np.minimum.at(out[view], (cell[inside, 1], cell[inside, 0]), local[ahead][inside, 2])
    return np.where(np.isfinite(out), out, 0).astype(np.float32)


def scene_arrays(inputs: Any, tokens: np.ndarray, features: np.ndarray) -> SceneArrays[np.ndarray]:
    """Return one scene's inputs as arrays.

    Args:
        inputs: a `SceneInputs`.
        tokens: [V,t,416], frozen patch features.
        features: [V,p,96], frozen point features.

    Raises:
        InputError: where the features are of another image size.
    """
    return with_features(geometry_arrays(inputs), tokens, features, inputs.scene)


def geometry_arrays(inputs: Any) -> dict[str, np.ndarray]:
    """Return the arrays of `SceneArrays` that need no frozen features, by name.

    Args:
        inputs: a `SceneInputs`.
    """
    depth = cell_depth(np.asarray(inputs.depth, np.float32))
    grid = depth.shape[1:]
    intrinsics, pose = (np.asarray(one, np.float32) for one in (inputs.intrinsics, inputs.pose))
    colour = np.stack([cell_pixels(inputs.rgb[..., i]).mean(-1) for i in range(3)], -1) / 255
    return {
        "rgb": colour.reshape(-1, 3).astype(np.float32),
        "depth": depth.reshape(-1),
        "normal": depth_normals(depth, intrinsics, pose).reshape(-1, 3),
        "partial": partial_depth(np.asarray(inputs.partial), intrinsics, pose, grid).reshape(-1),
        "intrinsics": intrinsics,
        "pose": pose,
    }


def with_features(
    geometry: Mapping[str, np.ndarray], tokens: np.ndarray, features: np.ndarray, scene: str
) -> SceneArrays[np.ndarray]:
    """Return one scene's inputs as arrays.

    Args:
        geometry: from `geometry_arrays`.
        tokens, features: as of `scene_arrays`.
        scene: its name.

    Raises:
        InputError: where the features are of another image size.
    """
    views, points = features.shape[:2]
    if views * points != len(geometry["depth"]):
        raise InputError(
            f"{scene}: {points} point features a view for {len(geometry['depth']) // views} cells; "
            "run the encode stage again"
        )
    return SceneArrays(
        tokens=np.ascontiguousarray(tokens.reshape(-1, tokens.shape[-1])),
        features=np.ascontiguousarray(features.reshape(-1, features.shape[-1])),
        **geometry,
    )


def stack_scenes(arrays: Sequence[SceneArrays[np.ndarray]], config: ModelConfig) -> SceneBatch:
    """Return a batch of scenes of one image size."""
    values = {
        name: torch.from_numpy(np.stack([getattr(one, name) for one in arrays])).float()
        for name in (field.name for field in fields(SceneArrays))
    }
    pose = values["pose"]
    rays = pixel_rays(values["intrinsics"], pose, config.height, config.width)
    return SceneBatch(
        rays=rays.flatten(1, 3),
        camera=pose[:, :, None, None, :3, 3].expand_as(rays).flatten(1, 3),
        **values,
    )


def build_batch(inputs: Sequence[Any], features: Sequence[Any], config: ModelConfig) -> SceneBatch:
    """Return a batch of `SceneInputs` with their cached `SceneFeatures`.

    Raises:
        InputError: for views of another size than the model's.
    """
    for one in inputs:
        if one.rgb.shape[1:3] != (config.height, config.width):
            raise InputError(
                f"{one.scene}: views of {one.rgb.shape[2]}x{one.rgb.shape[1]} pixels for a model "
                f"of {config.width}x{config.height}; render or train at one size"
            )
    arrays = [
        scene_arrays(one, own.tokens, own.points) for one, own in zip(inputs, features, strict=True)
    ]
    return stack_scenes(arrays, config)


def object_masks(gt_masks: np.ndarray, count: int) -> np.ndarray:
    """Return the share f32 [N,P] of each point's cell that each ground-truth object covers.

    Args:
        gt_masks: u8 [V,H,W], 0 = none, 1 + k = object k.
        count: number of objects N.
    """
    cells = cell_pixels(gt_masks).reshape(1, -1, CELL * CELL)
    return (cells == np.arange(1, count + 1)[:, None, None]).mean(-1, dtype=np.float32)


def build_text(features: Any, texts: Sequence[Sequence[str]]) -> TextBatch:
    """Return a padded batch of sentences with their frozen features.

    Args:
        features: a `TextFeatures`.
        texts: texts[b] are the sentences of scene b.

    A sentence that is padding has one word piece of zeros, so that no attention is over nothing.
    """
    found = features.gather([text for row in texts for text in row])
    counts = np.array([len(row) for row in texts])[:, None]  # (B, 1)
    present = np.arange(max(1, counts.max())) < counts
    length, size = found.states.shape[1:]
    states = np.zeros((*present.shape, length, size), np.float32)
    mask = np.zeros((*present.shape, length), bool)
    pooled = np.zeros((*present.shape, size), np.float32)
    mask[:, :, 0] = True
    states[present], mask[present], pooled[present] = found.states, found.mask, found.pooled
    return TextBatch(*(torch.from_numpy(value) for value in (states, mask, pooled, present)))
