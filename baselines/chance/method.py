"""Random valid answers, for every task in which a random answer is defined."""

from typing import Any

import numpy as np

from baselines.answers import training_questions
from baselines.contract import Context, SplitTruth
from metrics.files import rng
from metrics.scene_graph.predicates import LABELS

DESCRIPTION = "Random valid answers"
PRODUCES = (
    "given_relations",
    "grounding",
    "picks",
    "retrieval",
    "probed_retrieval",
    "grounding_retrieval",
    "answers",
)
DEFAULT_REASON = "no random answer of this kind is defined"
STOCHASTIC = True
USES_TRUTH = True


def predict(context: Context) -> None:
    """Answer every split at random, uniformly over objects, predicates, orders and answers.

    A grounding answer is the true box of a random object, so only the choice is random. Answers
    without choices are sampled from the distinct training answers of their question type.
    """
    pools: dict[tuple[str, str], list[str]] = {}
    for kind, rows in training_questions(context.need("train")).items():
        for answer_kind in {row["answer_kind"] for row in rows}:
            answers = {row["answer"] for row in rows if row["answer_kind"] == answer_kind}
            pools[kind, answer_kind] = sorted(answers)
    # The keys of the generators ("chance-0", ...) fix every sampled answer; they must not change.
    root, purpose = int(context.config.get("seed", 0)), f"chance-{context.seed}"
    for split, truth in context.need("truth").items():
        with context.writer(split) as writer:
            for scene in context.splits[split].ids:
                generator = rng(root, purpose, scene)
                _write_scene(writer, context.splits[split].inputs(scene), truth, pools, generator)
            _write_galleries(writer, truth, rng(root, purpose, split))


def _write_scene(
    writer: Any,
    inputs: Any,
    truth: SplitTruth,
    pools: dict[str, list[str]],
    rng: np.random.Generator,
) -> None:
    boxes = truth.boxes(inputs.scene)
    gt_objects = list(boxes)
    for name, _ in inputs.references:
        pick = gt_objects[rng.integers(len(gt_objects))] if gt_objects else None
        writer.grounding(inputs.scene, name, [boxes[pick]] if gt_objects else [], pick)
    pairs = [[i, j, random_predicates(rng)] for i in gt_objects for j in gt_objects if i != j]
    writer.relations(inputs.scene, pairs)
    for name, _, kind, answer_kind, choices in inputs.questions:
        options = choices or pools.get((kind, answer_kind)) or ["1"]
        writer.answer(inputs.scene, name, options[rng.integers(len(options))])


def random_predicates(rng: np.random.Generator) -> dict[str, str]:
    """Sample one predicate (or "none", where a family allows it) for each relation family."""
    return {family: labels[rng.integers(len(labels))] for family, labels in LABELS.items()}


def _write_galleries(writer: Any, truth: SplitTruth, rng: np.random.Generator) -> None:
    texts, scenes, phrases, objects = truth.gallery()
    writer.retrieval(texts, scenes, rng.random((len(texts), len(scenes)), np.float32))
    scores = rng.random((len(phrases), len(objects)), np.float32)
    writer.grounding_retrieval(phrases, objects, scores)
    # Sampled last, so that the other answers stay those of earlier versions.
    writer.probed_retrieval(texts, scenes, rng.random((len(texts), len(scenes)), np.float32))
