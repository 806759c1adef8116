"""The figure of a scene graph: predicted and true relations over the floor plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from metrics.scene_graph.boxes import match_objects
from metrics.scene_graph.predicates import SYMMETRIC
from report import style
from report.scenes import Scene

# Size and side hold for nearly every pair of objects: drawn, they would be all one sees.
SHOWN = ("on", "near", "facing")
DASHES = {"on": "-", "near": ":", "facing": "--"}
MOST, OBJECTS = 25, 15
MATCH_IOU = 0.25

Edge = tuple[int | None, str, int | None]


def graph_figure(scene: Scene, title: str) -> Any:
    """Draw what was true and whether it was found, beside what was said and whether it is true.

    Objects are rectangles seen from above; a relation is right where both of its objects match
    true ones (same class, IoU above .25) of which the relation holds.
    """
    said, triplets = scene.said
    real = scene.true_objects
    place = {thing["index"]: k for k, thing in enumerate(real)}
    listed = scene.annotation.get("relations", [])
    true = _distinct((place[i], name, place[j]) for i, j, name in listed if {i, j} <= set(place))
    surest = sorted(triplets, key=lambda t: (-t[3], t[0], t[2], t[1]))
    claims = _distinct(t[:3] for t in surest)[:MOST]
    match = {mine: theirs for mine, (theirs, _) in _matched(said, real).items()}
    found = _distinct((match.get(i), name, match.get(j)) for i, name, j in claims)
    right = [_distinct([(match.get(i), name, match.get(j))])[0] in true for i, name, j in claims]
    fig, axes = style.figure(1, 2, style.WIDTH, 3.1)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    corners = scene.real.room_corners
    reached = [edge in found for edge in true]
    _draw(axes[0, 0], corners, dict(enumerate(real)), set(match.values()), true, reached)
    likely = sorted(range(len(said)), key=lambda k: -said[k]["score"])[:OBJECTS]
    shown = {k: said[k] for k in sorted({*likely, *(k for i, _, j in claims for k in (i, j))})}
    _draw(axes[0, 1], corners, shown, set(match), claims, right)
    axes[0, 0].set_title(f"true: {sum(reached)} of {len(true)} relations found")
    axes[0, 1].set_title(f"predicted: {sum(right)} of the surest {len(claims)} relations right")
    style.legend(fig, None, _handles(), columns=5)
    return fig


def _distinct(edges: Iterable[Edge]) -> list[Edge]:
    """Return the relations that are drawn, each once: near holds both ways."""
    kept = []
    for i, name, j in edges:
        if name in SHOWN:
            turned = name in SYMMETRIC and None not in (i, j) and i > j
            kept.append((j, name, i) if turned else (i, name, j))
    return list(dict.fromkeys(kept))


def _matched(said: list[dict[str, Any]], real: list[dict[str, Any]]) -> dict[int, tuple]:
    if not said or not real:
        return {}
    boxes = [np.array([o["box"] for o in objects], float) for objects in (said, real)]
    classes = [[o["class"] for o in objects] for objects in (said, real)]
    return match_objects(boxes[0], classes[0], boxes[1], classes[1], MATCH_IOU)


def _draw(
    axis: Any,
    corners: np.ndarray,
    objects: dict[int, dict[str, Any]],
    right: set[int],
    edges: list[Edge],
    good: list[bool],
) -> None:
    ring = corners[np.argsort(corners[:, 2])[:4], :2]
    centre = ring.mean(0)
    around = np.argsort(np.arctan2(*(ring - centre).T[::-1]))
    axis.fill(*ring[around].T, facecolor="#F6F6F4", edgecolor=style.INK, linewidth=0.6)
    for k, thing in objects.items():
        x, y, _, a, b, _ = thing["box"]
        colour = style.BETTER if k in right else style.UNSURE
        place = (x - a / 2, y - b / 2)
        axis.add_patch(Rectangle(place, a, b, fill=False, edgecolor=colour, linewidth=0.8))
        halo = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4}
        axis.text(x, y, thing["class"], ha="center", va="center", fontsize=5, bbox=halo, zorder=3)
    for (i, name, j), well in zip(edges, good, strict=True):
        line = [objects[k]["box"][:2] for k in (i, j)]
        colour = style.BETTER if well else style.WORSE
        axis.annotate(
            "",
            xy=line[1],
            xytext=line[0],
            arrowprops={
                "arrowstyle": "-" if name == "near" else "->",
                "color": colour,
                "linestyle": DASHES[name],
                "linewidth": 0.8,
                "shrinkA": 5,
                "shrinkB": 5,
                "connectionstyle": "arc3,rad=0.12",
            },
        )
    axis.set_aspect("equal")
    axis.set_axis_off()


def _handles() -> list[Any]:
    lines = [Line2D([], [], color=style.INK, linestyle=DASHES[n], label=n) for n in SHOWN]
    words = (("right, found", style.BETTER), ("wrong, missed", style.WORSE))
    return lines + [Line2D([], [], color=c, label=word) for word, c in words]
