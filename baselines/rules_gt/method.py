"""Relation rules on true boxes: the scene graph of perfect detection without learned relations."""

from typing import Any

import numpy as np

from baselines.contract import Context
from metrics.scene_graph.predicates import FAMILIES, FAMILY_OF
from metrics.scene_graph.rule_baseline import relations_of_boxes

DESCRIPTION = "Relation rules on true boxes"
PRODUCES = ("objects", "graph", "given_relations")
DEFAULT_REASON = "the rules say how two boxes stand to each other and nothing else"
USES_TRUTH = True


def predict(context: Context) -> None:
    """Write the true objects of every split with the relations that rules derive from the boxes."""
    for split, truth in context.need("truth").items():
        with context.writer(split) as writer:
            for line in truth.files.annotations:
                _write_scene(writer, line, truth.boxes(line["scene"]))


def _write_scene(writer: Any, line: dict[str, Any], boxes: dict[int, list[float]]) -> None:
    gt_objects = list(boxes)
    names = {item["index"]: item["class"] for item in line["objects"]}
    objects = [{"box": boxes[index], "class": names[index], "score": 1.0} for index in gt_objects]
    triplets = relations_of_boxes(np.array([boxes[index] for index in gt_objects]))
    writer.objects(line["scene"], objects, [[*triplet, 1.0] for triplet in triplets])
    pairs = {
        (i, j): dict.fromkeys(FAMILIES, "none") for i in gt_objects for j in gt_objects if i != j
    }
    for first, name, second in triplets:
        pairs[gt_objects[first], gt_objects[second]][FAMILY_OF[name]] = name
    writer.relations(line["scene"], [[i, j, row] for (i, j), row in pairs.items()])
