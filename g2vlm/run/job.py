"""The frame of a pipeline job: threads, log, a clean end when the pipeline dies."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from g2vlm.run import clock, devices
from metrics.files import InputError

PR_SET_PDEATHSIG = 1


class Tee:
    """A text stream that writes to the terminal and to the job's log.

    On the terminal each row begins with the job's name, since jobs run side by side. Progress
    bars redraw a row with a carriage return; the log keeps only the rows' last state.
    """

    def __init__(self, terminal: TextIO, log: TextIO, name: str = "") -> None:
        self._terminal, self._log, self._row = terminal, log, ""
        self._begin, self._at_start = f"{name} | " if name else "", True

    def write(self, text: str) -> int:
        """Write to both; what a carriage return overwrites never reaches the log."""
        for piece in re.split(r"(?<=[\n\r])", text):
            if piece and self._at_start:
                self._terminal.write(self._begin)
            self._terminal.write(piece)
            self._at_start = piece[-1] in "\n\r" if piece else self._at_start
        *rows, rest = (self._row + text).split("\n")
        self._row = rest.rpartition("\r")[2]
        for row in rows:
            self._log.write(row.rpartition("\r")[2] + "\n")
        return len(text)

    def flush(self) -> None:
        """Flush both streams."""
        self._terminal.flush()
        self._log.flush()

    def isatty(self) -> bool:
        """Whether the terminal is one (progress bars ask)."""
        return self._terminal.isatty()

    def close_row(self) -> None:
        """Write an unfinished row to the log."""
        if self._row:
            self._log.write(self._row + "\n")
            self._row = ""


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a script's body: one-line errors, output in the log and on the terminal.

    The body sees as many GPUs as its rule's `gpu` resource says, and no other job sees them.
    What the start and the imports took is recorded beside the benchmark of a job that ends well.
    Yields the `snakemake` object. An `InputError` ends the process with status 2 and its one
    line; any other error prints its last line and leaves the traceback to the log.
    """
    started, imports = clock.process_age(), clock.ImportClock()
    die_with_parent()
    devices.limit_threads(snakemake.threads)
    path = Path(str(snakemake.log[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = sys.stdout, sys.stderr
    with open(path, "w", encoding="utf-8") as log:
        name = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
        tees = Tee(streams[0], log, name), Tee(streams[1], log, name)
        sys.stdout, sys.stderr = tees
        try:
            devices.assign(int(snakemake.resources.get("gpu") or 0))
            yield snakemake
            clock.write_record(path, started, imports.seconds)
        except InputError as error:
            _leave(f"error: {error}", 2)
        except Exception as error:
            log.write(traceback.format_exc())
            _leave(f"error: {type(error).__name__}: {error}; the traceback is in {path}", 1)
        finally:
            imports.stop()
            for tee in tees:
                tee.close_row()
                tee.flush()
            sys.stdout, sys.stderr = streams


def _leave(line: str, status: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(status)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere nothing)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the call, which the kernel does not report.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
