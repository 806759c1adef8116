"""One self-contained HTML page of a study: `write_report`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import viewer
from metrics.files import InputError, atomic_path, read_json
from report import captions, data, names, verify
from report.board import board
from report.claims import claims
from report.table import Table
from report.tables import all_tables

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("board.js", "room_view.js", "misses.js")
OPEN = ("main", "article")


@dataclass(frozen=True)
class Sources:
    """The folders that a page is made of; only `statistics` must be there.

    `figures`, `background` and `gallery` as their writers left them, `verification` the folder
    that holds verification.csv and .txt, `datasheets` markdown files about the data.
    """

    statistics: str | Path
    figures: str | Path | None = None
    background: str | Path | None = None
    gallery: str | Path | None = None
    verification: str | Path | None = None
    datasheets: Sequence[str | Path] = ()


def write_report(
    sources: Sources,
    out_html: str | Path,
    manifest: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    cost_notes: Sequence[str] = (),
) -> Path:
    """Write the report page; it asks nothing of the network and escapes every string it shows.

    `manifest` is shown as provenance; `config` is the experiment's `statistics` section, with its
    name as `experiment`; `cost_notes` are sentences that stand below the table of costs. Raises
    InputError where the statistics or the templates are missing.
    """
    stats, config = data.load(sources.statistics), config or {}
    tables = all_tables(stats, config.get("reference", "full"))
    tables = [
        replace(table, notes=(*table.notes, *cost_notes)) if table.name == "cost" else table
        for table in tables
    ]
    title = config.get("experiment") or (manifest or {}).get("experiment", "results")
    html = _template().render(
        title=f"G2VLM: {title}",
        lead=_lead(stats),
        claims=[_toned(claim) for claim in claims(stats)],
        board=board(stats),
        tables=[_shown(table) for table in tables],
        figures=_figures(captions.FIGURES, sources.figures, sources.background),
        sheets=_figures(captions.DATA, sources.background),
        gallery=_gallery(sources.gallery),
        viewer=_json(sources.gallery, "viewer.json"),
        misses=_json(sources.gallery, "misses.json"),
        verification=_verification(sources.verification),
        datasheets=[_markdown(file) for file in sources.datasheets],
        provenance=[*flatten(manifest or {}).items(), ("stamp", stats.stamp)],
        downloads=[_download(table) for table in tables],
    )
    with atomic_path(out_html) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(out_html)


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    if not (TEMPLATES / "report.html.j2").exists():
        raise InputError(f"{TEMPLATES}: no report templates; install the package again")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )

    def text(name: str) -> Markup:
        return Markup((TEMPLATES / name).read_text(encoding="utf-8"))

    environment.globals["css"] = text("report.css")
    scripts = [Markup(viewer.script()), *(text(name) for name in SCRIPTS)]
    environment.globals["script"] = Markup("\n").join(scripts)
    return environment.get_template("report.html.j2")


def _lead(stats: data.Statistics) -> str:
    rows = stats.headline(stats.split())
    trained = rows.loc[rows["n_seeds"] > 0, "n_seeds"]
    seeds = f", up to {trained.max():.0f} trainings each" if len(trained) else ""
    scenes = f"{rows['n_scenes'].max():.0f} scenes of " if len(rows) else ""
    return (
        f"{len(stats.names())} methods{seeds}, {scenes}{stats.split()}; intervals are 95% and "
        "answer for new trainings and new scenes."
    )


def _toned(claim: Any) -> dict[str, str]:
    tone = {"supported": "good", "not supported": "bad", "mixed": "bad"}.get(claim.verdict, "")
    return {**vars(claim), "tone": tone}


def _shown(table: Table) -> dict[str, Any]:
    """Return a table's rows; the first cell of a block of equal ones spans its rows."""
    lines = table.text.to_numpy().tolist()
    rows: list[dict[str, Any]] = [{"span": 0, "item": "", "cells": cells} for cells in lines]
    if table.groups:
        start = 0
        for place, cells in enumerate(lines):
            if cells[0] != lines[start][0]:
                start = place
            rows[start] |= {"item": cells[0], "span": rows[start]["span"] + 1}
            rows[place]["cells"] = cells[1:]
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "notes": table.notes,
        "columns": list(table.text.columns),
        "rows": rows,
        "open": table.name in OPEN,
    }


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _picture(file: Path, title: str, caption: str) -> list[dict[str, str]]:
    if not file.exists():
        return []
    return [{"png": _encoded(file), "title": title, "caption": caption}]


def _figures(
    captioned: dict[str, tuple[str, str]], *folders: str | Path | None
) -> list[dict[str, str]]:
    """Return the captioned figures of all folders in the order of their captions."""
    return [
        row
        for name, words in captioned.items()
        for folder in folders
        if folder is not None
        for row in _picture(Path(folder, f"{name}.png"), *words)
    ]


def _gallery(folder: str | Path | None) -> list[dict[str, str]]:
    if folder is None:
        return []
    return [
        row
        for place in ("best", "median", "worst")
        for kind, (title, caption) in captions.GALLERY.items()
        for row in _picture(Path(folder, f"{place}{kind}.png"), f"{title}, {place}", caption)
    ]


def _json(folder: str | Path | None, name: str) -> Any:
    file = None if folder is None else Path(folder, name)
    return read_json(file) if file is not None and file.exists() else None


def _verification(folder: str | Path | None) -> dict[str, Any] | None:
    """Return the summary and the cells that were not reproduced, or None without a reference."""
    if folder is None:
        return None
    rows = pd.read_csv(Path(folder, "verification.csv"), keep_default_na=False, dtype=str)
    summary = Path(folder, "verification.txt").read_text(encoding="utf-8")
    bad = rows[rows["status"].isin([verify.DRIFTED, verify.MISSING])]
    return {
        "summary": summary.splitlines()[0],
        "origin": summary.splitlines()[-1],
        "failed": len(bad) > 0,
        "columns": [names.title(column) for column in bad.columns],
        "rows": bad.to_numpy().tolist(),
    }


def _markdown(file: str | Path) -> Any:
    """Return a markdown file as HTML; what is HTML in it stays text."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link"])
    return Markup(reader.render(Path(file).read_text(encoding="utf-8")))


def _download(table: Table) -> dict[str, str]:
    text = pd.DataFrame(table.numbers).to_csv(index=False)
    return {
        "name": f"{table.name}.csv",
        "data": base64.b64encode(text.encode("utf-8")).decode("ascii"),
    }


def flatten(value: Any, name: str = "") -> dict[str, str]:
    """Return nested dicts and lists as {dotted name: text}.

    >>> flatten({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': '1', 'c': '1, 2'}
    """
    if isinstance(value, dict):
        out: dict[str, str] = {}
        for key in value:
            out |= flatten(value[key], f"{name}.{key}" if name else str(key))
        return out
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        out = {}
        for place, item in enumerate(value):
            out |= flatten(item, f"{name}.{place}")
        return out
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return {name: text}
