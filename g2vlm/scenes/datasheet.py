"""Write ATTRIBUTION.md and DATASHEET.md from the scenes and sentences of a build."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import ModelRow
from g2vlm.scenes.assets.classes import ALSO_CALLED
from g2vlm.scenes.assets.sources import TEXTURES
from g2vlm.scenes.dataset import ELIGIBLE_PIXELS
from g2vlm.scenes.language.captions import CAPTION_COUNT, PHRASE_COUNT
from g2vlm.scenes.language.question_templates import floor_area, tenths
from g2vlm.scenes.layout.cameras import SEEN_PIXELS, VIEWS
from g2vlm.scenes.layout.recipes import COVERED_PERCENT, seen_percent
from g2vlm.scenes.layout.splits import misfit
from g2vlm.scenes.real import REAL_ROOMS
from g2vlm.scenes.real.source import CAPTURES
from metrics.constants import INPUT_VIEWS
from metrics.scene_graph.predicates import DEFINITIONS, VIEW_DEPENDENT

# Per cent of a model's own size along a side, above which it counts as stretched.
STRETCHED = (140, 200)


@dataclass
class SplitStats:
    """Statistics of one split.

    Args:
        objects: {scene: number of its objects}.
        models: used.
        stretched: number of objects stretched above each bound of `STRETCHED`.
        seen: {number of cameras: smallest share (%) of a scene's objects that they see}.
    """

    objects: dict[str, int] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    stretched: Counter[int] = field(default_factory=Counter)
    seen: dict[int, int] = field(default_factory=dict)


@dataclass
class DatasetStats:
    """Statistics of a build.

    Args:
        splits: by name.
        counts: number of objects of each "class", of true pairs of each "predicate", and of
            referring expressions of each "subset" and "form".
        answers: number of each answer, by type of question.
    """

    splits: dict[str, SplitStats] = field(default_factory=dict)
    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def add(
        self,
        recipe: dict[str, Any],
        pixels: np.ndarray,
        line: dict[str, Any],
        models: Mapping[str, ModelRow],
    ) -> None:
        """Add a scene.

        Args:
            recipe: of the scene.
            pixels: int64 [8, N] estimated pixels of each object in each view.
            line: its line of language.jsonl.
            models: the reviewed table; an object without a row in it is not stretched.
        """
        split = self.splits.setdefault(recipe["split"], SplitStats())
        split.objects[recipe["id"]] = len(recipe["objects"])
        for cameras in COVERED_PERCENT:
            split.seen[cameras] = min(seen_percent(pixels, cameras), split.seen.get(cameras, 100))
        for item in recipe["objects"]:
            split.models.add(item["model"])
            self.counts["class"][item["class"]] += 1
            row = models.get(item["model"])
            factor = misfit(row, item["size_mm"]) // 10 if row else 100  # per cent
            split.stretched.update(bound for bound in STRETCHED if factor > bound)
        self.counts["predicate"].update(predicate for _, _, predicate in line["relations"])
        self.counts["subset"].update(reference["kind"] for reference in line["references"])
        self.counts["form"].update(reference["form"] for reference in line["references"])
        for question in line["questions"]:
            self.answers.setdefault(question["type"], Counter())[question["answer"]] += 1


CATALOG_NAMES = {
    "BlendSwap-CC-0": "Blend Swap CC-0",
    "BlendSwap-CC-BY": "Blend Swap CC-BY",
    "KatorLegaz": "Kator Legaz",
    "Scopia": "Scopia",
}

ABOUT = (
    "Rooms of six kinds are furnished with functional groups (bed with bedside tables, sofa with "
    "coffee table and television, desk with chair and computer, table with chairs, kitchen run "
    "with cooktop and hood, bathtub with washbasin and toilet) and then with single objects. "
    "Half of those repeat a class of the room, so that a referring expression needs more than a "
    "class. Positions are whole millimetres, yaw a multiple of 15 degrees. The visibility of "
    "objects is estimated from their boxes here. Rendering measures it, and drops sentences "
    "about objects that no view shows.",
    "",
    "Known limits: colour and material are one word a model, from the catalog's picture and a "
    "review by eye. The material is empty where the picture does not show it; an object of "
    "glass has the words of its frame. Classes with two or three models have one held out. In "
    "test_asset a model may be stretched; the last table of the section Scenes gives the "
    "factors. `excluded.csv` lists the models that are not used, and why.",
    "",
)


TERMS = (
    "## Terms",
    "",
    f"A scene has {VIEWS} views of 128 x 96 pixels in the cpu experiment and 320 x 240 in the gpu "
    f"experiment: {INPUT_VIEWS} input views, and as many held-out views, which only metrics read. "
    f"An object is `eligible` when the input views show at least {ELIGIBLE_PIXELS} of its pixels "
    "at 128 x 96. It is void when they show fewer: no sentence names it, and detecting it is "
    "neither right nor wrong. It is absent when they show none: no sentence needs it.",
    "",
    "A class is a row of the table below, and a noun means its class: an armchair is not a "
    f"chair. People use the names of {len(ALSO_CALLED)} classes for objects of other classes too, "
    "and sentences hold against those: the largest lamp is larger than the ceiling light, which "
    "some call a lamp. Where a room has such an object, no sentence states that the class is "
    "absent, how many of it there are or an order of it, and the name alone refers to nothing.",
    "",
    "- `unique`: the target is the only object of its class. `multiple`: the target is one of "
    "several of its class, and the rest of the sentence identifies it. `multi`: there are two or "
    "more targets, and the answer is all of them. `zero`: no object fits, and the answer is none.",
    "- " + " ".join(DEFINITIONS[family] for family in DEFINITIONS if family in VIEW_DEPENDENT),
    "- " + " ".join(DEFINITIONS[family] for family in DEFINITIONS if family not in VIEW_DEPENDENT),
    "- Closest and farthest differ from the next by at least 0.3 m and a tenth of the length, "
    "tallest by 0.15 m and a tenth, largest and smallest by half of the volume. A door or window "
    "is named if it is the room's only one and an input view shows two fifths of it.",
    f"- Each scene has up to 24 referring expressions, {CAPTION_COUNT} captions, {PHRASE_COUNT} "
    "short phrases that hold in some scenes and not in others, and up to 16 questions, two of each "
    "type.",
    "- `pair`: the test_scene scene whose layout and cameras a test_asset scene shares.",
    "",
)
LICENCES = {
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
    "Public domain": "https://creativecommons.org/publicdomain/zero/1.0/",
}
CHANGES = (
    "Changes: models are scaled to the size in `models.csv`, turned, placed in rooms and lit; "
    "faces without area are dropped and repeated faces rendered once; textures are changed only "
    "in the size at which they are read. Sweet Home 3D's authors and the creators named here "
    "endorse neither this data nor its use.",
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
    """Return ATTRIBUTION.md: catalogs, licences, creators and their models, and other sources.

    It credits the captured rooms also in a build without them, so that the file is the same.

    Args:
        models: the reviewed table.
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
        known = sorted({row.licence for row in rows})
        licences = ", ".join(f"[{licence}]({LICENCES[licence]})" for licence in known)
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
        f"The rooms in `{REAL_ROOMS}/`, if the build includes them, are captures of the npm "
        "package `@iwer/sem` 2.4.0 (Synthetic Environment Module for IWER), MIT licence, Copyright "
        "(c) Meta Platforms, Inc. and affiliates; author of the package: Felix Zhang. From "
        "https://github.com/meta-quest/immersive-web-emulation-runtime. "
        f"{len(CAPTURES)} captures used: {', '.join(sorted(CAPTURES))}. Changes: none to the "
        f"captures; `{REAL_ROOMS}/DATASHEET.md` lists what the scenes leave out.",
        "",
        *MIT,
    ]
    return "\n".join(lines)


def datasheet(
    stats: DatasetStats, models: dict[str, ModelRow], scores: list[dict[str, str]]
) -> str:
    """Return DATASHEET.md of a build.

    Args:
        stats: of the build.
        models: the reviewed table.
        scores: rows of blind_baselines.csv.
    """
    return "\n".join(
        [
            "# Datasheet",
            "",
            "Synthetic rooms with real furniture models, the relations between objects, and "
            "sentences about them. Every number below is counted from this build.",
            "",
            *ABOUT,
            *TERMS,
            *_scene_table(stats),
            *_class_table(stats, models),
            *_language_tables(stats),
            *_blind_baseline_table(scores),
        ]
    )


ROOMS_ABOUT = (
    "Five real rooms as a headset captured them: a mesh, walls, doors, windows, and furniture as "
    "labelled boxes. From the npm package `@iwer/sem` 2.4.0, MIT licence, Copyright Meta "
    "Platforms, Inc. and affiliates.",
    "",
    "They pass the same pipeline as the synthetic rooms. Depth and normals are those of the "
    "mesh. Captures have no colour: RGB is grey shading of the mesh, and no sentence names a "
    "colour. These labels are left out: the plane that repeats a box's top, a box inside a "
    "larger one of its label, a box that holds next to nothing of the mesh, and every label "
    "without a class here (`OTHER`, `WALL_ART`). The mesh there is an unlabelled surface, and "
    "the space inside it is void in occupancy. Cameras keep 30 cm from every surface.",
    "",
    "Known limits: five rooms allow a description, not a test. Labels count as complete within "
    "the seven classes below, so that questions can ask for a number or an absence. Which way a "
    "seat or a screen faces is unknown: `facing` is void. The mesh is coarse and lacks thin "
    "legs. A sofa counts as solid below its seat, other furniture where the mesh encloses it.",
    "",
)


def rooms_datasheet(scenes: list[dict[str, Any]], stats: DatasetStats) -> str:
    """Return the captured rooms' DATASHEET.md.

    Args:
        scenes: their recipes.
        stats: of these rooms.
    """
    rows = []
    for scene in scenes:
        classes = Counter(o["class"] for o in scene["objects"])
        objects = ", ".join(f"{classes[name]} {name}" for name in sorted(classes))
        area = tenths(floor_area(scene["room"]), 100_000)
        rows.append((scene["id"], scene["capture"], area, objects))
    return "\n".join(
        [
            "# Datasheet of the captured rooms",
            "",
            *ROOMS_ABOUT,
            *_table(("scene", "capture", "floor, m²", "objects"), rows),
            *_language_tables(stats),
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table and an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]


def _scene_table(stats: DatasetStats) -> list[str]:
    seen_by = [f"seen by {cameras} cameras" for cameras in COVERED_PERCENT]
    stretched_by = [f"stretched by over {bound / 100:g}" for bound in STRETCHED]
    rows, stretched = [], []
    for name, split in stats.splits.items():
        sizes = sorted(split.objects.values())
        span = f"{sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}"
        seen = [f"at least {share} %" for share in split.seen.values()]
        rows.append((name, len(sizes), span, len(split.models), *seen))
        shares = [100 * split.stretched[bound] // sum(sizes) for bound in STRETCHED]
        stretched.append((name, *(f"{share} %" for share in shares)))
    return [
        "## Scenes",
        "",
        *_table(("split", "scenes", "objects a scene", "models", *seen_by), rows),
        "The last columns give the share of a scene's objects of which some camera is estimated to "
        f"see at least {SEEN_PIXELS} pixels.",
        "",
        *_table(("split", *stretched_by), stretched),
    ]


def _class_table(stats: DatasetStats, models: dict[str, ModelRow]) -> list[str]:
    train = Counter(r.cls for r in models.values() if r.side == "train")
    held = Counter(r.cls for r in models.values() if r.side == "held")
    return [
        "## Classes",
        "",
        f"{len(models)} models in {len({r.group for r in models.values()})} groups; a group (an "
        "author's series, or duplicates of one shape) is on one side of the split.",
        "",
        *_table(
            ("class", "models for training", "models held out", "placed"),
            [(cls, train[cls], held[cls], stats.counts["class"][cls]) for cls in sorted(train)],
        ),
    ]


def _language_tables(stats: DatasetStats) -> list[str]:
    expressions = [
        (f"{label}: {name}", count)
        for label in ("subset", "form")
        for name, count in sorted(stats.counts[label].items())
    ]
    questions = []
    for name in sorted(stats.answers):
        answers = stats.answers[name]
        total = sum(answers.values())
        answer, times = min(answers.items(), key=lambda row: (-row[1], row[0]))
        questions.append((name, total, answer, f"{100 * times // total} %"))
    return [
        "## Relations",
        "",
        *_table(("predicate", "true pairs"), sorted(stats.counts["predicate"].items())),
        "## Referring expressions",
        "",
        *_table(("subset or form", "count"), expressions),
        "## Questions",
        "",
        "A constant answer reaches the share of the most frequent answer.",
        "",
        *_table(("type", "count", "most frequent answer", "its share"), questions),
    ]


def _blind_baseline_table(rows: list[dict[str, str]]) -> list[str]:
    """Return the section on baselines that see no image, from rows of blind_baselines.csv."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    score = {(r["baseline"], r["type"], r["split"]): r["score"] for r in rows}
    names = dict.fromkeys((baseline, name) for baseline, name, _ in score)
    return [
        "## Blind baselines",
        "",
        "Scores of baselines that see no image, fitted on train. They answer all written "
        "sentences of the cpu splits and of the captured rooms; rendering drops some of these. "
        "The probes read the words of the question alone: `word_ridge` and `word_forest` their "
        "counts, `text_only` the sentence embedding, `nearest_question` answers as the most "
        "similar question does. `majority` gives the most frequent answer, or the median, and "
        "`best_constant` the constant with the highest score. The last row picks an object of the "
        "right class at random. The scores on train are from five-fold cross-validation over "
        "scenes; train has the most questions, so they show best how much the words give away. A "
        "score is the mean over the questions of a type. The other splits have far fewer of them: "
        "`python -m benchmarks.question_balance` measures on thousands of fresh questions of each "
        "type. Measured by `python -m baselines.blind_baselines`.",
        "",
        *_table(
            ("baseline", "questions", *splits),
            [(*name, *(score[*name, split] for split in splits)) for name in names],
        ),
    ]
