"""The frame of a pipeline job: log, errors in one line, an end with the pipeline."""

import ctypes
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from g2vlm.run import devices
from g2vlm.run.memory import peak_memory_mb
from g2vlm.run.progress import Progress
from metrics.files import InputError, one_line

PR_SET_PDEATHSIG = 1
# When the process started: until this module is imported it does little but compute.
_STARTED = time.monotonic() - time.process_time()


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run the body of a workflow script and yield its `snakemake` object.

    The object also gets `results`, the experiment's folder, and the class `progress`.

    Output goes to the terminal and to the rule's log. An `InputError` ends the process with status
    2 and its message as one line; any other error prints its last line and writes the traceback to
    the log. The body sees as many GPUs as the rule's `gpu` resource says, and no other job sees
    them. What a finished job cost is written to the folder `benchmarks`, under the log's name.
    """
    die_with_parent()
    # The numerical libraries read these when they are imported, later.
    os.environ |= dict.fromkeys(devices.THREAD_VARIABLES, str(snakemake.threads))
    snakemake.results = Path("results", snakemake.config["experiment"])
    snakemake.progress = Progress
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
            write_cost(cost_path(path))
        except InputError as error:
            _exit(f"error: {error}", 2)
        except Exception as error:
            log.write(traceback.format_exc())
            reason = f"{type(error).__name__}: {one_line(str(error))}"
            _exit(f"error: {reason}; the traceback is in {path}", 1)
        finally:
            for tee in tees:
                tee.close_row()
                tee.flush()
            sys.stdout, sys.stderr = streams


def cost_path(log: Path) -> Path:
    """Return the file of a job's cost, given its log results/<experiment>/logs/<name>.log."""
    results, _, name = log.as_posix().rpartition("/logs/")
    return Path(results, "benchmarks", name).with_suffix(".json")


def write_cost(path: Path) -> None:
    """Write the wall and CPU seconds and the peak memory (MB) of this process.

    The system counts them, so that short jobs are exact: CPU seconds include the start of Python
    and processes that have ended.
    """
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cost = {
        "wall_seconds": round(time.monotonic() - _STARTED, 2),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in (own, others)), 2),
        "peak_memory_mb": peak_memory_mb(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cost) + "\n", encoding="utf-8")


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
