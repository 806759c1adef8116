"""All sentences about a scene, and whether a sentence is true of another scene."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow, size_words
from g2vlm.scenes.language.answer_balancing import AnswerBalance
from g2vlm.scenes.language.captions import captions, phrases
from g2vlm.scenes.language.question_templates import QUESTION_TYPES
from g2vlm.scenes.language.referring_context import (
    ReferenceCandidate,
    ReferringContext,
    repeats_preposition,
)
from g2vlm.scenes.language.referring_expressions import EXPRESSION_TYPES
from g2vlm.scenes.language.templates import QUESTIONS, REFERENCES
from g2vlm.scenes.layout.relations import relate
from g2vlm.scenes.layout.splits import SEED

REFERENCE_COUNT = 24
# References of each expression type to draw first, in this order; the rest are drawn in turns.
QUOTAS = {
    "zero": 2,
    "multi": 2,
    "between": 1,
    "counted": 1,
    "near": 1,
    "closest": 2,
    "side": 3,
    "on": 2,
    "facing": 1,
    "under": 1,
    "ordinal": 1,
    "unique": 2,
    "attribute": 1,
    "farthest": 1,
    "size": 2,
    "opening": 1,
}


def generate_language(
    recipe: dict[str, Any],
    models: dict[str, ModelRow],
    pixels: np.ndarray,
    seed: int = SEED,
    balance: AnswerBalance | None = None,
) -> dict[str, Any]:
    """Return a scene's line of language.jsonl.

    Args:
        recipe, models: the scene and the catalog of its models.
        pixels: i64 [8, N], estimated pixels of each object in each view at 128 x 96.
        seed: of the generator, with the scene's name.
        balance: the answers of the split's scenes before this one; default none. The scene's own
            are added to it.
    """
    context = ReferringContext(recipe, models, pixels, seed)
    relations, void = relate(context.geometry)
    return {
        "scene": recipe["id"],
        "relations": relations,
        "void": void,
        "references": references(context),
        "questions": questions(context, AnswerBalance() if balance is None else balance),
        "captions": captions(context),
        "phrases": phrases(context),
    }


def references(context: ReferringContext) -> list[dict[str, Any]]:
    """Return up to 24 references of a scene, each true of exactly its targets."""
    candidates = {name: context.shuffled(list(EXPRESSION_TYPES[name](context))) for name in QUOTAS}
    rows: dict[str, dict[str, Any]] = {}
    for name, quota in QUOTAS.items():
        for _ in range(quota):
            _add_reference(context, candidates[name], rows)
    order = [name for name in QUOTAS if name not in ("zero", "multi")]
    for turn in range(12 * len(order)):
        if len(rows) >= REFERENCE_COUNT:
            break
        _add_reference(context, candidates[order[turn % len(order)]], rows)
    while len(rows) < REFERENCE_COUNT and (candidates["zero"] or candidates["multi"]):
        _add_reference(context, candidates["multi"] or candidates["zero"], rows)
    first = list(rows.values())[:REFERENCE_COUNT]
    return [{"id": f"r{k:02d}", **row} for k, row in enumerate(first)]


def _add_reference(
    context: ReferringContext,
    candidates: list[ReferenceCandidate],
    rows: dict[str, dict[str, Any]],
) -> None:
    """Take the last candidate and add its row by its text, unless that is there or unclear."""
    if not candidates:
        return
    candidate = candidates.pop()
    if set(candidate.targets) & set(candidate.anchors):
        return  # An anchor's name that refers to the target would give the answer.
    text, test_only = context.fill(REFERENCES[candidate.template], candidate.fields)
    if text in rows or repeats_preposition(text):
        return
    tags = (*candidate.tags, "test_phrasing") if test_only else candidate.tags
    # ScanRefer's subsets: a single target is multiple where the room has others of its class.
    subset = "multiple" if any(map(context.same_class, candidate.targets)) else "unique"
    rows[text] = {
        "text": text,
        "targets": sorted(candidate.targets),
        "anchors": sorted(set(candidate.anchors)),
        "kind": candidate.subset or subset,
        "form": candidate.expression_type or candidate.template,
        "tags": sorted(set(tags)),
    }


def questions(context: ReferringContext, balance: AnswerBalance) -> list[dict[str, Any]]:
    """Return up to 16 questions of a scene, two of each type, and record them in the balance."""
    rows: dict[str, dict[str, Any]] = {}
    asked: set[tuple[Any, ...]] = set()
    for question_type, generate in QUESTION_TYPES.items():
        for candidates in generate(context):
            for candidate in balance.ranked(context.shuffled(candidates)):
                text, _ = context.fill(QUESTIONS[candidate.template], candidate.fields)
                objects = sorted(set(candidate.objects))
                # The same question in other words is asked again only of the room's one size.
                content = (question_type, candidate.template, candidate.answer, *objects)
                repeated = content in asked and question_type != "room_size"
                if text in rows or repeated or repeats_preposition(text):
                    continue
                asked.add(content)
                balance.record(candidate)
                rows[text] = {
                    "type": question_type,
                    "text": text,
                    "answer": candidate.answer,
                    "answer_kind": "choice" if candidate.choices else "number",
                    "choices": candidate.choices,
                    "objects": objects,
                }
                break
    return [{"id": f"q{k:02d}", **row} for k, row in enumerate(rows.values())]


def facts_hold(facts: Sequence[dict[str, Any]], annotation: dict[str, Any]) -> bool:
    """Return whether every fact is true of an annotated scene, as far as its inputs show it.

    Only eligible objects count. A stated number needs exactly as many, and no void object of the
    class.
    """
    return all(_CHECKS[fact["type"]](fact, annotation) for fact in facts)


def _room_holds(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    return fact["kind"] == annotation["kind"]


def _existence_holds(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    same = [
        o
        for o in annotation["objects"]
        if o["class"] == fact["class"] and fact.get("colour") in (None, o["colour"])
    ]
    count = sum(o["state"] == "eligible" for o in same)
    if fact.get("count") is None:
        return count > 0
    return count == fact["count"] and not any(o["state"] == "void" for o in same)


def _relation_holds(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    classes = {o["index"]: o["class"] for o in annotation["objects"] if o["state"] == "eligible"}
    pairs = {
        (i, j)
        for i, j, name in annotation["relations"]
        if name == fact["predicate"]
        and classes.get(i) == fact["subject"]
        and classes.get(j) == fact["object"]
    }
    if fact["predicate"] == "near":  # Sentences do not say it of what stands on the other.
        pairs -= {(i, j) for i, j, name in annotation["relations"] if name in ("on", "under")}
    return bool(pairs)


_CHECKS = {"room": _room_holds, "exists": _existence_holds, "relation": _relation_holds}


def phrase_holds(phrase: dict[str, Any], item: dict[str, Any]) -> bool:
    """Return whether a phrase (class, colour, size) fits an object (class, colour, size_mm)."""
    if phrase["class"] != item["class"] or phrase["colour"] not in (None, item["colour"]):
        return False
    return phrase["size"] is None or phrase["size"] in size_words(item["class"], item["size_mm"])
