"""Scenes as a worse sensor, fewer or more views, or wrong calibration would have given them.

For the robustness study: a trained model reads the same rooms under conditions that it was not
trained on. Nothing here looks at what a method answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from g2vlm.features.readers import SceneFeatures
from metrics.files import InputError, rng

if TYPE_CHECKING:
    from g2vlm.scenes.dataset import SceneInputs, SceneStore, SceneViews

# Holes are squares of this many pixels: a sensor loses patches, not single pixels.
HOLE_PX = 8
Encode = Callable[[np.ndarray], SceneFeatures]


@dataclass(frozen=True)
class Condition:
    """A kind of trouble and its size: noise (times the sensor's sigma), holes (share of pixels),
    views (their number) or focal (times the true focal length)."""

    kind: str
    size: float

    @property
    def label(self) -> str:
        """How tables name it."""
        return {
            "noise": f"depth noise ×{self.size:g}",
            "holes": f"{self.size:.0%} of the depth lost",
            "views": f"{self.size:g} view" + "s" * (self.size != 1),
            "focal": f"focal length {self.size - 1:+.0%}",
        }[self.kind]

    @property
    def name(self) -> str:
        """How files name it."""
        return f"{self.kind}_{self.size:g}".replace(".", "_")


def conditions(said: dict[str, Any]) -> list[Condition]:
    """Return the conditions of the config's `studies.robustness`."""
    kinds = ("noise", "holes", "views", "focal")
    return [Condition(kind, size) for kind in kinds for size in said.get(kind, ())]


class SpoiledStore:
    """A split's scenes under one condition, and their image features: a store and its features.

    `images` are the cached features of the input views; `encode` gives those of views [V,H,W,3]
    and is called for more views than are cached. The same seed gives the same scenes.
    """

    def __init__(
        self,
        store: SceneStore,
        images: Any,
        condition: Condition,
        sensor: dict[str, float],
        seed: int,
        encode: Encode,
    ) -> None:
        self.ids = store.ids
        self._store, self._images, self._condition = store, images, condition
        self._sensor, self._seed, self._encode = sensor, seed, encode

    def inputs(self, scene: str) -> SceneInputs:
        """Return what a method sees of a scene under the condition."""
        inputs, views = self._store.inputs(scene), self._store.views(scene)
        kind, size = self._condition.kind, self._condition.size
        draw = rng(self._seed, f"spoil.{self._condition.name}", scene)
        if kind == "noise":
            return replace(inputs, depth=noisy(inputs.depth, views.depth, size, self._sensor, draw))
        if kind == "holes":
            return replace(inputs, depth=holed(inputs.depth, size, draw))
        if kind == "focal":
            return replace(inputs, intrinsics=zoomed(inputs.intrinsics, size))
        return viewed(inputs, views, int(size))

    def __getitem__(self, scene: str) -> SceneFeatures:
        """Return the image features of the views that `inputs` gives."""
        cached = self._images[scene]
        if self._condition.kind != "views":
            return cached
        count = int(self._condition.size)
        if count <= len(cached.tokens):
            return SceneFeatures(cached.tokens[:count], cached.points[:count])
        more = self._encode(self._store.views(scene).rgb[len(cached.tokens) : count])
        joined = (np.concatenate(pair) for pair in zip(_parts(cached), _parts(more), strict=True))
        return SceneFeatures(*joined)


def _parts(features: SceneFeatures) -> tuple[np.ndarray, np.ndarray]:
    return features.tokens, features.points


def noisy(
    measured: np.ndarray,
    true: np.ndarray,
    times: float,
    sensor: dict[str, float],
    draw: np.random.Generator,
) -> np.ndarray:
    """Return depth f32[V,H,W] m with `times` the sensor's axial noise; what it lost stays lost.

    `true` f32[>=V,H,W] is the rendered depth. Times 0 is the true depth where anything was
    measured; the sensor's disparity steps are left out (their size is that of the noise ×1).
    """
    true = true[: len(measured)]
    away = true - sensor["axial_near_m"]
    sigma = sensor["axial_base_m"] + sensor["axial_slope"] * away**2
    spoiled = true + times * sigma * draw.normal(size=true.shape)
    return np.where(measured > 0, np.maximum(spoiled, 0.05), 0).astype(np.float32)


def holed(depth: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    """Return depth [V,H,W] with `share` of its pixels lost in squares of HOLE_PX."""
    views, height, width = depth.shape
    grid = (views, -(-height // HOLE_PX), -(-width // HOLE_PX))
    lost = np.repeat(np.repeat(draw.random(grid) < share, HOLE_PX, 1), HOLE_PX, 2)
    return np.where(lost[:, :height, :width], 0, depth).astype(np.float32)


def zoomed(intrinsics: np.ndarray, times: float) -> np.ndarray:
    """Return intrinsics [V,3,3] with focal lengths wrong by a factor."""
    wrong = intrinsics.copy()
    wrong[:, [0, 1], [0, 1]] *= times
    return wrong


def viewed(inputs: SceneInputs, views: SceneViews, count: int) -> SceneInputs:
    """Return the scene seen in its first `count` views, held-out ones behind the inputs.

    Raises `InputError` when so many were not rendered.
    """
    from g2vlm.scenes.dataset import given_masks

    if count > len(views.rgb):
        raise InputError(f"{inputs.scene}: {len(views.rgb)} views were rendered; ask for fewer")
    depth = np.concatenate([inputs.depth, views.sensor[len(inputs.depth) :]])
    return replace(
        inputs,
        rgb=views.rgb[:count],
        depth=depth[:count],
        intrinsics=views.intrinsics[:count],
        pose=views.pose[:count],
        given_masks=given_masks(views.instance[:count], inputs.given_indices),
    )
