"""Answers that their words do not give away: what was asked so far, and what would even it out.

A clue is something that a question's words show (a class, a class in a colour, a pair of classes,
the room); a ledger counts which outcome went with each clue. Of several drafts the one is asked
that evens the counts out, so that nobody who reads the question alone learns which answer is
likelier. A ledger runs over the scenes of one split in their order: a scene's questions depend on
the scenes before it, never on those after, so the first n scenes of a split stay what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# What the words show, the outcome that goes with it, how many outcomes there could have been.
Clue = tuple[tuple[str, ...], str, int]


@dataclass(frozen=True)
class Draft:
    """A question to choose from: its phrasings' form and fields, its answer, the objects that it
    needs (for counts and existence: of the classes asked about) and its clues."""

    form: str
    fields: dict[str, str]
    answer: str
    kind: str
    choices: list[str]
    objects: list[int]
    clues: tuple[Clue, ...] = ()


class Ledger:
    """Counts of outcomes by clue over the questions asked so far."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], Counter[str]] = {}
        self._totals: Counter[tuple[str, ...]] = Counter()

    def excess(self, draft: Draft) -> int:
        """Return by how much the draft's outcomes are ahead of an even share, over its clues.

        For a clue with K outcomes, seen N times, n of them with this outcome: K n - N.
        """
        total = 0
        for key, outcome, outcomes in draft.clues:
            seen = self._counts.get(key)
            if seen:
                total += outcomes * seen[outcome] - self._totals[key]
        return total

    def evenest(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Return the drafts, those that even the counts out first, equals in their own order."""
        return sorted(drafts, key=self.excess)

    def enter(self, draft: Draft) -> None:
        """Count a draft that was asked."""
        for key, outcome, _ in draft.clues:
            self._counts.setdefault(key, Counter())[outcome] += 1
            self._totals[key] += 1
