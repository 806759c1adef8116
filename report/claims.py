"""One plain sentence for each claim of the article, read off the declared tests."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from report import data, names
from report.comparisons import verdict

CLAIMS = {
    "no_geometry": "Geometry grounding improves 3D quality and spatial reasoning",
    "no_alignment": "Language alignment improves retrieval and grounding",
    "geometry_free_vlm": "The model beats a geometry-free one with the same frozen encoders",
    "reconstruction_only": "The model reconstructs better than one trained without language",
    "minimal_3d_vlm": "The model beats a VLM with minimal 3D supervision",
}


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict in a few words, and the sentence that says on what it rests."""

    claim: str
    method: str
    verdict: str
    sentence: str


def claims(stats: data.Statistics) -> list[Claim]:
    """Return the article's claims in order, also those that this study did not test."""
    tests = stats.tests("article")
    return [_claim(name, text, tests) for name, text in CLAIMS.items()]


def _claim(name: str, text: str, tests: pd.DataFrame) -> Claim:
    rows = tests[tests["method_b"] == name]
    found: dict[str, list[str]] = {}
    for row in rows.itertuples():
        result = verdict(row)
        side = {f"{row.method_a} better": "for", f"{row.method_b} better": "against"}
        gap = "" if pd.isna(row.difference) else f" ({row.difference:+.3f})"
        label = names.metric_label(row.metric, row.subset) + gap
        found.setdefault(side.get(result, result), []).append(label)
    wins, losses, ties = (found.get(k, []) for k in ("for", "against", "not separable"))
    word = _word(len(wins), len(losses), len(ties))
    parts = []
    if wins:
        parts.append("better on " + ", ".join(wins))
    if losses:
        parts.append("worse on " + ", ".join(losses))
    if ties:
        parts.append("not separable on " + ", ".join(ties))
    if found.get("not tested"):
        parts.append("not tested on " + ", ".join(found["not tested"]))
    said = "; ".join(parts) if parts else "no scores of this comparison"
    return Claim(text, name, word, f"full minus {name}: {said}.")


def _word(wins: int, losses: int, ties: int) -> str:
    if wins and losses:
        return "mixed"
    if losses:
        return "not supported"
    if wins:
        return "supported" if not ties else f"partly supported ({wins} of {wins + ties})"
    return "not separable" if ties else "not tested"
