"""One call of Snakemake: the checks and the lock before its first job, the messages after its last.

A call that runs jobs locks the clone. The kernel drops the lock when the process ends, however it
ends, so a kill leaves nothing to clean up.
"""

import fcntl
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from g2vlm.run import config as settings
from g2vlm.run import data, seal
from metrics.files import InputError

LOCK = Path(".snakemake/one-run.lock")
DRY_RUN = re.compile(r"--(dry-?run|dag|rulegraph|filegraph|summary)|-[a-zA-Z]*n[a-zA-Z]*")


def check(
    config: Mapping[str, Any], files: Sequence[str | Path], command_line: Mapping[str, Any]
) -> None:
    """End the process with one line if the config has a fault or its test rooms were changed.

    Args:
        config: as Snakemake merged it.
        files: what `--configfile` names, in that order.
        command_line: what `--config` sets.
    """
    try:
        sources = settings.read_sources(files, command_line)
        if settings.check_config(sources) != config:
            raise InputError(
                f"{' + '.join(sources)}: Snakemake reads another config from these; write plain "
                "YAML without `__use_yte__`, and leave out --replace-workflow-config"
            )
        seal.verify_rooms(config, seal.read_seal(settings.ROOT / seal.RECORD))
    except InputError as fault:
        sys.exit(f"error: {fault}")


def read_methods(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the learned methods of a checked config; ends the process on a fault of their files.

    Splits without scenes are removed from the config: data/ may lack the captured rooms. Those of
    the sealed test are added once the seal is opened.
    """
    try:
        seal.add_sealed_splits(config, seal.read_seal(settings.ROOT / seal.RECORD))
    except InputError as fault:
        sys.exit(f"error: {fault}")
    counts = {split: n for split, n in config["data"]["splits"].items() if n}
    config["data"]["splits"] = counts
    for stage in ("predict", "score"):
        config[stage]["splits"] = [s for s in config[stage]["splits"] if s in counts]
    try:
        return {name: settings.load_method(name) for name in config["methods"]}
    except InputError as fault:
        sys.exit(f"error: {fault}")


def start(root: str | Path, arguments: Sequence[str]) -> IO[str] | None:
    """Check data/ against its pins and lock the clone; ends the process on a fault.

    Args:
        root: the clone's folder.
        arguments: Snakemake's command line.

    Returns:
        The open lock file, to be kept for the life of the process. None for a call that runs no
        job. Linting needs no data either.
    """
    # Jobs must run this clone's packages even if another clone's are installed.
    os.environ["PYTHONPATH"] = str(root)
    # Sets of strings then have one order in every job on every machine.
    os.environ["PYTHONHASHSEED"] = "0"
    if "--lint" in arguments:
        return None
    try:
        data.verify()
        if not data.PIN.exists():
            raise InputError(f"{data.PIN}: missing; run `make pin` to pin the folder")
        # A dry run, a drawing of the graph or a list; Snakemake does not know this yet while it
        # reads the Snakefile.
        if any(DRY_RUN.fullmatch(word) for word in arguments):
            return None
        return lock(LOCK)
    except InputError as fault:
        sys.exit(f"error: {fault}")


def lock(path: str | Path) -> IO[str]:
    """Lock `path` for the life of this process and return the open file, which must be kept.

    Raises:
        InputError: another process, which the message names, holds the lock.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open for the process's life
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        raise InputError(
            f"{path}: another snakemake (process {owner}) is running in this clone; "
            "wait for it to end or use a second clone"
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


def summary(results: str | Path) -> str:
    """Return the headline table and the paths of tables, figures and report, for the terminal."""
    folder = Path(results)
    headline = folder / "headline.txt"
    rows = [headline.read_text(encoding="utf-8").rstrip(), ""] if headline.exists() else []
    paths = {
        "tables": folder / "tables",
        "figures": folder / "figures",
        "report": folder / "report.html",
        "record": folder / "manifest.json",
    }
    rows += [f"{name:8} {path}" for name, path in paths.items() if path.exists()]
    return "\n".join(rows)


class NothingToDo(logging.Handler):
    """Prints the summary of a run in which no job was left: Snakemake then calls no hook."""

    def __init__(self, results: str | Path) -> None:
        super().__init__()
        self._results = results

    def emit(self, record: logging.LogRecord) -> None:
        """Print the summary if this is the message that Snakemake prints when no job is left."""
        if record.getMessage().startswith("Nothing to be done"):
            print(summary(self._results))


def failures(results: str | Path, since: float) -> str:
    """Return the one-line errors of the jobs that failed after `since` (seconds since 1970)."""
    logs = [path for path in Path(results, "logs").rglob("*.log") if path.stat().st_mtime >= since]
    errors = []
    for path in sorted(logs):
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
        errors += [f"{row}  [{path}]" for row in rows if row.startswith("error: ")]
    unknown = (
        "no job logged an error; read the messages above, then call `snakemake` again to continue"
    )
    return "\n".join(errors or [unknown])
