"""All sentences about a scene, and what decides whether a sentence is true of something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from g2vlm.scenes.captions import captions, phrases
from g2vlm.scenes.catalog import ModelRow
from g2vlm.scenes.ledger import Ledger
from g2vlm.scenes.questions import questions
from g2vlm.scenes.references import references
from g2vlm.scenes.relations import relate
from g2vlm.scenes.sizes import size_words
from g2vlm.scenes.speaker import Speaker
from g2vlm.scenes.splits import SEED


def describe(
    recipe: dict[str, Any],
    models: dict[str, ModelRow],
    pixels: np.ndarray,
    seed: int = SEED,
    ledger: Ledger | None = None,
) -> dict[str, Any]:
    """Return a scene's line of language.jsonl; pixels: int64[8, N] estimated at 128 x 96.

    `ledger` holds what was asked of the split's scenes before this one (default: nothing).
    """
    speaker = Speaker(recipe, models, pixels, seed)
    relations, void = relate(speaker.geometry)
    return {
        "scene": recipe["id"],
        "relations": relations,
        "void": void,
        "references": references(speaker),
        "questions": questions(speaker, Ledger() if ledger is None else ledger),
        "captions": captions(speaker),
        "phrases": phrases(speaker),
    }


def facts_hold(facts: Sequence[dict[str, Any]], annotation: dict[str, Any]) -> bool:
    """Say whether every fact is true of an annotated scene, as far as its inputs show it.

    Only eligible objects count. A stated number needs exactly as many, and no object of the class
    that is too little seen to be judged.
    """
    return all(_CHECKS[fact["type"]](fact, annotation) for fact in facts)


def _room(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    return fact["kind"] == annotation["kind"]


def _exists(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    same = [
        o
        for o in annotation["objects"]
        if o["class"] == fact["class"] and fact.get("colour") in (None, o["colour"])
    ]
    count = sum(o["state"] == "eligible" for o in same)
    if fact.get("count") is None:
        return count > 0
    return count == fact["count"] and not any(o["state"] == "void" for o in same)


def _relation(fact: dict[str, Any], annotation: dict[str, Any]) -> bool:
    seen = {o["index"]: o["class"] for o in annotation["objects"] if o["state"] == "eligible"}
    held = {
        (i, j)
        for i, j, name in annotation["relations"]
        if name == fact["predicate"]
        and seen.get(i) == fact["subject"]
        and seen.get(j) == fact["object"]
    }
    if fact["predicate"] == "near":  # Nobody says so of what stands on the other.
        held -= {(i, j) for i, j, name in annotation["relations"] if name in ("on", "under")}
    return bool(held)


_CHECKS = {"room": _room, "exists": _exists, "relation": _relation}


def phrase_holds(phrase: dict[str, Any], item: dict[str, Any]) -> bool:
    """Say whether a phrase (class, colour, size) is true of an object (class, colour, size_mm)."""
    if phrase["class"] != item["class"] or phrase["colour"] not in (None, item["colour"]):
        return False
    return phrase["size"] is None or phrase["size"] in size_words(item["class"], item["size_mm"])
