"""Choose questions so that their words alone do not give the answers away.

A clue is something that the words of a question show: a class, a class in a colour, a pair of
classes. `AnswerBalance` counts which outcomes went with each clue. Of several candidate questions
the one that evens the counts out is asked, so that a reader of the question alone cannot tell which
answer is likelier. Strict clues are stronger: a question is not asked at all if it would make an
outcome of theirs commoner than the others. All of it is counted in integers. One balance runs over
the scenes of one split in their order: a scene's questions depend on the scenes before it, never on
those after it, so the first n scenes of a split do not change when more are generated.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Clue(NamedTuple):
    """Something that the words of a question show.

    Attributes:
        key: what they show.
        outcome: what goes with it in this question.
        outcomes: the number of possible outcomes.
        strict: whether the outcomes of the key must stay even.
    """

    key: tuple[str, ...]
    outcome: str
    outcomes: int
    strict: bool = False


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
        # In how many pools of candidates each outcome of a strict clue was.
        self._offered: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def excess(self, candidate: QuestionCandidate) -> int:
        """Return by how much the candidate's outcomes exceed an even share, summed over its clues.

        For a clue with K outcomes, seen N times, n of them with this outcome: K n - N.
        """
        return sum(self._lead(clue) for clue in candidate.clues)

    def _lead(self, clue: Clue) -> int:
        counts = self._counts[clue.key]
        return clue.outcomes * counts[clue.outcome] - counts.total()

    def ranked(self, candidates: Sequence[QuestionCandidate]) -> list[QuestionCandidate]:
        """Return the candidates that may be asked by ascending excess; ties keep their order.

        Call it once for each pool of a scene's candidates: it also counts what the pool offers.
        """
        offered = {(c.key, c.outcome) for row in candidates for c in row.clues if c.strict}
        for key, outcome in offered:
            self._offered[key][outcome] += 1
        admitted = [row for row in candidates if all(map(self._admits, row.clues))]
        return sorted(admitted, key=self.excess)

    def _admits(self, clue: Clue) -> bool:
        """Return whether a question with this clue keeps the outcomes even.

        Until every outcome of a strict clue has been offered, nothing is asked about it: a class
        that is always alone would give its count away. The outcome that is offered least often may
        be asked up to its even share; the others only follow it, since there will be scenes to ask
        them of.
        """
        offered = self._offered[clue.key]
        if not clue.strict:
            return True
        if len(offered) < clue.outcomes:
            return False
        lead = self._lead(clue)
        return lead <= 0 if offered[clue.outcome] == min(offered.values()) else lead < 0

    def record(self, candidate: QuestionCandidate) -> None:
        """Count a candidate that was asked."""
        for clue in candidate.clues:
            self._counts[clue.key][clue.outcome] += 1
