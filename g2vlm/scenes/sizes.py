"""Size words: an object against the median of its class in the reviewed table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from g2vlm.scenes.catalog import ModelRow, read_models

_MODELS = Path(__file__).with_name("reviewed") / "models.csv"


@cache
def _medians() -> dict[str, tuple[int, int]]:
    """Return the median volume (mm³) and height (mm) of each class over the reviewed models."""
    rows: dict[str, list[ModelRow]] = {}
    for row in read_models(_MODELS).values():
        rows.setdefault(row.cls, []).append(row)
    middle = {}
    for cls, models in rows.items():
        volumes = sorted(m.volume for m in models)
        heights = sorted(m.size_mm[2] for m in models)
        middle[cls] = (volumes[len(volumes) // 2], heights[len(heights) // 2])
    return middle


def size_words(cls: str, size_mm: Sequence[int]) -> set[str]:
    """Return which of small, large and tall fit an object, against its class's medians.

    small: under 0.6 of the median volume; large: over 1.6; tall: over 1.3 of the median height.
    """
    volume, height = _medians()[cls]
    own = size_mm[0] * size_mm[1] * size_mm[2]
    words = set()
    if 10 * own < 6 * volume:
        words.add("small")
    if 10 * own > 16 * volume:
        words.add("large")
    if 10 * size_mm[2] > 13 * height:
        words.add("tall")
    return words
