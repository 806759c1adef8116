"""A relation is added by editing three files: its row, its formula and its templates."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import REPOSITORY

# (file, text before which to insert, inserted text)
EDITS = [
    (
        "metrics/scene_graph/predicates.py",
        "\n)\n\nPREDICATES = ",
        """
    Relation(
        predicate="taller",
        family="height",
        definition="Taller: over 1.5 times the height, void down to 1.1.",
        phrase="taller than",
        box_rule=lambda boxes: boxes[:, None, 5] > 1.5 * boxes[None, :, 5],
    ),""",
    ),
    (
        "g2vlm/scenes/layout/relations.py",
        "Formula = Callable",
        '''def taller(scene: SceneGeometry, i: int, j: int) -> str | None:
    """Return the label of "taller": over 1.5 times the height, void down to 1.1."""
    a, b = scene.items[i].size[2], scene.items[j].size[2]
    if 2 * a > 3 * b:
        return "taller"
    return None if 10 * a >= 11 * b else NONE


''',
    ),
    (
        "g2vlm/scenes/layout/relations.py",
        '    "side": SceneGeometry.side,\n}',
        '    "height": taller,\n',
    ),
    (
        "g2vlm/scenes/language/templates.py",
        '    "facing": (\n        "Is {a} facing {b}?",',
        """    "taller": (
        "Is {a} taller than {b}?",
        "Compared with {b}, is {a} taller?",
        "Does {a} rise higher than {b}?",
    ),
""",
    ),
    (
        "g2vlm/scenes/language/templates.py",
        '    "facing": ("{i} facing {j}"',
        '    "taller": ("{i} taller than {j}",),\n',
    ),
]

SCENES = """
from g2vlm.scenes.assets.catalog import read_models
from g2vlm.scenes.assets.catalog import REVIEWED
from g2vlm.scenes.build import draw_scenes
from g2vlm.scenes.datasheet import TERMS
from g2vlm.scenes.language.generate import generate_language
from g2vlm.scenes.language.question_templates import QUESTION_TYPES
from g2vlm.scenes.language.referring_context import ReferringContext

models = read_models(REVIEWED)
facts, templates, answers = set(), set(), set()
for recipe, pixels in draw_scenes(models, {"train": 8}):
    line = generate_language(recipe, models, pixels)
    heights = [item["size_mm"][2] for item in recipe["objects"]]
    for i, j in ((i, j) for i in range(len(heights)) for j in range(len(heights)) if i != j):
        assert ([i, j, "taller"] in line["relations"]) == (2 * heights[i] > 3 * heights[j])
    assert any(family == "height" for _, _, family in line["void"])
    facts |= {fact.get("predicate") for row in line["captions"] for fact in row["facts"]}
    for candidates in QUESTION_TYPES["spatial_relation"](
        ReferringContext(recipe, models, pixels, 0)
    ):
        answers |= {row.answer for row in candidates if row.template == "taller"}
assert "taller" in facts
assert answers == {"yes", "no"}
assert any("Taller: over 1.5 times" in text for text in TERMS)
"""

MODEL = """
from types import SimpleNamespace

import numpy as np
import torch
from g2vlm.inference.scene import gt_relations
from g2vlm.models.heads import RelationHead
from g2vlm.models.qa_context import RELATIONS
from g2vlm.training.targets import relation_targets

head = RelationHead(SimpleNamespace(point_hidden=64))
logits = head(torch.zeros(1, 2, 64), torch.ones(1, 2, 6))
assert logits.families["height"].shape == (1, 2, 2, 2)
assert RELATIONS == sum(values.shape[-1] for values in logits.families.values())
labels = relation_targets({"relations": [[4, 7, "taller"]], "void": []}, {4: 0, 7: 1})
assert labels["height"].tolist() == [[-1, 0], [1, -1]]
likely = {family: np.eye(4)[:1, : values.shape[-1]].repeat(4, 0).reshape(2, 2, -1)
          for family, values in logits.families.items()}
assert gt_relations([4, 7], likely)[0][2]["height"] == "taller"
"""

METRICS = """
import numpy as np
from baselines.chance.method import random_predicates
from docs.hooks import relations
from metrics.scene_graph import spq
from metrics.scene_graph.rule_baseline import relations_of_boxes
from metrics.schemas import schema_faults

boxes = [[0, 0, 1, 1, 1, 2], [3, 0, 0.5, 1, 1, 1]]
assert (0, "taller", 1) in relations_of_boxes(np.array(boxes))
assert random_predicates(np.random.default_rng(0))["height"] in ("taller", "none")
row = {"scene": "a", "pairs": [[0, 1, {"height": "taller"}]], "scores": [[0, "taller", 1, 0.5]]}
assert schema_faults("relations", row) == []
assert schema_faults("relations", {"scene": "a", "pairs": [[0, 1, {"height": "near"}]]})
objects = [{"index": k, "box": box, "class": "bed", "state": "eligible"}
           for k, box in enumerate(boxes)]
line = {"objects": objects, "relations": [[0, 1, "taller"]], "void": [], "given": [0, 1]}
counts = spq.graph_counts(spq.graph_truth(line), objects, [(0, "taller", 1)], 0.5)
assert counts.all["taller"][spq.HITS] == 1
confusion = spq.relation_confusion(line, {(0, 1): {"height": "taller"}, (1, 0): {"height": "none"}})
assert confusion["height"].tolist() == [[1, 0, 0], [0, 1, 0]]
assert "`taller`" in relations()
"""


def edited_copy(folder: Path) -> None:
    """Copy the packages into a folder and add the relation to its three files."""
    for name in ("g2vlm", "metrics", "baselines", "report", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.ipynb", "*.svg")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name, before, inserted in EDITS:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name}: {before!r}"
        path.write_text(text.replace(before, inserted + before), encoding="utf-8")


def test_three_edits_add_a_relation(tmp_path: Path):
    edited_copy(tmp_path)
    for part in (SCENES, MODEL, METRICS):
        call = [sys.executable, "-c", part]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len({name for name, *_ in EDITS}) == 3
