"""Builders of small models and batches."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import yaml

from g2vlm.models.batch import SceneBatch, build_batch, build_text, scene_arrays
from g2vlm.models.config import ModelConfig, method_switches
from g2vlm.models.decoder import build_words
from g2vlm.models.model import G2VLM
from g2vlm.scenes.language.mention_parser import Mention
from g2vlm.training.data import TrainSet
from g2vlm.training.settings import TrainSettings
from g2vlm.training.targets import SceneLabels, TrainScene, dense_targets, scene_labels
from tests.g2vlm.models.rooms import CLASSES, HEIGHT, POINTS, TEXT, TOKENS, VIEWS, WIDTH, Rooms
from tests.paths import REPOSITORY

METHODS = sorted(REPOSITORY.glob("config/methods/*.yaml"))
CPU = yaml.safe_load((REPOSITORY / "config" / "cpu.yaml").read_text(encoding="utf-8"))
# Widths of a model that trains in seconds.
SMALL = {"hidden": 32, "point_hidden": 16, "heads": 2, "embedding": 16}
CONFIG = {"render": {"height": HEIGHT, "width": WIDTH}, "model": CPU["model"] | SMALL}


def read_method(name: str) -> dict[str, Any]:
    """A method file's content with its name."""
    path = next(path for path in METHODS if path.stem == name)
    return yaml.safe_load(path.read_text()) | {"name": name}


def train_settings(**changes: Any) -> TrainSettings:
    """The `train` section of config/cpu.yaml with some values changed."""
    return TrainSettings.from_config(CPU["train"] | changes)


def model_config(method: str = "full", **changes: Any) -> ModelConfig:
    """The configuration of a method for the toy rooms, with the sizes of config/cpu.yaml."""
    data = {
        "height": HEIGHT,
        "width": WIDTH,
        "classes": CLASSES,
        "words": build_words(["a room with 3 boxes"]),
        "colours": ("blue", "red"),
        "method": method,
        "dropout": CPU["train"]["dropout"],
        "token_features": TOKENS,
        "point_features": POINTS,
        "text_features": TEXT,
        "views": VIEWS,
    }
    return ModelConfig(**(CPU["model"] | method_switches(read_method(method)) | data | changes))


def small_model(name: str = "full", **changes: Any) -> G2VLM:
    """A seeded model of a method in eval mode for the toy rooms."""
    config = model_config(name, **changes)
    torch.manual_seed(0)
    model = G2VLM(config).eval()
    # Learned constants start at zero, where a missing input could not be told from a zero one.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def scene_batch(model: G2VLM, count: int = 2) -> SceneBatch:
    """A batch of toy rooms."""
    rooms = Rooms(count)
    inputs = [rooms.inputs(name) for name in rooms.ids]
    return build_batch(inputs, [rooms[name] for name in rooms.ids], model.config)


def sentences(*rows: list[str]):
    """A TextBatch of the toy words."""
    return build_text(Rooms(1), rows)


class MemoryScenes(list[TrainScene]):
    """Training scenes in memory, with the interface of `ShardedScenes`."""

    @property
    def names(self) -> list[str]:
        """The names of the scenes."""
        return [scene.name for scene in self]

    def labels(self, row: int) -> SceneLabels:
        """Objects and language of a scene."""
        return self[row]


def train_scene(rooms: Rooms, name: str) -> TrainScene:
    """A toy room as a training scene."""
    inputs, features, annotation = rooms.inputs(name), rooms[name], rooms.annotation(name)
    return TrainScene(
        **vars(scene_labels(annotation, inputs.gt_indices, CLASSES)),
        inputs=scene_arrays(inputs, features.tokens, features.points),
        **dense_targets(inputs, rooms.views(name), annotation),
    )


@lru_cache
def train_set(count: int = 4) -> TrainSet:
    """A training set of toy rooms; a caption holds for its own room alone."""
    rooms = Rooms(count)

    def fits(phrase: dict[str, Any], entry: dict[str, Any]) -> bool:
        return phrase["class"] == entry["class"]

    def named(text: str, about: list[dict[str, Any]]) -> list[Mention]:
        return [Mention([item["index"]], "") for item in about if item["class"] in text]

    scenes = MemoryScenes(train_scene(rooms, name) for name in rooms.ids)
    return TrainSet(scenes, rooms, CLASSES, lambda facts, line: False, fits, named)
