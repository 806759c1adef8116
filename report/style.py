"""One look for every figure: sizes for a two-column paper, colour-blind safe, stable bytes."""

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image

import viewer

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib import ticker  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.backends.backend_pdf import FigureCanvasPdf  # noqa: E402

WIDTH = 7.0
COLUMNS = 3
BETTER, WORSE, UNSURE, INK = "#0072B2", "#D55E00", "#8A8A8A", "#333333"
PALE, BAND = "#B9CBDA", "#DDE9F2"
DARK = ("#000000", "#5B2C83", "#7A4B00", "#004D40")
MARKERS = "oDs^vP*X<>ph"

# Labels and ticks read these values again when they are drawn.
plt.rcParams.update(
    {
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
        "axes.axisbelow": True,
        "figure.labelsize": 8,
        "grid.color": "#E3E3E3",
        "grid.linewidth": 0.6,
        "pdf.fonttype": 42,
        "svg.hashsalt": "g2vlm",
        "text.parse_math": False,
        "figure.constrained_layout.use": True,
    }
)


def encode_image(image: Image.Image) -> str:
    """Return an image for a page, as base64 text of lossless WebP: half the bytes of PNG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", lossless=True)
    return viewer.encode(buffer.getvalue())


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its title, its caption, and the function that draws it.

    The function returns a matplotlib figure, or None where there is nothing to draw.
    """

    title: str
    caption: str
    draw: Callable[..., Any]


class Figures(dict[str, Figure]):
    """Figures by name, in the order in which a reader meets them."""

    def save(self, folder: Path, stamp: str, *source: Any, prefix: str = "") -> None:
        """Draw each figure from `source` and save it as <prefix><name>, if there is one to draw."""
        for name, figure in self.items():
            fig = figure.draw(*source)
            if fig is not None:
                save(fig, folder, prefix + name, stamp)

    def add(self, name: str, title: str, caption: str) -> Callable[[Callable], Callable]:
        """Return a decorator that registers a drawing function as the figure `name`."""

        def register(draw: Callable) -> Callable:
            self[name] = Figure(title, caption, draw)
            return draw

        return register


def palette(methods: Sequence[str]) -> dict[str, Any]:
    """Return a colour per method: seaborn's colorblind set, then four dark ones, repeated."""
    colours = [*sns.color_palette("colorblind"), *DARK]
    return {method: colours[place % len(colours)] for place, method in enumerate(methods)}


def markers(methods: Sequence[str]) -> dict[str, str]:
    """Return a marker per method, so that colour is not the only difference between them."""
    return {method: MARKERS[place % len(MARKERS)] for place, method in enumerate(methods)}


def images(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    """Return (figure, axes [rows, columns]) for images: full width, axes that are not drawn."""
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    return fig, axes


def panels(count: int, columns: int, height: float) -> tuple[Any, list[Any], Any]:
    """Return a figure of `count` panels, their axes, and the first unused axis or None.

    `height` is that of a row, in inches. `legend` fills the unused axis.
    """
    rows = -(-count // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False)
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_axis_off()
    return fig, flat[:count], flat[count] if len(flat) > count else None


def label_below(axes: Sequence[Any], columns: int, label: str) -> None:
    """Label the x axis of the lowest panel of each column.

    One label for the whole figure would lie under a legend that is below it.
    """
    for axis in axes[-columns:]:
        axis.set_xlabel(label)


def wrapped(sentence: str) -> str:
    """Return a sentence in lines that fit above a panel, cut where it is too long."""
    return "\n".join(textwrap.wrap(textwrap.shorten(sentence, 84, placeholder=" …"), 30))


def method_rows(axis: Any, methods: Sequence[str], labelled: bool) -> None:
    """Make the rows of a panel methods, the first on top, with their names if `labelled`."""
    axis.set_yticks(range(len(methods)), methods if labelled else [""] * len(methods))
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.locator_params(axis="x", nbins=4)


def legend(fig: Any, unused: Any, handles: Sequence[Any], columns: int = 4) -> None:
    """Draw a legend into the unused axis, or below the figure where there is none."""
    if unused is not None:
        unused.legend(handles=handles, loc="upper left", frameon=False, borderaxespad=0)
    else:
        fig.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def plain_log(axis: Any) -> None:
    """Label a log axis with few plain numbers: math text is off, since names may hold a dollar."""
    low, high = axis.get_data_interval()
    subs = (1.0, 2.0, 5.0) if high < 50 * low else (1.0,)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=8))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())


def save(fig: Any, folder: Path, name: str, stamp: str) -> None:
    """Write name.pdf and name.png with the stamp as subject and description.

    They hold no date and no program's name, so that their bytes can be reproduced.
    """
    description = f"g2vlm stamp {stamp}"
    # The layout takes longer than drawing, so both files share one.
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    # `savefig` would lay out again before each file.
    FigureCanvasPdf(fig).print_pdf(
        folder / f"{name}.pdf",
        metadata={"CreationDate": None, "Producer": None, "Creator": None, "Subject": description},
    )
    fig.set_dpi(200)
    FigureCanvasAgg(fig).print_png(
        folder / f"{name}.png", metadata={"Software": None, "Description": description}
    )
    plt.close(fig)
