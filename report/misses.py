"""Single failures for the report's browser: a sentence, a view, and what was said and true."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib import image

from metrics.files import rng
from metrics.language.answers import score_answer
from metrics.language.grounding import SINGLE, ref_f1
from metrics.rows import usable
from metrics.scene_graph.boxes import box_iou
from report.project import best_view, box_lines
from report.scenes import Scene

WRONG_IOU = 0.25
WRONG_ANSWER = 0.5
REFERENCES, QUESTIONS = 2, 2


def gather(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return {"images": {name: PNG as base64}, "items": failures} for scenes that have views.

    An item has `kind` ("reference" or "question"), scene, image, size, text, about, said, truth,
    outcome and `lines` {"prediction", "truth"} as image segments. At most two references and two
    questions a scene, drawn at random among its failures.
    """
    images: dict[str, str] = {}
    items: list[dict[str, Any]] = []
    for scene in scenes:
        if scene.inputs is None:
            continue
        for found, most in ((_references(scene), REFERENCES), (_questions(scene), QUESTIONS)):
            for item in _drawn(scene.name, found, most):
                boxes = item.pop("boxes")
                shown = boxes["truth"] or boxes["prediction"]
                view = best_view(scene.cameras, shown)
                name = f"{scene.name}/{view}"
                if name not in images:
                    images[name] = _png(scene.inputs.rgb[view])
                items.append(item | _placed(scene, view, name, boxes))
    return {"images": images, "items": items}


def _drawn(name: str, found: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(found) <= most:
        return found
    chosen = rng(0, "misses", name).choice(len(found), most, replace=False)
    return [found[k] for k in sorted(chosen)]


def _placed(scene: Scene, view: int, name: str, boxes: dict[str, list[Any]]) -> dict[str, Any]:
    camera = scene.cameras[view]
    lines = {}
    for kind, some in boxes.items():
        segments = [box_lines(camera, np.asarray(box, float)) for box in some]
        drawn = np.concatenate(segments) if segments else np.zeros((0, 4))
        # Far outside the image a line's end says nothing that its direction does not.
        lines[kind] = np.round(np.clip(drawn, -4000, 4000), 1).tolist()
    return {"scene": scene.name, "image": name, "size": list(camera.size), "lines": lines}


def _references(scene: Scene) -> list[dict[str, Any]]:
    things = {o["index"]: o for o in scene.annotation["objects"]}
    found = []
    if "grounding" not in scene.submission.produces:
        return found
    for item in scene.annotation.get("references", []):
        said = usable(lambda r=item: scene.submission.grounding(scene.name, r["id"]))
        boxes = np.zeros((0, 6)) if said is None else said.boxes
        targets = [things[k] for k in item["targets"]]
        true = np.array([o["box"] for o in targets], float).reshape(-1, 6)
        single = item["kind"] in SINGLE
        boxes = boxes[:1] if single else boxes
        if single:
            value = float(box_iou(boxes, true).max(initial=0.0))
            outcome, wrong = f"IoU {value:.2f}", value < WRONG_IOU
        else:
            value = ref_f1(boxes, true, WRONG_IOU)
            outcome, wrong = f"F1 {value:.2f}", value < WRONG_ANSWER
        if wrong:
            about = ", ".join([item["kind"], *(tag.replace("_", " ") for tag in item["tags"])])
            names = ", ".join(f"{o.get('colour') or ''} {o['class']}".strip() for o in targets)
            found.append(
                {
                    "kind": "reference",
                    "text": item["text"],
                    "about": about,
                    "said": "nothing" if not len(boxes) else f"{len(boxes)} box(es)",
                    "truth": names or "no such object",
                    "outcome": outcome,
                    "boxes": {"prediction": list(boxes), "truth": list(true)},
                }
            )
    return found


def _questions(scene: Scene) -> list[dict[str, Any]]:
    things = {o["index"]: o for o in scene.annotation["objects"]}
    found = []
    if "answers" not in scene.submission.produces:
        return found
    for item in scene.annotation.get("questions", []):
        said = usable(lambda q=item: scene.submission.answer(scene.name, q["id"]))
        value, _ = score_answer(said, item["answer"], item["answer_kind"])
        if value < WRONG_ANSWER:
            boxes = [things[k]["box"] for k in item.get("objects", []) if k in things]
            found.append(
                {
                    "kind": "question",
                    "text": item["text"],
                    "about": item["type"].replace("_", " "),
                    "said": "nothing" if said is None else said,
                    "truth": str(item["answer"]),
                    "outcome": f"score {value:.2f}",
                    "boxes": {"prediction": [], "truth": boxes},
                }
            )
    return found


def _png(rgb: np.ndarray) -> str:
    buffer = io.BytesIO()
    image.imsave(buffer, rgb, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
