"""Some inputs of every target, and what `make fuzz` reports of readers that fail."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from g2vlm.captures.layouts import find_layouts
from metrics.files import InputError
from metrics.reconstruction.surface_files import READERS
from tests.fuzz.mutations import FORMATS, mutate
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Target, check, fuzz, try_some
from tests.paths import REPOSITORY


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that waits: the short runs have no process of their own."""

    def stop(*_: object) -> None:
        raise TimeoutError("an input takes minutes")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", TARGETS)
def test_some_inputs_of_every_target(name: str, tmp_path: Path) -> None:
    count = {"config": 15, "scores": 6, "model": 10, "score": 15, "truth": 15}.get(name, 50)
    outcomes = try_some(TARGETS[name], tmp_path, 1, count)
    assert len(outcomes) == count
    # Damage that is always refused, or never, tests nothing.
    assert any(outcome != "read" for outcome in outcomes) or name == "answers"


def test_every_format_and_layout_has_a_target() -> None:
    names = set(TARGETS)
    assert {suffix.lstrip(".") for suffix in READERS} <= names
    assert len([name for name in names if name.startswith("capture-")]) == len(find_layouts())


def test_changes_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    runs = [try_some(TARGETS["ply"], tmp_path / str(k), seed, 20) for k, seed in enumerate([3, 3])]
    assert runs[0] == runs[1] != try_some(TARGETS["ply"], tmp_path / "other", 4, 20)


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_that_hold_others_are_put_together_again(suffix: str, tmp_path: Path) -> None:
    """Of some changes of a file, at least one is not refused by its container's reader."""
    TARGETS["model"].write(tmp_path / "model")
    TARGETS["catalog"].write(tmp_path / "catalog")
    TARGETS["scores"].write(tmp_path / "scores")
    TARGETS["submission"].write(tmp_path / "submission")
    for kind in ("npz", "npy", "glb", "gltf"):
        TARGETS[kind].write(tmp_path / kind)
    if suffix == ".png":
        TARGETS["capture-tum-rgb-d"].write(tmp_path / "capture")
    data = next(path for path in sorted(tmp_path.rglob(f"*{suffix}"))).read_bytes()
    random = Random(0)
    changed = [mutate(f"a{suffix}", data, random) for _ in range(20)]
    assert len(set(changed)) > 10
    assert any(one[:4] == data[:4] for one in changed)


def _write(folder: Path) -> None:
    for name in "ab":
        (folder / name).mkdir(parents=True)
        (folder / name / "a.txt").write_text("1 2 3\n")


def _sound(folder: Path) -> bool:
    return (folder / "a.txt").read_bytes() == b"1 2 3\n"


def _raises(folder: Path) -> None:
    if not _sound(folder):
        raise KeyError("x")


def _hangs(folder: Path) -> None:
    while not _sound(folder):
        time.sleep(0.001)


def _allocates(folder: Path) -> None:
    if not _sound(folder):
        try:
            bytearray(1 << 34)
        except MemoryError as error:
            raise InputError(f"{folder}: needs more memory than there is") from error


def _ends(folder: Path) -> None:
    if not _sound(folder):
        signal.raise_signal(signal.SIGKILL)


def _refuses(folder: Path) -> None:
    if not _sound(folder):
        raise InputError(f"{folder}/a.txt: three numbers are needed; write them")


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (_raises, "KeyError at test_fuzz.py"),
        (_hangs, "SIGALRM at "),
        (_allocates, "Fault at test_fuzz.py:"),
        (_ends, "SIGKILL"),
        (_refuses, ""),
    ],
)
def test_what_is_found(
    read: Callable[[Path], None], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker process imports this module anew, so its limit is set by its environment.
    monkeypatch.setenv("FUZZ_LONGEST_S", "0.3")
    target = Target("numbers", _write, read)
    tried, found = fuzz(target, tmp_path, 0, 2)
    assert tried >= 1 and len(found) == (1 if what else 0)
    for finding in found:
        assert finding.what.startswith(what) and finding.input is not None
        assert not _sound(finding.input)


@pytest.mark.parametrize(
    ("text", "words"),
    [("no place", "names no file"), ("{folder}: " + "x" * 5000, "not one readable line")],
)
def test_refusals_that_a_user_cannot_use(text: str, words: str, tmp_path: Path) -> None:
    def read(folder: Path) -> None:
        raise InputError(text.format(folder=folder))

    with pytest.raises(Exception, match=words):
        check(Target("numbers", _write, read), tmp_path)


@pytest.mark.parametrize("below", [True, False])
def test_a_config_is_named_from_the_working_folder(
    below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here" if not below else tmp_path)
    for text in ("seeds: many\n", "seeds: [\n"):
        (tmp_path / "mine.yaml").write_text(text)
        assert check(TARGETS["config"], tmp_path) != "read"


def test_the_command(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "tests.fuzz", "npy", "xyz"]
    call += ["--minutes", "0.01", "--out", str(tmp_path / "out")]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 0: no findings" in done.stdout
