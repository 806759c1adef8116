"""Choose questions so that their words alone do not give the answers away.

A clue is something that the words of a question show: a class, a class in a colour, a pair of
classes, the room. `AnswerBalance` counts which outcomes went with each clue. Of several candidate
questions the one that evens the counts out is asked, so that a reader of the question alone cannot
tell which answer is likelier. One balance runs over the scenes of one split in their order: a
scene's questions depend on the scenes before it, never on those after it, so the first n scenes of
a split do not change when more are generated.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

# What the words show, the outcome that goes with it, the number of possible outcomes.
Clue = tuple[tuple[str, ...], str, int]


@dataclass(frozen=True)
class QuestionCandidate:
    """A question that could be asked of a scene.

    Attributes:
        template: key of its templates in `QUESTIONS`.
        fields: what fills the template.
        answer, choices: the answer, and what it is chosen from; [] for a number.
        objects: indices of the objects that it needs; for counts and existence, all of the class.
        clues: what its words show, with the outcome of each.
    """

    template: str
    fields: dict[str, str]
    answer: str
    choices: list[str]
    objects: list[int]
    clues: tuple[Clue, ...] = ()


class AnswerBalance:
    """Counts of outcomes by clue over the questions asked so far."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def excess(self, candidate: QuestionCandidate) -> int:
        """Return by how much the candidate's outcomes exceed an even share, summed over its clues.

        For a clue with K outcomes, seen N times, n of them with this outcome: K n - N.
        """
        return sum(
            outcomes * self._counts[key][outcome] - self._counts[key].total()
            for key, outcome, outcomes in candidate.clues
        )

    def ranked(self, candidates: Sequence[QuestionCandidate]) -> list[QuestionCandidate]:
        """Return the candidates by ascending excess; ties keep their order."""
        return sorted(candidates, key=self.excess)

    def record(self, candidate: QuestionCandidate) -> None:
        """Count a candidate that was asked."""
        for key, outcome, _ in candidate.clues:
            self._counts[key][outcome] += 1
