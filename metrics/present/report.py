"""One self-contained HTML page: claims, leaderboard, tables, figures, gallery, 3D view."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.files import InputError, atomic_path, read_json
from metrics.present import data, names
from metrics.present.claims import claims
from metrics.present.figures import CAPTIONS
from metrics.present.gallery import CAPTION as GALLERY_CAPTION
from metrics.present.tables import Table, all_tables, leaderboard
from metrics.statistics.compare import higher_is_better

TEMPLATES = Path(__file__).resolve().parents[2] / "workflow" / "report"
OPEN = ("article",)


def write_report(
    stats_dir: str | Path,
    out_html: str | Path,
    figures_dir: str | Path | None = None,
    gallery_dir: str | Path | None = None,
    manifest: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write the report page from the statistics and what stands in the other folders.

    `manifest` is shown as provenance. The page asks nothing of the network. Raises InputError where
    the statistics or the templates are missing.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    if not (TEMPLATES / "report.html.j2").exists():
        raise InputError(f"{TEMPLATES}: no report templates; run from a checkout of the project")
    stats = data.load(stats_dir)
    tables = all_tables(stats)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["title_case"] = lambda name: str(name).replace("_", " ").capitalize()
    parts = {
        name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
        for name in ("report.css", "board.js", "viewer.js")
    }
    experiment = (config or {}).get("experiment") or (manifest or {}).get("experiment", "results")
    title = f"G2VLM: {experiment}"
    html = environment.get_template("report.html.j2").render(
        title=title,
        lead=_lead(stats),
        css=parts["report.css"],
        script=parts["board.js"] + "\n" + parts["viewer.js"],
        claims=[_toned(claim) for claim in claims(stats)],
        board=board(stats),
        tables=[_shown(t) for t in tables if t.name != "leaderboard"],
        figures=_figures(figures_dir),
        gallery=_gallery(gallery_dir),
        gallery_caption=GALLERY_CAPTION,
        viewer=_viewer(gallery_dir),
        provenance=list(flatten(manifest or {}).items()),
        downloads=[_download(table) for table in tables],
    )
    with atomic_path(out_html) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(out_html)


def _lead(stats: data.Statistics) -> str:
    rows = stats.headline(stats.split())
    trained = rows.loc[rows["n_seeds"] > 0, "n_seeds"]
    seeds = f", up to {trained.max():.0f} trainings each" if len(trained) else ""
    return (
        f"{len(stats.names())} methods{seeds}, {rows['n_scenes'].max():.0f} scenes of "
        f"{stats.split()}; intervals are 95% and answer for new trainings and new scenes."
    )


def _toned(claim: Any) -> dict[str, str]:
    tone = {"supported": "good", "not supported": "bad", "mixed": "bad"}.get(claim.verdict, "")
    return {**vars(claim), "tone": tone}


def board(stats: data.Statistics) -> dict[str, Any]:
    """Return the leaderboard of every split: heads, rows of cells with values, and choices."""
    rows = stats.estimates
    rows = rows[(rows["subset"] == "all") & rows["metric"].isin(names.HEADLINE)]
    metrics = [m for m in names.HEADLINE if m in set(rows["metric"])]
    first = stats.split()
    splits = sorted(rows["split"].unique(), key=lambda split: (split != first, split))
    found = {(r.split, r.method, r.metric): r for r in rows.itertuples()}
    lines = [
        {
            "method": method,
            "split": split,
            "cells": [_cell(stats, method, m, found.get((split, method, m))) for m in metrics],
        }
        for split in splits
        for method in stats.names()
    ]
    heads = [
        {
            "label": f"{names.metric_label(m)} {names.arrow(m)}",
            "group": names.HEADLINE[m].group,
            "down": "0" if higher_is_better(m) else "1",
        }
        for m in metrics
    ]
    groups = list(dict.fromkeys(head["group"] for head in heads))
    caption = leaderboard(stats).caption.replace(f" of {first}", " of the chosen split")
    return {"heads": heads, "rows": lines, "splits": splits, "groups": groups, "caption": caption}


def _cell(stats: data.Statistics, method: str, metric: str, row: Any) -> dict[str, str]:
    if row is None:
        reasons = stats.methods.get(method, {}).get("reasons", {})
        why = reasons.get(metric) or reasons.get(names.HEADLINE[metric].task) or "not produced"
        return {"text": "", "value": "", "why": why, "letters": ""}
    half = (row.ci_high - row.ci_low) / 2
    text = names.number(row.mean) + ("" if np.isnan(half) else f" ± {names.number(half)}")
    seeds = f"{row.n_seeds:.0f} trainings" if row.n_seeds else "deterministic"
    why = "; ".join(p for p in (f"{seeds}, {row.n_scenes:.0f} scenes", row.note) if p)
    return {"text": text, "value": f"{row.mean:.9g}", "why": why, "letters": row.tie_group}


def _shown(table: Table) -> dict[str, Any]:
    lines = table.text.to_numpy().tolist()
    rows: list[dict[str, Any]] = [{"span": 0, "item": "", "cells": cells} for cells in lines]
    if table.text.columns[0] in ("Item", "Metric"):
        start = 0
        for place, cells in enumerate(lines):
            if cells[0] != lines[start][0]:
                start = place
            rows[start] |= {"item": cells[0], "span": rows[start]["span"] + 1}
            rows[place]["cells"] = cells[1:]
    return {
        "name": table.name,
        "caption": table.caption,
        "columns": list(table.text.columns),
        "rows": rows,
        "open": table.name in OPEN,
    }


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _figures(folder: str | Path | None) -> list[dict[str, str]]:
    if folder is None:
        return []
    files = [(Path(folder) / f"{name}.png", caption) for name, caption in CAPTIONS.items()]
    return [{"png": _encoded(f), "caption": caption} for f, caption in files if f.exists()]


def _gallery(folder: str | Path | None) -> list[dict[str, str]]:
    if folder is None:
        return []
    files = [Path(folder) / f"{name}.png" for name in ("best", "median", "worst")]
    return [{"png": _encoded(f), "name": f.stem} for f in files if f.exists()]


def _viewer(folder: str | Path | None) -> Any:
    file = None if folder is None else Path(folder) / "viewer.json"
    return read_json(file) if file is not None and file.exists() else None


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
