"""The last words of a run: where the results are, or what went wrong."""

from __future__ import annotations

import logging
from pathlib import Path


def ending(results: str | Path) -> str:
    """Return the headline table and the places of tables, figures and report."""
    folder = Path(results)
    headline = folder / "headline.txt"
    rows = [headline.read_text(encoding="utf-8").rstrip(), ""] if headline.exists() else []
    places = {
        "tables": folder / "tables",
        "figures": folder / "figures",
        "report": folder / "report.html",
        "record": folder / "manifest.json",
    }
    rows += [f"{name:8} {place}" for name, place in places.items() if place.exists()]
    return "\n".join(rows)


class NothingToDo(logging.Handler):
    """Print the ending of a run that had nothing left to do: Snakemake then calls no hook."""

    def __init__(self, results: str | Path) -> None:
        super().__init__()
        self._results = results

    def emit(self, record: logging.LogRecord) -> None:
        """Wait for the line that Snakemake says instead of running anything."""
        if record.getMessage().startswith("Nothing to be done"):
            print(ending(self._results))


def faults(results: str | Path, since: float) -> str:
    """Return the one-line errors of the jobs that failed after `since` (seconds since 1970)."""
    logs = [path for path in Path(results, "logs").rglob("*.log") if path.stat().st_mtime >= since]
    found = []
    for path in sorted(logs):
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{row}  [{path}]" for row in rows if row.startswith("error: ")]
    lost = "no job said why: see the messages above; `snakemake` goes on from where it stopped"
    return "\n".join(found or [lost])
