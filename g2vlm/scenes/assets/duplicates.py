"""Which models share their geometry: `python -m g2vlm.scenes.assets.duplicates --data data`.

Two models are of one family when the Chamfer distance (Fan et al., "A point set generation network
for 3D object reconstruction from a single image", 2017; here the mean of both directions) of their
surfaces, each stretched to the unit cube, is under 1% of the cube's diagonal under some quarter
turn about the vertical, mirrored or not. Textures and sizes play no part. Families of one class
stay on one side of the split.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from g2vlm.scenes.assets.catalog import Catalog, ModelRow
from g2vlm.scenes.render.meshes import Model, ModelLibrary
from metrics.files import InputError, rng, run_main

# Share of the diagonal under which two surfaces count as one.
SAME = 0.01
_DIAGONAL = np.sqrt(3.0)
_DENSE, _PROBES, _CELLS = 30_000, 1_000, 32
# Mean distance by grid cells, in cube sides, above which a pair is not measured: cells blur a
# distance by less than half of their side.
_SIEVE = SAME * _DIAGONAL + 0.5 / _CELLS


def symmetries() -> np.ndarray:
    """Return float64[8, 3, 3]: quarter turns about the vertical, plain and mirrored.

    >>> symmetries().shape
    (8, 3, 3)
    """
    turns = [np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) for c, s in _QUARTERS]
    return np.array(turns + [turn @ np.diag([-1, 1, 1]) for turn in turns], float)


_QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def surface_sample(model: Model, count: int, name: str) -> np.ndarray:
    """Return float64[count, 3]: points even by area on a model's surface in the unit cube.

    The cube is centred on the origin; `name` seeds the draw, so a model always gives the same.
    """
    corners = model.vertices[model.faces].astype(np.float64) - [0.0, 0.0, 0.5]
    sides = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    generator = rng(0, "family", name)
    face = generator.choice(len(area), count, p=area / area.sum())
    a, b = generator.random((2, count, 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    return corners[face, 0] + a * sides[face, 0] + b * sides[face, 1]


def chamfer(a: cKDTree, b: cKDTree, matrix: np.ndarray) -> float:
    """Return the Chamfer distance of surface `a`, turned by `matrix`, and surface `b`.

    a, b: trees of dense samples in the unit cube. The result is a share of the cube's diagonal.

    >>> square = np.stack([*np.mgrid[0:1:50j, 0:1:50j].reshape(2, -1), np.zeros(2500)], 1) - 0.5
    >>> chamfer(cKDTree(square), cKDTree(square[::-1]), np.eye(3))
    0.0
    """
    there = b.query(a.data[:_PROBES] @ matrix.T)[0].mean()
    back = a.query(b.data[:_PROBES] @ matrix)[0].mean()
    return float((there + back) / 2 / _DIAGONAL)


def same_geometry(samples: dict[str, np.ndarray]) -> Iterator[tuple[str, str, float]]:
    """Yield (model, model, share of the diagonal) of every pair under `SAME`, in name order.

    samples: {model: float[N, 3]} from `surface_sample`.
    """
    names = sorted(samples)
    trees = [cKDTree(samples[name]) for name in names]
    near = _sieve([samples[name] for name in names])
    for i, j in np.argwhere(np.triu(near.any(axis=0), 1)):
        turns = symmetries()[near[:, i, j]]
        distance = min(chamfer(trees[i], trees[j], matrix) for matrix in turns)
        if distance < SAME:
            yield names[i], names[j], distance


def _sieve(samples: list[np.ndarray]) -> np.ndarray:
    """Return bool[8, M, M]: a symmetry brings the row's surface near the column's, by grids."""
    fields = np.stack([_distance_field(points) for points in samples])
    turns = symmetries()
    there = np.empty((len(turns), len(samples), len(samples)), np.float32)
    for k, matrix in enumerate(turns):
        for row, points in enumerate(samples):
            there[k, row] = fields[:, _cells(points[:256] @ matrix.T)].mean(axis=1)
    inverse = [int(np.argmax([np.allclose(m @ n, np.eye(3)) for n in turns])) for m in turns]
    return (there + there[inverse].transpose(0, 2, 1)) / 2 < _SIEVE


def _distance_field(points: np.ndarray) -> np.ndarray:
    """Return float32[32^3]: distance of each cell of the unit cube to the nearest with a point."""
    empty = np.ones(_CELLS**3, bool)
    empty[_cells(points)] = False
    field = ndimage.distance_transform_edt(empty.reshape((_CELLS,) * 3), 1.0 / _CELLS)
    return field.astype(np.float32).ravel()


def _cells(points: np.ndarray) -> np.ndarray:
    index = np.clip(((points + 0.5) * _CELLS).astype(np.int64), 0, _CELLS - 1)
    return (index[:, 0] * _CELLS + index[:, 1]) * _CELLS + index[:, 2]


def straddling(
    models: dict[str, ModelRow], pairs: list[tuple[str, str, float]]
) -> list[tuple[str, str, float]]:
    """Return the pairs of one class and one geometry that the table puts in two groups."""
    return [
        (a, b, distance)
        for a, b, distance in pairs
        if models[a].cls == models[b].cls and models[a].group != models[b].group
    ]


def sample_all(data: Path) -> dict[str, np.ndarray]:
    """Return dense surface samples of every model of a data folder; reads each mesh once."""
    catalog = Catalog(data)
    library = ModelLibrary(catalog, capacity=1)
    return {name: surface_sample(library.model(name), _DENSE, name) for name in catalog.models}


def main() -> int:
    """Print every pair of one geometry; raises `InputError` if the table parts one of a class."""
    parser = argparse.ArgumentParser(
        prog="python -m g2vlm.scenes.assets.duplicates", description=__doc__
    )
    parser.add_argument("--data", default="data")
    data = Path(parser.parse_args().data)
    models = Catalog(data).models
    pairs = list(same_geometry(sample_all(data)))
    for a, b, distance in pairs:
        print(f"{100 * distance:.2f} %  {a}  {b}")
    apart = straddling(models, pairs)
    if apart:
        a, b, _ = apart[0]
        raise InputError(f"{data}/models.csv: {a} and {b} are one shape; give them one group")
    print(f"{data}/models.csv: {len(models)} models, {len(pairs)} pairs of one shape, none parted")
    return 0


if __name__ == "__main__":
    run_main(main)
