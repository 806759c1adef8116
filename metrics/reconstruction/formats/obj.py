"""Read Wavefront OBJ text: vertices and polygons. No file that it names is opened.

Statements of appearance and grouping are skipped; curves, free-form surfaces and includes are
refused by name, since a surface without them would be half of the file's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts, check_points
from metrics.reconstruction.formats.polygons import triangles_of
from metrics.reconstruction.formats.text import (
    BLANKS,
    NEWLINE,
    SLASH,
    Lines,
    NumberRows,
    counts_in,
    gather,
    keyword,
    normal_text,
    number_rows,
)
from metrics.schemas import printable

# A corner has at most three fields: vertex/uv/normal.
_MOST_FIELDS = 3
# Statements that leave the surface as it is.
_SKIPPED = ("v", "vt", "vn", "f", "p", "l", "o", "g", "s", "mg", "usemtl", "mtllib", "usemap")
_SKIPPED += ("maplib", "lod", "bevel", "c_interp", "d_interp", "shadow_obj", "trace_obj")


@dataclass(frozen=True)
class FaceGroup:
    """Faces of one form, that is of one number of corners, fields and empty fields.

    Attributes:
        vertex: int64 [R, n], the vertices of the corners, from 0.
        uv: int64 [R, n], their texture coordinates, from 0; -1 for none.
        place: int64 [R], places of the faces among all faces of the file.
    """

    vertex: np.ndarray
    uv: np.ndarray
    place: np.ndarray


class ObjText:
    """The statements of an OBJ file.

    Args:
        data: its bytes.
        label: names it in messages.

    Raises:
        InputError: the text is malformed, or holds a surface of a kind that is not read.
    """

    def __init__(self, data: bytes, label: str) -> None:
        text = normal_text(data, label)
        # A backslash at the end of a line continues it on the next, also at the end of the text.
        self._lines = Lines(text.removesuffix(b"\\\n").replace(b"\\\n", b" ") + b"\n")
        self._label = label
        self._keywords = self._lines.keywords()
        self._check_keywords()
        self.face_lines = self.lines_of("f")
        check_counts(len(self.lines_of("v")), len(self.face_lines), label)
        self.vertices = self.numbers("v", 3)
        check_points(self.vertices, label)

    def lines_of(self, word: str) -> np.ndarray:
        """Return the numbers int64 [K] of the lines that begin with a keyword."""
        return np.flatnonzero(self._keywords == keyword(word.encode()))

    def argument(self, line: int) -> str:
        """Return what follows a line's keyword."""
        words = self._lines.line(line).decode("latin-1").split(None, 1)
        return words[1].strip() if len(words) > 1 else ""

    def numbers(self, word: str, columns: int) -> np.ndarray:
        """Return the first `columns` numbers float64 [K, columns] of a keyword's lines."""
        lines = self.lines_of(word)
        rows = self._rows(self._lines.take(lines, len(word)), lines, np.float64)
        if len(rows) and rows.counts.min() < columns:
            row = int(rows.counts.argmin())
            raise InputError(f"{self._where(lines[row])}: has too few numbers; write it again")
        return rows.columns(columns)

    def groups(self, uv_count: int = 0) -> Iterator[FaceGroup]:
        """Yield the faces with three corners or more, form after form in order of first use.

        Args:
            uv_count: number of the file's texture coordinates; 0 leaves them out.
        """
        if not len(self.face_lines):
            return
        text = self._lines.take(self.face_lines, 1).replace(b"\t", b" ")
        letters = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(letters == NEWLINE) + 1
        starts = np.concatenate([[0], ends[:-1]])
        blank, slash = BLANKS[letters], letters == SLASH
        count = counts_in(blank[:-1] & ~blank[1:], starts)
        slashes = counts_in(slash, starts)
        # A slash before another or before a blank leaves a field empty.
        hollow = counts_in(slash[:-1] & (slash | blank)[1:], starts) > 0
        # A corner has one field more than slashes.
        fields, uneven = np.divmod(slashes + count, np.maximum(count, 1))
        if uneven.any() or fields.max() > _MOST_FIELDS:
            row = int((uneven.astype(bool) | (fields > _MOST_FIELDS)).argmax())
            raise InputError(f"{self._face_where(row)}: corners of one face differ; write it again")
        form = (count * (_MOST_FIELDS + 1) + fields) * 2 + hollow  # (F,): one number a form
        _, first, inverse = np.unique(form, return_index=True, return_inverse=True)
        members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
        vertices_before = self._before("v")
        uv_before = self._before("vt") if uv_count else None
        for number in np.argsort(first):
            place = members[number]
            size, width = int(count[place[0]]), int(fields[place[0]])
            if size < 3:
                continue
            part = text
            if len(members) > 1:
                part = gather(letters, starts[place], (ends - starts)[place]).tobytes()
            corners = self._corners(part, place, size, width, bool(hollow[place[0]]))
            vertex = _absolute(corners[..., 0], vertices_before[place])
            uv = np.full_like(vertex, -1)
            if uv_count and width > 1:
                uv = _absolute(corners[..., 1], uv_before[place])
                uv[(uv < 0) | (uv >= uv_count)] = -1
            wrong = (vertex < 0) | (vertex >= len(self.vertices))
            if wrong.any():
                row = place[wrong.any(axis=1).argmax()]
                raise InputError(
                    f"{self._face_where(row)}: a face names a missing vertex; write it again"
                )
            yield FaceGroup(vertex, uv, place)

    def _corners(
        self, text: bytes, place: np.ndarray, size: int, width: int, hollow: bool
    ) -> np.ndarray:
        """Return the fields int64 [R, size, width] of the corners of one form's lines."""
        if hollow:
            for empty, filled in ((b"//", b"/0/"), (b"/ ", b"/0 "), (b"/\n", b"/0\n")):
                text = text.replace(empty, filled)
        rows = self._rows(text.replace(b"/", b" "), self.face_lines[place], np.int64)
        short = rows.counts != size * width
        if short.any():
            row = place[short.argmax()]
            raise InputError(f"{self._face_where(row)}: corners of one face differ; write it again")
        return rows.values.reshape(len(place), size, width)

    def _before(self, word: str) -> np.ndarray:
        """Return how many lines int64 [F] of a keyword stand before each face."""
        return np.searchsorted(self.lines_of(word), self.face_lines)

    def _rows(self, text: bytes, lines: np.ndarray, dtype: type) -> NumberRows:
        return number_rows(text, lambda row: self._where(lines[row]), dtype)

    def _where(self, line: int) -> str:
        return f"{self._label}: line {line + 1}"

    def _face_where(self, row: int) -> str:
        return self._where(self.face_lines[row])

    def _check_keywords(self) -> None:
        """Raise `InputError` for a statement that is not known or not read."""
        known = self._keywords == 0
        for word in _SKIPPED:
            known |= self._keywords == keyword(word.encode())
        for line in np.flatnonzero(~known):
            text = self._lines.line(line)
            if not text.startswith(b"#"):
                word = printable(text.split()[0].decode("latin-1"))
                raise InputError(
                    f"{self._where(line)}: its statement '{word}' is not read; export points or "
                    "polygons"
                )


def _absolute(index: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Turn one-based or relative indices [R, n] into indices from 0; 0 becomes -1.

    Args:
        index: as written.
        before: int64 [R], how many entries stand before each face: -1 means the last of them.
    """
    return np.where(index < 0, index + before[:, None], index - 1)


def read_obj(data: bytes, label: str) -> Contents:
    """Read an OBJ file's bytes as a mesh, or as a cloud if it has neither faces nor lines."""
    text = ObjText(data, label)
    groups = list(text.groups())
    if not len(text.face_lines):
        if len(text.lines_of("l")):
            raise InputError(f"{label}: holds lines and no faces; export points or faces")
        return Contents(text.vertices)
    if not groups:
        raise InputError(f"{label}: has faces, but none with three corners; export triangles")
    counts = np.concatenate([np.full(len(g.vertex), g.vertex.shape[1]) for g in groups])
    corners = np.concatenate([group.vertex.reshape(-1) for group in groups])
    return Contents(text.vertices, triangles_of(text.vertices, counts, corners, label))
