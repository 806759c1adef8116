"""Lines and numbers of text formats, found by array operations: a file has millions of lines."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import MOST_LINES
from metrics.schemas import printable

NEWLINE, SPACE, SLASH = b"\n /"
# Blanks between words; carriage returns are gone by then.
BLANKS = np.zeros(256, bool)
BLANKS[list(b" \t\v\f\n")] = True
# Bytes of a line that hold its keyword; a longer keyword is known by its beginning.
KEYWORD = 8
# Lines whose keywords are found at once, which bounds the memory.
_BLOCK = 1 << 20
# Ranges that are gathered at once, which bounds the memory, and how many must follow each other on
# average to be copied as one.
_RANGES, _RUN = 1 << 16, 16


def normal_text(data: bytes, label: str) -> bytes:
    """Return text with "\\n" as line ends, one at its end, and without a byte order mark.

    Raises:
        InputError: it is UTF-16 or UTF-32, holds zero bytes, or has too many lines.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{label}: is UTF-16 or UTF-32 text; save it as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise InputError(f"{label}: holds zero bytes, so it is not text; save it as UTF-8 text")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if data.count(b"\n") > MOST_LINES:
        raise InputError(f"{label}: has more than {MOST_LINES} lines; thin or split the surface")
    return data if data.endswith(b"\n") else data + b"\n"


def keyword(word: bytes) -> np.uint64:
    """Return a keyword as `Lines.keywords` holds it."""
    return np.frombuffer(word[:KEYWORD].ljust(KEYWORD, b"\0"), np.uint64)[0]


class Lines:
    """The lines of a text; blanks before their first word are removed.

    Args:
        text: as `normal_text` returns it.
    """

    def __init__(self, text: bytes) -> None:
        self._split(text)
        if (BLANKS[self._bytes[self._starts]] & (self._lengths > 1)).any():
            self._split(re.sub(rb"(?m)^[ \t\v\f]+", b"", text))

    def _split(self, text: bytes) -> None:
        # The padding lets the first bytes of the last line be compared like any other's.
        self._bytes = np.frombuffer(text + b"\n" * KEYWORD, np.uint8)
        ends = np.flatnonzero(self._bytes[: len(text)] == NEWLINE) + 1
        self._starts = np.concatenate([[0], ends[:-1]])
        self._lengths = ends - self._starts

    def __len__(self) -> int:
        return len(self._starts)

    def keywords(self) -> np.ndarray:
        """Return the first word uint64 [L] of each line, as `keyword` does; 0 for an empty line."""
        found = np.empty(len(self), np.uint64)
        for start in range(0, len(self), _BLOCK):
            places = self._starts[start : start + _BLOCK, None] + np.arange(KEYWORD)
            letters = self._bytes[places]  # (B, KEYWORD)
            letters[np.logical_or.accumulate(BLANKS[letters], axis=1)] = 0
            found[start : start + _BLOCK] = letters.view(np.uint64)[:, 0]
        return found

    def line(self, number: int) -> bytes:
        """Return one line without its end."""
        start = self._starts[number]
        return self._bytes[start : start + self._lengths[number] - 1].tobytes()

    def take(self, chosen: np.ndarray, blanked: int) -> bytes:
        """Return chosen lines, joined, without comments that follow a "#".

        The first `blanked` bytes of each, its keyword, are replaced by spaces.

        Args:
            chosen: int64 [K], ascending numbers of lines.
            blanked: how many bytes.
        """
        kept = gather(self._bytes, self._starts[chosen], self._lengths[chosen])
        begins = np.cumsum(self._lengths[chosen]) - self._lengths[chosen]
        for k in range(blanked):
            kept[begins + k] = SPACE
        text = kept.tobytes()
        return re.sub(rb"#[^\n]*", b"", text) if b"#" in text else text


def gather(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the ranges of `data` that begin at `starts` [K] and have `lengths` [K], joined."""
    ends = starts + lengths
    # Ranges that follow each other are one: most statements of a kind stand together.
    first = np.flatnonzero(np.append(True, starts[1:] != ends[:-1])) if len(starts) else starts
    last = np.append(first[1:], len(starts)) - 1
    if len(first) < len(starts) / _RUN:
        runs = zip(starts[first].tolist(), ends[last].tolist(), strict=True)
        return np.concatenate([data[start:end] for start, end in runs])
    parts = [data[:0]]
    for block in range(0, len(starts), _RANGES):
        size = lengths[block : block + _RANGES]
        shifts = starts[block : block + _RANGES] - (np.cumsum(size) - size)
        parts.append(data[np.repeat(shifts, size) + np.arange(size.sum())])
    return np.concatenate(parts)


def counts_in(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return how many entries int64 [R] of bool [N] are true from each start to the next."""
    return np.diff(np.searchsorted(np.flatnonzero(mask), np.append(starts, len(mask))))


def are_indices(values: np.ndarray) -> bool:
    """Return whether all numbers of an array are whole, which infinity is not."""
    return bool(((values == np.floor(values)) & (np.abs(values) < 2.0**53)).all())


@dataclass(frozen=True)
class NumberRows:
    """Rows of numbers, not all as long.

    Attributes:
        values: [T], row after row.
        starts: int64 [R], place of each row's first number.
        counts: int64 [R], numbers of each row.
    """

    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, start: int, end: int) -> "NumberRows":
        """Return a range of the rows."""
        return NumberRows(self.values, self.starts[start:end], self.counts[start:end])

    def without_empty(self) -> "NumberRows":
        """Return the rows that hold a number."""
        kept = self.counts > 0
        return NumberRows(self.values, self.starts[kept], self.counts[kept])

    def column(self, place: int | np.ndarray) -> np.ndarray:
        """Return the number [R] at one place of every row, or at a place [R] a row."""
        return self.values[self.starts + place]

    def columns(self, count: int) -> np.ndarray:
        """Return the first numbers [R, count] of every row, each of which has as many."""
        width = int(self.counts[0]) if len(self) else count
        if len(self) and (self.counts == width).all():
            # Rows of one width, which is the rule, are one array.
            begin = self.starts[0]
            table = self.values[begin : begin + width * len(self)].reshape(len(self), width)
            return table[:, :count]
        return self.values[self.starts[:, None] + np.arange(count)]


def number_rows(text: bytes, where: Callable[[int], str], dtype: type = np.float64) -> NumberRows:
    """Return the numbers of every line of a text, separated by blanks.

    Args:
        text: lines, each with its end.
        where: names the file and a line in messages, from the line's number in `text`, from 0.
        dtype: float64 or int64.

    Raises:
        InputError: a word is not a number.
    """
    letters = np.frombuffer(text, np.uint8)
    blank = BLANKS[letters]
    ends = np.flatnonzero(letters == NEWLINE) + 1
    begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    if not len(ends):
        return NumberRows(np.zeros(0, dtype), begins[:0], begins[:0])
    word = ~blank
    word[1:] &= blank[:-1]  # True where a word begins
    counts = counts_in(word, begins)
    total = int(counts.sum())
    values = _scan(text, total, dtype)
    if values is None:
        row = _first_wrong(text, begins, ends, counts, dtype)
        # As bytes: text would be split at more characters than BLANKS.
        words = text[begins[row] : ends[row]].split()
        wrong = next((w for w in words if _scan(w, 1, dtype) is None), words[0])
        kind = "a number" if dtype is np.float64 else "a whole number"
        named = printable(wrong.decode("latin-1"))
        raise InputError(f"{where(row)}: '{named}' is not {kind}; write it again")
    return NumberRows(values, np.cumsum(counts) - counts, counts)


def _scan(text: bytes, total: int, dtype: type) -> np.ndarray | None:
    """Return the numbers of a text of `total` words, None if a word is not one number."""
    if total == 0:
        return np.zeros(0, dtype)
    try:
        values = np.fromstring(text, dtype=dtype, sep=" ")
    except ValueError:
        return None
    # NumPy reads "1.5-2" as two numbers, so their count must be that of the words.
    return values if values.size == total else None


def _first_wrong(
    text: bytes, begins: np.ndarray, ends: np.ndarray, counts: np.ndarray, dtype: type
) -> int:
    """Return the first line with a word that is not a number, by halving the range."""
    low, high = 0, len(ends)
    while high - low > 1:
        middle = (low + high) // 2
        part = text[begins[low] : ends[middle - 1]]
        if _scan(part, int(counts[low:middle].sum()), dtype) is None:
            high = middle
        else:
            low = middle
    return low
