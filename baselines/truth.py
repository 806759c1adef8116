"""Truth of the splits to predict, only for controls (baselines with USES_TRUTH)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metrics.truth import Truth


@dataclass(frozen=True)
class SplitTruth:
    """Truth of one split.

    Attributes:
        files: the truth as the metrics read it.
        scenes: the rendered `SceneStore`.
    """

    files: Truth
    scenes: Any

    def boxes(self, scene: str) -> dict[int, list[float]]:
        """Return the true box of each ground-truth object of a scene, by object index."""
        line = self.files.annotation(scene)
        by_index = {item["index"]: item["box"] for item in line["objects"]}
        return {index: by_index[index] for index in line["given"]}

    def gallery(self) -> tuple[list[str], list[str], list[str], list[str]]:
        """Return the names of the split's captions, scenes, phrases and objects, in file order."""
        lines = self.files.annotations
        texts = [f"{line['scene']}/{item['id']}" for line in lines for item in line["captions"]]
        phrases = [f"{line['scene']}/{item['id']}" for line in lines for item in line["phrases"]]
        objects = [f"{line['scene']}:{index}" for line in lines for index in line["given"]]
        return texts, self.files.scenes, phrases, objects
