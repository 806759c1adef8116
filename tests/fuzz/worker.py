"""Try changed inputs of one target: in this process, or in one with limits of time and memory."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from metrics.files import InputError, one_line
from tests.fuzz.mutations import mutate
from tests.paths import REPOSITORY

# Processor time of one input, seconds; real time is ten times as much. Every input is smaller than
# a megabyte. Tests set a shorter one.
LONGEST_S = float(os.environ.get("FUZZ_LONGEST_S", "20"))
# Memory beyond what the sound inputs need, bytes.
MOST_MEMORY = 1 << 30
_LONGEST_MESSAGE = 4000
_MOST_KEPT = 300
# The content of a file of an input by its path; None where it is removed.
Changes = dict[str, bytes | None]


@dataclass(frozen=True)
class Target:
    """A reader and inputs that it reads.

    Attributes:
        name: of the target.
        write: writes sound inputs, each a folder of the folder that it is given.
        read: reads one input; `InputError` is a refusal, any other exception a finding.
        fixed: files of an input that are not changed.
        seal: makes hashes and the like right again after a change.
        names_file: whether a refusal names a file of the input.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    fixed: frozenset[str] = frozenset()
    seal: Callable[[Path], object] | None = None
    names_file: bool = True


@dataclass(frozen=True)
class Finding:
    """An input that a reader neither read nor refused.

    Attributes:
        what: the exception or the limit, one line.
        detail: the traceback.
        input: copy of the input, a folder; None for what is known already.
    """

    what: str
    detail: str
    input: Path | None


class Fault(Exception):
    """A refusal that a user could not use, or something read that is not sound."""


def check(target: Target, folder: Path) -> str:
    """Read an input; return an abstract of what happened.

    Raises:
        Fault: the refusal is not one readable line, names no file, or hides lack of memory.
        Exception: any other that the reader raises.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            target.read(folder)
    except InputError as error:
        text, cause = str(error), error.__cause__ or error.__context__
        while cause is not None:
            if isinstance(cause, MemoryError):
                raise Fault(f"needs more than {MOST_MEMORY >> 20} MiB: {text[:200]}") from error
            cause = cause.__cause__ or cause.__context__
        if text != one_line(text) or len(text) > _LONGEST_MESSAGE:
            raise Fault(f"not one readable line: {text[:200]!r}") from error
        if target.names_file and str(folder) not in text:
            raise Fault(f"names no file of the input: {text[:200]!r}") from error
        return re.sub(r"'[^']*'|[^\s]*/[^\s]*|[-+\d.]*\d[^\s]*", "", text)[:120]
    return "read"


class Inputs:
    """Changed inputs of a target, one after the other in a folder, the same for the same seed.

    An input that is refused for a new reason is changed further, like the sound ones.

    Args:
        target: the reader.
        place: folder for the inputs.
        seed: of the changes.
    """

    def __init__(self, target: Target, place: Path, seed: str) -> None:
        self.target, self.place = target, place
        self.random = Random(f"{target.name} {seed}")
        shutil.rmtree(place, ignore_errors=True)
        sound = place.with_name(f"{place.name}.sound")
        shutil.rmtree(sound, ignore_errors=True)
        target.write(sound)
        self.sound = sorted(sound.iterdir())
        self.kept: list[tuple[int, Changes]] = [(k, {}) for k in range(len(self.sound))]
        self.reasons: set[str] = set()

    def check_sound(self) -> None:
        """Read the sound inputs; raises what the reader raises, refusals included."""
        for folder in self.sound:
            with warnings.catch_warnings(action="ignore"):
                self.target.read(folder)

    def __iter__(self) -> Iterator[Callable[[], str]]:
        """Write one input after the other, yielding what reads it (`check`)."""
        while True:
            sound, changes = self.random.choice(self.kept)
            changes = self._changed(self.sound[sound], dict(changes))
            self._write(self.sound[sound], changes)
            yield self._check
            if self.reason not in self.reasons and len(self.kept) < _MOST_KEPT:
                self.reasons.add(self.reason)
                self.kept.append((sound, changes))

    def _check(self) -> str:
        self.reason = "finding"
        self.reason = check(self.target, self.place)
        return self.reason

    def _changed(self, folder: Path, changes: Changes) -> Changes:
        names = [
            name
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and (name := path.relative_to(folder).as_posix()) not in self.target.fixed
        ]

        def content(name: str) -> bytes:
            found = changes.get(name) if name in changes else (folder / name).read_bytes()
            return found or b""

        name, other = self.random.choice(names), self.random.choice(names)
        kind = self.random.random()
        if kind < 0.01 and len(names) > 1:
            changes[name] = None
        elif kind < 0.03:
            changes[name] = content(other)
        else:
            changes[name] = mutate(name, content(name), self.random)[: 1 << 20]
        return changes

    def _write(self, folder: Path, changes: Changes) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(folder, self.place)
        for name, data in changes.items():
            if data is None:
                (self.place / name).unlink()
            else:
                (self.place / name).write_bytes(data)
        if self.target.seal is not None:
            self.target.seal(self.place)


def place_of(error: BaseException) -> str:
    """Return the exception's type and the last line of this project that it went through."""
    # A fault is raised here, because of another exception or by the target.
    origin = error.__cause__ if isinstance(error, Fault) and error.__cause__ else error
    frames = traceback.extract_tb(origin.__traceback__)
    own = [
        f for f in frames if f.filename.startswith(str(REPOSITORY)) and ".venv" not in f.filename
    ]
    own = [f for f in own if "/tests/fuzz/worker" not in f.filename] or own
    last = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return f"{type(error).__name__} at {last}"


def limit_memory() -> None:
    """Allow this process `MOST_MEMORY` more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_time(seconds: float) -> None:
    """End this process after that much processor time, or after ten times as much real time."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


def _work(
    target: Target, place: Path, seed: str, seconds: float, log: Path, answers: Connection
) -> None:
    """Try inputs for some seconds: the main function of a worker process."""
    with log.open("w") as handle:
        os.dup2(handle.fileno(), 2)
    for number in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(number, file=sys.stderr, chain=True)
    faulthandler.enable()
    inputs = Inputs(target, place, seed)
    try:
        inputs.check_sound()
    except Exception as error:
        answers.send(("sound", f"{place_of(error)}: {error}", traceback.format_exc()))
        return
    limit_memory()
    end = time.monotonic() + seconds
    for read in inputs:
        limit_time(LONGEST_S)
        try:
            read()
        except Exception as error:
            detail = traceback.format_exc()
            limit_time(0)
            answers.send(("finding", f"{place_of(error)}: {one_line(str(error))[:300]}", detail))
        else:
            limit_time(0)
            answers.send(("tried", "", ""))
        answers.recv()  # the parent has copied the input
        if time.monotonic() > end:
            return


def fuzz(target: Target, folder: Path, seed: int, seconds: float) -> tuple[int, list[Finding]]:
    """Try inputs of a target in worker processes.

    Args:
        target: the reader.
        folder: for the inputs and the findings.
        seed: of the inputs.
        seconds: real time.

    Returns:
        How many inputs were tried, and one finding for each place in the code.
    """
    context = multiprocessing.get_context("spawn")
    place, log = folder / "now" / target.name, folder / "now" / f"{target.name}.log"
    place.parent.mkdir(parents=True, exist_ok=True)
    tried, start, end = 0, 0, time.monotonic() + seconds
    found: dict[str, Finding] = {}

    def keep(what: str, detail: str) -> None:
        key = what.partition(": ")[0]
        if key not in found:
            copy = folder / f"{target.name}-{len(found)}"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(place if place.is_dir() else place.parent, copy)
            found[key] = Finding(what, detail, copy)

    while tried == 0 or time.monotonic() < end:
        ours, theirs = context.Pipe()
        left = max(end - time.monotonic(), 0)
        arguments = (target, place, f"{seed} {start}", left, log, theirs)
        process = context.Process(target=_work, args=arguments)
        process.start()
        theirs.close()
        kind = ""
        try:
            while True:
                kind, what, detail = ours.recv()
                tried += kind != "sound"
                if kind != "tried":
                    keep(what, detail)
                if kind == "sound":
                    break
                ours.send(None)
        except (EOFError, OSError):
            pass
        process.join()
        if kind == "sound":
            break
        if process.exitcode:
            # The process was ended while it read the input that lies at `place`.
            tried += 1
            name = signal.Signals(-process.exitcode).name if process.exitcode < 0 else "exit"
            detail = log.read_text(errors="replace")
            line = re.search(r'File ".*?([^/"]+)", line (\d+) in (?!check)', detail)
            where = f"{line[1]}:{line[2]}" if line else "?"
            why = {"SIGPROF": f"more than {LONGEST_S:g} s", "SIGALRM": "waits"}.get(name, name)
            keep(f"{name} at {where}: {why}", detail)
        start = tried
    return tried, list(found.values())


def try_some(target: Target, folder: Path, seed: int, count: int) -> list[str]:
    """Try some inputs in this process; raises the first finding.

    Returns:
        What happened, of each.
    """
    inputs = Inputs(target, folder / target.name, str(seed))
    inputs.check_sound()
    outcomes = []
    for read in inputs:
        outcomes.append(read())
        if len(outcomes) == count:
            return outcomes
    return outcomes


def replay(target: Target, folder: Path) -> str:
    """Read a kept input once more, from a copy; returns or raises as `check`."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / "input"))
        return check(target, copy)
