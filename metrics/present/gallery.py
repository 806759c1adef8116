"""Best, median and worst scenes of a method: inputs, prediction, truth and where they part."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from scipy.spatial import cKDTree

from metrics.files import InputError, atomic_path, rng, write_json
from metrics.present import data, style
from metrics.present.splat import look_at_room, render

if TYPE_CHECKING:
    from metrics.submission import Submission
    from metrics.truth import Truth

CAPTION = (
    "Inputs (4 views), sensor depth, then seen from above without ceiling and near walls: "
    "prediction, ground truth, the prediction's distance to the truth, and the truth's distance to "
    "the prediction (holes). Distances run from dark (0) to bright (20 cm and more)."
)
FAR = 0.2
VIEWER_POINTS = 9000
VIEWER_BOXES = 40


@dataclass(frozen=True)
class Inputs:
    """What the method saw: rgb u8 [4, H, W, 3] and sensor depth in metres f32 [4, H, W]."""

    rgb: np.ndarray
    depth: np.ndarray


def choose_scenes(stats: data.Statistics, method: str, split: str) -> dict[str, str]:
    """Return {"best", "median", "worst": scene} by the method's mean fscore@5cm over seeds."""
    cells = stats.cells()
    keep = (cells["method"] == method) & (cells["split"] == split) & (cells["subset"] == "all")
    scores = cells[keep & (cells["metric"] == "fscore@5cm")].groupby("scene")["value"].mean()
    if scores.empty:
        return {}
    order = scores.sort_values(kind="stable").index
    return {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}


def read_inputs(scenes_dir: str | Path, scene: str) -> Inputs:
    """Read a scene's input views from the rendered shards (<shard>.safetensors)."""
    from safetensors import safe_open

    for file in sorted(Path(scenes_dir).glob("*.safetensors")):
        with safe_open(file, framework="numpy") as shard:
            if f"{scene}/rgb" in shard.keys():  # noqa: SIM118 (safe_open is no mapping)
                rgb = shard.get_slice(f"{scene}/rgb")[:4]
                sensor = shard.get_slice(f"{scene}/sensor")[:4]
                return Inputs(rgb, sensor.astype(np.float32) / 1000)
    raise InputError(f"{scenes_dir}: no shard holds scene {scene}; run the render stage")


def write_gallery(
    stats_dir: str | Path,
    truth_dir: str | Path,
    submission_dir: str | Path,
    scenes_dir: str | Path | None,
    out_dir: str | Path,
    method: str = "full",
) -> list[Path]:
    """Write best/median/worst as pdf and png and `viewer.json` for the report's 3D view.

    `truth_dir` and `scenes_dir` are those of the submission's split; without `scenes_dir` the input
    rows are left out. Returns the files, none where the method has no reconstruction scores.
    """
    from metrics.submission import Submission
    from metrics.truth import Truth

    submission, truth = Submission(submission_dir), Truth(truth_dir)
    chosen = choose_scenes(data.load(stats_dir), method, submission.split)
    views = []
    with atomic_path(out_dir, folder=True) as folder:
        for name, scene in chosen.items():
            inputs = read_inputs(scenes_dir, scene) if scenes_dir else None
            fig = scene_figure(truth, submission, scene, inputs, f"{name}: {scene}")
            style.save(fig, folder, name)
            views.append(viewer_scene(truth, submission, scene) | {"title": f"{scene} ({name})"})
        write_json(folder / "viewer.json", views)
    return sorted(Path(out_dir).iterdir())


def predicted_points(submission: Submission, scene: str) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted points f32 [M, 3] and colours u8 [M, 3]; the mesh's vertices if no points.

    Empty arrays where nothing usable was predicted.
    """
    from metrics.rows import usable

    cloud = usable(lambda: submission.points(scene))
    if cloud is not None and len(cloud.points):
        grey = np.full((len(cloud.points), 3), 120, np.uint8)
        return cloud.points, grey if cloud.colours is None else cloud.colours
    mesh = usable(lambda: submission.mesh(scene))
    if mesh is None or not len(mesh.vertices):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    grey = np.full((len(mesh.vertices), 3), 120, np.uint8)
    return mesh.vertices, grey if mesh.colours is None else mesh.colours


def scene_figure(
    truth: Truth, submission: Submission, scene: str, inputs: Inputs | None, title: str
) -> Any:
    """Draw one scene: RGB, sensor depth, and the four reconstructions."""
    real = truth.geometry(scene)
    points, colours = predicted_points(submission, scene)
    look = look_at_room(real.room_corners)
    off = cKDTree(real.surface[::4]).query(points)[0] if len(points) else np.zeros(0)
    holes = np.full(len(real.surface), FAR)
    if len(points):
        holes = cKDTree(points[:: max(1, len(points) // 60_000)]).query(real.surface)[0]
    panels = {
        "prediction": render(look, points, colours),
        "ground truth": render(look, real.surface, real.surface_colour),
        "prediction's error": render(look, points, _heat(off)),
        "truth's holes": render(look, real.surface, _heat(holes)),
    }
    rows = 3 if inputs is not None else 1
    fig, axes = style.figure(rows, 4, style.WIDTH, 1.42 * rows + 0.25)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    if inputs is not None:
        far = max(float(inputs.depth.max()), 0.1)
        for k in range(4):
            axes[0, k].imshow(inputs.rgb[k])
            shown = np.ma.masked_equal(inputs.depth[k], 0)
            axes[1, k].imshow(shown, cmap="viridis", vmin=0, vmax=far)
            axes[0, k].set_title(f"input {k + 1}")
        axes[1, 0].set_title(f"sensor depth, 0 to {far:.1f} m")
    for axis, (name, image) in zip(axes[-1], panels.items(), strict=True):
        axis.imshow(image)
        axis.set_title(name)
    for axis in axes.ravel():
        axis.set_axis_off()
    return fig


def _heat(distance: np.ndarray) -> np.ndarray:
    shade = colormaps["inferno"](np.clip(distance / FAR, 0, 1) * 0.92)
    return (shade[:, :3] * 255).astype(np.uint8)


def viewer_scene(truth: Truth, submission: Submission, scene: str) -> dict[str, Any]:
    """Return what the 3D view draws: clouds as base64 (Int16 millimetres, uint8 RGB) and boxes."""
    from metrics.rows import usable

    real = truth.geometry(scene)
    look = look_at_room(real.room_corners)
    points, colours = predicted_points(submission, scene)
    said = usable(lambda: submission.objects(scene))
    likely = [] if said is None else sorted(said[0], key=lambda o: -o["score"])[:VIEWER_BOXES]
    found = [(o["class"], o["box"]) for o in likely]
    annotated = truth.annotation(scene)["objects"]
    real_boxes = [(o["class"], o["box"]) for o in annotated if o["state"] == "eligible"]
    low, high = real.room_corners.min(0), real.room_corners.max(0)
    return {
        "scene": scene,
        "centre": np.round((low + high) / 2, 3).tolist(),
        "radius": round(float(np.linalg.norm(high - low) / 2), 3),
        "clouds": {
            "prediction": _cloud(points, colours, look.ceiling, scene),
            "truth": _cloud(real.surface, real.surface_colour, look.ceiling, scene),
        },
        "boxes": {"prediction": _boxes(found), "truth": _boxes(real_boxes)},
    }


def _cloud(points: np.ndarray, colours: np.ndarray, ceiling: float, scene: str) -> dict[str, Any]:
    keep = np.flatnonzero((points[:, 2] < ceiling) & (np.abs(points) < 32).all(1))
    if len(keep) > VIEWER_POINTS:
        keep = np.sort(rng(0, "viewer", scene).choice(keep, VIEWER_POINTS, replace=False))
    millimetres = np.round(points[keep] * 1000).astype("<i2")
    return {
        "count": len(keep),
        "xyz": base64.b64encode(millimetres.tobytes()).decode("ascii"),
        "rgb": base64.b64encode(np.ascontiguousarray(colours[keep]).tobytes()).decode("ascii"),
    }


def _boxes(found: list[tuple[str, list[float]]]) -> list[dict[str, Any]]:
    return [{"name": name, "box": [round(float(v), 3) for v in box]} for name, box in found]
