"""Furniture models and the triangle mesh of a scene, textures included.

Room frame: metres, x in [0, sx], y in [0, sy], z up, origin in a floor corner.
"""

import zipfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm.scenes.assets.catalog import read_properties
from g2vlm.scenes.assets.objfile import FIX, read_obj
from g2vlm.scenes.assets.textures import Atlas, Texture, read_texture
from metrics.files import InputError
from metrics.geometry import bounds, face_crosses, lengths
from metrics.schemas import printable
from metrics.zip_file import read_entry

# The catalogs hide helper faces by an opacity below this; viewers leave them out, and so do we.
LEAST_OPACITY = 0.05
# A texel is transparent if its alpha, in 0..255, is below this.
_TRANSPARENT_ALPHA = 128.0
# From the catalogs' axes (y up, front at +z) to the room's (z up, front at -y).
_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class Material:
    """Surface of a face.

    Args:
        colour: display colour (sRGB) in 0..1.
        opacity: in 0..1.
        texture: index into the owner's textures, -1 for none.
        emissive: whether it has its display colour in the image, whatever the light.
    """

    colour: tuple[float, float, float]
    opacity: float = 1.0
    texture: int = -1
    emissive: bool = False


@dataclass(frozen=True)
class Model:
    """A furniture model in the box [-0.5, 0.5]^2 x [0, 1], front at -y; or the shell of a room.

    Args:
        vertices: float32 [V, 3].
        faces: int32 [F, 3].
        uv: float32 [F, 3, 2] texture coordinates of each corner.
        material: int32 [F], index into `materials`.
        materials: of the model.
        textures: that the materials refer to.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    materials: tuple[Material, ...]
    textures: tuple[Texture, ...]


def interpolate(weights: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the values [N, C] at points in triangles.

    Args:
        weights: [N, 3] barycentric weights.
        corners: [N, 3, C] values at each triangle's corners.
    """
    # Written out and added in place, which is faster than `einsum` on this shape.
    mixed = weights[:, :1] * corners[:, 0]
    mixed += weights[:, 1:2] * corners[:, 1]
    mixed += weights[:, 2:] * corners[:, 2]
    return mixed


@dataclass(frozen=True)
class SceneMesh:
    """Every triangle of a scene in the room's frame.

    Args:
        vertices: float32 [V, 3] in metres.
        faces: int32 [F, 3].
        uv: float32 [F, 3, 2] texture coordinates of each corner.
        instance: uint8 [F], values of `metrics.constants`.
        material: int32 [F], index into the next four.
        colour: float32 [M, 3] display colour in 0..1.
        opacity: float32 [M].
        texture: int32 [M] index into the atlas, -1 for none.
        emissive: bool [M].
        atlas: all textures of the scene.
        objects: slices of `vertices` and of `faces`, one pair an object, in recipe order.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    instance: np.ndarray
    material: np.ndarray
    colour: np.ndarray
    opacity: np.ndarray
    texture: np.ndarray
    emissive: np.ndarray
    atlas: Atlas
    objects: tuple[tuple[slice, slice], ...]

    @cached_property
    def triangles(self) -> np.ndarray:
        """Return float32 [F, 3, 3], the corners of every face."""
        return self.vertices.take(self.faces, axis=0)

    @cached_property
    def areas(self) -> np.ndarray:
        """Return float32 [F], the area of every face in m^2."""
        return lengths(self._crosses) / 2

    @cached_property
    def normals(self) -> np.ndarray:
        """Return float32 [F, 3], unit normals by the order of the corners; 0 without area."""
        return self._crosses / np.maximum(2 * self.areas, 1e-12)[:, None]

    @cached_property
    def texel_density(self) -> np.ndarray:
        """Return float32 [F], texels of the largest mip level a metre; 1 without a texture."""
        density = np.ones(len(self.faces), np.float32)
        texture = self.texture[self.material]  # (F,)
        index = np.flatnonzero(texture >= 0)  # (T,): textured faces
        size = self.atlas.shapes[texture[index], 0][:, ::-1]  # (T, 2): width, height
        step = (self.uv[index, 1:] - self.uv[index, :1]) * size[:, None]  # (T, 2, 2): two sides
        # Twice a face's area in texels, over twice its area in m^2.
        texels = np.abs(step[:, 0, 0] * step[:, 1, 1] - step[:, 0, 1] * step[:, 1, 0])
        density[index] = np.sqrt(texels / np.maximum(2 * self.areas[index], 1e-12))
        return density

    @cached_property
    def _crosses(self) -> np.ndarray:
        return face_crosses(self.triangles)

    def object_vertices(self, index: int) -> np.ndarray:
        """Return float32 [v, 3], the vertices of the object at `index` of the recipe."""
        return self.vertices[self.objects[index][0]]

    def object_triangles(self, index: int) -> np.ndarray:
        """Return float32 [f, 3, 3], the triangles of the object at `index` of the recipe."""
        return self.triangles[self.objects[index][1]]

    @cached_property
    def cutout(self) -> np.ndarray:
        """Return bool [F], whether the face's texture has transparent texels."""
        if not len(self.atlas.cutout):
            return np.zeros(len(self.material), bool)
        texture = self.texture[self.material]
        return (texture >= 0) & self.atlas.cutout[np.maximum(texture, 0)]

    def is_transparent(self, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return bool [N], whether points lie on transparent texels.

        Args:
            faces: int64 [N], the face of each point.
            weights: float32 [N, 3], its barycentric weights there.
        """
        clear = np.zeros(len(faces), bool)
        index = np.flatnonzero(self.cutout[faces])  # (K,): only these need a look at the texture
        uv = interpolate(weights[index], self.uv.take(faces[index], axis=0))  # (K, 2)
        texture = self.texture[self.material[faces[index]]]
        alpha = self.atlas.sample(texture, uv, np.ones(len(index)))[:, 3]
        clear[index] = alpha < _TRANSPARENT_ALPHA
        return clear


class ModelLibrary:
    """Models and floor textures of a data folder, each loaded once a process.

    `model(name)` returns the `Model` called catalog#id and `floor(name)` the `Texture` of a floor;
    both raise `InputError` when it is missing.

    Args:
        catalog: the furniture `Catalog`.
        capacity: how many models are kept; the one used longest ago goes first.
    """

    def __init__(self, catalog: Any, capacity: int = 600) -> None:
        self._catalog = catalog
        self.data_dir = Path(catalog.data_dir)
        self.model = lru_cache(capacity)(self._read_model)
        self.floor = lru_cache(None)(self._read_floor)
        self._rotations = lru_cache(None)(read_rotations)

    def _read_model(self, name: str) -> Model:
        archive, entry = self._catalog.open(name)
        return load_model(archive, entry, self._rotations(archive).get(name, np.eye(3)))

    def _read_floor(self, name: str) -> Texture:
        path = self.data_dir / "sources" / "textures" / f"{name}.jpg"
        try:
            return read_texture(path.read_bytes(), str(path))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such texture; run `make data`") from error


def read_rotations(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Return {model id: float64 [3, 3]} for the models of a catalog that state a rotation.

    Raises:
        InputError: the properties cannot be read, or a rotation is not nine finite numbers.
    """
    rotations = {}
    for fields in read_properties(archive).values():
        if "id" not in fields or "modelRotation" not in fields:
            continue
        name, text = fields["id"], fields["modelRotation"]
        try:
            values = np.array(text.split(), float)
        except ValueError:
            values = np.zeros(0)
        if values.shape != (9,) or not np.isfinite(values).all():
            raise InputError(
                f"{archive.filename}: the rotation of {printable(name)} is '{printable(text)}', "
                f"not nine numbers; {FIX}"
            )
        rotations[name] = values.reshape(3, 3)
    return rotations


def load_model(archive: zipfile.ZipFile, entry: str, rotation: np.ndarray) -> Model:
    """Load a model, rotate it, and fit it to the unit box, front at -y.

    The reviewed table has only models that show a surface.

    Args:
        archive: the open catalog.
        entry: path of the OBJ file in it.
        rotation: [3, 3] in the catalog's axes.

    Raises:
        InputError: the model cannot be read.
    """
    mesh = read_obj(archive, entry)
    visible = np.array([m.opacity > LEAST_OPACITY for m in mesh.materials])[mesh.material]
    faces = mesh.faces[visible]
    used = np.bincount(faces.ravel(), minlength=len(mesh.vertices)) > 0  # (V,)
    faces = (np.cumsum(used) - 1)[faces]
    vertices = mesh.vertices[used] @ (_TO_Z_UP @ rotation).T
    low, high = bounds(vertices)
    vertices = (vertices - (low + high) / 2) / np.maximum(high - low, 1e-6)
    vertices[:, 2] += 0.5
    names = sorted({m.texture for m in mesh.materials if m.texture})
    textures = tuple(
        read_texture(read_entry(archive, name, FIX), f"{archive.filename}:{name}") for name in names
    )
    materials = tuple(
        Material(m.colour, m.opacity, names.index(m.texture) if m.texture else -1)
        for m in mesh.materials
    )
    return Model(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        mesh.uv[visible],
        mesh.material[visible],
        materials,
        textures,
    )


def place_model(model: Model, item: dict) -> np.ndarray:
    """Return the model's vertices float32 [V, 3] scaled, turned and moved to its place in a room.

    Args:
        model: to place.
        item: one of a recipe's `objects`; sizes and positions in mm, yaw in degrees.
    """
    angle = np.deg2rad(item["yaw_deg"])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    size = np.array(item["size_mm"], float) / 1000.0
    centre = np.array([*item["centre_mm"], item["base_mm"]], float) / 1000.0
    return ((model.vertices * size) @ turn.T + centre).astype(np.float32)
