"""One self-contained HTML page of a study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

import viewer
from metrics.files import atomic_path, read_json
from report import background, figures, scene_figures, text
from report.config import ReportConfig
from report.findings import Finding, Tables, check_findings
from report.gallery import PLACES
from report.headline import claims, leaderboard
from report.statistics import Statistics, load
from report.style import Figures, encode_image
from report.table import Table, build_tables, csv_text
from report.verify import DRIFTED, MISSING

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("board.js", "room_view.js", "misses.js")
# HTML inside a data sheet stays text; images and links are off.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link"])
# Colours of verdicts by their first words; any other is neutral.
TONES = {"supported": "good", "not supported": "bad"}


@dataclass(frozen=True)
class Sources:
    """The folders that a page is made of; only `statistics` must exist.

    Attributes:
        statistics: what the compare stage wrote.
        tables, figures, background, gallery: what the stages of these names wrote.
        verification: the folder of verification.csv and verification.txt.
        datasheets: markdown files about the data.
    """

    statistics: str | Path
    tables: str | Path | None = None
    figures: str | Path | None = None
    background: str | Path | None = None
    gallery: str | Path | None = None
    verification: str | Path | None = None
    datasheets: Sequence[str | Path] = ()


def write_report(
    sources: Sources,
    out_html: str | Path,
    config: ReportConfig,
    manifest: dict[str, Any] | None = None,
    cost_notes: Sequence[str] = (),
) -> Path:
    """Write the page; it loads nothing from the network and escapes every string that it displays.

    Args:
        sources: folders of the study.
        out_html: the page.
        config: order, headline metrics and claims of the study.
        manifest: the provenance to display.
        cost_notes: sentences below the table of costs.

    Returns:
        The page.

    Raises:
        InputError: the statistics are missing.
    """
    stats = load(sources.statistics, config)
    tables = [
        replace(table, notes=(*table.notes, *cost_notes)) if table.name == "cost" else table
        for table in build_tables(stats)
    ]
    html = _template().render(
        title=f"G2VLM: {config.experiment}",
        lead=_lead(stats),
        claims=[_claim(claim) for claim in claims(stats)],
        findings=_findings(stats, sources.tables),
        board=leaderboard(stats),
        tables=[_table_rows(table) for table in tables],
        figures=[
            *_pictures(figures.FIGURES, sources.figures),
            *_pictures(background.FIGURES, sources.background),
        ],
        sheets=_pictures(background.DATA, sources.background),
        gallery=[
            picture
            for place in PLACES
            for picture in _pictures(scene_figures.FIGURES, sources.gallery, place)
        ],
        viewer=_read_json(sources.gallery, "viewer.json"),
        misses=_read_json(sources.gallery, "misses.json"),
        verification=_verification(sources.verification),
        datasheets=[
            Markup(MARKDOWN.render(Path(file).read_text(encoding="utf-8")))
            for file in sources.datasheets
        ],
        provenance=[*flatten(manifest or {}).items(), ("stamp", stats.stamp)],
        downloads=[
            {
                "name": f"{table.name}.csv",
                "data": viewer.encode(csv_text(table.numbers).encode()),
            }
            for table in tables
        ],
    )
    with atomic_path(out_html) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(out_html)


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [viewer.script(), *((TEMPLATES / name).read_text("utf-8") for name in SCRIPTS)]
    environment.globals["css"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    environment.globals["script"] = Markup("\n".join(scripts))
    return environment.get_template("report.html.j2")


def _claim(claim: dict[str, str]) -> dict[str, str]:
    """Return a claim with the first words of its verdict, their colour, and the rest as `why`."""
    word, _, why = claim["verdict"].partition(": ")
    return claim | {"word": word, "tone": TONES.get(word, ""), "why": why}


def _lead(stats: Statistics) -> str:
    rows = stats.headline
    trained = rows.loc[rows["n_seeds"] > 0, "n_seeds"]
    seeds = f", up to {trained.max():.0f} trainings each" if len(trained) else ""
    scenes = f"{rows['n_scenes'].max():.0f} scenes of " if len(rows) else ""
    return (
        f"{len(stats.method_names)} methods{seeds}, {scenes}{stats.main_split}; intervals are 95% "
        "and hold for new trainings and new scenes."
    )


def _findings(stats: Statistics, folder: str | Path | None) -> list[Finding]:
    """Return the declared findings, checked on the tables of this run."""
    if folder is None or not stats.config.findings:
        return []
    return check_findings(Tables(stats.estimates, folder), stats.config.findings)


def _table_rows(table: Table) -> dict[str, Any]:
    """Return a table for the template; the first cell of a block of equal ones spans its rows."""
    lines = table.text.to_numpy().tolist()
    rows: list[dict[str, Any]] = [{"span": 0, "item": "", "cells": cells} for cells in lines]
    if table.groups:
        start = 0
        for place, cells in enumerate(lines):
            if cells[0] != lines[start][0]:
                start = place
            rows[start] |= {"item": cells[0], "span": rows[start]["span"] + 1}
            rows[place]["cells"] = cells[1:]
    return {**vars(table), "columns": list(table.text.columns), "rows": rows}


def _pictures(
    registered: Figures, folder: str | Path | None, prefix: str = ""
) -> list[dict[str, str]]:
    """Return those of the registered figures that a folder holds as <prefix><name>.png."""
    pictures = []
    for name, figure in registered.items():
        file = Path(folder or "", f"{prefix}{name}.png")
        if folder is not None and file.exists():
            pictures.append(
                {
                    "image": encode_image(Image.open(file)),
                    "title": f"{figure.title}, {prefix}" if prefix else figure.title,
                    "caption": figure.caption,
                }
            )
    return pictures


def _read_json(folder: str | Path | None, name: str) -> Any:
    file = Path(folder or "", name)
    return read_json(file) if folder is not None and file.exists() else None


def _verification(folder: str | Path | None) -> dict[str, Any] | None:
    """Return the summary and the cells that were not reproduced, or None without a reference."""
    if folder is None:
        return None
    rows = pd.read_csv(Path(folder, "verification.csv"), keep_default_na=False, dtype=str)
    summary = Path(folder, "verification.txt").read_text(encoding="utf-8").splitlines()
    bad = rows[rows["status"].isin([DRIFTED, MISSING])]
    return {
        "summary": summary[0],
        "origin": summary[-1],
        "failed": len(bad) > 0,
        "columns": [text.title(column) for column in bad.columns],
        "rows": bad.to_numpy().tolist(),
    }


def flatten(value: Any, name: str = "") -> dict[str, str]:
    """Return nested dicts and lists as {dotted name: text}.

    >>> flatten({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': '1', 'c': '1, 2'}
    """
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [(str(place), item) for place, item in enumerate(value)]
    else:
        return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
    flat: dict[str, str] = {}
    for key, item in items:
        flat |= flatten(item, f"{name}.{key}" if name else key)
    return flat
