"""Read STL, text or binary: triangles whose corners are stored one by one."""

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts
from metrics.reconstruction.formats.text import Lines, keyword, normal_text, number_rows

_HEADER = 84
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
# The statements of one facet in a text file.
_STATEMENTS = ("facet", "outer", "vertex", "vertex", "vertex", "endloop", "endfacet")


def read_stl(data: bytes, label: str) -> Contents:
    """Read an STL file's bytes; `label` names it in messages.

    Raises:
        InputError: the file is malformed, or shorter or longer than it says.
    """
    count = int.from_bytes(data[_HEADER - 4 : _HEADER], "little")
    # Binary files may begin with "solid" too, so their length decides.
    if len(data) >= _HEADER and len(data) == _HEADER + count * _FACET.itemsize:
        check_counts(0, count, label)
        corners = np.frombuffer(data, _FACET, count, _HEADER)["corners"]
        return _contents(corners)
    if data.lstrip()[:5].lower() != b"solid":
        room = max(len(data) - _HEADER, 0) // _FACET.itemsize
        raise InputError(
            f"{label}: says that it holds {count} triangles and has room for {room}; it is cut "
            "short or has more, export it again"
        )
    return _contents(_text_corners(data, label))


def _contents(corners: np.ndarray) -> Contents:
    return Contents(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))


def _text_corners(data: bytes, label: str) -> np.ndarray:
    """Return the corners float64 [F, 3, 3] of a text file."""
    lines = Lines(normal_text(data, label))
    # Keywords may be of either case: bit 5 of a letter makes it a small one.
    words = lines.keywords()
    words = np.where(words != 0, words | keyword(b" " * 8), words)
    statements = [_small(word) for word in ("solid", "endsolid", *_STATEMENTS)]
    filled = np.flatnonzero(words)
    solids = np.isin(words[filled], statements[:2])
    facets = filled[~solids]
    check_counts(0, len(facets) // len(_STATEMENTS), label)
    expected = np.resize(statements[2:], len(facets))
    wrong = words[facets] != expected
    if wrong.any():
        line = facets[int(wrong.argmax())]
        raise InputError(f"{label}: line {line + 1} is not the expected statement; export it again")
    ended = len(filled) and words[filled[-1]] == statements[1]
    if not ended or len(facets) % len(_STATEMENTS):
        raise InputError(f"{label}: does not end with endsolid; it is cut short, export it again")
    chosen = facets[expected == _small("vertex")]
    rows = number_rows(
        lines.take(chosen, len("vertex")), lambda row: f"{label}: line {chosen[row] + 1}"
    )
    if (rows.counts != 3).any():
        row = int((rows.counts != 3).argmax())
        raise InputError(
            f"{label}: line {chosen[row] + 1} does not have 3 numbers; export it again"
        )
    return rows.columns(3).reshape(-1, 3, 3)


def _small(word: str) -> np.uint64:
    return keyword(word.encode()) | keyword(b" " * 8)
