"""Read Wavefront OBJ and MTL text into triangles and materials.

Only entries of an opened archive are read, by exact name: nothing is ever extracted by path.

trimesh's loader (5.2.0) does not serve here: of the 511 models it gives the same triangles in the
same order for 7 and the same texture coordinates for 243, and it takes three times as long.
"""

import posixpath
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError

_TAB, _NEWLINE, _RETURN, _SPACE, _SLASH = b"\t\n\r /"
# Length of the longest keyword that is looked for: `usemtl`.
_PREFIX = 6
# A corner has at most three fields: vertex/uv/normal.
_MOST_FIELDS = 3


@dataclass(frozen=True)
class MaterialText:
    """One MTL material.

    Args:
        colour: display colour in 0..1; the default is the grey in which viewers show a material
            that its library lacks.
        opacity: in 0..1.
        texture: the image's entry in the archive, or None.
    """

    colour: tuple[float, float, float] = (0.6, 0.6, 0.6)
    opacity: float = 1.0
    texture: str | None = None


@dataclass(frozen=True)
class ObjMesh:
    """Triangles as stored in the file.

    Args:
        vertices: float64 [V, 3].
        faces: int32 [F, 3].
        uv: float32 [F, 3, 2] texture coordinates of each corner, v upwards, 0 when absent.
        material: int32 [F], index into `materials`.
        materials: in the order of first use, after one default.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    materials: list[MaterialText]


def read_obj(archive: zipfile.ZipFile, name: str) -> ObjMesh:
    """Read an OBJ entry with its material libraries.

    Args:
        archive: the open catalog.
        name: of the entry.

    Raises:
        InputError: the entry is missing or malformed, or a library is missing or holds none of the
            materials used; the message names the entry.
    """
    text = _Text(read_entry(archive, name))
    label = f"{archive.filename}:{name}"
    vertices = _numbers(text.take(text.starting(b"v ") | text.starting(b"v\t"), 1), 3, label)
    uv_values = _numbers(text.take(text.starting(b"vt "), 2), 2, label)
    is_face = text.starting(b"f ")
    face_material, used, libraries = _materials_used(text, np.flatnonzero(is_face))
    groups = _groups(text.take(is_face, 1), face_material, label)
    corners, uv_index, material = _triangulate(groups, len(vertices), len(uv_values), label)
    if not len(corners):
        raise InputError(f"{label}: no faces; fetch the catalog again")
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise InputError(f"{label}: a face names a missing vertex; fetch the catalog again")
    # A corner without texture coordinates reads the extra last row, which is zero.
    uv_table = np.vstack([uv_values, np.zeros((1, 2))]).astype(np.float32)
    uv_index[(uv_index < 0) | (uv_index >= len(uv_values))] = len(uv_values)
    known = _materials(archive, name, libraries)
    if libraries and not any(key in known for key in used):
        raise InputError(f"{label}: none of its materials is in {libraries[0]}; fix the model")
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
    """An OBJ file's bytes, split into lines by array operations: a model has up to a million."""

    def __init__(self, content: bytes) -> None:
        joined = content.replace(b"\\\n", b" ")
        if b"\r" in joined:
            joined = joined.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        # The padding lets the first bytes of the last line be compared like any other's.
        self._bytes = np.frombuffer(joined + b"\n" + b"\n" * _PREFIX, np.uint8)
        self._ends = np.flatnonzero(self._bytes[: len(joined) + 1] == _NEWLINE) + 1
        self._starts = np.concatenate([[0], self._ends[:-1]])

    def starting(self, prefix: bytes) -> np.ndarray:
        """Return bool [L], which lines start with `prefix`, of at most `_PREFIX` bytes."""
        matches = self._bytes[self._starts] == prefix[0]
        for k, value in enumerate(prefix[1:], 1):
            matches[matches] = self._bytes[self._starts[matches] + k] == value
        return matches

    def line(self, number: int) -> bytes:
        """Return one line without its end."""
        return self._bytes[self._starts[number] : self._ends[number] - 1].tobytes()

    def take(self, chosen: np.ndarray, blanked: int) -> np.ndarray:
        """Return the bytes uint8 of the lines chosen by bool [L], joined.

        The first `blanked` bytes of each, its keyword, are replaced by spaces.
        """
        kept = self._bytes[: self._ends[-1]][np.repeat(chosen, self._ends - self._starts)]
        lengths = (self._ends - self._starts)[chosen]
        for k in range(blanked):
            kept[np.cumsum(lengths) - lengths + k] = _SPACE
        return kept


def _numbers(rows: np.ndarray, columns: int, label: str) -> np.ndarray:
    """Return the first `columns` numbers of each line of numbers, float64 [N, columns].

    Args:
        rows: uint8 bytes of the lines.
        columns: how many numbers to return of each.
        label: names the file in messages.
    """
    if not len(rows):
        return np.zeros((0, columns))
    text = rows.tobytes()
    count = text.count(b"\n")
    width = len(text[: text.index(b"\n")].split())
    values = _scan(text, np.float64, label)
    # Lines of one width, which is the rule, are one array; others are split one by one.
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
    """Return the material int32 [F] of face lines, the materials' names and the libraries' names.

    Args:
        text: of the file.
        faces: int64 [F] numbers of the face lines.
    """
    order: dict[str, int] = {"": 0}
    starts, numbers = [0], [0]
    for line in np.flatnonzero(text.starting(b"usemtl")):
        name = text.line(line)[6:].strip().decode("latin-1")
        starts.append(line)
        numbers.append(order.setdefault(name, len(order)))
    libraries = [
        text.line(line)[6:].strip().decode("latin-1")
        for line in np.flatnonzero(text.starting(b"mtllib"))
    ]
    # The material of a face is that of the last `usemtl` before it.
    current = np.searchsorted(starts, faces, side="right") - 1
    return np.array(numbers, np.int32)[current], list(order), libraries


# Face lines of one form: corners a line, numbers a corner, text of the lines, and the material
# int32 [R] of each line.
_Group = tuple[int, int, bytes, np.ndarray]


def _groups(rows: np.ndarray, material: np.ndarray, label: str) -> Iterator[_Group]:
    """Split face lines by their corner count and slashes, so that each group is one array.

    Args:
        rows: uint8 bytes of the lines, without their keyword.
        material: int32 [F] of each line.
        label: names the file in messages.
    """
    if not len(rows):
        return
    ends = np.flatnonzero(rows == _NEWLINE) + 1
    starts = np.concatenate([[0], ends[:-1]])
    blank = (rows == _SPACE) | ((rows >= _TAB) & (rows <= _RETURN))
    slash = rows == _SLASH
    count = np.add.reduceat(blank[:-1] & ~blank[1:], starts, dtype=np.int64)
    slashes = np.add.reduceat(slash, starts, dtype=np.int64)
    empty = np.add.reduceat(slash[:-1] & slash[1:], starts, dtype=np.int64) > 0
    # A corner has one number more than slashes; "//" is an empty texture coordinate.
    fields, uneven = np.divmod(slashes + count, np.maximum(count, 1))
    if uneven.any() or fields.max() > _MOST_FIELDS:
        raise InputError(f"{label}: corners of one face differ; fetch the catalog again")
    form = (count * (_MOST_FIELDS + 1) + fields) * 2 + empty  # (F,): one number a form
    firsts = sorted(int((form == value).argmax()) for value in np.flatnonzero(np.bincount(form)))
    for first in firsts:
        member = form == form[first]
        text = rows[np.repeat(member, ends - starts)] if len(firsts) > 1 else rows
        text = text.tobytes()
        text = text.replace(b"//", b"/0/") if empty[first] else text
        yield int(count[first]), int(fields[first]), text, material[member]


def _triangulate(
    groups: Iterable[_Group], n_vertices: int, n_uv: int, label: str
) -> tuple[np.ndarray, ...]:
    """Fan polygons into triangles.

    Args:
        groups: of face lines.
        n_vertices: number of vertices in the file.
        n_uv: number of texture coordinates in the file.
        label: names the file in messages.

    Returns:
        vertex indices [F, 3], uv indices [F, 3] (-1 for none) and materials int32 [F].
    """
    parts = []
    for count, fields, text, material in groups:
        if count < 3:
            continue
        values = _scan(text.replace(b"/", b" "), np.int64, label)
        shape = len(material), count, fields
        if values.size != np.prod(shape):
            raise InputError(f"{label}: corners of one face differ; fetch the catalog again")
        values = values.reshape(shape)  # (R, corners, fields)
        vertex = _absolute(values[..., 0], n_vertices)
        uv = _absolute(values[..., 1], n_uv) if fields > 1 else np.full_like(vertex, -1)
        for k in range(1, count - 1):
            fan = [0, k, k + 1]
            parts.append((vertex[:, fan], uv[:, fan], material))
    if not parts:
        return np.zeros((0, 3), int), np.zeros((0, 3), int), np.zeros(0, np.int32)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _absolute(index: np.ndarray, count: int) -> np.ndarray:
    """Turn OBJ's one-based or negative indices into zero-based ones; 0 becomes -1."""
    return np.where(index < 0, index + count, index - 1)


def _sibling(archive: zipfile.ZipFile, name: str, reference: str) -> str | None:
    """Return the entry that a file refers to: as written, else of that name in the file's folder.

    Case is ignored in the second. Some models carry absolute paths of their author's disk; only
    names inside the archive are ever compared.

    Args:
        archive: the open catalog.
        name: entry of the file.
        reference: path in the file.
    """
    folder = posixpath.dirname(name)
    reference = reference.replace("\\", "/")
    wanted = posixpath.normpath(posixpath.join(folder, reference))
    entries = archive.NameToInfo
    if wanted in entries:
        return wanted
    sibling = posixpath.join(folder, posixpath.basename(reference)).lower()
    return next((entry for entry in entries if entry.lower() == sibling), None)


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
