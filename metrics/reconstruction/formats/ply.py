"""Read PLY (Turk 1994): clouds, polygons and triangle strips, as text or binary.

Comments are not read, so a texture that one names is never looked for. An element that may change
the surface and is not known is refused; edges, cameras and materials are skipped.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.contents import Contents, check_counts
from metrics.reconstruction.formats.polygons import triangles_of
from metrics.reconstruction.formats.text import (
    NumberRows,
    are_indices,
    gather,
    normal_text,
    number_rows,
)
from metrics.schemas import printable

# Vertex properties that give the pixel of a point.
PIXELS = ("view", "row", "col")
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"}
_TYPES |= {"uint32": "u4", "float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_TYPES |= {"int64": "i8", "uint64": "u8"}
_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
# Elements that are no part of the surface.
_SKIPPED = ("edge", "camera", "material")
# Names under which writers store the corners of faces and strips.
_CORNERS = ("vertex_indices", "vertex_index")
_LONGEST_HEADER = 1 << 16
_HEADER_END = re.compile(rb"[\r\n]end_header[ \t]*(?:\r\n|\n|\r|\Z)")


@dataclass(frozen=True)
class Property:
    """One property: `count` is the type of a list's length, None for a single number."""

    name: str
    type: str
    count: str | None


@dataclass(frozen=True)
class Element:
    """One kind of row: its name, how many rows there are, and their properties in order."""

    name: str
    count: int
    properties: tuple[Property, ...]

    def find(self, *names: str) -> Property | None:
        """Return the first property that has one of the names."""
        return next((p for p in self.properties if p.name in names), None)


# Single numbers of an element's rows by property name, and one list property's lengths and items.
_Columns = tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray | None]


def read_ply(data: bytes, label: str) -> Contents:
    """Read a PLY file's bytes; `label` names it in messages.

    Raises:
        InputError: the file is malformed, shorter or longer than its header says, or holds a
            surface of a kind that is not read.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    order, elements, begin = _header(data, label)
    vertex = next(element for element in elements if element.name == "vertex")
    rows = _text_rows(data[begin:], elements, label) if order == "" else None
    found: dict[str, _Columns] = {}
    for element in elements:
        if rows is not None:
            part = rows.rows(0, element.count)
            rows = rows.rows(element.count, len(rows))
            columns = _text_columns(part, element, label)
        else:
            columns, begin = _binary_columns(data, begin, element, order, label)
        if element.name not in _SKIPPED:
            found[element.name] = columns
    if rows is None and data[begin:].strip(b"\n\r\0 "):
        raise InputError(
            f"{label}: holds {len(data) - begin} bytes more than its header says; export it again"
        )
    singles = found["vertex"][0]
    points = _table(singles, "xyz")
    pixels = _table(singles, PIXELS) if all(name in singles for name in PIXELS) else None
    faces = []
    if "face" in found:
        faces.append(triangles_of(points, found["face"][1], found["face"][2], label))
    if "tristrips" in found:
        faces.append(_strip_triangles(*found["tristrips"][1:], vertex.count, label))
    return Contents(points, np.concatenate(faces) if faces else None, pixels)


def _table(singles: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return columns of single numbers side by side, float64 [R, K]."""
    # Some NaNs make the cast itself raise a flag; the caller checks the numbers.
    with np.errstate(invalid="ignore"):
        return np.stack([singles[name] for name in names], axis=1).astype(np.float64)


def _header(data: bytes, label: str) -> tuple[str, list[Element], int]:
    """Return the byte order ("" for text), the elements that have rows, and the header's length."""

    def fail(what: str) -> NoReturn:
        raise InputError(f"{label}: {what}; export it again")

    if not data.startswith((b"ply\n", b"ply\r")):
        fail("does not begin with the line 'ply'")
    match_end = _HEADER_END.search(data, 0, _LONGEST_HEADER)
    if match_end is None:
        fail("its header has no end_header")
    order, names, elements = None, set(), []
    lines = (
        data[: match_end.start()]
        .decode("latin-1")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    )
    for line in lines[1:]:
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", kind, "1.0"] if kind in _ORDERS and order is None:
                order = _ORDERS[kind]
            case ["element", name, count] if count.isdecimal() and len(count) < 20:
                if name in names:
                    fail(f"its header has two elements '{printable(name)}'")
                names.add(name)
                elements.append((name, int(count), []))
            case ["property", "list", count, kind, name] if elements and _is_list(count, kind):
                elements[-1][2].append(Property(name, _TYPES[kind], _TYPES[count]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1][2].append(Property(name, _TYPES[kind], None))
            case _:
                fail(f"its header has the line '{printable(line.strip())}', which is not known")
    if order is None:
        fail("its header has no format")
    used = [Element(name, count, tuple(rest)) for name, count, rest in elements if count]
    _check_elements(used, label)
    return order, used, match_end.end()


def _is_list(count: str, kind: str) -> bool:
    return count in _TYPES and kind in _TYPES and not _TYPES[count].startswith("f")


def _check_elements(elements: list[Element], label: str) -> None:
    """Raise `InputError` for elements that are not read, and for too many rows."""
    for element in elements:
        name = printable(element.name)
        if element.name not in ("vertex", "face", "tristrips", *_SKIPPED):
            raise InputError(f"{label}: its element '{name}' is not read; export points or faces")
        if not element.properties:
            raise InputError(f"{label}: its element '{name}' has no properties; export it again")
        if len({p.name for p in element.properties}) < len(element.properties):
            raise InputError(f"{label}: its element '{name}' has a property twice; export it again")
        corners = element.find(*_CORNERS)
        if element.name in ("face", "tristrips") and (
            corners is None or corners.count is None or corners.type.startswith("f")
        ):
            raise InputError(
                f"{label}: its element '{name}' has no list vertex_indices of whole numbers; "
                "export the faces again"
            )
        if element.name == "vertex" and not all(
            (found := element.find(axis)) and found.count is None for axis in "xyz"
        ):
            raise InputError(f"{label}: its vertices lack x, y or z; export it again")
        check_counts(
            *((element.count, 0) if element.name == "vertex" else (0, element.count)), label
        )
    if not any(element.name == "vertex" for element in elements):
        raise InputError(f"{label}: holds no points; export a cloud or a mesh")


def _short(element: Element, label: str) -> NoReturn:
    raise InputError(
        f"{label}: its header promises {element.count} rows of '{printable(element.name)}', more "
        "than the file holds; it is cut short, export it again"
    )


def _text_rows(body: bytes, elements: list[Element], label: str) -> NumberRows:
    """Return the rows of a text file, as many as the header says."""
    text = normal_text(body, label)
    rows = number_rows(text, lambda row: f"{label}: line {row + 1} after the header")
    rows = rows.without_empty()
    promised = sum(element.count for element in elements)
    if len(rows) < promised:
        left = len(rows)
        for element in elements:
            if left < element.count:
                _short(element, label)
            left -= element.count
    if len(rows) > promised:
        raise InputError(
            f"{label}: has {len(rows)} rows where its header says {promised}; export it again"
        )
    return rows


def _text_columns(rows: NumberRows, element: Element, label: str) -> _Columns:
    """Return the numbers of an element's rows."""
    singles, lengths, items = {}, None, None
    wanted = element.find(*_CORNERS)
    place = np.zeros(len(rows), np.int64)  # (R,) of the next number of each row
    for each in element.properties:
        _check_width(rows, place + 1, element, label)
        if each.count is None:
            singles[each.name] = rows.column(place)
            place += 1
            continue
        count = rows.column(place)
        if not ((count >= 0) & (count <= rows.counts) & (count == np.floor(count))).all():
            raise InputError(
                f"{label}: a list '{printable(each.name)}' does not begin with its length; "
                "export it again"
            )
        count = count.astype(np.int64)
        _check_width(rows, place + 1 + count, element, label)
        if each is wanted:
            lengths, items = count, gather(rows.values, rows.starts + place + 1, count)
            if not are_indices(items):
                raise InputError(f"{label}: vertex indices are not whole numbers; export it again")
            items = items.astype(np.int64)
        place += 1 + count
    if (place != rows.counts).any():
        row = int((place != rows.counts).argmax())
        raise InputError(
            f"{label}: row {row} of '{printable(element.name)}' has {rows.counts[row]} numbers "
            f"where its properties need {place[row]}; export it again"
        )
    return singles, lengths, items


def _check_width(rows: NumberRows, needed: np.ndarray, element: Element, label: str) -> None:
    if (needed > rows.counts).any():
        row = int((needed > rows.counts).argmax())
        raise InputError(
            f"{label}: row {row} of '{printable(element.name)}' has only {rows.counts[row]} "
            "numbers; export it again"
        )


def _binary_columns(
    data: bytes, begin: int, element: Element, order: str, label: str
) -> tuple[_Columns, int]:
    """Return the numbers of an element's rows, and where the next element begins."""
    lengths = _first_lengths(data, begin, element, order, label)
    fields = []
    for index, each in enumerate(element.properties):
        if each.count is None:
            fields.append((f"item{index}", order + each.type))
        else:
            fields.append((f"count{index}", order + each.count))
            fields.append((f"item{index}", order + each.type, (lengths[each.name],)))
    row = np.dtype(fields)
    end = begin + element.count * row.itemsize
    if end <= len(data):
        table = np.frombuffer(data, row, element.count, begin)
        names = [f"count{i}" for i, each in enumerate(element.properties) if each.count]
        if all((table[name] == table[name][0]).all() for name in names):
            return _uniform_columns(table, element), end
    elif not lengths:
        _short(element, label)
    return _uneven_columns(data, begin, element, order, label)


def _first_lengths(
    data: bytes, begin: int, element: Element, order: str, label: str
) -> dict[str, int]:
    """Return the lengths of the first row's lists, by property name."""
    lengths, place = {}, begin
    for each in element.properties:
        if each.count is None:
            place += int(each.type[1])
            continue
        size = int(each.count[1])
        if place + size > len(data):
            _short(element, label)
        lengths[each.name] = int(np.frombuffer(data, order + each.count, 1, place)[0])
        if lengths[each.name] < 0:
            _short(element, label)
        place += size + lengths[each.name] * int(each.type[1])
    if place > len(data):
        _short(element, label)
    return lengths


def _uniform_columns(table: np.ndarray, element: Element) -> _Columns:
    """Return the numbers of rows whose lists are all as long."""
    singles, lengths, items = {}, None, None
    wanted = element.find(*_CORNERS)
    for index, each in enumerate(element.properties):
        if each.count is None:
            singles[each.name] = table[f"item{index}"]
        elif each is wanted:
            lengths = table[f"count{index}"].astype(np.int64)
            items = table[f"item{index}"].astype(np.int64).reshape(-1)
    return singles, lengths, items


def _uneven_columns(
    data: bytes, begin: int, element: Element, order: str, label: str
) -> tuple[_Columns, int]:
    """Return the corners of rows whose lists differ in length; each row begins where one ends."""
    if element.name == "vertex":
        raise InputError(
            f"{label}: its vertices have lists of different lengths, or it is cut short; export "
            "them without lists"
        )
    wanted = element.find(*_CORNERS)
    steps = [
        (each is wanted, struct.Struct(order + _CODES[each.count]) if each.count else None,
         int(each.type[1]))
        for each in element.properties
    ]  # fmt: skip
    starts, lengths = [], []
    place, size = begin, len(data)
    try:
        for _ in range(element.count):
            for kept, counter, width in steps:
                if counter is None:
                    place += width
                    continue
                (length,) = counter.unpack_from(data, place)
                place += counter.size
                if length < 0 or place > size:
                    _short(element, label)
                if kept:
                    starts.append(place)
                    lengths.append(length)
                place += length * width
    except struct.error:
        _short(element, label)
    if place > size:
        _short(element, label)
    if wanted is None:
        return ({}, None, None), place
    width = int(wanted.type[1])
    counts = np.array(lengths, np.int64)
    raw = gather(np.frombuffer(data, np.uint8), np.array(starts, np.int64), counts * width)
    return ({}, counts, raw.view(order + wanted.type).astype(np.int64)), place


def _strip_triangles(
    lengths: np.ndarray, items: np.ndarray, vertices: int, label: str
) -> np.ndarray:
    """Return the triangles int64 [F, 3] of strips: every three corners in a row are one.

    A -1 ends a strip, and so does the end of a row. A triangle with a corner twice, which joins
    two strips, is left out.
    """
    check_counts(0, len(items), label)
    if len(items) and (items.min() < -1 or items.max() >= vertices):
        raise InputError(
            f"{label}: strips refer to vertices {items.min()} to {items.max()} of {vertices}; "
            "index them from 0"
        )
    # A -1 between the rows ends their strips.
    corners = np.insert(items, np.cumsum(lengths)[:-1], -1) if len(lengths) > 1 else items
    places = np.arange(len(corners))
    # Place in its strip: the distance from the last -1.
    begun = np.maximum.accumulate(np.where(corners < 0, places, -1))
    within = places - begun - 1
    triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    a, b, c = triangles.T
    # Every second triangle of a strip is turned round.
    odd = within[:-2] % 2 == 1
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    real = (a >= 0) & (b >= 0) & (c >= 0) & (a != b) & (b != c) & (a != c)
    if not real.any():
        raise InputError(f"{label}: its strips hold no triangle; export the faces again")
    return triangles[real]
