"""Find models that share their geometry, which the reviewed table must not split.

Two models are duplicates when the Chamfer distance (Fan et al., "A point set generation network for
3D object reconstruction from a single image", 2017; here the mean of both directions) of their
surfaces is under 1% of the diagonal of the unit cube. Each surface is stretched to that cube, and
compared under each quarter turn about the vertical, mirrored or not. Textures and sizes play no
part. Duplicates of one class stay on one side of the split.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from g2vlm.scenes.assets.catalog import Catalog, ModelRow
from g2vlm.scenes.render.meshes import Model, ModelLibrary
from metrics.files import rng
from metrics.geometry import face_crosses

# Share of the diagonal under which two surfaces are duplicates.
SAME = 0.01
_DIAGONAL = np.sqrt(3.0)
# Points a surface; of them, those whose distance to the other surface is measured.
_DENSE, _PROBES = 30_000, 1_000
# Pairs are first compared on grids of this many cells a side, by fewer points.
_CELLS, _GRID_PROBES = 32, 256
# Mean distance by grid cells, in cube sides, above which a pair is not measured: cells blur a
# distance by less than half of their side.
_CANDIDATE = SAME * _DIAGONAL + 0.5 / _CELLS
_QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def symmetries() -> np.ndarray:
    """Return float64 [8, 3, 3]: quarter turns about the vertical, plain and mirrored.

    >>> symmetries().shape
    (8, 3, 3)
    """
    turns = [np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) for c, s in _QUARTERS]
    return np.array(turns + [turn @ np.diag([-1, 1, 1]) for turn in turns], float)


def sample_surface(model: Model, count: int, name: str) -> np.ndarray:
    """Return float64 [count, 3], points uniform by area on a model's surface in the unit cube.

    Args:
        model: in its unit box.
        count: how many points.
        name: seeds the draw, so that a model always gives the same points.
    """
    corners = model.vertices[model.faces].astype(np.float64) - [0.0, 0.0, 0.5]  # (F, 3, 3)
    sides = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(face_crosses(corners), axis=1)
    # "family" is part of the generator's key: another word would draw other points.
    generator = rng(0, "family", name)
    face = generator.choice(len(area), count, p=area / area.sum())
    a, b = generator.random((2, count, 1))
    # The upper half of the parallelogram is folded onto the triangle.
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    return corners[face, 0] + a * sides[face, 0] + b * sides[face, 1]


def chamfer(a: cKDTree, b: cKDTree, matrix: np.ndarray) -> float:
    """Return the Chamfer distance of two surfaces, as a share of the unit cube's diagonal.

    Args:
        a: tree of dense samples in the unit cube.
        b: the same of the other surface.
        matrix: [3, 3], applied to `a` first.

    >>> square = np.stack([*np.mgrid[0:1:50j, 0:1:50j].reshape(2, -1), np.zeros(2500)], 1) - 0.5
    >>> chamfer(cKDTree(square), cKDTree(square[::-1]), np.eye(3))
    0.0
    """
    there = b.query(a.data[:_PROBES] @ matrix.T)[0].mean()
    back = a.query(b.data[:_PROBES] @ matrix)[0].mean()
    return float((there + back) / 2 / _DIAGONAL)


def duplicate_pairs(samples: dict[str, np.ndarray]) -> Iterator[tuple[str, str, float]]:
    """Yield (model, model, Chamfer distance) of every pair of duplicates, in name order.

    Args:
        samples: {model: float [N, 3]} from `sample_surface`.
    """
    names = sorted(samples)
    trees = [cKDTree(samples[name]) for name in names]
    near = _candidates([samples[name] for name in names])  # (8, M, M)
    for i, j in np.argwhere(np.triu(near.any(axis=0), 1)):
        turns = symmetries()[near[:, i, j]]
        distance = min(chamfer(trees[i], trees[j], matrix) for matrix in turns)
        if distance < SAME:
            yield names[i], names[j], distance


def _candidates(samples: list[np.ndarray]) -> np.ndarray:
    """Return bool [8, M, M], which symmetries may bring one of M surfaces onto another.

    Distances are looked up in a grid for each surface: trees for all M² pairs are slow.
    """
    fields = np.stack([_distance_field(points) for points in samples])  # (M, cells)
    turns = symmetries()
    there = np.empty((len(turns), len(samples), len(samples)), np.float32)
    for k, matrix in enumerate(turns):
        for row, points in enumerate(samples):
            there[k, row] = fields[:, _cells(points[:_GRID_PROBES] @ matrix.T)].mean(axis=1)
    # The way back leads from j to i under the inverse symmetry.
    inverse = [int(np.argmax([np.allclose(m @ n, np.eye(3)) for n in turns])) for m in turns]
    return (there + there[inverse].transpose(0, 2, 1)) / 2 < _CANDIDATE


def _distance_field(points: np.ndarray) -> np.ndarray:
    """Return float32 [32^3], the distance of each cell of the cube to the nearest with a point."""
    empty = np.ones(_CELLS**3, bool)
    empty[_cells(points)] = False
    field = ndimage.distance_transform_edt(empty.reshape((_CELLS,) * 3), 1.0 / _CELLS)
    return field.astype(np.float32).ravel()


def _cells(points: np.ndarray) -> np.ndarray:
    """Return int64 [N], the number of the cell of the unit cube that holds each point."""
    index = np.clip(((points + 0.5) * _CELLS).astype(np.int64), 0, _CELLS - 1)
    return (index[:, 0] * _CELLS + index[:, 1]) * _CELLS + index[:, 2]


def separated_pairs(
    models: dict[str, ModelRow], pairs: list[tuple[str, str, float]]
) -> list[tuple[str, str, float]]:
    """Return the pairs of duplicates of one class that the table puts in two groups."""
    return [
        (a, b, distance)
        for a, b, distance in pairs
        if models[a].cls == models[b].cls and models[a].group != models[b].group
    ]


def sample_all(data: Path) -> dict[str, np.ndarray]:
    """Return dense surface samples of every model of a data folder; reads each mesh once."""
    catalog = Catalog(data)
    library = ModelLibrary(catalog, capacity=1)
    return {name: sample_surface(library.model(name), _DENSE, name) for name in catalog.models}
