"""Scenes as a worse sensor, fewer or more views, or a wrong calibration would have given them.

The robustness study runs a trained model on the same rooms under conditions that it was not
trained on. Nothing here depends on a method's predictions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from g2vlm.features.readers import SceneFeatures
from g2vlm.scenes.dataset import SceneInputs, SceneStore, SceneViews, gt_masks
from g2vlm.scenes.render.sensor import cloud_of_views
from metrics.constants import NEAREST_M
from metrics.files import InputError, rng

# Sensors lose patches, not single pixels: holes are squares with this side.
HOLE_PX = 8
_LABELS = {
    "noise": "depth noise ×{0:g}",
    "holes": "{0:.0%} of the depth lost",
    "views": "{0:g} view{1}",
    "focal": "focal length {2:+.0%}",
}


@dataclass(frozen=True)
class Condition:
    """One corruption of the input.

    Args:
        kind: "noise", "holes", "views" or "focal".
        size: times the sensor's sigma, share of pixels, number of views, or times the true focal
            length.
    """

    kind: str
    size: float

    @property
    def label(self) -> str:
        """Its name in tables."""
        plural = "" if self.size == 1 else "s"
        return _LABELS[self.kind].format(self.size, plural, self.size - 1)

    @property
    def name(self) -> str:
        """Its name in file paths."""
        return f"{self.kind}_{self.size:g}".replace(".", "_")


def conditions(config: dict[str, Any]) -> list[Condition]:
    """Return the conditions of the config's `studies.robustness`."""
    return [Condition(kind, size) for kind in _LABELS for size in config.get(kind, ())]


class CorruptedStore:
    """The scenes of a split under one condition, and their image features.

    Stands in for both a `SceneStore` and `ImageFeatures`. The same seed gives the same scenes.

    Args:
        store: the split's scenes.
        images: the cached features of the input views.
        condition: the corruption.
        sensor: the config's `render.sensor`.
        seed: the experiment's seed.
        encode: returns the features of views u8[V, H, W, 3]; called where more views are asked for
            than are cached.
    """

    def __init__(
        self,
        store: SceneStore,
        images: Any,
        condition: Condition,
        sensor: dict[str, float],
        seed: int,
        encode: Callable[[np.ndarray], SceneFeatures],
    ) -> None:
        self.ids = store.ids
        self._store, self._images, self._condition = store, images, condition
        self._sensor, self._seed, self._encode = sensor, seed, encode

    def inputs(self, scene: str) -> SceneInputs:
        """Return a scene's inputs under the condition.

        The partial point cloud is drawn again, from the views and the depth as they now are.
        """
        inputs = self._corrupted(scene)
        cloud = cloud_of_views(
            *(inputs.rgb, inputs.depth, inputs.intrinsics, inputs.pose),
            len(inputs.partial),
            rng(self._seed, "partial", scene),
        )
        return replace(inputs, partial=cloud)

    def _corrupted(self, scene: str) -> SceneInputs:
        inputs, views = self._store.inputs(scene), self._store.views(scene)
        kind, size = self._condition.kind, self._condition.size
        # The key holds an old word; another one would change every draw.
        random = rng(self._seed, "spoil" + f".{self._condition.name}", scene)
        if kind == "noise":
            depth = add_noise(inputs.depth, views.depth, size, self._sensor, random)
            return replace(inputs, depth=depth)
        if kind == "holes":
            return replace(inputs, depth=add_holes(inputs.depth, size, random))
        if kind == "focal":
            wrong = inputs.intrinsics.copy()
            wrong[:, [0, 1], [0, 1]] *= size
            return replace(inputs, intrinsics=wrong)
        return with_views(inputs, views, int(size))

    def __getitem__(self, scene: str) -> SceneFeatures:
        """Return the image features of the views of `inputs`."""
        cached = self._images[scene]
        if self._condition.kind != "views":
            return cached
        count = int(self._condition.size)
        if count <= len(cached.tokens):
            return SceneFeatures(cached.tokens[:count], cached.points[:count])
        more = self._encode(self._store.views(scene).rgb[len(cached.tokens) : count])
        return SceneFeatures(
            np.concatenate([cached.tokens, more.tokens]),
            np.concatenate([cached.points, more.points]),
        )


def add_noise(
    measured: np.ndarray,
    true: np.ndarray,
    factor: float,
    sensor: dict[str, float],
    random: np.random.Generator,
) -> np.ndarray:
    """Return depth f32[V, H, W] with `factor` times the sensor's axial noise.

    Pixels without a measurement stay without. The sensor's disparity steps are left out; they are
    as large as the noise of factor 1. Factor 0 gives the true depth.

    Args:
        measured: f32[V, H, W] metres, 0 = no measurement.
        true: f32[>=V, H, W] metres, rendered.
        factor: times the sensor's sigma.
        sensor: the parameters of the noise model.
        random: source of the noise.

    Source: Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise", 2012.
    """
    true = true[: len(measured)]
    sigma = sensor["axial_base_m"] + sensor["axial_slope"] * (true - sensor["axial_near_m"]) ** 2
    noisy = true + factor * sigma * random.normal(size=true.shape)
    # Noise never moves a measurement to 0, which would mean "no measurement".
    return np.where(measured > 0, np.maximum(noisy, NEAREST_M), 0).astype(np.float32)


def add_holes(depth: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Return depth f32[V, H, W] with `share` of its pixels set to 0, in squares of `HOLE_PX`."""
    views, height, width = depth.shape
    grid = (views, -(-height // HOLE_PX), -(-width // HOLE_PX))
    lost = np.repeat(np.repeat(random.random(grid) < share, HOLE_PX, 1), HOLE_PX, 2)
    return np.where(lost[:, :height, :width], 0, depth).astype(np.float32)


def with_views(inputs: SceneInputs, views: SceneViews, count: int) -> SceneInputs:
    """Return the scene with its first `count` views: the input views, then held-out ones.

    Raises:
        InputError: fewer views were rendered.
    """
    if count > len(views.rgb):
        raise InputError(f"{inputs.scene}: {len(views.rgb)} views were rendered; ask for fewer")
    return replace(
        inputs,
        rgb=views.rgb[:count],
        depth=np.concatenate([inputs.depth, views.sensor[len(inputs.depth) :]])[:count],
        intrinsics=views.intrinsics[:count],
        pose=views.pose[:count],
        gt_masks=gt_masks(views.instance[:count], inputs.gt_indices),
    )
