"""Read Wavefront OBJ models with their MTL materials from a catalog's archive.

Only entries of an opened archive are read, by exact name: nothing is ever extracted by path.
"""

import math
import posixpath
import zipfile
from dataclasses import dataclass

import numpy as np

from metrics.files import InputError
from metrics.reconstruction.formats.obj import ObjText
from metrics.reconstruction.formats.polygons import fan
from metrics.reconstruction.formats.text import normal_text
from metrics.zip_file import read_entry

# How to fix a catalog that is missing or damaged.
FIX = "fetch the catalog again with `make data`"


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
    label = f"{archive.filename}:{name}"
    text = ObjText(read_entry(archive, name, FIX), label)
    uv_values = text.numbers("vt", 2)
    face_material, used, libraries = _materials_used(text)
    parts = []
    for group in text.groups(len(uv_values)):
        # Fans, although some polygons of 151 models are concave and stick out of their outline by
        # them: all rooms, images and truths of the study are made of these triangles.
        polygon, corner = fan(np.arange(len(group.vertex)), group.vertex.shape[1])
        rows = polygon[:, None]
        material = face_material[group.place[polygon]]
        parts.append((group.vertex[rows, corner], group.uv[rows, corner], material))
    if not parts:
        raise InputError(f"{label}: no faces; {FIX}")
    faces, uv_index, material = (np.concatenate(column) for column in zip(*parts, strict=True))
    # A corner without texture coordinates, -1, reads the extra last row, which is zero.
    uv_table = np.vstack([uv_values, np.zeros((1, 2))]).astype(np.float32)
    known = _materials(archive, name, libraries)
    if libraries and not any(key in known for key in used):
        raise InputError(f"{label}: none of its materials is in {libraries[0]}; fix the model")
    return ObjMesh(
        text.vertices,
        faces.astype(np.int32),
        uv_table[uv_index],
        material,
        [known.get(key, MaterialText()) for key in used],
    )


def _materials_used(text: ObjText) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the material int32 [F] of every face, the materials' names and the libraries'."""
    order: dict[str, int] = {"": 0}
    changes = text.lines_of("usemtl")
    numbers = [0] + [order.setdefault(text.argument(line), len(order)) for line in changes]
    libraries = [text.argument(line) for line in text.lines_of("mtllib")]
    # The material of a face is that of the last `usemtl` before it.
    current = np.searchsorted(changes, text.face_lines, side="right")
    return np.array(numbers, np.int32)[current], list(order), libraries


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
                f"{archive.filename}:{name}: its material library {library} is missing; {FIX}"
            )
        known.update(_read_mtl(archive, entry))
    return known


def _read_mtl(archive: zipfile.ZipFile, name: str) -> dict[str, MaterialText]:
    label = f"{archive.filename}:{name}"
    materials: dict[str, dict] = {}
    fields: dict = {}
    text = normal_text(read_entry(archive, name, FIX), label).decode("latin-1")
    for number, line in enumerate(text.split("\n"), 1):
        key, *rest = line.split(None, 1)[:2] or [""]
        value = rest[0].strip() if rest else ""
        if key == "newmtl":
            fields = materials.setdefault(value, {})
        elif key == "Kd":
            fields["colour"] = _shares(value.split()[:3], 3, f"{label}: line {number}")
        elif key == "d":
            fields["opacity"] = _shares(value.split()[-1:], 1, f"{label}: line {number}")[0]
        elif key == "map_Kd" and value:
            fields["texture"] = _sibling(archive, name, value)
    return {key: MaterialText(**fields) for key, fields in materials.items()}


def _shares(words: list[str], count: int, where: str) -> tuple[float, ...]:
    """Return `count` words as numbers, cut to 0..1."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or any(math.isnan(value) for value in values):
        raise InputError(
            f"{where}: a material is not given by {count} number{'s' * (count > 1)}; fix the model"
        )
    return tuple(min(max(value, 0.0), 1.0) for value in values)
