"""A random ground-truth object of the class that a sentence names: references without geometry."""

from typing import Any

from baselines.contract import Context
from g2vlm.scenes.language.mention_parser import parse_nouns
from metrics.files import rng

DESCRIPTION = "A random ground-truth object of the class that the sentence names"
PRODUCES = ("grounding", "picks")
DEFAULT_REASON = "chooses among ground-truth objects and predicts nothing else"
STOCHASTIC = True
USES_TRUTH = True


def predict(context: Context) -> None:
    """Answer every reference of every split by one object and its true box.

    The class is that of the target. A sentence without a target is answered by an object of the
    first class that it names, or by nothing where the scene has none.
    """
    root, purpose = int(context.config.get("seed", 0)), f"random-of-class-{context.seed}"
    for split, truth in context.need("truth").items():
        with context.writer(split) as writer:
            for scene in context.splits[split].ids:
                line, boxes = truth.files.annotation(scene), truth.boxes(scene)
                generator = rng(root, purpose, scene)
                for reference in line["references"]:
                    options = of_class(line, reference, list(boxes))
                    pick = options[generator.integers(len(options))] if options else None
                    found = [] if pick is None else [boxes[pick]]
                    writer.grounding(scene, reference["id"], found, pick)


def of_class(line: dict[str, Any], reference: dict[str, Any], gt_objects: list[int]) -> list[int]:
    """Return the ground-truth objects of the class that a reference names.

    Args:
        line: annotation of the scene.
        reference: one of its references.
        gt_objects: indices of the objects to choose from.
    """
    class_of = {item["index"]: item["class"] for item in line["objects"]}
    if reference["targets"]:
        named = {class_of[index] for index in reference["targets"]}
    else:
        nouns = parse_nouns(reference["text"])
        named = nouns[0].classes if nouns else set()
    return [index for index in gt_objects if class_of[index] in named]
