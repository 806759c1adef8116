"""ATTRIBUTION.md and DATASHEET.md, from what was built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import ALSO_CALLED
from g2vlm.scenes.assets.sources import TEXTURES
from g2vlm.scenes.dataset import ELIGIBLE_PIXELS
from g2vlm.scenes.language.captions import CAPTION_COUNT, PHRASE_COUNT
from g2vlm.scenes.language.question_templates import floor_area, tenths
from g2vlm.scenes.layout.cameras import SEEN_PIXELS
from g2vlm.scenes.layout.recipes import COVERED_PERCENT, seen_percent
from g2vlm.scenes.real.source import CAPTURES
from metrics.constants import INPUT_VIEWS
from metrics.scene_graph.predicates import DEFINITIONS, VIEW_DEPENDENT

# Per cent of a model's own size along a side, over which it counts as stretched.
STRETCHED = (140, 200)


@dataclass
class SplitTally:
    """One split: scene ids, objects of each scene, models used, objects stretched over each bound
    of `STRETCHED`, the least share (%) of a scene's objects that so many cameras see."""

    ids: list[str] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    stretched: Counter[int] = field(default_factory=Counter)
    seen: dict[int, int] = field(default_factory=dict)


@dataclass
class Tally:
    """What the sheets say of a build: its splits, and counts of classes placed, of true pairs by
    predicate, of references by kind and form, of answers by type of question."""

    splits: dict[str, SplitTally] = field(default_factory=dict)
    placed: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def add(
        self,
        recipe: dict[str, Any],
        pixels: np.ndarray,
        line: dict[str, Any],
        models: Mapping[str, ModelRow],
    ) -> None:
        """Count a scene by its recipe, what its cameras see (estimated pixels int64[8, N]) and its
        line of language; an object of no model is not stretched."""
        split = self.splits.setdefault(recipe["split"], SplitTally())
        split.ids.append(recipe["id"])
        split.objects.append(len(recipe["objects"]))
        for cameras in COVERED_PERCENT:
            share = seen_percent(pixels, cameras)
            split.seen[cameras] = min(share, split.seen.get(cameras, 100))
        for item in recipe["objects"]:
            split.models.add(item["model"])
            self.placed[item["class"]] += 1
            row = models.get(item["model"])
            factor = _stretch(item["size_mm"], row.size_mm) if row else 100
            split.stretched.update(bound for bound in STRETCHED if factor > bound)
        self.relations.update(predicate for _, _, predicate in line["relations"])
        self.kinds.update(reference["kind"] for reference in line["references"])
        self.forms.update(reference["form"] for reference in line["references"])
        for question in line["questions"]:
            self.answers.setdefault(question["type"], Counter())[question["answer"]] += 1


def _stretch(size: list[int], own: tuple[int, ...]) -> int:
    return max(100 * max(a, b) // min(a, b) for a, b in zip(size, own, strict=True))


CATALOG_NAMES = {
    "BlendSwap-CC-0": "Blend Swap CC-0",
    "BlendSwap-CC-BY": "Blend Swap CC-BY",
    "KatorLegaz": "Kator Legaz",
    "Scopia": "Scopia",
}

ABOUT = (
    "Rooms of six kinds are furnished by functional groups (bed with bedside tables, sofa with "
    "coffee table and television, desk with chair and computer, table with chairs, kitchen run "
    "with cooktop and hood, bathtub with washbasin and toilet), then filled up; half of the "
    "extras repeat a class, so that references need more than a class. Positions are whole "
    "millimetres, yaw multiples of 15 degrees. What a camera sees is estimated on boxes here; "
    "rendering decides, and drops what is not seen.",
    "",
    "Known limits: colour and material names are one word a model, from the catalog's picture "
    "and a review by eye; the material is left open where the picture does not tell it; glass is "
    "named by its frame; classes with two or three models have one held out; in test_asset a "
    "model may be stretched, as the last table of Scenes says. What was left out, and why, "
    "stands in `excluded.csv`.",
    "",
)


def _definitions() -> list[str]:
    """Return what the relations mean, a line for those of the first view and one for the rest."""
    first = [text for family, text in DEFINITIONS.items() if family in VIEW_DEPENDENT]
    order = dict.fromkeys(("distance", "size", *DEFINITIONS))  # The pinned sheet begins with these.
    rest = [DEFINITIONS[family] for family in order if family not in VIEW_DEPENDENT]
    return ["- " + " ".join(first), "- " + " ".join(rest)]


WORDS_ABOUT = (
    "## What the words mean",
    "",
    f"A scene has {2 * INPUT_VIEWS} views, 128 x 96 pixels in the cpu experiment, 320 x 240 in the "
    f"gpu one: {INPUT_VIEWS} inputs, and as many held out that only metrics see. An object counts "
    f"(`eligible`) when the inputs show at least {ELIGIBLE_PIXELS} of its pixels at 128 x 96; one "
    "that they show less of is void: no sentence names it, and finding it is neither right nor "
    "wrong. One that no input shows is absent, and no sentence needs it.",
    "",
    "A class is a row of the table below, and a noun means its class: an armchair is no chair. "
    f"Since a person may say otherwise of {len(ALSO_CALLED)} classes, what also goes by the name "
    "is compared too: the largest lamp is larger than the ceiling light, which some call a lamp. "
    "Beside such a thing neither an absence nor a number nor an order of the class is stated, and "
    "the name alone means nothing.",
    "",
    "- `unique`: the only object of its class. `multiple`: one of several of its class, told apart "
    "by the rest of the sentence. `multi`: two or more are meant, and all of them are the answer. "
    "`zero`: nothing here fits, and saying so is the answer.",
    *_definitions(),
    "- The closest or farthest is so by 0.3 m and a tenth of the length at least, the tallest by "
    "0.15 m and a tenth, the largest and smallest by half of the volume. A door or window is named "
    "if it is the room's only one and an input view shows two fifths of it.",
    f"- Each scene has up to 24 references, {CAPTION_COUNT} captions, {PHRASE_COUNT} short phrases "
    "that hold of some scenes and not of others, and up to 16 questions, two of each type.",
    "- `pair`: the test_scene scene whose layout and cameras a test_asset scene shares.",
    "",
)
LICENCES = {
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
    "Public domain": "https://creativecommons.org/publicdomain/zero/1.0/",
}
CHANGES = (
    "What was changed: models are scaled to the size in `models.csv`, turned, placed in rooms and "
    "lit; faces of no area are dropped and double ones drawn once; nothing of their textures is "
    "changed but the size at which they are read. Sweet Home 3D's authors and the creators named "
    "here endorse neither this data nor its use.",
    "",
    "Renders, recipes and sentences made from them may be used under CC-BY-3.0: credit this "
    "project and pass this file on.",
    "",
)
MIT = (
    "> Permission is hereby granted, free of charge, to any person obtaining a copy of this "
    'software and associated documentation files (the "Software"), to deal in the Software '
    "without restriction, including without limitation the rights to use, copy, modify, merge, "
    "publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to "
    "whom the Software is furnished to do so, subject to the following conditions:",
    ">",
    "> The above copyright notice and this permission notice shall be included in all copies or "
    "substantial portions of the Software.",
    ">",
    '> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, '
    "INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR "
    "PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR "
    "ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, "
    "ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE "
    "SOFTWARE.",
    "",
)


def attribution(models: dict[str, ModelRow]) -> str:
    """Return ATTRIBUTION.md: catalogs, licences, creators and the models of each, other sources.

    The captured rooms are credited whether or not they were built: the file is the same in both.
    """
    lines = [
        "# Attribution",
        "",
        "Furniture: the Sweet Home 3D models 1.8 (Debian package `sweethome3d-furniture`), "
        "Copyright Emmanuel Puybaret / eTeks and the creators named below.",
        "",
        *CHANGES,
    ]
    for catalog, name in CATALOG_NAMES.items():
        rows = sorted((r for r in models.values() if r.catalog == catalog), key=lambda r: r.model)
        known = sorted({r.licence for r in rows})
        licences = ", ".join(f"[{name}]({LICENCES[name]})" for name in known)
        lines += [f"## {name}", "", f"Licence: {licences}. {len(rows)} models used.", ""]
        by_creator: dict[str, list[str]] = {}
        for row in rows:
            by_creator.setdefault(row.creator, []).append(row.model.split("#", 1)[1])
        lines += [f"- {who}: {', '.join(names)}" for who, names in sorted(by_creator.items())]
        lines.append("")
    lines += [
        "## Floor textures",
        "",
        "From the default textures of Sweet Home 3D 7.0.2 (Debian package `sweethome3d`), GPL-2+ / "
        "CC-BY-3.0, Copyright Emmanuel Puybaret / eTeks: " + ", ".join(sorted(TEXTURES)) + ".",
        "",
        "## Captured rooms",
        "",
        "The rooms in `real_rooms/`, where they were built, are captures of the npm package "
        "`@iwer/sem` 2.4.0 (Synthetic Environment Module for IWER), MIT licence, Copyright (c) "
        "Meta Platforms, Inc. and affiliates; author of the package: Felix Zhang. From "
        "https://github.com/meta-quest/immersive-web-emulation-runtime. "
        f"{len(CAPTURES)} captures used: {', '.join(sorted(CAPTURES))}. What was changed: they are "
        "read as they are, and what `real_rooms/DATASHEET.md` names is left out of the scenes.",
        "",
        *MIT,
    ]
    return "\n".join(lines)


def datasheet(tally: Tally, models: dict[str, ModelRow], guesses: list[dict[str, str]]) -> str:
    """Return DATASHEET.md with the counts of a build; `guesses` are rows of guesses.csv."""
    return "\n".join(
        [
            "# Data sheet",
            "",
            "Drawn rooms with real furniture models, their relations and sentences about them. "
            "Every number below is counted from this build.",
            "",
            *ABOUT,
            *WORDS_ABOUT,
            *_scene_table(tally),
            *_stretch_table(tally),
            *_class_table(tally, models),
            *_language_tables(tally),
            *_guess_table(guesses),
        ]
    )


ROOMS_ABOUT = (
    "Five real rooms as a headset captured them: a mesh, walls, doors, windows, and furniture as "
    "labelled boxes. From the npm package `@iwer/sem` 2.4.0, MIT licence, Copyright Meta "
    "Platforms, Inc. and affiliates.",
    "",
    "They go through the pipeline of the drawn rooms. Depth and normals are those of the mesh; "
    "RGB is grey shading of it, since captures have no colour, and no sentence names one. The "
    "plane that repeats a box's top is left out, and so is a box inside a larger one of its label, "
    "a box that holds next to nothing of the mesh, and every label without a class here "
    "(`OTHER`, `WALL_ART`): what the mesh shows there is a surface without a name, and the space "
    "it closes is void in occupancy. Cameras keep 30 cm from every surface.",
    "",
    "Known limits: five rooms are described, not tested. Labels are taken as complete within the "
    "seven classes below, so that a count or an absence can be asked. Which way a seat or a screen "
    "faces is not known: `facing` is void. The mesh is coarse and lacks thin legs; a sofa is taken "
    "as filled below its seat, other furniture as what the mesh closes.",
    "",
)


def rooms_sheet(scenes: list[dict[str, Any]], tally: Tally) -> str:
    """Return the captured rooms' DATASHEET.md with the counts of this build."""
    lines = ["# Data sheet of the captured rooms", "", *ROOMS_ABOUT]
    lines += ["| scene | capture | floor, m² | objects |", "|---|---|---|---|"]
    for scene in scenes:
        classes = Counter(o["class"] for o in scene["objects"])
        named = ", ".join(f"{classes[name]} {name}" for name in sorted(classes))
        area = tenths(floor_area(scene["room"]), 100_000)
        lines.append(f"| {scene['id']} | {scene['capture']} | {area} | {named} |")
    return "\n".join([*lines, "", *_language_tables(tally)])


def _guess_table(guesses: list[dict[str, str]]) -> list[str]:
    splits = list(dict.fromkeys(row["split"] for row in guesses))
    score = {(r["guess"], r["type"], r["split"]): r["score"] for r in guesses}
    lines = [
        "",
        "## What guessing reaches",
        "",
        "Fitted on train, over all sentences of the cpu splits and of the captured rooms as they "
        "are written (rendering drops some): `text_only` reads the question's words alone, "
        "`majority` gives the commonest answer or the median; the last row picks an object of the "
        "right class at random. Train's own column is of scenes that the fit left out, a fifth at "
        "a time: it has the most questions, and tells best what words give away. Measured by "
        "`python -m baselines.blind_baselines`; a type's score is its questions' mean, of 120 "
        "questions on val, 160 on the test splits, and at most ten on the captured rooms, whose "
        "means move by tenths.",
        "",
        f"| guess | of | {' | '.join(splits)} |",
        "|---|---|" + "---|" * len(splits),
    ]
    for guess, name in dict.fromkeys(key[:2] for key in score):
        found = " | ".join(score[guess, name, split] for split in splits)
        lines.append(f"| {guess} | {name} | {found} |")
    return [*lines, ""]


def _scene_table(tally: Tally) -> list[str]:
    some = " | ".join(f"seen by {cameras} cameras" for cameras in COVERED_PERCENT)
    lines = ["## Scenes", "", f"| split | scenes | objects a scene | models | {some} |"]
    lines.append("|---" * (4 + len(COVERED_PERCENT)) + "|")
    for name, split in tally.splits.items():
        sizes = sorted(split.objects)
        span = f"{sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}"
        seen = " | ".join(f"at least {share} %" for share in split.seen.values())
        lines.append(f"| {name} | {len(sizes)} | {span} | {len(split.models)} | {seen} |")
    return [
        *lines,
        "",
        f"Seen: the objects that a camera is estimated to see {SEEN_PIXELS} pixels of.",
        "",
    ]


def _stretch_table(tally: Tally) -> list[str]:
    """How far models are stretched: the largest factor along a side, as shares of the objects."""
    bounds = " | ".join(f"over {bound / 100:g}" for bound in STRETCHED)
    lines = [f"| split | stretched by {bounds} |", "|---|---|---|"]
    for name, split in tally.splits.items():
        shares = (100 * split.stretched[bound] // sum(split.objects) for bound in STRETCHED)
        lines.append(f"| {name} | {' | '.join(f'{share} %' for share in shares)} |")
    return [*lines, ""]


def _class_table(tally: Tally, models: dict[str, ModelRow]) -> list[str]:
    train = Counter(r.cls for r in models.values() if r.side == "train")
    held = Counter(r.cls for r in models.values() if r.side == "held")
    lines = [
        "## Classes",
        "",
        f"{len(models)} models in {len({r.group for r in models.values()})} groups; a group (an "
        "author's series, or the same normalised geometry) is on one side.",
        "",
        "| class | models for training | models held out | placed |",
        "|---|---|---|---|",
    ]
    lines += [f"| {c} | {train[c]} | {held[c]} | {tally.placed[c]} |" for c in sorted(train)]
    return [*lines, ""]


def _language_tables(tally: Tally) -> list[str]:
    lines = ["## Relations", "", "| predicate | true pairs |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(tally.relations.items())]
    lines += ["", "## References", "", "| kind or form | count |", "|---|---|"]
    lines += [f"| kind: {name} | {count} |" for name, count in sorted(tally.kinds.items())]
    lines += [f"| form: {name} | {count} |" for name, count in sorted(tally.forms.items())]
    return [*lines, "", *_question_table(tally.answers)]


def _question_table(answers: dict[str, Counter[str]]) -> list[str]:
    """What a constant guess reaches, by type: the share of the commonest answer."""
    lines = [
        "## Questions",
        "",
        "| type | count | commonest answer | its share |",
        "|---|---|---|---|",
    ]
    for name in sorted(answers):
        total = sum(answers[name].values())
        answer, times = min(answers[name].items(), key=lambda kv: (-kv[1], kv[0]))
        lines.append(f"| {name} | {total} | {answer} | {100 * times // total} % |")
    return [*lines, ""]
