"""Questions of eight types, two a scene, with margins that make them true.

Each type drafts what could be asked (`drafts.py`); the ledger picks what evens the answers out.
"""

from __future__ import annotations

from typing import Any

from g2vlm.scenes.drafts import MAKERS
from g2vlm.scenes.ledger import Draft, Ledger
from g2vlm.scenes.phrasings import QUESTIONS
from g2vlm.scenes.speaker import Speaker, stammers

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
