"""Read and write files: none is left half-written, and every error names its file."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


class InputError(Exception):
    """Unusable input: one line, `<file>: <what is wrong>; <how to fix it>`."""


@contextmanager
def atomic_path(path: str | os.PathLike[str], folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path and rename it to `path` if the block succeeds.

    When the block raises, the temporary file is removed and `path` is left as it was.

    Args:
        path: what to write.
        folder: write a folder, which replaces an earlier one whole.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    temporary = scratch / target.name
    if folder:
        temporary.mkdir()
    try:
        yield temporary
        if folder and target.exists():
            os.replace(target, scratch / "earlier")
        if not folder:
            # Some writers (safetensors) create private files; results are for the whole group.
            # The mask of permissions can only be read by setting it.
            mask = os.umask(0o022)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value of a JSON file; raises `InputError` if it is missing or malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the stage that writes it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); write the file again") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON with sorted keys, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_lines(path: str | os.PathLike[str]) -> list[Any]:
    """Return the values of a JSON-lines file; raises `InputError` with the file and the row."""
    rows = []
    try:
        with open(path, encoding="utf-8") as handle:
            for line in handle:
                rows.append(json.loads(line))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the stage that writes it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); write the file again") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: row {len(rows) + 1} is not valid JSON ({error}); write the file again"
        ) from error
    return rows


@contextmanager
def line_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes one value as a line of compact JSON with sorted keys.

    The file appears whole when the block ends, or not at all.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:

        def write(row: Any) -> None:
            text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            handle.write(text + "\n")

        yield write


def write_lines(path: str | os.PathLike[str], rows: Iterable[Any]) -> None:
    """Write rows as JSON lines, whole or not at all (see `line_writer`)."""
    with line_writer(path) as write:
        for row in rows:
            write(row)


def rng(seed: int, purpose: str, name: str = "") -> np.random.Generator:
    """Return the random generator of one purpose and one named item.

    Every generator comes from one `SeedSequence` tree, so that adding a purpose or an item leaves
    the random numbers of all others as they are. The words are part of the seed: renaming a
    purpose changes its numbers.

    Args:
        seed: of the experiment.
        purpose: what is sampled.
        name: of the item, such as a scene.
    """
    words = [zlib.crc32(part.encode("utf-8")) for part in (purpose, name)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit; an `InputError` becomes one line on stderr and exit status 2."""
    try:
        status = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe: keep the interpreter's last flush quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(status or 0)
