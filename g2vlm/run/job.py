"""The frame of a pipeline job: log, errors in one line, times, an end with the pipeline."""

import builtins
import ctypes
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from g2vlm.run import devices
from metrics.files import InputError, write_json

# Holds the seconds since 1970 at which the call of Snakemake began (`g2vlm.run.session.start`).
RUN_STARTED = "G2VLM_RUN_STARTED"
PR_SET_PDEATHSIG = 1


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run the body of a workflow script and yield its `snakemake` object.

    Output goes to the terminal and to the rule's log. An `InputError` ends the process with status
    2 and its message as one line; any other error prints its last line and writes the traceback to
    the log. The body sees as many GPUs as the rule's `gpu` resource says, and no other job sees
    them. After a success, the seconds of start and imports are written next to the benchmark.
    """
    age, imports = process_age(), ImportTimer()
    die_with_parent()
    # The numerical libraries read these when they are imported, later.
    os.environ |= dict.fromkeys(devices.THREAD_VARIABLES, str(snakemake.threads))
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
            write_times(path, age, imports.seconds)
        except InputError as error:
            _exit(f"error: {error}", 2)
        except Exception as error:
            log.write(traceback.format_exc())
            _exit(f"error: {type(error).__name__}: {error}; the traceback is in {path}", 1)
        finally:
            imports.stop()
            for tee in tees:
                tee.close_row()
                tee.flush()
            sys.stdout, sys.stderr = streams


def _exit(line: str, status: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(status)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere a no-op)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the call, which the kernel does not report.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


class Tee:
    """A text stream that writes to the terminal and to the job's log.

    On the terminal each row begins with the job's name, because jobs run side by side. Progress
    bars redraw a row with a carriage return; the log keeps only the last state of a row.
    """

    def __init__(self, terminal: TextIO, log: TextIO, name: str = "") -> None:
        self._terminal, self._log, self._row = terminal, log, ""
        self._prefix, self._at_start = f"{name} | " if name else "", True

    def write(self, text: str) -> int:
        """Write to both streams."""
        for piece in re.split(r"(?<=[\n\r])", text):
            if piece and self._at_start:
                self._terminal.write(self._prefix)
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
        """Return whether the terminal is one; progress bars ask."""
        return self._terminal.isatty()

    def close_row(self) -> None:
        """Write an unfinished row to the log."""
        if self._row:
            self._log.write(self._row + "\n")
            self._row = ""


class ImportTimer:
    """Sums the wall seconds of this thread's outermost import statements, from its creation on.

    An import that another import makes counts once, with the outer one.
    """

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0
        self._thread, self._import = threading.get_ident(), builtins.__import__
        builtins.__import__ = self._timed

    def _timed(self, *args: Any, **kwargs: Any) -> ModuleType:
        if self._depth or threading.get_ident() != self._thread:
            return self._import(*args, **kwargs)
        self._depth, begun = 1, time.perf_counter()
        try:
            return self._import(*args, **kwargs)
        finally:
            self._depth = 0
            self.seconds += time.perf_counter() - begun

    def stop(self) -> None:
        """Time no further imports."""
        builtins.__import__ = self._import


def process_age() -> float | None:
    """Return the seconds since the kernel started this process, to 10 ms; None outside Linux."""
    try:
        fields = Path("/proc/self/stat").read_text()
    except OSError:
        return None
    # Field 22 of proc(5): the start in clock ticks after boot. Field 2, a name, may hold spaces.
    ticks = int(fields.rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def write_times(log: Path, start: float | None, imports: float) -> None:
    """Write the times of a job that ends now next to its benchmark, for `g2vlm.run.overhead`.

    Args:
        log: the job's log.
        start: seconds from the process's begin to its script; None where they are unknown.
        imports: seconds of the script's imports.
    """
    parts = list(log.with_suffix(".json").parts)
    if start is None or "logs" not in parts[:-1]:
        return
    # results/cpu/logs/score/full-0.log -> results/cpu/benchmarks/score/full-0.json
    parts[parts.index("logs")] = "benchmarks"
    path = Path(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = time.time()
    run_began = os.environ.get(RUN_STARTED)
    write_json(
        path,
        {
            "start_seconds": round(start, 3),
            "import_seconds": round(imports, 3),
            # Seconds since 1970.
            "began": round(ended - process_age(), 3),
            "ended": round(ended, 3),
            "run_began": round(float(run_began), 3) if run_began else None,
        },
    )
