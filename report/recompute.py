"""Make every table of a reference again from its cells: `python -m report.recompute REFERENCE`.

The reference holds the scores of every training on every scene (cells.parquet), what the methods
say of themselves (methods.json), the config of the run (manifest.json) and, if the run had one, its
gate (gate.json). From these the code of the stages `compare` and `tables` makes the statistics and
the tables, which are compared with the committed ones byte for byte.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from metrics.files import InputError, read_json, run_main
from metrics.statistics.compare import compare, write
from metrics.statistics.settings import read_gate
from metrics.statistics.table import CELLS_FILE
from metrics.yaml_file import read_yaml
from report.config import ReportConfig
from report.headline import write_summary
from report.reference import write_estimates
from report.statistics import GATE_FILE
from report.tables import write_tables


def recompute(reference: str | Path, out_dir: str | Path, config: dict[str, Any]) -> list[Path]:
    """Write statistics/, tables/, headline.txt and estimates.csv of a reference's cells.

    Args:
        reference: folder that `make reference` wrote.
        out_dir: folder of the new files, made if there is none.
        config: `experiment`, `methods`, `statistics` and `report` of the run.

    Returns:
        The tables, the headline and the estimates, relative to `out_dir`.

    Raises:
        InputError: the reference lacks its cells, or the config has another form.
    """
    folder, out = Path(reference), Path(out_dir)
    cells, gate = folder / CELLS_FILE, folder / GATE_FILE
    if not cells.is_file():
        raise InputError(f"{cells}: no such file; `make reference` writes it")
    out.mkdir(parents=True, exist_ok=True)
    unfit = None
    if gate.is_file():
        unfit = read_gate(str(gate))
        shutil.copyfile(gate, out / GATE_FILE)
    write(compare(cells, config["statistics"], unfit), out / "statistics")
    settings = ReportConfig.from_experiment(config)
    files = write_tables(out / "statistics", out / "tables", settings)
    files.append(write_summary(out / "statistics", out / "headline.txt", settings))
    files.append(write_estimates(out / "statistics", out))
    return [file.relative_to(out) for file in files]


def differing(reference: str | Path, out_dir: str | Path, files: list[Path]) -> list[str]:
    """Return the files that differ from the reference's, and tables that one of the two lacks."""
    folder = Path(reference)
    kept = {file.relative_to(folder) for file in folder.glob("tables/*")}
    wrong = kept.symmetric_difference(file for file in files if file.parent.name)
    for file in files:
        committed = folder / file
        if committed.is_file() and committed.read_bytes() != (Path(out_dir) / file).read_bytes():
            wrong.add(file)
    return sorted(map(str, wrong))


def main() -> int:
    """Recompute a reference, and fail if a committed table differs."""
    parser = argparse.ArgumentParser(prog="report.recompute", description=__doc__)
    parser.add_argument("reference", help="folder of a reference, such as results/reference/cpu")
    parser.add_argument("--config", help="whole config of the run (default: its manifest's)")
    parser.add_argument("--out", help="keep the statistics and tables in this folder")
    arguments = parser.parse_args()
    folder = Path(arguments.reference)
    config = read_yaml(arguments.config) if arguments.config else _config_of_run(folder)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(arguments.out or scratch)
        files = recompute(folder, out, config)
        wrong = differing(folder, out, files)
    if wrong:
        raise InputError(f"{folder}: {', '.join(wrong)} cannot be made again; run `make reference`")
    print(f"{folder}: {len(files)} files made again, equal byte for byte")
    return 0


def _config_of_run(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.json"
    manifest = read_json(file, "`make reference` writes it")
    config = manifest.get("config") if isinstance(manifest, dict) else None
    if not isinstance(config, dict):
        raise InputError(f"{file}: holds no config of the run; give it by --config")
    return config


if __name__ == "__main__":
    run_main(main)
