"""The figure of grounded sentences: predicted and true boxes drawn into the input views."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from metrics.language.grounding import SINGLE
from metrics.rows import usable
from metrics.scene_graph.boxes import box_iou
from report import style
from report.project import best_view, box_lines
from report.scenes import Scene

SHOWN = 4


def grounding_figure(scene: Scene, title: str) -> Any:
    """Draw the two references grounded best and the two worst, in the view that sees the target.

    None where the method grounds nothing or the scene has no views.
    """
    if scene.inputs is None:
        return None
    found = grounded(scene)
    chosen = found[: SHOWN // 2] + found[max(SHOWN // 2, len(found) - SHOWN // 2) :]
    if not chosen:
        return None
    fig, axes = style.figure(1, SHOWN, style.WIDTH, 2.0)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (overlap, reference, box, target) in zip(axes.ravel(), chosen, strict=False):
        view = best_view(scene.cameras, [target])
        camera = scene.cameras[view]
        width, height = camera.size
        frame = (0, width, height, 0)
        axis.imshow(scene.inputs.rgb[view], extent=frame, interpolation="nearest")
        for lines, colour in ((target, style.WORSE), (box, style.BETTER)):
            segments = box_lines(camera, lines).reshape(-1, 2, 2)
            axis.add_collection(LineCollection(segments, colors=colour, linewidths=1.1))
        axis.set_xlim(0, width)
        axis.set_ylim(height, 0)
        text = textwrap.shorten(reference["text"], 84, placeholder=" …")
        axis.set_title("\n".join(textwrap.wrap(text, 30)), fontsize=6)
        axis.text(0, height * 1.03, f"IoU {overlap:.2f}", fontsize=6, va="top")
    handles = [
        Line2D([], [], color=colour, label=name)
        for name, colour in (("true box", style.WORSE), ("predicted box", style.BETTER))
    ]
    style.legend(fig, None, handles)
    return fig


def grounded(scene: Scene) -> list[tuple[float, dict[str, Any], np.ndarray, np.ndarray]]:
    """Return (IoU, reference, first box, true box) of single-target references, best first."""
    box_of = {o["index"]: np.array(o["box"], float) for o in scene.annotation["objects"]}
    found = []
    for reference in scene.annotation.get("references", []):
        if reference["kind"] not in SINGLE:
            continue
        said = usable(lambda r=reference: scene.submission.grounding(scene.name, r["id"]))
        if said is not None and len(said.boxes):
            target = box_of[reference["targets"][0]]
            overlap = float(box_iou(said.boxes[:1], target)[0, 0])
            found.append((overlap, reference, said.boxes[0], target))
    return sorted(found, key=lambda row: (-row[0], row[1]["id"]))
