"""What a model is built from: sizes, words and the switches that make a variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from metrics.files import InputError

# Side in pixels of the square cell that becomes one token. It is defined in this light module so
# that inference can read it without loading torch.
CELL = 4

SWITCHES = (
    "depth",
    "normals",
    "positions",
    "partial",
    "poses",
    "intrinsics",
    "geometry_module",
    "cross_attention",
    "align_loss",
    "language",
    "two_d",
    "supervision_3d",
)

# What an experiment may set under `model`, alike for all its methods.
SIZES = (
    "hidden",
    "point_hidden",
    "heads",
    "layers",
    "fusion_layers",
    "decoder_layers",
    "neighbours",
    "embedding",
)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes, vocabularies and switches of one model.

    Sizes are in features; `height` and `width` are the input views' pixels. The switches say which
    inputs and parts a variant may use (a removed input becomes a learned constant, so every variant
    has the same parameters). `supervision_3d` is the share of training scenes whose 3D labels
    (boxes, votes, occupancy) may be seen.
    """

    height: int
    width: int
    classes: tuple[str, ...]
    words: tuple[str, ...]
    colours: tuple[str, ...] = ()
    method: str = "full"
    hidden: int = 160
    point_hidden: int = 64
    heads: int = 4
    layers: int = 2
    fusion_layers: int = 2
    decoder_layers: int = 2
    neighbours: int = 8
    embedding: int = 128
    dropout: float = 0.1
    token_features: int = 416
    point_features: int = 96
    text_features: int = 384
    views: int = 4
    depth: bool = True
    normals: bool = True
    positions: bool = True
    partial: bool = True
    poses: bool = True
    intrinsics: bool = True
    geometry_module: bool = True
    cross_attention: bool = True
    align_loss: bool = True
    language: bool = True
    two_d: bool = False
    supervision_3d: float = 1.0

    @property
    def lifts(self) -> bool:
        """Whether predicted depth can be lifted along known rays."""
        return self.poses and self.intrinsics

    @property
    def senses(self) -> bool:
        """Whether the sensor's depth is lifted to 3D points."""
        return self.depth and self.lifts

    @property
    def relates(self) -> bool:
        """Whether 3D positions steer what attends to what."""
        return self.geometry_module and self.positions

    @property
    def compares(self) -> bool:
        """Whether sentences set objects in relation to each other by where they are."""
        return self.cross_attention and self.relates

    @property
    def votes(self) -> bool:
        """Whether the voted 3D boxes have been supervised at all."""
        return self.supervision_3d > 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` is the inverse."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(values: Mapping[str, Any], source: str = "config.json") -> ModelConfig:
        """Build from JSON values; raises `InputError` naming `source` for a wrong key."""
        known = {field.name for field in fields(ModelConfig)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"{source}: unknown model setting {unknown[0]!r}; take it out")
        try:
            return ModelConfig(
                **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            )
        except TypeError as error:
            raise InputError(f"{source}: {error}; train the model again") from error


def method_switches(method: Mapping[str, Any], source: str = "method") -> dict[str, Any]:
    """Return a method file's switches; raises `InputError` for a key that is none of them."""
    switches = dict(method.get("switches", {}))
    for name, value in switches.items():
        if name not in SWITCHES:
            raise InputError(f"{source}: unknown switch {name!r}; use one of {', '.join(SWITCHES)}")
        if name == "supervision_3d":
            if isinstance(value, bool) or not 0 <= float(value) <= 1:
                raise InputError(f"{source}: supervision_3d is {value}; give a share from 0 to 1")
        elif not isinstance(value, bool):
            raise InputError(f"{source}: switch {name} is {value!r}; give true or false")
    return switches


def model_sizes(config: Mapping[str, Any], source: str = "config") -> dict[str, int]:
    """Return an experiment's `model` section; raises `InputError` for what is not one of `SIZES`
    or no whole number from 1, and for a width that the heads cannot share."""
    sizes = dict(config.get("model", {}))
    for name, value in sizes.items():
        if name not in SIZES:
            known = ", ".join(SIZES)
            raise InputError(f"{source}: unknown model size {name!r}; use one of {known}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{source}: model.{name} is {value!r}; give a whole number from 1")
    hidden, heads = (sizes.get(name, getattr(ModelConfig, name)) for name in ("hidden", "heads"))
    if sizes.get("point_hidden", 2) % 2:
        raise InputError(
            f"{source}: model.point_hidden {sizes['point_hidden']} is odd; make it even"
        )
    if hidden % heads:
        raise InputError(f"{source}: model.hidden {hidden} is no multiple of model.heads {heads}")
    return sizes
