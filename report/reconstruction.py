"""The figure of a scene's reconstruction: inputs, prediction, truth and where they part."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import cm, colormaps, colors
from scipy.spatial import cKDTree

from report import style
from report.scenes import Scene
from report.splat import look_at_room, render

FAR = 0.2
SHADE = "inferno"


def reconstruction_figure(scene: Scene, title: str) -> Any:
    """Draw one scene: input colour and sensor depth, then prediction, truth and both errors."""
    real, (points, colours) = scene.real, scene.points
    look = look_at_room(real.room_corners)
    off = cKDTree(real.surface[::4]).query(points)[0] if len(points) else np.zeros(0)
    holes = np.full(len(real.surface), FAR)
    if len(points):
        holes = cKDTree(points[:: max(1, len(points) // 60_000)]).query(real.surface)[0]
    panels = {
        "prediction": render(look, points, colours),
        "ground truth": render(look, real.surface, real.surface_colour),
        "error of the prediction": render(look, points, _heat(off)),
        "truth not reached": render(look, real.surface, _heat(holes)),
    }
    rows = 3 if scene.inputs is not None else 1
    fig, axes = style.figure(rows, 4, style.WIDTH, 1.42 * rows + 0.3)
    fig.suptitle(title, x=0.01, ha="left", fontsize=8)
    if scene.inputs is not None:
        _draw_inputs(axes, scene.inputs)
    for axis, (name, image) in zip(axes[-1], panels.items(), strict=True):
        axis.imshow(image)
        axis.set_title(name)
    for axis in axes.ravel():
        axis.set_axis_off()
    scale = cm.ScalarMappable(colors.Normalize(0, 100 * FAR), _shades())
    bar = fig.colorbar(scale, ax=axes[-1, 2:], orientation="horizontal", fraction=0.06, aspect=40)
    bar.set_label("distance in cm, brightest at 20 and more", fontsize=7)
    return fig


def _draw_inputs(axes: Any, inputs: Any) -> None:
    far = max(float(inputs.depth.max()), 0.1)
    for k in range(4):
        axes[0, k].imshow(inputs.rgb[k], interpolation="nearest")
        shown = np.ma.masked_equal(inputs.depth[k], 0)
        axes[1, k].imshow(shown, cmap="viridis", vmin=0, vmax=far)
        axes[0, k].set_title(f"input {k + 1}")
    axes[1, 0].set_title(f"sensor depth, 0 to {far:.1f} m")


def _shades() -> Any:
    # The last tenth of the map is near white, which is the paper's.
    return colors.ListedColormap(colormaps[SHADE](np.linspace(0, 0.92, 256)))


def _heat(distance: np.ndarray) -> np.ndarray:
    shade = _shades()(np.clip(distance / FAR, 0, 1))
    return (shade[:, :3] * 255).astype(np.uint8)
