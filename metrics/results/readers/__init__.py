"""The readers of results files, one module each; `find_readers` collects them by itself.

To add a reader, add one module here with one subclass of `metrics.results.long_table.Reader`: its
`name` and `priority`, `recognise` and `read`.
"""

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from metrics.files import InputError, require_regular
from metrics.results.long_table import LARGEST_RESULTS, LongTable, Options, Reader, Source


@cache
def find_readers() -> tuple[Reader, ...]:
    """Return one instance of every reader, in the order in which they are tried."""
    for item in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(item.name)
    return tuple(sorted((cls() for cls in Reader.__subclasses__()), key=lambda r: r.priority))


def reader_of(path: Path) -> Reader | None:
    """Return the reader that recognises a file, None where there is none or no such file."""
    if not path.is_file():
        return None
    return next((reader for reader in find_readers() if reader.recognise(path)), None)


def parse_source(text: str) -> Source:
    """Return the file that an argument `FILE` or `NAME=FILE` names.

    Example:
        >>> parse_source("ours=scores.csv")
        Source(path=PosixPath('scores.csv'), method='ours')
    """
    method, equals, file = text.partition("=")
    if equals and method and file and not Path(text).exists():
        return Source(Path(file), method)
    return Source(Path(text))


def are_score_tables(arguments: list[str]) -> bool:
    """Return whether no argument of `compare` is a file of another harness.

    Folders, cells of an earlier comparison and files that no reader recognises count as score
    tables, whose own reader says what is wrong with them.
    """
    from metrics.results.readers.score_table import ScoreTable

    for argument in arguments:
        source = parse_source(argument)
        reader = reader_of(source.path)
        if source.method or not (reader is None or isinstance(reader, ScoreTable)):
            return False
    return True


def read(source: Source, options: Options) -> LongTable:
    """Return the table of a file of any known kind.

    Raises:
        InputError: there is no such file, no reader recognises it, or its reader refuses it.
    """
    if source.path.is_dir():
        raise InputError(
            f"{source.path}: is a folder; name its files, which can be mixed with those of others"
        )
    require_regular(source.path, "check the path", limit=LARGEST_RESULTS)
    reader = reader_of(source.path)
    if reader is None:
        known = ", ".join(reader.name for reader in find_readers())
        raise InputError(
            f"{source.path}: no known kind of results ({known}); write it as a CSV with the "
            "columns method, seed, scene, item, metric, value"
        )
    return reader.read(source, options)
