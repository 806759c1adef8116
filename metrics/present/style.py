"""One look for every figure: sizes for a two-column paper, colour-blind safe, stable bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib import ticker  # noqa: E402

WIDTH = 7.0
ONE_COLUMN = 3.4
BETTER, WORSE, UNSURE, INK = "#0072B2", "#D55E00", "#8A8A8A", "#333333"

RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.titlelocation": "left",
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "g2vlm",
    "text.parse_math": False,
    "figure.constrained_layout.use": True,
}
plt.rcParams.update(RC)  # labels and ticks read it again when they are drawn


def palette(methods: list[str]) -> dict[str, Any]:
    """Return a colour per method: the first the strongest blue, then seaborn's colorblind set."""
    colours = sns.color_palette("colorblind", max(len(methods), 1))
    return dict(zip(methods, colours, strict=False))


def figure(rows: int, columns: int, width: float, height: float, **kwargs: Any) -> Any:
    """Return (figure, axes [rows, columns]) in this style."""
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **kwargs)


def plain_log(axis: Any) -> None:
    """Write few plain numbers on a log axis (mathematical text is off: names may hold a dollar)."""
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def save(fig: Any, folder: Path, name: str) -> list[Path]:
    """Write name.pdf and name.png without dates or program names, so bytes can be reproduced."""
    fig.savefig(
        folder / f"{name}.pdf",
        metadata={"CreationDate": None, "Producer": None, "Creator": None},
    )
    fig.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
    plt.close(fig)
    return [folder / f"{name}.pdf", folder / f"{name}.png"]
