"""All sentences about a scene, and what decides whether a sentence is true of something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow, size_words
from g2vlm.scenes.language.answer_balancing import Draft, Ledger
from g2vlm.scenes.language.captions import captions, phrases
from g2vlm.scenes.language.question_templates import MAKERS
from g2vlm.scenes.language.referring_context import Sentence, Speaker, stammers
from g2vlm.scenes.language.referring_expressions import FORMS
from g2vlm.scenes.language.templates import QUESTIONS, REFERENCES
from g2vlm.scenes.layout.relations import relate
from g2vlm.scenes.layout.splits import SEED

COUNT = 24
# How many of each form to draw before the rest fills up, in this order.
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


def references(speaker: Speaker) -> list[dict[str, Any]]:
    """Return up to 24 references of a scene, each true of exactly its targets."""
    buckets = {name: speaker.shuffled(list(FORMS[name](speaker))) for name in QUOTAS}
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    for name, quota in QUOTAS.items():
        for _ in range(quota):
            _say(speaker, buckets[name], rows, said)
    order = [n for n in QUOTAS if n not in ("zero", "multi")]
    for turn in range(12 * len(order)):
        if len(rows) >= COUNT:
            break
        _say(speaker, buckets[order[turn % len(order)]], rows, said)
    while len(rows) < COUNT and (buckets["zero"] or buckets["multi"]):
        _say(speaker, buckets["multi"] or buckets["zero"], rows, said)
    return [{"id": f"r{k:02d}", **row} for k, row in enumerate(rows[:COUNT])]


def _say(speaker: Speaker, bucket: list[Sentence], rows: list[dict], said: set[str]) -> None:
    """Word the bucket's next sentence; one that was said already is left out."""
    if not bucket:
        return
    sentence = bucket.pop()
    if set(sentence.targets) & set(sentence.anchors):
        return  # An anchor's name that leans on the target would say what it asks.
    text, kept = speaker.phrase(REFERENCES[sentence.form], sentence.fields)
    if text in said or stammers(text):
        return
    said.add(text)
    tags = (*sentence.tags, "test_phrasing") if kept else sentence.tags
    rows.append(
        {
            "text": text,
            "targets": sorted(sentence.targets),
            "anchors": sorted(set(sentence.anchors)),
            "kind": sentence.kind or kind_of(speaker, sentence.targets),
            "form": sentence.label or sentence.form,
            "tags": sorted(set(tags)),
        }
    )


def kind_of(speaker: Speaker, targets: list[int]) -> str:
    """Return unique, or multiple when the target has others of its class (ScanRefer's subsets)."""
    return "multiple" if speaker.same(targets[0]) else "unique"


TYPES = tuple(MAKERS)


def questions(speaker: Speaker, ledger: Ledger) -> list[dict[str, Any]]:
    """Return up to 16 questions of a scene, two of each type, and enter them in the ledger."""
    rows: list[dict[str, Any]] = []
    said: set[str] = set()
    asked: set[tuple[Any, ...]] = set()
    for name, maker in MAKERS.items():
        for drafts in maker(speaker):
            for draft in ledger.evenest(speaker.shuffled(drafts)):
                text, _ = speaker.phrase(
                    QUESTIONS[draft.form], {"room": speaker.room, **draft.fields}
                )
                # A room has one size; all else is asked once, however it is worded.
                what = (name, draft.form, draft.answer, *sorted(set(draft.objects)))
                again = what in asked and name != "room_size"
                if text not in said and not again and not stammers(text):
                    said.add(text)
                    asked.add(what)
                    ledger.enter(draft)
                    rows.append(_row(name, text, draft))
                    break
    return [{"id": f"q{k:02d}", **row} for k, row in enumerate(rows)]


def _row(kind: str, text: str, draft: Draft) -> dict[str, Any]:
    return {
        "type": kind,
        "text": text,
        "answer": draft.answer,
        "answer_kind": draft.kind,
        "choices": draft.choices,
        "objects": sorted(set(draft.objects)),
    }


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
