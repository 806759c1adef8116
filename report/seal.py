"""The opened sealed test for readers: what is not sealed, and which methods came later."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Behind the name of a method that came after the freeze.
MARK = " (post-seal)"


@dataclass(frozen=True)
class SealedTest:
    """The opened sealed test of a study; without an opening every field is empty.

    Attributes:
        splits: the sealed splits.
        unseen_furniture: those of them with furniture that no training room shows.
        classes_not_sealed: classes whose unseen furniture is that of the development rooms.
        post_seal: methods that came, or were changed, after the freeze.
    """

    splits: tuple[str, ...] = ()
    unseen_furniture: tuple[str, ...] = ()
    classes_not_sealed: tuple[str, ...] = ()
    post_seal: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, seal: Mapping[str, Any]) -> "SealedTest":
        """Return the test that the section `seal` of a run's config describes."""
        return cls(*(tuple(seal.get(name, ())) for name in cls.__dataclass_fields__))

    def label(self, method: str) -> str:
        """Return the name of a method as readers see it.

        >>> SealedTest(post_seal=("new",)).label("new"), SealedTest().label("new")
        ('new (post-seal)', 'new')
        """
        return f"{method}{MARK}" if method in self.post_seal else method

    def notes(self, printed: str, scored: Iterable[str]) -> tuple[str, ...]:
        """Return the notes that belong below a table.

        Args:
            printed: all that the table says: its caption, heads and cells.
            scored: the scored splits.

        >>> test = SealedTest(("test",), ("test",), ("rug", "sink"))
        >>> test.notes("dev and test", ["dev", "test"])
        ('Not sealed: dev.', 'Unseen furniture of these classes is not sealed (test): rug, sink.')
        """
        if not self.splits:
            return ()
        words = set(re.findall(r"\w+", printed))
        lines = []
        if known := [split for split in scored if split in words and split not in self.splits]:
            lines.append(f"Not sealed: {', '.join(known)}.")
        unseen = [split for split in self.unseen_furniture if split in words]
        if unseen and self.classes_not_sealed:
            lines.append(
                f"Unseen furniture of these classes is not sealed ({', '.join(unseen)}): "
                f"{', '.join(self.classes_not_sealed)}."
            )
        if MARK in printed:
            lines.append(
                "Post-seal: the method came, or was changed, after the freeze of the sealed test, "
                "whose first opening is primary."
            )
        return tuple(lines)
