"""Figures that do not depend on any method's scores: the data, trainings, simulated intervals.

They have a folder and a stamp of their own, so that a new baseline does not draw them again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from metrics.constants import FIRST_OBJECT
from metrics.files import atomic_path, read_lines
from metrics.statistics.simulate import COVERAGE
from report import style
from report.config import ReportConfig
from report.scenes import Views
from report.statistics import stamp_of, write_stamp

# The figures of trainings and intervals, and those of the data.
FIGURES, DATA = style.Figures(), style.Figures()

NOT_LOSSES = {"step", "stage", "seed", "seconds", "learning_rate", "lr", "grad_norm", "epoch"}
# A loss that falls by less than this factor is easier to read on a linear axis.
LOG_FACTOR = 8
COLUMNS = 4
SENTENCES = 8
CAPTURED = "captured"
ROOM_TITLES = {"living": "living room", "dining": "dining room", CAPTURED: "captured rooms"}
# Lowest and highest value that a simulated interval must reach, and what it is a share of.
TARGETS = {
    "coverage": (0.93, 0.99, "share of studies whose 95% interval holds the truth"),
    "false_positives": (0.0, 0.06, "share that find a difference where there is none"),
}

Annotation = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The files that the background figures are drawn from.

    Attributes:
        losses: models/<method>/<seed>/losses.parquet of every training.
        splits: folders of rendered scenes; captured rooms come after the first.
        config: the order of methods.
    """

    losses: Sequence[Path]
    splits: Sequence[Path]
    config: ReportConfig

    @cached_property
    def runs(self) -> list[tuple[str, pd.DataFrame]]:
        """(method, its logged losses) of every training.

        A row is a logged step: `step`, optionally `stage`, and one column a loss term.
        """
        return [
            (file.parent.parent.name, pd.read_parquet(file).select_dtypes("number"))
            for file in self.losses
        ]


def write_background(
    losses: Iterable[str | Path],
    out_dir: str | Path,
    config: ReportConfig,
    splits: Sequence[str | Path] = (),
) -> list[Path]:
    """Write the figures of data and trainings and the simulated coverage; return the files.

    Figures without their files are left out. The arguments are those of `Sources`.
    """
    sources = Sources(sorted(map(Path, losses)), [Path(folder) for folder in splits], config)
    # Every file whose change can change a figure.
    annotations = [file for folder in sources.splits for file in sorted(folder.glob("*.jsonl"))]
    stamp = stamp_of([*sources.losses, COVERAGE, *annotations])
    with atomic_path(out_dir, folder=True) as folder:
        DATA.save(folder, stamp, sources)
        FIGURES.save(folder, stamp, sources)
        write_stamp(folder, stamp)
    return sorted(Path(out_dir).iterdir())


# ---- trainings -----------------------------------------------------------------------------------


@FIGURES.add(
    "learning_curves",
    "Learning curves",
    "Losses over training steps, one line a seed. The dotted line is where joint training starts.",
)
def learning_curves(sources: Sources) -> Any:
    """Return a panel for the total loss and each loss that it weighs; None without losses."""
    return _curves(sources, False, style.COLUMNS, 1.65)


@FIGURES.add(
    "learning_parts",
    "Learning curves, parts of the losses",
    "The terms that the spatial, text and reconstruction losses are sums of, one line a seed.",
)
def learning_parts(sources: Sources) -> Any:
    """Return a panel for each part of a loss, whose name holds a slash; None without parts."""
    return _curves(sources, True, COLUMNS, 1.35)


def _curves(sources: Sources, parts: bool, columns: int, height: float) -> Any:
    logged = {term: "/" in term for _, run in sources.runs for term in run}
    terms = [term for term in logged if term not in NOT_LOSSES and logged[term] == parts]
    if not terms:
        return None
    terms.sort(key=lambda term: term not in ("total", "loss"))
    methods = sources.config.order_methods(method for method, _ in sources.runs)
    colours = style.palette(methods)
    fig, axes, unused = style.panels(len(terms), columns, height)
    for axis, term in zip(axes, terms, strict=True):
        _loss_panel(axis, term, sources.runs, colours)
    style.label_below(axes, columns, "step")
    style.legend(fig, unused, [Line2D([], [], color=colours[m], label=m) for m in methods])
    return fig


def _loss_panel(
    axis: Any, term: str, runs: list[tuple[str, pd.DataFrame]], colours: dict[str, Any]
) -> None:
    low, high = float("inf"), 0.0
    for method, run in runs:
        # A step whose batch has no item for a term logs it as zero, which no training reached.
        values = run.get(term, pd.Series(dtype=float)).replace(0, np.nan).dropna()
        if values.empty:
            continue
        smooth = values.rolling(max(1, len(values) // 40), min_periods=1).median()
        low, high = min(low, smooth.min()), max(high, smooth.max())
        axis.plot(run.loc[values.index, "step"], smooth, color=colours[method], linewidth=0.8)
    stages = [run for _, run in runs if "stage" in run and run["stage"].nunique() > 1]
    if stages:
        start = stages[0].groupby("stage")["step"].min().iloc[-1]
        axis.axvline(start, color=style.UNSURE, linewidth=0.6, linestyle=":")
    if low > 0 and high > LOG_FACTOR * low:
        axis.set_yscale("log")
        style.plain_log(axis.yaxis)
    axis.set_title(term)
    axis.grid(True)


@FIGURES.add(
    "coverage",
    "Coverage of the intervals",
    "95% intervals in simulated studies with known truth, one dot a setting. The bands are the "
    "targets, coverage of 0.93 to 0.99 and at most 0.06 false positives; orange are the naive "
    "analyses.",
)
def coverage(sources: Sources) -> Any:
    """Return coverage and false positives of each interval over the simulated settings."""
    rows = pd.read_csv(COVERAGE)
    order = list(rows["interval"].unique())
    fig, axes, _ = style.panels(len(TARGETS), len(TARGETS), 0.7 + 0.22 * len(order))
    generator = np.random.default_rng(0)
    for place, (axis, column) in enumerate(zip(axes, TARGETS, strict=True)):
        low, high, label = TARGETS[column]
        axis.axvspan(low, high, color=style.BAND, zorder=0)
        for y, name in enumerate(order):
            values = rows.loc[rows["interval"] == name, column].to_numpy()
            jitter = y + generator.uniform(-0.2, 0.2, len(values))
            colour = style.WORSE if name.startswith("naive") else style.BETTER
            axis.plot(values, jitter, ".", markersize=3, color=colour, alpha=0.6)
        style.method_rows(axis, order, place == 0)
        axis.set_xlabel(label)
    return fig


# ---- data ----------------------------------------------------------------------------------------


@DATA.add(
    "rooms",
    "Rooms",
    "The first input view of four test scenes of each kind of room, and of captured rooms, "
    "which are shaded in grey because captures have no colour.",
)
def rooms(sources: Sources) -> Any:
    """Return the first input view of four scenes of each kind of room; None without scenes."""
    images: dict[str, list[np.ndarray]] = {}
    for place, folder in enumerate(sources.splits):
        views = Views(folder)
        for line in read_annotations(folder):
            row = images.setdefault(CAPTURED if place else line["kind"], [])
            if len(row) < COLUMNS:
                row.append(views.inputs(line["scene"]).rgb[0])
    if not images:
        return None
    fig, axes = style.images(len(images), COLUMNS, 1.38 * len(images))
    for axis_row, (kind, row) in zip(axes, images.items(), strict=True):
        axis_row[0].set_title(ROOM_TITLES.get(kind, kind), fontsize=7)
        for axis, image in zip(axis_row, row, strict=False):
            axis.imshow(image, interpolation="nearest")
    return fig


@DATA.add(
    "sentences",
    "References",
    "One reference of each of eight forms, with its targets outlined, in the input view that "
    "sees most of them.",
)
def sentences(sources: Sources) -> Any:
    """Return references of eight different forms with their targets outlined; None without any."""
    if not sources.splits:
        return None
    folder = sources.splits[0]
    chosen = different_forms(read_annotations(folder))
    if not chosen:
        return None
    views = Views(folder)
    fig, axes = style.images(-(-SENTENCES // COLUMNS), COLUMNS, 3.5)
    for axis, (scene, reference) in zip(axes.ravel(), chosen, strict=False):
        instances = views.instances(scene)  # (V, H, W)
        mask = np.isin(instances, np.array(reference["targets"]) + FIRST_OBJECT)
        view = int(mask.sum((1, 2)).argmax())
        axis.imshow(views.inputs(scene).rgb[view], interpolation="nearest")
        axis.contour(mask[view], levels=[0.5], colors=[style.WORSE], linewidths=1.2)
        axis.set_title(style.wrapped(reference["text"]), fontsize=6)
    return fig


def read_annotations(folder: Path) -> list[Annotation]:
    """Return the annotation lines of a split's rendered shards, in their order."""
    return [line for file in sorted(folder.glob("*.jsonl")) for line in read_lines(file)]


def different_forms(lines: Iterable[Annotation]) -> list[tuple[str, Annotation]]:
    """Return (scene, reference) of up to eight forms, one a form and one a scene."""
    found: dict[str, tuple[str, Annotation]] = {}
    for line in lines:
        fresh = [r for r in line["references"] if r["targets"] and r["form"] not in found]
        if fresh and len(found) < SENTENCES:
            reference = max(fresh, key=lambda r: (len(r["anchors"]), r["id"]))
            found[reference["form"]] = (line["scene"], reference)
    return list(found.values())
