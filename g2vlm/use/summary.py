"""A result in a few lines for the terminal."""

from __future__ import annotations

import os
from pathlib import Path

from g2vlm.use.results import Grounded, Result


def summary(result: Result, folder: str | os.PathLike[str]) -> str:
    """Return what was found and where it lies."""
    lines = [f"caption: {text}" for text in result.captions]
    lines += [f"{item.question}\n  {item.answer}" for item in result.answers]
    for item in result.grounded:
        lines += [item.phrase, f"  {_found(item)}"]
    lines.append(
        f"{len(result.objects)} objects, {len(result.relations)} relations, "
        f"{len(result.cloud.points)} points"
    )
    if result.familiarity:
        lines.append(result.familiarity.says)
    lines.append(f"look at it: {Path(folder) / 'viewer.html'}")
    return "\n".join(lines)


def _found(item: Grounded) -> str:
    if not item.boxes:
        return "nothing"
    best = item.boxes[0]
    place = ", ".join(f"{value:.2f}" for value in best.box[:3])
    others = f" and {len(item.boxes) - 1} more" if len(item.boxes) > 1 else ""
    told = "no object seems to fit; best guess: " if item.nothing else ""
    return f"{told}{best.object or 'an unnamed place'} at ({place}) m{others}"
