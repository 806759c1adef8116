"""What a model is built from: sizes, vocabularies and the switches that make a method."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from g2vlm.settings import read_section, setting
from metrics.files import InputError
from metrics.schemas import short_repr

# Side of a point cell, pixels. This module imports no PyTorch, so anything may read it.
CELL = 4
# Side of a patch of the frozen image encoder, pixels.
PATCH = 16
# Limits of what config.json may ask for, far above any network of this project. Those of settings
# that no weight depends on are lower, because nothing else limits their memory.
_LARGEST_SIZE = 1 << 16
_LARGEST = {"layers": 256, "fusion_layers": 256, "decoder_layers": 256}
_LARGEST |= {"height": 4096, "width": 4096, "views": 64, "neighbours": 1024}


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Sizes of every method's network: the section `model` of an experiment's config."""

    hidden: int = setting("Width D of patch tokens and sentence states.", minimum=1, maximum=8192)
    point_hidden: int = setting(
        "Width F of point features; even.", minimum=2, maximum=8192, multipleOf=2
    )
    heads: int = setting("Attention heads; `hidden` is a multiple of it.", minimum=1, maximum=512)
    layers: int = setting("Transformer layers of the geometry encoder.", minimum=1, maximum=256)
    fusion_layers: int = setting(
        "Layers of text-to-geometry cross-attention.", minimum=1, maximum=256
    )
    decoder_layers: int = setting("Layers of the text decoder.", minimum=1, maximum=256)
    neighbours: int = setting("Neighbours of a patch in the graph layers.", minimum=1, maximum=1024)
    embedding: int = setting("Width E of descriptors for retrieval.", minimum=1, maximum=8192)


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What a method may use: the section `switches` of config/methods/<name>.yaml.

    A removed input becomes a learned constant, so that every method has the same parameters.
    """

    depth: bool = setting("The sensor's depth, as input and to lift points.")
    normals: bool = setting("Surface normals computed from the sensor's depth.")
    positions: bool = setting("3D positions of points and patches as inputs and attention biases.")
    partial: bool = setting("The sparse partial point cloud, projected into the views.")
    poses: bool = setting("Camera poses; without them all views are read as unposed images.")
    intrinsics: bool = setting("Camera calibration; without it no ray of a pixel is known.")
    geometry_module: bool = setting(
        "Pooled point features, graph layers and the geometric bias of attention; without it "
        "geometric inputs are plain tokens."
    )
    cross_attention: bool = setting(
        "Attention from words to the scene; without it a sentence is one pooled vector."
    )
    comparison: bool = setting(
        "Distances, directions and sizes between the boxes of objects, computed when a sentence is "
        "read; without them each object still has its own position and size."
    )
    align_loss: bool = setting("The contrastive loss L_align between text, scenes and objects.")
    language: bool = setting(
        "References, questions and captions, with their losses and heads; without it only geometry "
        "and objects are learned."
    )
    two_d: bool = setting("Image features alone feed the network; rays are used only to lift.")
    supervision_3d: float = setting(
        "Share of training scenes, 0 to 1, whose 3D labels of objects (boxes, votes, front "
        "directions, solids) may be used; depth maps and named relations are labels in all scenes.",
        minimum=0,
        maximum=1,
    )

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
        """Whether 3D positions bias the attention between patches."""
        return self.geometry_module and self.positions

    @property
    def votes(self) -> bool:
        """Whether any scene supervises the voted 3D boxes."""
        return self.supervision_3d > 0


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ModelSizes, Switches):
    """Everything that determines a network: sizes, switches, and what the training data fixed.

    Attributes:
        height: rows of an input view, pixels.
        width: columns of an input view, pixels.
        classes: names of the C object classes.
        words: words that the decoder can write.
        colours: names of the object colours.
        method: name of the method.
        dropout: dropout rate in training.
        token_features: width of the frozen patch features.
        point_features: width of the frozen point features.
        text_features: width of the frozen text features.
        views: input views of a scene.
    """

    height: int
    width: int
    classes: tuple[str, ...]
    words: tuple[str, ...]
    colours: tuple[str, ...]
    method: str
    dropout: float
    token_features: int
    point_features: int
    text_features: int
    views: int

    @staticmethod
    def from_json(values: Mapping[str, Any], source: str = "config.json") -> "ModelConfig":
        """Build from the JSON values of `dataclasses.asdict`.

        Raises:
            InputError: naming `source`, for an unknown or missing key.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{source}: no model settings; train the model again")
        types = get_type_hints(ModelConfig)
        for fault, keys in (
            ("unknown", values.keys() - types.keys()),
            ("missing", types.keys() - values.keys()),
        ):
            if keys:
                raise InputError(
                    f"{source}: key `model.{min(keys)}` is {fault}; train the model again"
                )
        for name, value in values.items():
            if not _fits(value, types[name], _LARGEST.get(name, _LARGEST_SIZE)):
                raise InputError(
                    f"{source}: model setting {name} is {short_repr(value)}; train the model again"
                )
        config = ModelConfig(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )
        for name, divisor in (("hidden", config.heads), ("point_hidden", 2)):
            size = getattr(config, name)
            if size % divisor:
                what = f"model setting {name} is {size}, not a multiple of {divisor}"
                raise InputError(f"{source}: {what}; train the model again")
        return config


def _fits(value: Any, kind: Any, largest: int) -> bool:
    """Return whether a JSON value has the type of a setting and is no larger than networks are."""
    if kind is int:
        return type(value) is int and 1 <= value <= largest
    if kind is float:
        return type(value) in (int, float) and 0 <= value <= 1
    if kind in (bool, str):
        return type(value) is kind
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


# Keys of a method next to its switches: its name, and what a study changes for a variant of it.
VARIANT_KEYS = ("name", "based_on", "scenes", "train")


def method_switches(method: Mapping[str, Any], source: str = "method") -> dict[str, Any]:
    """Return the checked switches of a method.

    Args:
        method: content of config/methods/<name>.yaml, with the keys that a study adds.
        source: the file, for messages.

    Raises:
        InputError: for an unknown, missing or misplaced key, or a value of the wrong type.
    """
    names = [field.name for field in fields(Switches)]
    for key in method:
        if key in names:
            raise InputError(f"{source}: switch `{key}` is at the top; move it under `switches:`")
        if key not in ("switches", *VARIANT_KEYS):
            raise InputError(f"{source}: unknown key `{key}`; a method has the key `switches`")
    return read_section(Switches, method.get("switches") or {}, "switches", source)


def model_sizes(config: Mapping[str, Any], source: str = "config") -> dict[str, int]:
    """Return the checked `model` section of an experiment's config.

    Raises:
        InputError: for an unknown, missing or invalid size, and for a width that is not a multiple
            of the number of heads.
    """
    sizes = read_section(ModelSizes, config.get("model", {}), "model", source)
    if sizes["hidden"] % sizes["heads"]:
        raise InputError(
            f"{source}: model.hidden {sizes['hidden']} is not a multiple of model.heads "
            f"{sizes['heads']}; change one of them"
        )
    return sizes
