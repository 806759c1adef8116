"""Wavefront OBJ and MTL text, parsed from bytes into triangles and materials.

Only entries of an opened archive are read, by exact name: nothing is ever extracted by path.
"""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError


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
    lines = read_entry(archive, name).replace(b"\\\n", b" ").splitlines()
    label = f"{archive.filename}:{name}"
    vertices = _numbers([line[2:] for line in lines if line[:2] in (b"v ", b"v\t")], 3, label)
    uv_values = _numbers([line[3:] for line in lines if line[:3] == b"vt "], 2, label)
    groups, used, libraries = _collect_faces(lines)
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


def _numbers(rows: list[bytes], columns: int, label: str) -> np.ndarray:
    if not rows:
        return np.zeros((0, columns))
    width = len(rows[0].split())
    values = _scan(b" ".join(rows), np.float64, label)
    if width >= columns and values.size == width * len(rows):
        return values.reshape(len(rows), width)[:, :columns]
    split = [row.split()[:columns] for row in rows]
    if any(len(row) < columns for row in split):
        raise InputError(f"{label}: a row has too few numbers; fetch the catalog again")
    return np.array(split, np.float64)


def _scan(text: bytes, dtype: type, label: str) -> np.ndarray:
    try:
        return np.fromstring(text, dtype=dtype, sep=" ")
    except ValueError as error:
        raise InputError(f"{label}: malformed number; fetch the catalog again") from error


def _collect_faces(lines: list[bytes]) -> tuple[dict, list[str], list[str]]:
    """Group face lines by corner count and slash pattern, so each group is one array."""
    groups: dict[tuple[int, int, bool], tuple[list[bytes], list[int]]] = {}
    order: dict[str, int] = {"": 0}
    libraries: list[str] = []
    current = 0
    for line in lines:
        if line[:2] == b"f ":
            tokens = line.split()
            key = (len(tokens) - 1, tokens[1].count(b"/"), b"//" in tokens[1])
            rows, materials = groups.setdefault(key, ([], []))
            rows.append(line[2:])
            materials.append(current)
        elif line[:6] == b"usemtl":
            name = line[6:].strip().decode("latin-1")
            current = order.setdefault(name, len(order))
        elif line[:6] == b"mtllib":
            libraries.append(line[6:].strip().decode("latin-1"))
    return groups, list(order), libraries


def _triangulate(groups: dict, n_vertices: int, n_uv: int, label: str) -> tuple[np.ndarray, ...]:
    """Fan polygons into triangles; returns vertex indices, uv indices (-1: none), materials."""
    parts = []
    for (count, slashes, empty_uv), (rows, materials) in groups.items():
        if count < 3:
            continue
        text = b" ".join(rows)
        text = text.replace(b"//", b"/0/") if empty_uv else text
        values = _scan(text.replace(b"/", b" "), np.int64, label)
        fields = slashes + 1
        if values.size != len(rows) * count * fields:
            raise InputError(f"{label}: corners of one face differ; fetch the catalog again")
        values = values.reshape(len(rows), count, fields)
        vertex = _absolute(values[..., 0], n_vertices)
        uv = _absolute(values[..., 1], n_uv) if fields > 1 else np.full_like(vertex, -1)
        for k in range(1, count - 1):
            fan = [0, k, k + 1]
            parts.append((vertex[:, fan], uv[:, fan], np.array(materials, np.int32)))
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
