"""The gallery's figures of one scene: reconstruction, scene graph, grounded references."""

import itertools
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from matplotlib import cm, colormaps, colors
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy.spatial import cKDTree

from metrics.language.grounding import SINGLE
from metrics.rows import usable
from metrics.scene_graph.boxes import box_iou, match_objects
from metrics.scene_graph.predicates import INVERSE, LOCAL, SYMMETRIC
from report import style
from report.scenes import Scene, best_view, box_lines

# A figure's name is the suffix of its file behind "best", "median" and "worst".
FIGURES = style.Figures()

# Errors of this many metres and more have the brightest colour.
FAR = 0.2
# The last tenth of the map is left out: it is near white, the colour of the paper.
ERROR_MAP = colors.ListedColormap(colormaps["inferno"](np.linspace(0, 0.92, 256)))
# Walls and ceiling are cut this far (metres) inside their planes.
CUT = 0.12
# Line styles of the predicates that are drawn, in turn: local ones alone, since the others hold for
# nearly every pair of objects and would hide them, and one of each two inverses.
DRAWN = [name for name in LOCAL if INVERSE.get(name, name) not in LOCAL[: LOCAL.index(name)]]
DASHES = dict(zip(DRAWN, itertools.cycle(("-", ":", "--", "-."))))
MOST_RELATIONS, MOST_OBJECTS = 25, 15
MATCH_IOU = 0.25
REFERENCES = 4
# (width, height) in pixels of a room seen from above.
PANEL = (420, 320)

# (index of the subject, predicate, index of the object); None for an object without a match.
Edge = tuple[int | None, str, int | None]


# ---- reconstruction ------------------------------------------------------------------------------


@FIGURES.add(
    "",
    "Reconstruction",
    "Four input views and their sensor depth; then, seen from above without ceiling and near "
    "walls, prediction, ground truth, each predicted point’s distance to the truth, and each "
    "true point’s distance to the prediction (bright where it was not reached).",
)
def reconstruction_figure(scene: Scene, title: str) -> Any:
    """Return one scene's input colour and sensor depth, prediction, truth and both errors."""
    truth, (points, colours) = scene.geometry, scene.points
    draw = partial(render, truth.room_corners)
    to_truth = np.zeros(0)  # (M,) distance of each predicted point to the truth
    to_prediction = np.full(len(truth.surface), FAR)  # (N,) of each true point to the prediction
    if len(points):
        to_truth = cKDTree(truth.surface[::4]).query(points)[0]
        tree = cKDTree(points[:: max(1, len(points) // 60_000)])
        to_prediction = tree.query(truth.surface)[0]
    panels = {
        "prediction": draw(points, colours),
        "ground truth": draw(truth.surface, truth.surface_colour),
        "error of the prediction": draw(points, _error_colours(to_truth)),
        "truth not reached": draw(truth.surface, _error_colours(to_prediction)),
    }
    fig, axes = style.images(3, 4, 4.56)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    far = max(float(scene.inputs.depth.max()), 0.1)
    for k, (rgb, depth) in enumerate(zip(scene.inputs.rgb, scene.inputs.depth, strict=True)):
        axes[0, k].imshow(rgb, interpolation="nearest")
        axes[1, k].imshow(np.ma.masked_equal(depth, 0), cmap="viridis", vmin=0, vmax=far)
        axes[0, k].set_title(f"input {k + 1}")
    axes[1, 0].set_title(f"sensor depth, 0 to {far:.1f} m")
    for axis, (name, image) in zip(axes[-1], panels.items(), strict=True):
        axis.imshow(image)
        axis.set_title(name)
    scale = cm.ScalarMappable(colors.Normalize(0, 100 * FAR), ERROR_MAP)
    bar = fig.colorbar(scale, ax=axes[-1, 2:], orientation="horizontal", fraction=0.06, aspect=40)
    bar.set_label("distance in cm, brightest at 20 and more", fontsize=7)
    return fig


def _error_colours(distance: np.ndarray) -> np.ndarray:
    """Return colours u8 [M, 3] of distances [M] in metres."""
    return (ERROR_MAP(np.clip(distance / FAR, 0, 1))[:, :3] * 255).astype(np.uint8)


def ceiling_cut(corners: np.ndarray) -> float:
    """Return the height in metres below which a room with corners f32 [8, 3] is drawn."""
    return float(corners[:, 2].max()) - CUT


def view_from_above(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the orthographic camera that shows a room with corners f32 [8, 3] in a `PANEL`.

    Returns:
        axes: f64 [3, 3], rows right, down and forward.
        centre: f64 [3] in metres, drawn in the middle of the image.
        scale: pixels a metre.
    """
    centre = corners.mean(0)
    diagonal = floor_ring(corners)[0] - centre[:2]
    # A little off the diagonal, no wall edge hides another; 50 degrees show floor and walls.
    azimuth, elevation = np.arctan2(diagonal[1], diagonal[0]) + 0.35, np.deg2rad(50)
    forward = -np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    image = (corners - centre) @ axes[:2].T  # (8, 2)
    spread = np.ptp(image, axis=0)
    scale = 0.94 * float(min(PANEL[0] / spread[0], PANEL[1] / spread[1]))
    return axes, centre + axes[:2].T @ ((image.max(0) + image.min(0)) / 2), scale


def floor_ring(corners: np.ndarray) -> np.ndarray:
    """Return the floor's corners [4, 2], counter-clockwise, of a room with corners [8, 3]."""
    floor = corners[np.argsort(corners[:, 2])[:4], :2]
    x, y = (floor - floor.mean(0)).T
    return floor[np.argsort(np.arctan2(y, x))]


def walls(corners: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Return (outward normal f64 [2], offset) of the walls of a room with corners f32 [8, 3].

    Inside the room, normal . (x, y) < offset.
    """
    ring = floor_ring(corners.astype(np.float64))
    room = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = end - start
        normal = np.array([along[1], -along[0]]) / max(float(np.linalg.norm(along)), 1e-9)
        room.append((normal, float(normal @ start)))
    return room


def render(corners: np.ndarray, points: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Draw a room with corners f32 [8, 3] from above: its points as 3x3 pixels.

    Points of the ceiling and of near walls are left out.

    Args:
        corners: f32 [8, 3] in metres.
        points: f32 [M, 3] in metres.
        colours: u8 [M, 3].

    Returns:
        u8 [height, width, 3] of a `PANEL`.
    """
    axes, centre, scale = view_from_above(corners)
    width, height = PANEL
    # The ceiling and the walls between camera and room would hide the room.
    keep = points[:, 2] < ceiling_cut(corners)  # (M,)
    for normal, offset in walls(corners):
        if normal @ axes[2, :2] < 0:
            keep &= points[:, :2] @ normal < offset - CUT
    placed = (points[keep] - centre) @ axes.T  # (K, 3)
    # Far points come first: where squares overlap, the nearest is written last and stays.
    order = np.argsort(-placed[:, 2], kind="stable")
    centres = placed[order, :2] * scale + (width / 2, height / 2)  # (K, 2)
    offsets = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)  # (9, 2)
    pixels = np.round(centres).astype(np.int64)[:, None] + offsets  # (K, 9, 2)
    inside = ((pixels >= 0) & (pixels < (width, height))).all(-1)  # (K, 9)
    columns, rows = pixels[inside].T
    image = np.full((height, width, 3), 255, np.uint8)
    image[rows, columns] = np.repeat(colours[keep][order], inside.sum(1), axis=0)
    return image


# ---- scene graph ---------------------------------------------------------------------------------


@FIGURES.add(
    "_graph",
    "Scene graph",
    "Objects seen from above, at the left the true ones, at the right the 25 surest predicted "
    "relations. Blue relations are found or right, orange ones missed or wrong; blue objects "
    "match one of the same class with IoU above 0.25. Size and side relations hold for nearly "
    "every pair and are not drawn.",
)
def graph_figure(scene: Scene, title: str) -> Any:
    """Return true relations and whether they are found, predicted ones and whether they are right.

    A predicted relation is right where both of its objects match true objects (same class, IoU
    above 0.25) between which the relation holds. None where the method predicts no graph.
    """
    if not {"objects", "graph"} <= scene.submission.produces:
        return None
    objects, triplets = scene.predicted_graph
    true_objects = scene.true_objects
    place = {thing["index"]: k for k, thing in enumerate(true_objects)}
    true = _distinct(
        (place[i], name, place[j])
        for i, j, name in scene.annotation.get("relations", [])
        if {i, j} <= set(place)
    )
    surest = sorted(triplets, key=lambda t: (-t[3], t[0], t[2], t[1]))
    predicted = _distinct(triplet[:3] for triplet in surest)[:MOST_RELATIONS]
    match = _matches(objects, true_objects)
    # The predicted relations between the true objects that their objects match.
    matched = [_ordered((match.get(i), name, match.get(j))) for i, name, j in predicted]
    found = [edge in set(matched) for edge in true]
    right = [edge in set(true) for edge in matched]
    likely = sorted(range(len(objects)), key=lambda k: -objects[k]["score"])[:MOST_OBJECTS]
    related = {k for i, _, j in predicted for k in (i, j)}
    drawn = {k: objects[k] for k in sorted({*likely, *related})}
    corners = scene.geometry.room_corners
    fig, axes = style.images(1, 2, 3.1)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    _draw_graph(
        axes[0, 0], corners, dict(enumerate(true_objects)), set(match.values()), true, found
    )
    _draw_graph(axes[0, 1], corners, drawn, set(match), predicted, right)
    axes[0, 0].set_title(f"true: {sum(found)} of {len(true)} relations found")
    axes[0, 1].set_title(f"predicted: {sum(right)} of the surest {len(predicted)} relations right")
    handles = [
        *(Line2D([], [], color=style.INK, linestyle=DASHES[name], label=name) for name in DASHES),
        Line2D([], [], color=style.BETTER, label="right, found"),
        Line2D([], [], color=style.WORSE, label="wrong, missed"),
    ]
    style.legend(fig, None, handles, columns=5)
    return fig


def _distinct(edges: Iterable[Edge]) -> list[Edge]:
    """Return the relations whose predicates are drawn, each once."""
    return list(dict.fromkeys(_ordered(edge) for edge in edges if edge[1] in DASHES))


def _ordered(edge: Edge) -> Edge:
    """Return a relation with its objects in order where it holds both ways."""
    i, name, j = edge
    if name in SYMMETRIC and i is not None and j is not None and i > j:
        return j, name, i
    return edge


def _matches(predicted: list[dict[str, Any]], true: list[dict[str, Any]]) -> dict[int, int]:
    """Return {index of a predicted object: index of the true object that it matches}."""
    if not predicted or not true:
        return {}
    boxes = [np.array([o["box"] for o in objects], float) for objects in (predicted, true)]
    classes = [[o["class"] for o in objects] for objects in (predicted, true)]
    matched = match_objects(boxes[0], classes[0], boxes[1], classes[1], MATCH_IOU)
    return {own: other for own, (other, _) in matched.items()}


def _draw_graph(
    axis: Any,
    corners: np.ndarray,
    objects: dict[int, dict[str, Any]],
    matched: set[int],
    edges: list[Edge],
    good: list[bool],
) -> None:
    """Draw the floor, objects as rectangles (blue if matched) and relations (blue if good)."""
    axis.fill(*floor_ring(corners).T, facecolor="#F6F6F4", edgecolor=style.INK, linewidth=0.6)
    for k, thing in objects.items():
        x, y, _, a, b, _ = thing["box"]
        colour = style.BETTER if k in matched else style.UNSURE
        corner = (x - a / 2, y - b / 2)
        axis.add_patch(Rectangle(corner, a, b, fill=False, edgecolor=colour, linewidth=0.8))
        halo = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.4}
        axis.text(x, y, thing["class"], ha="center", va="center", fontsize=5, bbox=halo, zorder=3)
    for (i, name, j), is_good in zip(edges, good, strict=True):
        arrow = {
            "arrowstyle": "-" if name in SYMMETRIC else "->",
            "color": style.BETTER if is_good else style.WORSE,
            "linestyle": DASHES[name],
            "linewidth": 0.8,
            "shrinkA": 5,
            "shrinkB": 5,
            "connectionstyle": "arc3,rad=0.12",
        }
        start, end = objects[i]["box"][:2], objects[j]["box"][:2]
        axis.annotate("", xy=end, xytext=start, arrowprops=arrow)
    axis.set_aspect("equal")


# ---- grounded references -------------------------------------------------------------------------


@FIGURES.add(
    "_grounding",
    "Grounded references",
    "The two references grounded best and the two worst, in the view that sees the true box "
    "most; orange is true, blue predicted.",
)
def grounding_figure(scene: Scene, title: str) -> Any:
    """Return the two references grounded best and the two worst, in the view of their target.

    None where the method grounds nothing.
    """
    grounded = grounded_references(scene)
    half = REFERENCES // 2
    chosen = grounded[:half] + grounded[max(half, len(grounded) - half) :]
    if not chosen:
        return None
    fig, axes = style.images(1, REFERENCES, 2.0)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    for axis, (iou, reference, box, target) in zip(axes.ravel(), chosen, strict=False):
        view = best_view(scene.cameras, [target])
        camera = scene.cameras[view]
        width, height = camera.size
        axis.imshow(scene.inputs.rgb[view], extent=(0, width, height, 0), interpolation="nearest")
        for corners, colour in ((target, style.WORSE), (box, style.BETTER)):
            segments = box_lines(camera, corners).reshape(-1, 2, 2)
            axis.add_collection(LineCollection(segments, colors=colour, linewidths=1.1))
        axis.set(xlim=(0, width), ylim=(height, 0))
        axis.set_title(style.wrapped(reference["text"]), fontsize=6)
        axis.text(0, height * 1.03, f"IoU {iou:.2f}", fontsize=6, va="top")
    style.legend(
        fig,
        None,
        [
            Line2D([], [], color=style.WORSE, label="true box"),
            Line2D([], [], color=style.BETTER, label="predicted box"),
        ],
    )
    return fig


def grounded_references(scene: Scene) -> list[tuple[float, dict[str, Any], np.ndarray, np.ndarray]]:
    """Return (IoU, reference, first predicted box [6], true box [6]), best first.

    References with several targets or none are left out.
    """
    grounded = []
    for reference in scene.annotation.get("references", []):
        answer = usable(lambda r=reference: scene.submission.grounding(scene.name, r["id"]))
        if reference["kind"] in SINGLE and answer is not None and len(answer.boxes):
            target = np.array(scene.objects[reference["targets"][0]]["box"], float)
            iou = float(box_iou(answer.boxes[:1], target)[0, 0])
            grounded.append((iou, reference, answer.boxes[0], target))
    return sorted(grounded, key=lambda row: (-row[0], row[1]["id"]))
