"""Read OFF text (Geomview's Object File Format) in three dimensions."""

import re

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts
from metrics.reconstruction.formats.polygons import triangles_of
from metrics.reconstruction.formats.text import are_indices, gather, normal_text, number_rows
from metrics.schemas import printable

# Texture coordinates, colours and normals follow the coordinates of a vertex.
_HEADERS = re.compile(rb"\s*((?:ST)?C?N?OFF)(?=\s)")


def read_off(data: bytes, label: str) -> Contents:
    """Read an OFF file's bytes; `label` names it in messages.

    Raises:
        InputError: the file is malformed, of another variant (binary, four or n dimensions), or
            holds fewer or more rows than it says.
    """
    text = re.sub(rb"#[^\n]*", b"", normal_text(data, label))
    header = _HEADERS.match(text)
    if header is None:
        first = printable(text.strip().split(b"\n")[0].decode("latin-1"))
        raise InputError(f"{label}: begins with '{first}', not with OFF; export it as OFF")
    # The counts may follow on the header's own line.
    start = header.end(1)
    skipped = text[:start].count(b"\n")
    rows = number_rows(text[start:], lambda row: f"{label}: line {row + skipped + 1}")
    rows = rows.without_empty()
    if len(rows) == 0 or rows.counts[0] not in (2, 3):
        raise InputError(
            f"{label}: does not say how many vertices and faces it holds; export it again"
        )
    counted = rows.rows(0, 1).columns(2)[0]
    if not ((counted >= 0) & (counted < 1e15) & (counted == np.floor(counted))).all():
        raise InputError(f"{label}: its counts are not whole numbers; export it again")
    vertices, faces = (int(count) for count in counted)
    check_counts(vertices, faces, label)
    if len(rows) - 1 != vertices + faces:
        raise InputError(
            f"{label}: promises {vertices} vertices and {faces} faces, but {len(rows) - 1} rows "
            "follow; it is cut short or has more, export it again"
        )
    corners = rows.rows(1, 1 + vertices)
    if vertices and corners.counts.min() < 3:
        raise InputError(
            f"{label}: vertex {int(corners.counts.argmin())} has fewer than 3 numbers; "
            "export it again"
        )
    points = corners.columns(3)
    if faces == 0:
        return Contents(points)
    rows = rows.rows(1 + vertices, 1 + vertices + faces)
    counts = rows.column(0)
    # Colours, up to four numbers, may follow the corners.
    rest = rows.counts - 1 - counts
    wrong = (counts < 1) | (counts != np.floor(counts)) | (rest < 0) | (rest > 4)
    if wrong.any():
        raise InputError(
            f"{label}: face {int(wrong.argmax())} does not hold as many corners as it says; "
            "export it again"
        )
    counts = counts.astype(np.int64)
    indices = gather(rows.values, rows.starts + 1, counts)
    if not are_indices(indices):
        raise InputError(f"{label}: vertex indices are not whole numbers; export it again")
    return Contents(points, triangles_of(points, counts, indices.astype(np.int64), label))
