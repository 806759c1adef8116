"""Training scenes on disk: inputs and targets are computed once, and read when a step needs them.

The memory of a training therefore does not grow with the number of scenes.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np

from g2vlm.features.readers import ImageFeatures, open_tensors
from g2vlm.models.batch import SceneArrays, geometry_arrays, with_features
from g2vlm.scenes.dataset import SceneStore, eligible_objects
from g2vlm.training.targets import SceneLabels, TrainScene, dense_targets, scene_labels
from metrics.files import atomic_path
from metrics.submission.writer import TensorSpool

# Names of the tensors of a scene: of `SceneArrays`, but for the frozen features, and of
# `TrainScene`.
INPUTS = tuple(
    field.name for field in fields(SceneArrays) if field.name not in ("tokens", "features")
)
_OTHERS = {"inputs", *(field.name for field in fields(SceneLabels))}
TARGETS = tuple(field.name for field in fields(TrainScene) if field.name not in _OTHERS)


def write_shard(store: SceneStore, path: str | os.PathLike[str]) -> None:
    """Write the arrays of a store's scenes that every training on them shares.

    A tensor is called "<scene>/inputs/<name>" or "<scene>/targets/<name>", with the names of
    `INPUTS` and `TARGETS`.
    """
    with closing(TensorSpool()) as spool:
        for scene in store.ids:
            inputs, annotation = store.inputs(scene), store.annotation(scene)
            parts = {
                "inputs": geometry_arrays(inputs),
                "targets": dense_targets(inputs, store.views(scene), annotation),
            }
            for part, arrays in parts.items():
                for name, values in arrays.items():
                    stored = values.view(np.uint8) if values.dtype == bool else values
                    spool.add(f"{scene}/{part}/{name}", stored)
        with atomic_path(path) as temporary:
            spool.save(temporary)


class ShardedScenes(Sequence[TrainScene]):
    """The training scenes of a store, each read from its shard when it is asked for.

    Args:
        folder: of the shards that `write_shard` wrote, named as those of the store.
        store: the rendered scenes, of which the annotations are read.
        images: their features.
        classes: names of the object classes.
        names: of the scenes that are used, by default all.

    Reading a scene raises `InputError` where a file is missing or damaged, or an object is of an
    unknown class.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        store: SceneStore,
        images: ImageFeatures,
        classes: Sequence[str],
        names: Sequence[str] | None = None,
    ) -> None:
        self.names = list(store.ids if names is None else names)
        self._folder, self._store, self._images = Path(folder), store, images
        self._classes = tuple(classes)

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, row: int) -> SceneLabels:
        """Return objects and language of a scene."""
        annotation = self._store.annotation(self.names[row])
        return scene_labels(annotation, eligible_objects(annotation), self._classes)

    def __getitem__(self, row: int) -> TrainScene:
        name, labels = self.names[row], self.labels(row)
        arrays: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "targets": {}}
        path = self._folder / f"{self._store.shard(name)}.safetensors"
        # Opened for one scene: an open file maps every page that was ever read from it.
        with open_tensors(path) as file:
            for part, names in (("inputs", INPUTS), ("targets", TARGETS)):
                for field in names:
                    arrays[part][field] = file.get_tensor(f"{name}/{part}/{field}")
        features = self._images[name]
        targets = arrays["targets"]
        return TrainScene(
            **vars(labels),
            **(targets | {"solid": targets["solid"].view(bool)}),
            inputs=with_features(arrays["inputs"], features.tokens, features.points, name),
        )
