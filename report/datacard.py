"""What the data look like: a sheet of rooms by kind, and sentences with their objects outlined."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.constants import FIRST_OBJECT
from metrics.files import read_lines
from report import style
from report.scenes import Views

COLUMNS = 4
SENTENCES = 8
CAPTURED = "captured"
TITLES = {"living": "living room", "dining": "dining room", CAPTURED: "captured rooms"}

Annotation = dict[str, Any]


def read_annotations(folder: Path) -> list[Annotation]:
    """Read the annotation lines of a split's rendered shards, in their order."""
    return [line for file in sorted(folder.glob("*.jsonl")) for line in read_lines(file)]


def rooms_sheet(folders: Sequence[Path]) -> Any:
    """Draw the first input view of four scenes of each kind of room; `folders` are splits.

    None where no split has a scene. Rooms of another split than the first are captured ones.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for place, folder in enumerate(folders):
        views = Views(folder)
        for line in read_annotations(folder):
            shown = rows.setdefault(CAPTURED if place else line["kind"], [])
            if len(shown) < COLUMNS:
                shown.append(views.inputs(line["scene"]).rgb[0])
    if not rows:
        return None
    fig, axes = style.figure(len(rows), COLUMNS, style.WIDTH, 1.38 * len(rows))
    for axis in axes.ravel():
        axis.set_axis_off()
    for line, (kind, shown) in zip(axes, rows.items(), strict=True):
        line[0].set_title(TITLES.get(kind, kind), fontsize=7)
        for axis, picture in zip(line, shown, strict=False):
            axis.imshow(picture, interpolation="nearest")
    return fig


def sentences_figure(folder: Path) -> Any:
    """Draw references of eight different forms with their targets outlined; None without any.

    Each is shown in the input view that sees most of its targets.
    """
    chosen = different_forms(read_annotations(folder))
    if not chosen:
        return None
    views = Views(folder)
    fig, axes = style.figure(-(-SENTENCES // COLUMNS), COLUMNS, style.WIDTH, 3.5)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (scene, reference) in zip(axes.ravel(), chosen, strict=False):
        meant = np.isin(views.instances(scene), np.array(reference["targets"]) + FIRST_OBJECT)
        view = int(meant.sum((1, 2)).argmax())
        axis.imshow(views.inputs(scene).rgb[view], interpolation="nearest")
        axis.contour(meant[view], levels=[0.5], colors=[style.WORSE], linewidths=1.2)
        said = textwrap.shorten(reference["text"], 84, placeholder=" …")
        axis.set_title("\n".join(textwrap.wrap(said, 30)), fontsize=6)
    return fig


def different_forms(lines: Iterable[Annotation]) -> list[tuple[str, Annotation]]:
    """Return (scene, reference) of up to eight forms, one a form and one a scene."""
    found: dict[str, tuple[str, Annotation]] = {}
    for line in lines:
        fresh = [r for r in line["references"] if r["targets"] and r["form"] not in found]
        if fresh and len(found) < SENTENCES:
            reference = max(fresh, key=lambda r: (len(r["anchors"]), r["id"]))
            found[reference["form"]] = (line["scene"], reference)
    return list(found.values())
