"""What counts as visible: the annotation of a rendered scene.

An object with at least 40 pixels in the 4 input views is eligible; with fewer it is void; with
none it is absent. Items of language that need anything else are dropped and counted.
"""

from __future__ import annotations

import re

import numpy as np

from g2vlm.scenes.classes import CLASSES, SYNONYMS, plural
from g2vlm.scenes.drafts import SIDES
from g2vlm.scenes.labels import ELIGIBLE_PIXELS, INPUT_VIEWS
from g2vlm.scenes.language import facts_hold, phrase_holds

_COUNTED = ("count", "existence")


def annotate(recipe: dict, language: dict, fields: dict[str, np.ndarray]) -> dict:
    """Return one annotation line: objects with their state, and the language that they allow."""
    objects = _objects(recipe, fields)
    line = {
        "scene": recipe["id"],
        "split": recipe["split"],
        "pair": recipe.get("pair"),
        "kind": recipe["kind"],
        "objects": objects,
    }
    line["relations"] = _pairs(language.get("relations", []), objects)
    line["void"] = _pairs(language.get("void", []), objects)
    dropped = {}
    for name, keep in (
        ("references", _keep_reference),
        ("questions", _keep_question),
        ("captions", _keep_caption),
        ("phrases", _keep_phrase),
    ):
        items = language.get(name, [])
        line[name] = [item for item in items if keep(item, line)]
        dropped[name] = len(items) - len(line[name])
    line["dropped"] = dropped
    return line


def eligible(line: dict) -> list[dict]:
    """Return an annotation's eligible objects in index order."""
    return [item for item in line["objects"] if item["state"] == "eligible"]


def _objects(recipe: dict, fields: dict[str, np.ndarray]) -> list[dict]:
    seen = fields["pixels"][:, :INPUT_VIEWS].sum(axis=1)
    objects = []
    for position, item in enumerate(recipe["objects"]):
        pixels = int(seen[position])
        state = "eligible" if pixels >= ELIGIBLE_PIXELS else "void" if pixels else "absent"
        objects.append(
            {
                "index": item["index"],
                "class": item["class"],
                "colour": item["colour"],
                "model": item["model"],
                "box": [round(float(x), 4) for x in fields["boxes"][position]],
                "yaw": round(float(fields["yaw"][position]), 4),
                "size_mm": item["size_mm"],
                "pixels": pixels,
                "first_view_pixels": int(fields["pixels"][position, 0]),
                "state": state,
            }
        )
    return objects


def _states(line: dict) -> dict[int, str]:
    return {item["index"]: item["state"] for item in line["objects"]}


def _pairs(pairs: list[list], objects: list[dict]) -> list[list]:
    seen = {item["index"] for item in objects if item["state"] == "eligible"}
    return [pair for pair in pairs if pair[0] in seen and pair[1] in seen]


def _all_eligible(indices: list[int], line: dict) -> bool:
    states = _states(line)
    return all(states.get(index) == "eligible" for index in indices)


def _in_first_view(indices: list[int], line: dict) -> bool:
    shown = {item["index"]: item["first_view_pixels"] for item in line["objects"]}
    return all(shown.get(index, 0) >= ELIGIBLE_PIXELS for index in indices)


def _keep_reference(item: dict, line: dict) -> bool:
    meant = [*item["targets"], *item["anchors"]]
    if item["form"] == "ordinal":  # It ranks all of the class.
        kinds = {o["class"] for o in line["objects"] if o["index"] in meant}
        meant += [o["index"] for o in line["objects"] if o["class"] in kinds]
    if "view_dependent" in item["tags"] and not _in_first_view(meant, line):
        return False
    return _all_eligible(meant, line)


def _keep_question(item: dict, line: dict) -> bool:
    if not _all_eligible(item["objects"], line):
        return False
    if item["choices"] == SIDES and not _in_first_view(item["objects"], line):
        return False
    if item["type"] not in _COUNTED:
        return True
    classes = _question_classes(item, line)
    return not any(o["state"] == "void" and o["class"] in classes for o in line["objects"])


def _question_classes(item: dict, line: dict) -> set[str]:
    """Return the classes a question counts: of its objects, or named in its text if it has none."""
    if item["objects"]:
        wanted = set(item["objects"])
        return {o["class"] for o in line["objects"] if o["index"] in wanted}
    text, found = item["text"].lower(), set()
    words = [(word, name) for name in CLASSES for word in (name, *SYNONYMS.get(name, ()))]
    # Longer words first, so that "coffee table" is not taken for a table.
    for word, name in sorted(words, key=lambda pair: -len(pair[0])):
        pattern = rf"\b({re.escape(word.lower())}|{re.escape(plural(word.lower()))})\b"
        text, count = re.subn(pattern, " ", text)
        if count:
            found.add(name)
    return found


def _keep_caption(item: dict, line: dict) -> bool:
    return bool(facts_hold(item["facts"], line))


def _keep_phrase(item: dict, line: dict) -> bool:
    return any(phrase_holds(item, candidate) for candidate in eligible(line))
