"""Keep a finished run as the committed reference: `python -m report.reference RESULTS`."""

import argparse
import shutil
from pathlib import Path

from metrics.files import InputError, atomic_path, run_main
from metrics.statistics.table import CELLS_FILE, METHODS_FILE
from report import verify
from report.findings import Tables, write_findings
from report.statistics import GATE_FILE, read_estimates
from report.table import csv_text

RUN_FILES = ("headline.txt", "manifest.json")
KEPT = (
    *RUN_FILES,
    GATE_FILE,
    *(f"tables/*.{kind}" for kind in ("csv", "md", "tex")),
    *(f"figures/{name}.png" for name in ("forest", "critical_difference", "cost_quality")),
    *(f"gallery/median{name}.png" for name in ("", "_graph", "_grounding")),
    *(f"studies/*/{name}" for name in ("estimates.csv", "differences.csv")),
    *(f"studies/*/{name}" for name in ("tables.md", "figure.png")),
)
# Without these the tables cannot be made again.
STATISTICS = tuple(f"statistics/{name}" for name in ("estimates.parquet", CELLS_FILE, METHODS_FILE))
MOST_BYTES, MOST_CELL_BYTES = 7_000_000, 8_000_000
# The part of the README between these lines is replaced.
MARKS = ("<!-- results:begin -->\n", "<!-- results:end -->\n")


def write_reference(results: str | Path, out_dir: str | Path) -> list[Path]:
    """Copy the parts of a finished run that a reference keeps.

    It keeps estimates.csv and the cells of all scores (with which `verify` compares, and of which
    `report.recompute` makes every table again), the facts of the methods, the gate, tables/, a few
    pictures, headline.txt, manifest.json and the studies that were run.

    Args:
        results: folder of a finished run.
        out_dir: folder of the reference, replaced whole.

    Returns:
        The files of the reference.

    Raises:
        InputError: the run is not finished, or its cells or the other files are too large.
    """
    results = Path(results)
    for name in (*RUN_FILES, *STATISTICS, "tables"):
        path = results / name
        if not path.exists():
            raise InputError(f"{path}: no such file; finish the run with `make reproduce`")
    with atomic_path(out_dir, folder=True) as folder:
        write_estimates(results / "statistics", folder)
        for name in (CELLS_FILE, METHODS_FILE):
            shutil.copyfile(results / "statistics" / name, folder / name)
        for pattern in KEPT:
            for file in results.glob(pattern):
                copy = folder / file.relative_to(results)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        cells = folder / CELLS_FILE
        others = [file for file in folder.rglob("*") if file.is_file() and file != cells]
        for what, files, most in (
            (CELLS_FILE, [cells], MOST_CELL_BYTES),
            ("the other files", others, MOST_BYTES),
        ):
            size = sum(file.stat().st_size for file in files)
            if size > most:
                raise InputError(f"{out_dir}: {what} would have {size:,} bytes, over {most:,}")
    return sorted(file for file in Path(out_dir).rglob("*") if file.is_file())


def write_estimates(stats_dir: Path, folder: Path) -> Path:
    """Write the estimates of a statistics folder as csv; return the file."""
    file = folder / verify.ESTIMATES_FILE
    file.write_text(csv_text(read_estimates(stats_dir)), encoding="utf-8")
    return file


def results_block(folder: Path, link: str, findings: str) -> str:
    """Return the README's part on a reference: a picture, the headline as printed, the findings.

    Args:
        folder: the reference.
        link: its folder as the README names it.
        findings: the list of `report.findings.write_findings`.
    """
    headline = (folder / "headline.txt").read_text(encoding="utf-8").strip("\n")
    return (
        "![A room's views, its sensor depth, the prediction, the truth and the error]"
        f"({link}/gallery/median.png)\n\n"
        f"```\n{headline}\n```\n\n"
        "[Metrics](docs/metrics.md) defines the columns; ± is half of the 95% interval. What the "
        "tables say, with the rows that each sentence rests on:\n\n"
        f"{findings}\n"
        f"Every table is in `{link}/tables/`, the run's origin in `{link}/manifest.json`; `make "
        "verify` compares a fresh run with it.\n"
    )


def update_readme(readme: Path, block: str) -> None:
    """Replace the text between `MARKS`; raises InputError for a file without them."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    begin, end = (text.find(mark) for mark in MARKS)
    if not 0 <= begin < end:
        raise InputError(f"{readme}: no lines {MARKS[0].strip()} and {MARKS[1].strip()}; add them")
    with atomic_path(readme) as path:
        path.write_text(text[: begin + len(MARKS[0])] + block + text[end:], encoding="utf-8")


def main() -> int:
    """Write the reference of a run as reference/<name of the run> next to it; print its size."""
    parser = argparse.ArgumentParser(prog="report.reference", description=__doc__)
    parser.add_argument("results", help="folder of a finished run, such as results/cpu")
    parser.add_argument("--readme", help="file whose results block is replaced")
    parser.add_argument(
        "--findings", help="file of the findings in that block (default: the report has none)"
    )
    arguments = parser.parse_args()
    results = Path(arguments.results)
    out = results.parent / "reference" / results.name
    files = write_reference(results, out)
    if arguments.readme:
        tables = Tables(read_estimates(results / "statistics"), out / "tables")
        findings = write_findings(tables, arguments.findings) if arguments.findings else ""
        update_readme(Path(arguments.readme), results_block(out, out.as_posix(), findings))
    size = sum(file.stat().st_size for file in files)
    print(f"{out}: {len(files)} files, {size / 1e6:.1f} MB; commit them")
    return 0


if __name__ == "__main__":
    run_main(main)
