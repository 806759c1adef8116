"""Read glTF 2.0 as one file: GLB, or JSON whose buffers are data URIs.

Numbers are read as the specification says: strided and sparse accessors, normalised integers, the
transforms of nodes. What is compressed or not known is refused as a whole, by its extension's name,
and so are skins and active morph targets, which move vertices. Images, materials, cameras and
animations are skipped; the nodes are as the file places them. No other file is opened.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from metrics.files import InputError, decode_utf8, parse_json
from metrics.geometry import rotation_of_quaternion
from metrics.reconstruction.formats.contents import Contents, check_counts, check_points
from metrics.schemas import printable

# Extensions that leave the surface as it is, by the beginning of their names.
_APPEARANCE = (
    "KHR_materials_",
    "KHR_texture_",
    "KHR_lights_punctual",
    "KHR_xmp",
    "EXT_texture_",
    "EXT_lights_",
    "MSFT_texture_dds",
    "ADOBE_materials_",
)
# Integers as positions: read like any other accessor.
_READ = ("KHR_mesh_quantization",)
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_INDEX_TYPES = (5121, 5123, 5125)
_WIDTHS = {"SCALAR": 1, "VEC3": 3}
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6
_LINES = (1, 2, 3)
_JSON, _BIN = 0x4E4F534A, 0x004E4942
# Bytes of the JSON of a GLB, and of a .gltf file with its data URIs.
_LONGEST_JSON, _LONGEST_GLTF = 1 << 26, 1 << 27
_MOST_NODES = 100_000


def read_glb(data: bytes, label: str) -> Contents:
    """Read a GLB file's bytes; `label` names it in messages.

    Raises:
        InputError: the file is malformed, cut short, refers to other files, or holds a surface of
            a kind that is not read.
    """
    if len(data) < 12 or data[:4] != b"glTF":
        raise InputError(f"{label}: is not a GLB file; export it again")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise InputError(f"{label}: is GLB version {version}; export it as version 2")
    if length != len(data):
        raise InputError(
            f"{label}: says that it has {length} bytes and has {len(data)}; it is cut short or has "
            "more, export it again"
        )
    chunks, place = {}, 12
    while place < length:
        if place + 8 > length:
            raise InputError(f"{label}: its last chunk is cut short; export it again")
        size, kind = struct.unpack_from("<II", data, place)
        if place + 8 + size > length:
            raise InputError(f"{label}: a chunk is longer than the file; export it again")
        chunks.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size
    if _JSON not in chunks:
        raise InputError(f"{label}: has no JSON chunk; export it again")
    if len(chunks[_JSON]) > _LONGEST_JSON:
        raise InputError(
            f"{label}: has more than {_LONGEST_JSON} bytes of JSON; export fewer nodes"
        )
    return _File(chunks[_JSON], chunks.get(_BIN), label).contents()


def read_gltf(data: bytes, label: str) -> Contents:
    """Read a .gltf file's bytes, whose buffers must be data URIs; otherwise as `read_glb`."""
    if len(data) > _LONGEST_GLTF:
        raise InputError(f"{label}: has more than {_LONGEST_GLTF} bytes; export it as GLB")
    return _File(data, None, label).contents()


@dataclass(frozen=True)
class _Part:
    """One primitive of one node: its accessors and how it is placed."""

    position: int
    indices: int | None
    mode: int
    matrix: np.ndarray


class _File:
    """A parsed file: its JSON document and its buffers."""

    def __init__(self, document: bytes, binary: bytes | None, label: str) -> None:
        self._label, self._binary = label, binary
        self._buffers: dict[int, bytes] = {}
        try:
            self._document = parse_json(decode_utf8(document))
        except ValueError as error:
            reason = printable(str(error))
            raise InputError(
                f"{label}: its JSON is not valid ({reason}); export it again"
            ) from error
        if not isinstance(self._document, dict):
            self._fail("its JSON is not an object")
        self._check_extensions()

    def contents(self) -> Contents:
        """Return the surface of the file's scene."""
        parts = self._parts()
        if not parts:
            self._fail("its scene shows no mesh")
        meshes = [part for part in parts if part.mode >= _TRIANGLES]
        clouds = [part for part in parts if part.mode == _POINTS]
        if meshes and clouds:
            self._fail("holds both points and triangles", "export one of them")
        if not meshes and not clouds:
            self._fail("holds lines and no faces", "export points or faces")
        # The sizes of all accessors are known before anything is allocated.
        kept = meshes or clouds
        check_counts(sum(self._count(part.position) for part in kept), 0, self._label)
        corners = [
            self._count(part.position if part.indices is None else part.indices) for part in meshes
        ]
        shares = (3 if part.mode == _TRIANGLES else 1 for part in meshes)
        check_counts(
            0, sum(n // share for n, share in zip(corners, shares, strict=True)), self._label
        )
        points, faces, before = [], [], 0
        for part in kept:
            positions = self._positions(part.position)
            # Points that are not finite are refused once all are known.
            with np.errstate(invalid="ignore", over="ignore"):
                points.append(positions @ part.matrix[:3, :3].T + part.matrix[:3, 3])
            if meshes:
                faces.append(self._triangles(part, len(positions)) + before)
            before += len(positions)
        return Contents(np.concatenate(points), np.concatenate(faces) if meshes else None)

    def _fail(self, what: str, fix: str = "export it again") -> NoReturn:
        raise InputError(f"{self._label}: {what}; {fix}")

    def _check_extensions(self) -> None:
        """Raise `InputError` for an extension that may change the surface, wherever it is named."""
        names: list[str] = []
        for key in ("extensionsUsed", "extensionsRequired"):
            used = self._document.get(key, [])
            names += used if isinstance(used, list) else [used]
        # An extension may be used without being listed.
        waiting: list[Any] = [self._document]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                if isinstance(value.get("extensions"), dict):
                    names += value["extensions"]
                inner = [item for key, item in value.items() if key != "extras"]
            else:
                inner = value
            waiting += [item for item in inner if isinstance(item, dict | list)]
        for name in names:
            if not isinstance(name, str) or not name.startswith((*_READ, *_APPEARANCE)):
                self._fail(f"its extension {printable(str(name))} is not read", "export without it")

    def _list(self, key: str, owner: dict[str, Any] | None = None, whose: str = "its") -> list[Any]:
        """Return a list of the document, or of one of its objects; an absent one is empty."""
        value = (self._document if owner is None else owner).get(key, [])
        if not isinstance(value, list):
            self._fail(f"{whose} {key} are not a list")
        return value

    def _item(self, key: str, index: Any) -> dict[str, Any]:
        """Return one object of a top-level list."""
        items = self._list(key)
        if type(index) is not int or not 0 <= index < len(items):
            self._fail(f"refers to {key} {printable(str(index))[:20]} of {len(items)}")
        if not isinstance(items[index], dict):
            self._fail(f"{key} {index} is not an object")
        return items[index]

    def _whole(self, owner: dict[str, Any], key: str, default: int | None = None) -> int:
        """Return a count or an offset."""
        value = owner.get(key, default)
        if type(value) is not int or not 0 <= value < 1 << 53:
            self._fail(f"a {key} is missing or not a whole number")
        return value

    def _numbers(self, owner: dict[str, Any], key: str, default: list[float]) -> np.ndarray:
        """Return a list of as many finite numbers as `default` has."""
        value = owner.get(key, default)
        if (
            not isinstance(value, list)
            or len(value) != len(default)
            or any(type(each) not in (int, float) or not abs(each) < 1e300 for each in value)
        ):
            self._fail(f"a node's {key} is not {len(default)} finite numbers")
        return np.array(value, np.float64)

    def _roots(self) -> list[Any]:
        """Return the nodes of the scene that is shown."""
        scenes = self._list("scenes")
        if len(scenes) > 1 and "scene" not in self._document:
            self._fail("has several scenes and names none as the default", "export one scene")
        if scenes or "scene" in self._document:
            scene = self._item("scenes", self._document.get("scene", 0))
            return self._list("nodes", scene, "a scene's")
        children = {
            child
            for node in self._list("nodes")
            if isinstance(node, dict) and isinstance(node.get("children"), list)
            for child in node["children"]
            if isinstance(child, int)
        }
        return [index for index in range(len(self._list("nodes"))) if index not in children]

    def _parts(self) -> list[_Part]:
        """Return every primitive of the scene, placed by the nodes above it."""
        waiting = [(index, np.eye(4)) for index in self._roots()]
        seen: set[int] = set()
        parts: list[_Part] = []
        while waiting:
            index, above = waiting.pop()
            node = self._item("nodes", index)
            if index in seen or len(seen) >= _MOST_NODES:
                self._fail(f"node {index} is placed twice, or there are too many nodes")
            seen.add(index)
            matrix = above @ self._matrix(node)
            if not np.isfinite(matrix).all():
                self._fail(f"node {index} is not placed at a finite position")
            children = self._list("children", node, f"node {index}'s")
            waiting += [(child, matrix) for child in children]
            if "mesh" in node:
                if "skin" in node:
                    self._fail("a skin moves its vertices", "export the posed mesh without skins")
                parts += self._primitives(node, matrix)
                if len(parts) > _MOST_NODES:
                    self._fail(f"places more than {_MOST_NODES} meshes", "merge them")
        return parts

    def _matrix(self, node: dict[str, Any]) -> np.ndarray:
        """Return the transform float64 [4, 4] of one node."""
        if "matrix" in node:
            # Stored column after column.
            return self._numbers(node, "matrix", [0.0] * 16).reshape(4, 4).T
        matrix = np.eye(4)
        quaternion = self._numbers(node, "rotation", [0.0, 0.0, 0.0, 1.0])
        length = np.linalg.norm(quaternion)
        if not length > 0:
            self._fail("a node's rotation is not a quaternion")
        matrix[:3, :3] = rotation_of_quaternion(*(quaternion / length))
        matrix[:3, :3] *= self._numbers(node, "scale", [1.0, 1.0, 1.0])
        matrix[:3, 3] = self._numbers(node, "translation", [0.0, 0.0, 0.0])
        return matrix

    def _primitives(self, node: dict[str, Any], matrix: np.ndarray) -> list[_Part]:
        """Return the primitives of a node's mesh."""
        mesh = self._item("meshes", node["mesh"])
        weights = node.get("weights", mesh.get("weights", []))
        parts = []
        for primitive in self._list("primitives", mesh, "a mesh's"):
            attributes = primitive.get("attributes") if isinstance(primitive, dict) else None
            if not isinstance(attributes, dict) or "POSITION" not in attributes:
                self._fail("a mesh has no positions")
            targets = self._list("targets", primitive, "a mesh's")
            if targets and weights not in ([], [0] * len(targets)):
                self._fail("a morph target moves its vertices", "export the mesh as it is shown")
            mode = primitive.get("mode", _TRIANGLES)
            if type(mode) is not int or not _POINTS <= mode <= _FAN:
                self._fail(f"a mesh has the unknown mode {printable(str(mode))}")
            parts.append(_Part(attributes["POSITION"], primitive.get("indices"), mode, matrix))
        return parts

    def _count(self, index: Any) -> int:
        return self._whole(self._item("accessors", index), "count")

    def _positions(self, index: int) -> np.ndarray:
        """Return the positions float64 [N, 3] of an accessor."""
        accessor = self._item("accessors", index)
        if accessor.get("type") != "VEC3":
            self._fail("positions are not VEC3")
        values = self._accessor(accessor)
        if not accessor.get("normalized", False) or values.dtype.kind == "f":
            # Nodes may scale down what is far away here.
            most = float(np.finfo(np.float32).max)
            return check_points(values, f"{self._label}: accessor {index}", most)
        # Normalised integers map to 0 to 1, signed ones to -1 to 1.
        return np.maximum(values / np.iinfo(values.dtype).max, -1.0)

    def _triangles(self, part: _Part, vertices: int) -> np.ndarray:
        """Return the triangles int64 [F, 3] of a primitive of `vertices` points."""
        if part.indices is None:
            corners = np.arange(vertices)
        else:
            accessor = self._item("accessors", part.indices)
            if (
                accessor.get("type") != "SCALAR"
                or accessor.get("componentType") not in _INDEX_TYPES
            ):
                self._fail("indices are not unsigned integers")
            corners = self._accessor(accessor)[:, 0].astype(np.int64)
            if len(corners) and corners.max() >= vertices:
                self._fail(f"faces refer to vertex {corners.max()} of {vertices}")
        if part.mode == _TRIANGLES:
            if len(corners) % 3:
                self._fail(f"has {len(corners)} corners of triangles, which 3 does not divide")
            return corners.reshape(-1, 3)
        if part.mode == _FAN:
            first = np.full(max(len(corners) - 2, 0), corners[0] if len(corners) else 0)
            return np.stack([first, corners[1:-1], corners[2:]], axis=1)
        triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
        # Every second triangle of a strip is turned round.
        triangles[1::2] = triangles[1::2][:, [1, 0, 2]]
        return triangles

    def _accessor(self, accessor: dict[str, Any]) -> np.ndarray:
        """Return the numbers [N, width] of an accessor as stored, sparse ones filled in."""
        kind, width = self._component(accessor), _WIDTHS[accessor["type"]]
        count = self._whole(accessor, "count")
        if "bufferView" in accessor:
            values = self._view(accessor, kind, count, width)
        elif "sparse" in accessor:
            values = np.zeros((count, width), kind)
        else:
            self._fail("an accessor holds no data", "export it without compression")
        if "sparse" not in accessor:
            return values
        sparse = accessor["sparse"]
        if not isinstance(sparse, dict) or not all(
            isinstance(sparse.get(key), dict) for key in ("indices", "values")
        ):
            self._fail("a sparse accessor lacks indices or values")
        number = self._whole(sparse, "count")
        if sparse["indices"].get("componentType") not in _INDEX_TYPES:
            self._fail("indices of a sparse accessor are not unsigned integers")
        places = self._view(sparse["indices"], self._component(sparse["indices"]), number, 1)[:, 0]
        if len(places) and places.max() >= count:
            self._fail(f"a sparse accessor refers to entry {places.max()} of {count}")
        values = values.copy()
        values[places] = self._view(sparse["values"], kind, number, width)
        return values

    def _component(self, owner: dict[str, Any]) -> np.dtype:
        kind = owner.get("componentType")
        if type(kind) is not int or kind not in _TYPES:
            self._fail(f"an accessor has the unknown componentType {printable(str(kind))}")
        return np.dtype(_TYPES[kind])

    def _view(self, owner: dict[str, Any], kind: np.dtype, count: int, width: int) -> np.ndarray:
        """Return numbers [count, width] of a buffer view, from the owner's byteOffset on."""
        view = self._item("bufferViews", owner.get("bufferView"))
        buffer = self._buffer(view.get("buffer"))
        start, length = self._whole(view, "byteOffset", 0), self._whole(view, "byteLength")
        if start + length > len(buffer):
            self._fail("a buffer view is longer than its buffer")
        size = kind.itemsize * width
        stride = self._whole(view, "byteStride", 0) or size
        offset = self._whole(owner, "byteOffset", 0)
        if stride < size or (count and offset + stride * (count - 1) + size > length):
            self._fail("an accessor is longer than its buffer view")
        return np.ndarray(
            (count, width), kind, buffer, start + offset if count else 0, (stride, kind.itemsize)
        )

    def _buffer(self, index: Any) -> bytes:
        """Return a buffer's bytes: those of the file, or of a data URI."""
        buffer = self._item("buffers", index)
        if index not in self._buffers:
            self._buffers[index] = self._load(index, buffer)
        return self._buffers[index]

    def _load(self, index: int, buffer: dict[str, Any]) -> bytes:
        uri = buffer.get("uri")
        if uri is None:
            if index != 0 or self._binary is None:
                self._fail(f"buffer {index} holds no data", "export it without compression")
            data = self._binary
        elif isinstance(uri, str) and uri.startswith("data:") and ";base64," in uri[:200]:
            try:
                data = base64.b64decode(uri.partition(";base64,")[2], validate=True)
            except (binascii.Error, ValueError):
                self._fail(f"buffer {index} is not base64")
        else:
            self._fail(
                f"its buffer {printable(str(uri))} is another file, which is not opened",
                "export one GLB file",
            )
        if len(data) < self._whole(buffer, "byteLength"):
            self._fail(f"buffer {index} is cut short")
        return data
