"""Keep a finished run as the committed reference: `python -m report.reference RESULTS`."""

import argparse
import shutil
from pathlib import Path

from metrics.files import InputError, atomic_path, run_main
from report import verify
from report.table import csv_text

RUN_FILES = ("headline.txt", "manifest.json")
KEPT = (
    *RUN_FILES,
    *(f"tables/*.{kind}" for kind in ("csv", "md", "tex")),
    *(f"figures/{name}.png" for name in ("forest", "critical_difference", "cost_quality")),
    *(f"gallery/median{name}.png" for name in ("", "_graph", "_grounding")),
    *(f"studies/*/{name}" for name in ("estimates.csv", "differences.csv")),
    *(f"studies/*/{name}" for name in ("tables.md", "figure.png")),
)
MOST_BYTES = 7_000_000
# The part of the README between these lines is replaced.
MARKS = ("<!-- results:begin -->\n", "<!-- results:end -->\n")


def write_reference(results: str | Path, out_dir: str | Path) -> list[Path]:
    """Copy the parts of a finished run that a reference keeps.

    It keeps estimates.csv and seeds.csv (with which `verify` compares), tables/, a few pictures,
    headline.txt, manifest.json and the studies that were run.

    Args:
        results: folder of a finished run.
        out_dir: folder of the reference, replaced whole.

    Returns:
        The files of the reference.

    Raises:
        InputError: the run is not finished, or the reference would be larger than 7 MB.
    """
    results = Path(results)
    for name in (*RUN_FILES, "statistics/estimates.parquet", "tables"):
        path = results / name
        if not path.exists():
            raise InputError(f"{path}: no such file; finish the run with `make reproduce`")
    estimates, seeds = verify.load_fresh(results / "statistics")
    with atomic_path(out_dir, folder=True) as folder:
        for name, rows in (("estimates", estimates), ("seeds", seeds)):
            (folder / f"{name}.csv").write_text(csv_text(rows), encoding="utf-8")
        for pattern in KEPT:
            for file in results.glob(pattern):
                copy = folder / file.relative_to(results)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            raise InputError(f"{out_dir}: {size:,} bytes would be committed, over {MOST_BYTES:,}")
    return sorted(file for file in Path(out_dir).rglob("*") if file.is_file())


def results_block(folder: Path, link: str) -> str:
    """Return the README's part on a reference: a picture and the headline as printed.

    `link` is the reference's folder as the README names it.
    """
    headline = (folder / "headline.txt").read_text(encoding="utf-8").strip("\n")
    return (
        "![A room's views, its sensor depth, the prediction, the truth and the error]"
        f"({link}/gallery/median.png)\n\n"
        f"```\n{headline}\n```\n\n"
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
    parser.add_argument("--readme", help="file whose results block is replaced by the headline")
    arguments = parser.parse_args()
    results = Path(arguments.results)
    out = results.parent / "reference" / results.name
    files = write_reference(results, out)
    if arguments.readme:
        update_readme(Path(arguments.readme), results_block(out, out.as_posix()))
    size = sum(file.stat().st_size for file in files)
    print(f"{out}: {len(files)} files, {size / 1e6:.1f} MB; commit them")
    return 0


if __name__ == "__main__":
    run_main(main)
