"""Groups of references and phrases: by class, size, colour, distance, visibility and wording."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from metrics.language.grounding import SINGLE

# {facet: its groups in order, or () for those that occur}.
FACETS: dict[str, tuple[str, ...]] = {
    "class in training": ("rare", "common", "frequent"),
    "size": ("under 50 cm", "50 to 120 cm", "over 120 cm"),
    "colour": (),
    "distance": ("under 2 m", "2 to 3.5 m", "over 3.5 m"),
    "seen in the views": ("under 150 px", "150 to 600 px", "over 600 px"),
    "wording": ("seen in training", "unseen"),
    "relation": (),
    "view": ("view-dependent", "view-independent"),
}
# Limits between the three groups of a facet, in metres and pixels.
EDGES = {"size": (0.5, 1.2), "distance": (2.0, 3.5), "seen in the views": (150, 600)}


def groups_of(lines: Iterable[Mapping[str, Any]], frequencies: Mapping[str, int]) -> pd.DataFrame:
    """Return the groups of references with one target and of phrases.

    The longest side is an object's size; its distance is from the first camera. Few pixels in the
    input views mean far, small or hidden. Classes that make up the most frequent third of the
    training objects are "frequent", the next third "common".

    Args:
        lines: annotation lines of a split.
        frequencies: {class: number of its objects in training}.

    Returns:
        Rows of scene, query, facet and group.
    """
    tiers = class_tiers(frequencies)
    rows: list[tuple[str, str, str, str]] = []
    for line in lines:
        objects = {item["index"]: item for item in line["objects"]}
        for reference in line["references"]:
            if reference["kind"] in SINGLE:
                groups = _reference_groups(reference, objects[reference["targets"][0]], tiers)
                rows += [(line["scene"], reference["id"], *pair) for pair in groups.items()]
        for phrase in line["phrases"]:
            tier = tiers.get(phrase["class"], "rare") if phrase.get("class") else None
            groups = {"class in training": tier, "colour": phrase.get("colour")}
            rows += [(line["scene"], phrase["id"], *pair) for pair in groups.items() if pair[1]]
    return pd.DataFrame(rows, columns=["scene", "query", "facet", "group"])


def class_tiers(frequencies: Mapping[str, int]) -> dict[str, str]:
    """Return each class's third of the training objects, the most frequent classes first.

    >>> class_tiers({"chair": 60, "table": 30, "lamp": 20, "vase": 5})
    {'chair': 'frequent', 'table': 'common', 'lamp': 'rare', 'vase': 'rare'}
    """
    total, before, tiers = sum(frequencies.values()), 0, {}
    for name, count in sorted(frequencies.items(), key=lambda item: (-item[1], item[0])):
        tiers[name] = ("frequent", "common", "rare")[min(2, int(3 * before / max(1, total)))]
        before += count
    return tiers


def _reference_groups(
    reference: Mapping[str, Any], target: Mapping[str, Any], tiers: Mapping[str, str]
) -> dict[str, str]:
    """Return {facet: group} of a reference with one target."""
    box, tags = np.array(target["box"], float), reference["tags"]
    sides = np.array(target.get("size_mm") or box[3:] * 1000) / 1000
    return {
        "class in training": tiers.get(target["class"], "rare"),
        "size": _band("size", sides.max()),
        "colour": target.get("colour") or "none named",
        "distance": _band("distance", float(np.hypot(*box[:2]))),
        "seen in the views": _band("seen in the views", target.get("pixels", 0)),
        "wording": "unseen" if "test_phrasing" in tags else "seen in training",
        "relation": reference["form"],
        "view": "view-dependent" if "view_dependent" in tags else "view-independent",
    }


def _band(facet: str, value: float) -> str:
    return FACETS[facet][int(np.searchsorted(EDGES[facet], value, side="right"))]
