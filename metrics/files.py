"""Read and write files: none is left half-written, and every error names its file.

Files of others are read within limits: regular files of bounded size, UTF-8 text, and JSON that is
not nested too deeply. Nothing is unpickled.
"""

import codecs
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

LARGEST_FILE = 1 << 28
_LARGEST_LINES = 1 << 34
# The longest integer in a JSON file, in characters: longer ones do not fit a double.
_LONGEST_INTEGER = 40
_MOST_LEVELS = 64
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class InputError(Exception):
    """Unusable input: one line, `<file>: <what is wrong>; <how to fix it>`."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    r"""Return an untrusted text with escapes in place of its control characters.

    >>> one_line("room\n\x1b[31m")
    'room\\n\\x1b[31m'
    """
    if text.isprintable():
        return text
    # Also marks that turn the direction of text, and surrogates, which are bytes of a file name
    # that are not UTF-8.
    escapes = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escapes)


@contextmanager
def atomic_path(path: str | os.PathLike[str], folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path and rename it to `path` if the block succeeds.

    When the block raises, the temporary file is removed and `path` is left as it was.

    Args:
        path: what to write.
        folder: write a folder, which replaces an earlier one whole.

    Raises:
        OSError: it cannot be written; the error names `path`, never the temporary file.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    temporary = scratch / target.name
    try:
        if folder:
            temporary.mkdir()
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
    except OSError as error:
        # A full disk names no file at all, some libraries name the temporary one.
        named = None if error.filename is None else os.fsdecode(error.filename)
        if error.errno is not None and (named is None or named.startswith(str(scratch))):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def unreadable(path: str | os.PathLike[str], limit: int, links: bool = True) -> str:
    """Return why a file must not be opened, "" for a regular file of at most `limit` bytes.

    Args:
        path: the file.
        limit: largest size, bytes.
        links: whether it may be a link, which is followed.

    Raises:
        OSError: there is no such file, or the system does not show it.
    """
    status = os.stat(path, follow_symlinks=links)
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if not stat.S_ISREG(status.st_mode):
        # Opening a FIFO would wait for its writer.
        return "is not a regular file"
    return f"larger than {limit >> 20} MiB" if status.st_size > limit else ""


def require_regular(
    path: str | os.PathLike[str],
    fix: str,
    root: str | os.PathLike[str] | None = None,
    limit: int = LARGEST_FILE,
) -> Path:
    """Return the path of a file that may be opened, also where an untrusted file names it.

    Args:
        path: the file.
        fix: how to fix a missing or unreadable file, for messages.
        root: the folder that must hold the file, links followed; None allows any place.
        limit: largest size, bytes.

    Raises:
        InputError: the file is missing, not a regular file, too large or outside `root`.
    """
    path = Path(path)
    try:
        if root is not None and not path.resolve().is_relative_to(Path(root).resolve()):
            raise InputError(f"{path}: leads out of {root}; copy the file itself there")
        reason = unreadable(path, limit)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file; {fix}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {fix}") from error
    except (RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise InputError(f"{path}: not the name of a file ({error}); {fix}") from error
    if reason:
        raise InputError(f"{path}: {reason}; {fix}")
    return path


def read_bytes(
    path: str | os.PathLike[str],
    fix: str,
    root: str | os.PathLike[str] | None = None,
    limit: int = LARGEST_FILE,
) -> bytes:
    """Return the content of a file; arguments and errors as of `require_regular`."""
    path = require_regular(path, fix, root, limit)
    try:
        with path.open("rb") as handle:
            data = read_at_most(handle, limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {fix}") from error
    if len(data) > limit:
        raise InputError(f"{path}: larger than {limit >> 20} MiB; {fix}")
    return data


def read_at_most(handle: BinaryIO, limit: int) -> bytes:
    """Return the rest of an opened file, or its first `limit` bytes.

    `handle.read(limit)` would reserve memory for the limit, however small the file is.
    """
    size = os.fstat(handle.fileno()).st_size
    data = handle.read(min(size + 1, limit))
    # Files of /proc announce no size.
    return data if len(data) <= size else data + handle.read(limit - len(data))


def read_text(
    path: str | os.PathLike[str],
    fix: str,
    root: str | os.PathLike[str] | None = None,
    limit: int = LARGEST_FILE,
) -> str:
    """Return the text of a UTF-8 file without its byte order mark; arguments as `read_bytes`.

    Raises:
        InputError: as `read_bytes`, and for any other encoding, which it names.
    """
    try:
        return decode_utf8(read_bytes(path, fix, root, limit))
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it as UTF-8") from error


def decode_utf8(data: bytes) -> str:
    """Return UTF-8 text without its byte order mark; raises `ValueError` naming other encodings."""
    for mark, name in _ENCODINGS.items():
        if data.startswith(mark):
            raise ValueError(f"is {name} text")
    if b"\0" in data:
        raise ValueError("holds NUL bytes, so it is UTF-16 or no text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise ValueError(f"not UTF-8 text (byte {byte:#04x} at {error.start})") from error


def read_json(
    path: str | os.PathLike[str],
    fix: str = "run the stage that writes it",
    root: str | os.PathLike[str] | None = None,
    limit: int = LARGEST_FILE,
) -> Any:
    """Return the value of a JSON file; arguments as `read_bytes`.

    Raises:
        InputError: as `read_text`, and for malformed JSON, a key that occurs twice in an object, an
            integer of more than 40 digits, a lone surrogate, or too many levels.
    """
    text = read_text(path, fix, root, limit)
    try:
        return parse_json(text)
    except ValueError as error:
        reason = str(error)[:200]
        raise InputError(f"{path}: not valid JSON ({reason}); {fix}") from error


def parse_json(text: str, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text.

    Args:
        text: of one value.
        parse_constant: what to return for NaN and Infinity, given their names.

    Raises:
        ValueError: malformed JSON, a key that occurs twice in an object, an integer of more than 40
            digits, a lone surrogate, or too many levels.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_constant=parse_constant
        )
        if re.search(r"\\u[dD][89a-fA-F]", text):
            # Pairs of surrogates are characters; a lone one cannot be written.
            json.dumps(value, ensure_ascii=False, default=repr).encode()
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Raise `ValueError` for more levels than any file of this project has.

    The parser's own limit is so close to Python's that code which reads the value could exceed it.
    """
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(_MOST_LEVELS):
        children = (one.values() if isinstance(one, dict) else one for one in level)
        level = [part for group in children for part in group if isinstance(part, list | dict)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {name[:40]!r} occurs twice")
    return value


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(digits)} characters")
    return int(digits)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON with sorted keys, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_lines(
    path: str | os.PathLike[str], parse_constant: Callable[[str], Any] | None = None
) -> list[Any]:
    """Return the values of a JSON-lines file.

    Args:
        path: the file.
        parse_constant: as of `parse_json`.

    Raises:
        InputError: the file is missing, no regular file or no UTF-8 text, or a row is no JSON as
            `parse_json` reads it; the message names the row.
    """
    return [value for _, value in iterate_lines(path, parse_constant)]


def iterate_lines(
    path: str | os.PathLike[str], parse_constant: Callable[[str], Any] | None = None
) -> Iterator[tuple[int, Any]]:
    """Yield each row of a JSON-lines file: where it begins, in bytes, and its value.

    Arguments and errors are those of `read_lines`.
    """
    require_regular(path, "run the stage that writes it", limit=_LARGEST_LINES)
    offset = 0
    with open(path, "rb") as handle:
        for row, line in enumerate(handle, 1):
            yield offset, _parse_row(path, line, f"row {row}", parse_constant)
            offset += len(line)


def read_line(path: str | os.PathLike[str], offset: int) -> Any:
    """Return the value of the row that begins at byte `offset`, as `iterate_lines` gave it.

    Raises:
        InputError: the file is missing, or the row is no JSON; the message names the place.
    """
    require_regular(path, "run the stage that writes it", limit=_LARGEST_LINES)
    with open(path, "rb") as handle:
        handle.seek(offset)
        return _parse_row(path, handle.readline(), f"the row at byte {offset}")


def _parse_row(
    path: str | os.PathLike[str],
    line: bytes,
    place: str,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    try:
        return parse_json(line.decode("utf-8"), parse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); write the file again") from error
    except ValueError as error:
        raise InputError(
            f"{path}: {place} is not valid JSON ({error}); write the file again"
        ) from error


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
