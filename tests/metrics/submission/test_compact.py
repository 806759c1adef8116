"""Compact submissions: small, equal within half a millimetre, scored alike, checked as strictly."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from metrics.files import InputError
from metrics.score import score_submission
from metrics.submission.items import POINT_PARTS
from metrics.submission.packing import PARTS, SUFFIX, pack, unpack
from metrics.submission.reader import Submission
from metrics.submission.validate import validate
from metrics.submission.writer import SubmissionWriter
from metrics.truth import Truth
from tests.metrics.submission.corrupted import faults, sealed

GENERATOR = np.random.default_rng(5)
VIEWS, HEIGHT, WIDTH = 4, 96, 128


def write(folder: Path, compact: bool, arrays: dict[str, np.ndarray]) -> Path:
    """Write a submission of one scene."""
    with SubmissionWriter(
        folder, "m", 0, "toy", True, ["points"], mesh_kind="solids", compact=compact
    ) as out:
        out.points("a", *(arrays[name] for name in ("points", "colours", "pixels", "confidence")))
        out.mesh("a", arrays["vertices"], arrays["faces"], arrays["vertex_colours"])
        out.occupancy("a", arrays["grid"], [0.1, 0.2, 0.3], 0.04)
    return folder


def room() -> dict[str, np.ndarray]:
    """Return predictions of the size of a real scene: the walls of a room of 5 x 4 x 2.5 m."""
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    ray = np.stack([np.ones(row.shape), (63.5 - column) / 100, (47.5 - row) / 100], -1)
    points, pixels = [], []
    for view in range(VIEWS):
        angle = view * np.pi / 2 + 0.3
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        away = np.concatenate([ray[..., :2] @ turn.T, ray[..., 2:]], -1)
        far = (np.array([2.5, 2.0, 1.25]) / np.abs(away)).min(-1)  # (H, W)
        far = far * (1 + 0.003 * GENERATOR.normal(size=far.shape))
        kept = GENERATOR.random(far.shape) < 0.93
        points.append((away * far[..., None])[kept] + [1, 0.5, 1.25])
        pixels.append(np.stack([np.full_like(row, view), row, column], -1)[kept])
    cloud = np.concatenate(points)
    colours = (127 + 40 * np.sin(3 * cloud) + 4 * GENERATOR.normal(size=cloud.shape)).astype("u1")
    side = np.linspace(0, 2, 58)
    grid = np.stack(np.meshgrid(side, side, [0.7]), -1).reshape(-1, 3)
    corner = np.arange(57 * 58).reshape(57, 58)[:, :57].ravel()
    faces = [np.stack([corner, corner + 58, corner + 1], 1)]
    faces += [np.stack([corner + 1, corner + 58, corner + 59], 1)]
    return {
        "points": cloud.astype(np.float32),
        "colours": colours,
        "pixels": np.concatenate(pixels),
        "confidence": 0.2 + 5 * GENERATOR.random(len(cloud)).round(1),
        "vertices": grid + 0.01 * np.sin(9 * grid[:, ::-1]),
        "faces": np.concatenate(faces),
        "vertex_colours": np.full((len(grid), 3), 90, np.uint8),
        "grid": np.indices((70, 60, 40)).sum(0) > 90,
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same predictions, plain and compact."""
    folder = tmp_path_factory.mktemp("pair")
    scene = room()
    return [write(folder / name, name == "compact", scene) for name in ("plain", "compact")]


def test_both_hold_the_same(pair: list[Path]) -> None:
    plain, compact = map(Submission, pair)
    cloud, small = plain.points("a"), compact.points("a")
    assert cloud is not None and small is not None and small.points.dtype == np.float32
    assert np.abs(cloud.points - small.points).max() < 0.000501
    assert np.array_equal(cloud.colours, small.colours)
    assert np.array_equal(cloud.pixels, small.pixels) and small.pixels.dtype == np.int16
    ratio = small.confidence / cloud.confidence.astype(float) / (255 / cloud.confidence.max())
    assert np.abs(ratio - 1).max() < 0.06 and small.confidence.dtype == np.uint8
    mesh, small_mesh = plain.mesh("a"), compact.mesh("a")
    assert np.abs(mesh.vertices - small_mesh.vertices).max() < 0.000501
    assert np.array_equal(mesh.faces, small_mesh.faces)
    assert np.array_equal(mesh.colours, small_mesh.colours)
    grid, small_grid = plain.occupancy("a"), compact.occupancy("a")
    assert np.array_equal(grid.grid, small_grid.grid)
    assert np.array_equal(grid.origin, small_grid.origin) and grid.voxel == small_grid.voxel
    assert validate(pair[0]).faults == validate(pair[1]).faults == []


def test_a_scene_takes_less_than_the_bar(pair: list[Path]) -> None:
    plain, compact = (sum(p.stat().st_size for p in folder.iterdir()) for folder in pair)
    assert plain > 1_100_000 and compact < 400_000, (plain, compact)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("count", [0, 1, 999])
def test_any_numbers_of_the_type_are_kept(part: str, count: int) -> None:
    kind, columns, _ = PARTS[part]
    limits = np.iinfo(kind)
    shape = (count, columns) if columns else (count,)
    array = GENERATOR.integers(limits.min, limits.max, shape, kind, endpoint=True)
    found = unpack(part, pack(part, array))
    assert found.dtype == array.dtype and np.array_equal(found, array)


def test_points_out_of_order_keep_their_pixels(tmp_path: Path) -> None:
    points = GENERATOR.random((50, 3), np.float32)
    for pixels in (
        np.arange(150).reshape(50, 3)[::-1],
        600 * np.arange(150).reshape(50, 3) % 32000,
    ):
        with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, [], compact=True) as out:
            out.points("a", points, np.zeros((50, 3)), pixels)
        assert np.array_equal(Submission(tmp_path / "s").points("a").pixels, pixels)
        assert not any("mask" in n for n in load_file(tmp_path / "s" / "geometry.safetensors"))


@pytest.mark.parametrize("far", [66, -3e38, np.nan, np.inf, -np.inf])
def test_points_that_do_not_fit_stay_floats(far: float, tmp_path: Path) -> None:
    points = np.array([[0, 0, 0], [0, far, 0]], np.float32)
    for compact in (True, False):
        folder = tmp_path / str(compact)
        with SubmissionWriter(folder, "m", 0, "toy", True, [], compact=compact) as out:
            out.points("a", points, np.zeros((2, 3)))
        stored = load_file(folder / "geometry.safetensors")["a/points"]
        assert stored.dtype == np.float32
        assert np.array_equal(stored, points, equal_nan=True)


@pytest.mark.parametrize("weight", [0, -1, np.nan, np.inf])
def test_confidence_that_does_not_fit_stays_float(weight: float, tmp_path: Path) -> None:
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, [], compact=True) as out:
        out.points("a", np.eye(3), np.zeros((3, 3)), confidence=[1, 1, weight])
    stored = load_file(tmp_path / "s" / "geometry.safetensors")["a/confidence"]
    assert np.array_equal(stored, np.array([1, 1, weight], np.float16), equal_nan=True)


def test_the_widest_room_far_from_the_origin(tmp_path: Path) -> None:
    points = np.array([[1000, -2000, 0], [1065.5, -1934.5, 65.5], [1030, -1950, 1.2346]])
    with SubmissionWriter(tmp_path / "s", "m", 0, "toy", True, [], compact=True) as out:
        out.points("a", points, np.zeros((3, 3)))
    found = Submission(tmp_path / "s").points("a").points
    assert np.abs(found - points).max() < 0.0007  # half a millimetre, and the spacing of F32


def _deflated(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(zlib.compress(array.tobytes()), np.uint8)


I16, ORIGIN = np.ones((3, 3), np.int16), np.zeros(3, np.float32)
MASK, SHAPE = np.array([0b11100000], np.uint8), np.array([1, 2, 3], np.int32)
STREAM, LOWEST = pack("points", I16), np.full((3, 3), -(2**15), np.int16)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"points": I16}, "points are int16 without points_origin; give it, three floats"),
        ({"points": I16, "points_origin": np.zeros(2, "f4")}, "points_origin is float32 [2]"),
        ({"points": I16, "points_origin": np.zeros(3, "i4")}, "points_origin is int32 [3]"),
        ({"points": I16, "points_origin": np.full(3, np.nan, "f4")}, "or not finite"),
        ({"points": I16, "points_origin": np.full(3, 1e30, "f4")}, "or not finite"),
        ({"points": I16[:, :2], "points_origin": ORIGIN}, "points are int16 [3, 2]; give [M, 3]"),
        ({"points": I16[:0], "points_origin": ORIGIN}, "points is empty"),
        ({"points": LOWEST, "points_origin": ORIGIN}, "3 of 3 rows hold -32768, first"),
        ({"points": I16.astype("f4"), "points_origin": ORIGIN}, "float32 [3, 3] with an origin"),
        ({"points": I16.astype("i4"), "points_origin": ORIGIN}, "int32 [3, 3] with an origin"),
        ({"points": I16.astype("u2")}, "points are uint16 [3, 3]; give floats"),
        ({"pixel_mask": MASK}, "pixel_mask and pixel_mask_shape are not both there"),
        ({"pixel_mask_shape": SHAPE}, "pixel_mask and pixel_mask_shape are not both there"),
        ({"pixel_mask": MASK, "pixel_mask_shape": SHAPE, "pixels": I16}, "has both pixels and"),
        ({"pixel_mask": MASK, "pixel_mask_shape": SHAPE[:2]}, "pixel_mask_shape is int32 [2]"),
        ({"pixel_mask": MASK, "pixel_mask_shape": -SHAPE}, "give three whole numbers, 0 or more"),
        ({"pixel_mask": MASK, "pixel_mask_shape": 10**4 * SHAPE}, "pixels; give at most 268435456"),
        ({"pixel_mask": MASK, "pixel_mask_shape": 2 * SHAPE}, "pixel_mask is uint8 [1] for 48 pix"),
        (
            {"pixel_mask": np.zeros(4097, "u1"), "pixel_mask_shape": np.array([32769, 1, 1], "i4")},
            "pixel_mask_shape is [32769, 1, 1]; give sides up to 32768",
        ),
        ({"pixel_mask": MASK << 1, "pixel_mask_shape": SHAPE}, "has 2 pixels for 3 points; set"),
        ({"confidence": np.ones(3, "u2")}, "confidence is uint16 [3]; give floats or uint8 [3]"),
        ({"points_zlib": STREAM}, "points are int16 without points_origin"),
        ({"points_zlib": STREAM, "points": I16}, "has both points and points_zlib"),
        ({"points_zlib": STREAM[:-1]}, "points_zlib is a zlib stream that is cut short"),
        ({"points_zlib": np.append(STREAM, STREAM)}, "cut short or followed by more bytes"),
        ({"points_zlib": STREAM.view("i1")}, f"points_zlib is int8 [{len(STREAM)}], not uint8 [n]"),
        ({"points_zlib": STREAM[None]}, f"points_zlib is uint8 [1, {len(STREAM)}], not uint8"),
        ({"points_zlib": np.zeros(9, "u1")}, "points_zlib is no zlib stream"),
        ({"points_zlib": _deflated(np.zeros(7, "u1"))}, "unpacks to 7 bytes, not to rows of 6"),
        ({"points_zlib": _deflated(np.zeros(60_000_001, "u1"))}, "to more than 10000000 rows"),
        ({"colours_zlib": pack("colours", np.zeros((2, 3)))}, "colours are uint8 [2, 3]; give [3"),
        ({"pixels_zlib": STREAM}, "'a/pixels_zlib': not a tensor of the format"),
    ],
)
def test_what_is_wrong_is_one_line(tensors: dict, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with SubmissionWriter(folder, "m", 0, "toy", True, []) as out:
        out.points("a", np.eye(3), np.zeros((3, 3)))
    base = {} if any(name.startswith("points") for name in tensors) else {"points": np.eye(3)}
    save_file(
        {f"a/{name}": np.ascontiguousarray(v) for name, v in (base | tensors).items()},
        folder / "geometry.safetensors",
    )
    sealed(folder)
    (found,) = faults(folder)
    assert found.startswith("geometry.safetensors: ") and words in found, found
    if "not a tensor" not in words:
        with pytest.raises(InputError, match="geometry.safetensors: scene a"):
            Submission(folder).points("a")


def test_a_bomb_takes_no_memory() -> None:
    import tracemalloc

    packed = _deflated(np.zeros(1 << 25, np.uint8))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 10000000 rows"):
        unpack("confidence", packed)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_scores_hardly_change(oracle_dir: Path, truth_dir: Path, tmp_path: Path) -> None:
    """Predictions that are off by some centimetres, of the toy's three scenes."""
    exact, generator = Submission(oracle_dir), np.random.default_rng(1)
    scenes = Truth(truth_dir).scenes
    noise = [0.02 * generator.normal(size=exact.points(s).points.shape) for s in scenes]
    tables, tasks = [], ("points", "mesh", "occupancy")
    for compact in (False, True):
        folder = tmp_path / str(compact)
        with SubmissionWriter(
            folder, "m", 0, "toy", False, tasks, mesh_kind=exact.mesh_kind, compact=compact
        ) as out:
            for scene, off in zip(scenes, noise, strict=True):
                cloud, mesh, solid = exact.points(scene), exact.mesh(scene), exact.occupancy(scene)
                out.points(scene, cloud.points + off, cloud.colours, cloud.pixels)
                out.mesh(scene, 1.011 * mesh.vertices, mesh.faces, mesh.colours)
                out.occupancy(scene, solid.grid, solid.origin + 0.013, solid.voxel)
        names = load_file(folder / "geometry.safetensors")
        assert any(name.endswith(SUFFIX) for name in names) == compact
        score_submission(folder, truth_dir, tmp_path / f"{compact}.parquet", tmp_path)
        tables.append(pd.read_parquet(tmp_path / f"{compact}.parquet").sort_values([*_KEYS]))
    first, second = (table.reset_index(drop=True) for table in tables)
    assert first[[*_KEYS]].equals(second[[*_KEYS]])
    assert {"fscore@5cm", "mesh_iou", "occupancy_iou"} <= set(first["metric"])
    # Of a scene, a few voxels or points near a threshold may change sides.
    means, others = (
        table[table["kind"] == "item"].groupby(["metric", "subset"])["value"].mean()
        for table in (first, second)
    )
    gap = (means - others).abs()
    assert gap.notna().all() and gap.max() > 0
    # A voxel counts as a whole, however many points it holds: of these small rooms, some voxels
    # with a single point change sides.
    voxels = gap.index.get_level_values("metric").str.startswith("voxel_iou")
    assert gap[~voxels].max() < 1e-3, gap[gap > 5e-4].to_string()
    assert gap[voxels].max() < 4e-3


_KEYS = ("kind", "scene", "metric", "subset", "query")


def test_the_parts_are_those_of_the_format() -> None:
    assert {"points", "pixel_mask", "confidence", "colours"} <= {*PARTS} & {*POINT_PARTS}
