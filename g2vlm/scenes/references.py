"""Referring expressions: a mixed draw from all that can be said of a scene, worded."""

from __future__ import annotations

from typing import Any

from g2vlm.scenes.forms import FORMS
from g2vlm.scenes.phrasings import REFERENCES
from g2vlm.scenes.speaker import Sentence, Speaker, stammers

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
