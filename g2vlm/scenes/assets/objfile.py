"""Wavefront OBJ and MTL text, parsed from bytes into triangles and materials.

Only entries of an opened archive are read, by exact name: nothing is ever extracted by path.
"""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError

_TAB, _NEWLINE, _RETURN, _SPACE, _SLASH = b"\t\n\r /"
# The longest beginning by which a line is told: `usemtl`.
_PREFIX = 6
# A corner is at most vertex/uv/normal.
_MOST_FIELDS = 3


@dataclass(frozen=True)
class MaterialText:
    """One MTL material: display colour in 0..1, opacity in 0..1 and an archive entry or None."""

    colour: tuple[float, float, float] = (0.6, 0.6, 0.6)
    opacity: float = 1.0
    texture: str | None = None


@dataclass(frozen=True)
class ObjMesh:
    """Triangles as stored in the file.

    vertices: float64[V, 3]; faces: int32[F, 3]; uv: float32[F, 3, 2] (v upwards, 0 when absent);
    material: int32[F], an index into `materials`.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    materials: list[MaterialText]


def read_obj(archive: zipfile.ZipFile, name: str) -> ObjMesh:
    """Read an OBJ entry with its material libraries; raises `InputError` naming the entry.

    A material that its library does not hold is drawn in the default grey, as viewers do; a
    library that is missing, or that holds none of the materials used, is an error.
    """
    text = _Text(read_entry(archive, name))
    label = f"{archive.filename}:{name}"
    vertices = _numbers(text.take(text.begins(b"v ") | text.begins(b"v\t"), 1), 3, label)
    uv_values = _numbers(text.take(text.begins(b"vt "), 2), 2, label)
    is_face = text.begins(b"f ")
    face_material, used, libraries = _materials_used(text, np.flatnonzero(is_face))
    groups = _groups(text.take(is_face, 1), face_material, label)
    corners, uv_index, material = _triangulate(groups, len(vertices), len(uv_values), label)
    if not len(corners):
        raise InputError(f"{label}: no faces; fetch the catalog again")
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise InputError(f"{label}: a face names a missing vertex; fetch the catalog again")
    uv_table = np.vstack([uv_values, np.zeros((1, 2))]).astype(np.float32)
    uv_index[(uv_index < 0) | (uv_index >= len(uv_values))] = len(uv_values)
    known = _materials(archive, name, libraries)
    if libraries and not any(key in known for key in used):
        raise InputError(f"{label}: none of its materials is in {libraries[0]}; mend the model")
    return ObjMesh(
        vertices,
        corners.astype(np.int32),
        uv_table[uv_index],
        material,
        [known.get(key, MaterialText()) for key in used],
    )


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return an entry's bytes; raises `InputError` when it is missing, cut short or corrupt."""
    try:
        return archive.read(name)
    except (KeyError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise InputError(
            f"{archive.filename}:{name}: unreadable; fetch the catalog again"
        ) from error


class _Text:
    """An OBJ file's bytes with its lines found at once: a model has up to a million of them."""

    def __init__(self, content: bytes) -> None:
        joined = content.replace(b"\\\n", b" ")
        if b"\r" in joined:
            joined = joined.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # The padding lets the first bytes of the last line be compared like any other's.
        self._bytes = np.frombuffer(joined + b"\n" + b"\n" * _PREFIX, np.uint8)
        self._ends = np.flatnonzero(self._bytes[: len(joined) + 1] == _NEWLINE) + 1
        self._starts = np.concatenate([[0], self._ends[:-1]])

    def begins(self, prefix: bytes) -> np.ndarray:
        """Return bool[L]: the lines that begin with at most `_PREFIX` bytes."""
        found = self._bytes[self._starts] == prefix[0]
        for k, value in enumerate(prefix[1:], 1):
            found[found] = self._bytes[self._starts[found] + k] == value
        return found

    def line(self, number: int) -> bytes:
        """Return one line without its end."""
        return self._bytes[self._starts[number] : self._ends[number] - 1].tobytes()

    def take(self, chosen: np.ndarray, blanked: int) -> np.ndarray:
        """Return the bytes (uint8) of the lines chosen by bool[L], their first few made blank."""
        kept = self._bytes[: self._ends[-1]][np.repeat(chosen, self._ends - self._starts)]
        lengths = (self._ends - self._starts)[chosen]
        for k in range(blanked):
            kept[np.cumsum(lengths) - lengths + k] = _SPACE
        return kept


def _numbers(rows: np.ndarray, columns: int, label: str) -> np.ndarray:
    """Return the leading numbers float64[N, columns] of lines of numbers, given as bytes."""
    if not len(rows):
        return np.zeros((0, columns))
    text = rows.tobytes()
    count = text.count(b"\n")
    width = len(text[: text.index(b"\n")].split())
    values = _scan(text, np.float64, label)
    if width >= columns and values.size == width * count:
        return values.reshape(count, width)[:, :columns]
    split = [row.split()[:columns] for row in text.splitlines()]
    if any(len(row) < columns for row in split):
        raise InputError(f"{label}: a row has too few numbers; fetch the catalog again")
    return np.array(split, np.float64)


def _scan(text: bytes, dtype: type, label: str) -> np.ndarray:
    try:
        return np.fromstring(text, dtype=dtype, sep=" ")
    except ValueError as error:
        raise InputError(f"{label}: malformed number; fetch the catalog again") from error


def _materials_used(text: _Text, faces: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the material int32[F] of the lines `faces`, materials by number, library names."""
    order: dict[str, int] = {"": 0}
    starts, numbers = [0], [0]
    for line in np.flatnonzero(text.begins(b"usemtl")):
        name = text.line(line)[6:].strip().decode("latin-1")
        starts.append(line)
        numbers.append(order.setdefault(name, len(order)))
    libraries = [
        text.line(line)[6:].strip().decode("latin-1")
        for line in np.flatnonzero(text.begins(b"mtllib"))
    ]
    current = np.searchsorted(starts, faces, side="right") - 1
    return np.array(numbers, np.int32)[current], list(order), libraries


@dataclass(frozen=True)
class _Group:
    """Face lines of one form: `count` corners of `fields` numbers; text; material int32[R]."""

    count: int
    fields: int
    text: bytes
    material: np.ndarray


def _groups(rows: np.ndarray, material: np.ndarray, label: str) -> list[_Group]:
    """Split face lines (bytes, uint8) by corner count and slashes, so each group is one array."""
    if not len(rows):
        return []
    ends = np.flatnonzero(rows == _NEWLINE) + 1
    starts = np.concatenate([[0], ends[:-1]])
    blank = (rows == _SPACE) | ((rows >= _TAB) & (rows <= _RETURN))
    slash = rows == _SLASH
    count = np.add.reduceat(blank[:-1] & ~blank[1:], starts, dtype=np.int64)
    slashes = np.add.reduceat(slash, starts, dtype=np.int64)
    empty = np.add.reduceat(slash[:-1] & slash[1:], starts, dtype=np.int64) > 0
    fields, uneven = np.divmod(slashes + count, np.maximum(count, 1))
    if uneven.any() or fields.max() > _MOST_FIELDS:
        raise InputError(f"{label}: corners of one face differ; fetch the catalog again")
    form = (count * (_MOST_FIELDS + 1) + fields) * 2 + empty
    firsts = sorted(int((form == kind).argmax()) for kind in np.flatnonzero(np.bincount(form)))
    groups = []
    for first in firsts:
        member = form == form[first]
        text = rows[np.repeat(member, ends - starts)] if len(firsts) > 1 else rows
        text = text.tobytes()
        text = text.replace(b"//", b"/0/") if empty[first] else text
        groups.append(_Group(int(count[first]), int(fields[first]), text, material[member]))
    return groups


def _triangulate(
    groups: list[_Group], n_vertices: int, n_uv: int, label: str
) -> tuple[np.ndarray, ...]:
    """Fan polygons into triangles; returns vertex indices, uv indices (-1: none), materials."""
    parts = []
    for group in groups:
        if group.count < 3:
            continue
        values = _scan(group.text.replace(b"/", b" "), np.int64, label)
        shape = len(group.material), group.count, group.fields
        if values.size != np.prod(shape):
            raise InputError(f"{label}: corners of one face differ; fetch the catalog again")
        values = values.reshape(shape)
        vertex = _absolute(values[..., 0], n_vertices)
        uv = _absolute(values[..., 1], n_uv) if shape[2] > 1 else np.full_like(vertex, -1)
        for k in range(1, group.count - 1):
            fan = [0, k, k + 1]
            parts.append((vertex[:, fan], uv[:, fan], group.material))
    if not parts:
        return np.zeros((0, 3), int), np.zeros((0, 3), int), np.zeros(0, np.int32)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _absolute(index: np.ndarray, count: int) -> np.ndarray:
    """Turn OBJ's one-based or negative indices into zero-based ones; 0 becomes -1."""
    return np.where(index < 0, index + count, index - 1)


def _sibling(archive: zipfile.ZipFile, name: str, reference: str) -> str | None:
    """Find a referenced entry beside `name`: as written, then by file name, ignoring case.

    Some models carry the absolute path of their author's disk; only names inside the archive
    are ever compared.
    """
    folder = posixpath.dirname(name)
    reference = reference.replace("\\", "/")
    wanted = posixpath.normpath(posixpath.join(folder, reference))
    entries = archive.NameToInfo
    if wanted in entries:
        return wanted
    beside = posixpath.join(folder, posixpath.basename(reference)).lower()
    return next((entry for entry in entries if entry.lower() == beside), None)


def _materials(
    archive: zipfile.ZipFile, name: str, libraries: list[str]
) -> dict[str, MaterialText]:
    """Return the materials of all libraries of the OBJ entry `name`."""
    known: dict[str, MaterialText] = {}
    for library in libraries:
        entry = _sibling(archive, name, library)
        if entry is None:
            raise InputError(
                f"{archive.filename}:{name}: its material library {library} is missing; "
                "fetch the catalog again"
            )
        known.update(_read_mtl(archive, entry))
    return known


def _read_mtl(archive: zipfile.ZipFile, name: str) -> dict[str, MaterialText]:
    materials: dict[str, dict] = {}
    fields: dict = {}
    for line in read_entry(archive, name).decode("latin-1").splitlines():
        key, _, value = line.strip().partition(" ")
        value = value.strip()
        if key == "newmtl":
            fields = materials.setdefault(value, {})
        elif key == "Kd":
            fields["colour"] = tuple(min(max(float(x), 0.0), 1.0) for x in value.split()[:3])
        elif key == "d":
            fields["opacity"] = min(max(float(value.split()[-1]), 0.0), 1.0)
        elif key == "map_Kd" and value:
            fields["texture"] = _sibling(archive, name, value)
    return {key: MaterialText(**fields) for key, fields in materials.items()}
