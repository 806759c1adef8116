"""Wrong answers for the page's browser: a sentence, a view, the prediction and the truth."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from metrics.files import rng
from metrics.language.answers import score_answer
from metrics.language.grounding import SINGLE, ref_f1
from metrics.rows import usable
from metrics.scene_graph.boxes import box_iou
from report.scenes import Scene, best_view, box_lines
from report.style import encode_image

WRONG_IOU = 0.25
WRONG_ANSWER = 0.5
# Most items of each kind from one scene.
MOST_ITEMS = 2
# Segments end this far (pixels) outside the image: farther out they look the same.
LINE_LIMIT = 4000


def gather_misses(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return {"images": {name: WebP as base64}, "items": misses} of scenes.

    An item has `kind` ("reference" or "question"), scene, image, size, text, about, `said` (the
    prediction), truth, outcome and `lines` {"prediction", "truth"} as image segments. A scene with
    more misses than MOST_ITEMS contributes a random sample.
    """
    images: dict[str, str] = {}
    items: list[dict[str, Any]] = []
    for scene in scenes:
        for task, missed in (("grounding", _missed_references), ("answers", _missed_questions)):
            misses = list(missed(scene)) if task in scene.submission.produces else []
            if len(misses) > MOST_ITEMS:
                chosen = rng(0, "misses", scene.name).choice(len(misses), MOST_ITEMS, replace=False)
                misses = [misses[k] for k in sorted(chosen)]
            for item in misses:
                boxes = item.pop("boxes")
                view = best_view(scene.cameras, boxes["truth"] or boxes["prediction"])
                name = f"{scene.name}/{view}"
                if name not in images:
                    images[name] = encode_image(Image.fromarray(scene.inputs.rgb[view]))
                items.append(item | _placement(scene, view, name, boxes))
    return {"images": images, "items": items}


def _placement(scene: Scene, view: int, name: str, boxes: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the scene, the image with its size, and the boxes as segments in that image."""
    camera = scene.cameras[view]
    lines = {}
    for kind, some in boxes.items():
        segments = [np.zeros((0, 4)), *(box_lines(camera, np.asarray(box, float)) for box in some)]
        clipped = np.clip(np.concatenate(segments), -LINE_LIMIT, LINE_LIMIT)  # (S, 4)
        lines[kind] = np.round(clipped, 1).tolist()
    return {"scene": scene.name, "image": name, "size": list(camera.size), "lines": lines}


def _missed_references(scene: Scene) -> Iterator[dict[str, Any]]:
    """Yield references whose boxes are wrong: IoU under 0.25, F1 under 0.5 for several targets."""
    for item in scene.annotation.get("references", []):
        answer = usable(lambda r=item: scene.submission.grounding(scene.name, r["id"]))
        boxes = np.zeros((0, 6)) if answer is None else answer.boxes
        targets = [scene.objects[k] for k in item["targets"]]
        true = np.array([o["box"] for o in targets], float).reshape(-1, 6)
        if item["kind"] in SINGLE:
            boxes = boxes[:1]
            value = float(box_iou(boxes, true).max(initial=0.0))
            outcome, wrong = f"IoU {value:.2f}", value < WRONG_IOU
        else:
            value = ref_f1(boxes, true, WRONG_IOU)
            outcome, wrong = f"F1 {value:.2f}", value < WRONG_ANSWER
        if wrong:
            names = [f"{o.get('colour') or ''} {o['class']}".strip() for o in targets]
            yield {
                "kind": "reference",
                "text": item["text"],
                "about": ", ".join([item["kind"], *(t.replace("_", " ") for t in item["tags"])]),
                "said": f"{len(boxes)} box(es)" if len(boxes) else "nothing",
                "truth": ", ".join(names) or "no such object",
                "outcome": outcome,
                "boxes": {"prediction": list(boxes), "truth": list(true)},
            }


def _missed_questions(scene: Scene) -> Iterator[dict[str, Any]]:
    """Yield questions whose answers score under 0.5."""
    for item in scene.annotation.get("questions", []):
        answer = usable(lambda q=item: scene.submission.answer(scene.name, q["id"]))
        value, _ = score_answer(answer, item["answer"], item["answer_kind"])
        if value < WRONG_ANSWER:
            named = [scene.objects[k] for k in item.get("objects", []) if k in scene.objects]
            yield {
                "kind": "question",
                "text": item["text"],
                "about": item["type"].replace("_", " "),
                "said": "nothing" if answer is None else answer,
                "truth": str(item["answer"]),
                "outcome": f"score {value:.2f}",
                "boxes": {"prediction": [], "truth": [thing["box"] for thing in named]},
            }
