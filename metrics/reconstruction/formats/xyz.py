"""Read XYZ text: one point a row, its coordinates first.

Numbers are separated by blanks, commas or semicolons. A first row with the number of points and a
row with the columns' names may stand above; comments begin with "#" or "//". Text in which a comma
could be a decimal point is refused.
"""

import re

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts
from metrics.reconstruction.formats.text import normal_text, number_rows
from metrics.schemas import printable

_COMMENT = re.compile(rb"(?m)^[ \t]*(?:#|//)(.*)$")
# A blank between two numbers, which is no separator if commas are.
_BLANK = re.compile(rb"[0-9.][ \t]+[-+.0-9]")
_EMPTY = re.compile(rb"(?m)^[ \t]*[,;]|[,;][ \t]*[,;]")
_WORD = re.compile(rb"[A-Za-z]")
# Words of numbers that are not finite: a row of them is no header.
_NOT_FINITE = re.compile(rb"(?i)[-+]?(?:nan|inf|infinity)")
# Rows above the points: their number and the names of the columns, in either order.
_MOST_HEADER_ROWS = 2


def read_xyz(data: bytes, label: str) -> Contents:
    """Read an XYZ file's bytes as a cloud; `label` names it in messages.

    Raises:
        InputError: a row is not one of points, rows differ in length, or commas may be decimal.
    """
    text = normal_text(data, label)
    names = _named_comment(text[:4096])
    text = _COMMENT.sub(b"", text)
    check_counts(text.count(b"\n") - text.count(b"\n\n") - _MOST_HEADER_ROWS, 0, label)
    _check_commas(text, label)
    text = text.replace(b",", b" ").replace(b";", b" ")
    text, skipped, header = _without_header(text)
    rows = number_rows(text, lambda row: f"{label}: row {row + skipped + 1}")
    lines = np.flatnonzero(rows.counts) + skipped + 1
    rows = rows.without_empty()
    promised = None
    if len(rows) > 1 and rows.counts[0] == 1 and rows.counts[1] > 1:
        promised = float(rows.values[0])
        rows, lines = rows.rows(1, len(rows)), lines[1:]
    if promised is not None and promised != len(rows):
        raise InputError(
            f"{label}: its first row promises {promised:.0f} points, but {len(rows)} rows follow; "
            "it is cut short or has more, export it again"
        )
    if len(rows) == 0:
        return Contents(np.zeros((0, 3)))
    width = int(rows.counts[0])
    if (rows.counts != width).any():
        row = int((rows.counts != width).argmax())
        raise InputError(
            f"{label}: row {lines[row]} has {rows.counts[row]} numbers where others have {width}; "
            "write x, y and z in every row"
        )
    columns = _columns(header or names, width, label)
    table = rows.columns(width)
    if width > 3 and columns == [0, 1, 2] and not (header or names) and _numbered(table[:, 0]):
        raise InputError(
            f"{label}: its first column numbers the rows; write x, y and z in the first columns"
        )
    return Contents(np.ascontiguousarray(table[:, columns]))


def _check_commas(text: bytes, label: str) -> None:
    """Raise `InputError` where commas may be decimal points, or fields are empty."""
    empty = _EMPTY.search(text)
    if empty:
        row = text.count(b"\n", 0, empty.start()) + 1
        raise InputError(f"{label}: row {row} has an empty field; write a number in each")
    comma = text.find(b",")
    if comma < 0:
        return
    row = text.count(b"\n", 0, comma) + 1
    line = text[text.rfind(b"\n", 0, comma) + 1 : text.find(b"\n", comma)]
    if b";" in text or _BLANK.search(text):
        raise InputError(
            f"{label}: row {row} has decimal commas, or commas next to other separators "
            f"({printable(line.decode('latin-1'))}); write decimal points"
        )
    if b"." not in text and text.splitlines()[-1].count(b",") >= 5:
        raise InputError(
            f"{label}: row {row} may have decimal commas, since all numbers between commas are "
            "whole; write decimal points, or separate numbers by blanks"
        )


def _without_header(text: bytes) -> tuple[bytes, int, list[str]]:
    """Return the text from the first row of numbers, how many rows come before, and their names.

    Only the first rows that are not blank can be a header, and a count alone among them is kept.
    """
    begin, skipped, names, seen = 0, 0, [], 0
    count = b""
    while seen < _MOST_HEADER_ROWS and begin < len(text):
        end = text.find(b"\n", begin) + 1
        line = text[begin:end].strip()
        words = line.split()
        if _WORD.search(line) and not all(_is_number(word) for word in words):
            if len(words) < 3 or any(_is_number(word) for word in words):
                break
            names = [word.decode("latin-1").lower() for word in words]
            return count + text[end:], skipped + 1 - bool(count), names
        if len(words) == 1:
            count = line + b"\n"
        elif words:
            break
        seen += bool(words)
        begin, skipped = end, skipped + 1
    return text, 0, []


def _is_number(word: bytes) -> bool:
    if _NOT_FINITE.fullmatch(word):
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True


def _named_comment(text: bytes) -> list[str]:
    """Return the names in the first comment if x, y and z are among them."""
    match = _COMMENT.search(text)
    names = match[1].decode("latin-1").lower().replace(",", " ").split() if match else []
    return names if {"x", "y", "z"} <= set(names) else []


def _columns(names: list[str], width: int, label: str) -> list[int]:
    """Return the columns of x, y and z: as the header names them, else the first three."""
    if width < 3:
        raise InputError(f"{label}: its rows have {width} numbers; write x, y and z in every row")
    if not names:
        return [0, 1, 2]
    if len(names) != width or not {"x", "y", "z"} <= set(names):
        raise InputError(
            f"{label}: its header names {printable(' '.join(names))} where rows have {width} "
            "numbers; name the columns x, y and z, or leave the header out"
        )
    return [names.index(axis) for axis in "xyz"]


def _numbered(column: np.ndarray) -> bool:
    """Return whether a column counts the rows, from 0 or 1."""
    return len(column) > 2 and column[0] in (0, 1) and bool((np.diff(column) == 1).all())
