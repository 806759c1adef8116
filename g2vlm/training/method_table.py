"""The table of methods: what each reads, computes and learns from, read off its switches."""

from collections.abc import Callable, Mapping

from g2vlm.models.config import Switches
from g2vlm.training.losses import LOSSES, parts_of, supervision

Rule = Callable[[Switches], bool]

# {group: {row: whether a method has it}}
PROPERTIES: dict[str, dict[str, Rule]] = {
    "input": {
        "RGB views": lambda method: True,
        "sensor depth": lambda method: method.depth,
        "normals of the sensor depth": lambda method: method.normals,
        "partial point cloud": lambda method: method.partial and method.lifts,
        "camera poses": lambda method: method.poses,
        "camera calibration": lambda method: method.intrinsics,
        "sentences": lambda method: method.language,
    },
    "module": {
        "rays of the pixels as features": lambda method: method.lifts and not method.two_d,
        "3D positions of patches": lambda method: method.positions,
        "point features, graph and geometric bias": lambda method: method.geometry_module,
        "attention from words to patches": lambda method: (
            method.language and method.cross_attention
        ),
    },
    "head fitted after the joint training": {
        "boxes of masks: 3D boxes": lambda method: method.votes,
        "references: referred objects": lambda method: method.language,
        "answers and captions": lambda method: method.language,
        "retrieval: captions": lambda method: method.language and method.align_loss,
    },
    "calculator": {
        "lifting of depth along known rays": lambda method: method.lifts,
        "filter of the sensor depth": lambda method: method.senses,
        "pair geometry of predicted boxes": lambda method: method.language and method.comparison,
    },
}


def method_table(methods: Mapping[str, Switches]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and rows of the table: a column a method, a row a property or a loss.

    A loss shows the share of training scenes that supervise it.

    Args:
        methods: switches by the method's name, in the order of columns.
    """
    rows = [
        [group, name, *("yes" if has(method) else "–" for method in methods.values())]
        for group, properties in PROPERTIES.items()
        for name, has in properties.items()
    ]
    shares = [supervision(method) for method in methods.values()]
    for loss in LOSSES:
        for part in parts_of(loss):
            name = f"{loss.name}/{part.name}" if part.name else loss.name
            cells = [f"{share[name]:.0%}" if share[name] else "–" for share in shares]
            rows.append(["loss", f"{name}: {part.labels}", *cells])
    return ["", "", *methods], rows
