"""Two bare files: reading them, aligning them, exact values against SciPy, floors."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from metrics.files import InputError
from metrics.reconstruction.compare_files import (
    Surface,
    cell_values,
    compare_files,
    compare_surfaces,
    exact_values,
)
from metrics.reconstruction.distances import threshold_name
from metrics.reconstruction.formats.ply import PIXELS
from metrics.reconstruction.pointcloud import cell_representatives
from metrics.reconstruction.surface_files import READERS, read_surface
from tests.metrics.reconstruction.formats.shapes import BOX, box_document, glb, written

TURN = Rotation.from_euler("zyx", [0.08, -0.05, 0.06]).as_matrix()


def cloud(count: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 2, (count, 3)).astype(np.float32)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_reference_points_of_the_protocol(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 3)))
    np.save(tmp_path / "b.npy", np.array([[3.0, 4.0, 0.0]]))
    values = compare_files(tmp_path / "a.npy", tmp_path / "b.npy")["values"]
    assert values["chamfer_l1_m_exact"] == 5 and values["chamfer_l2sq_m2_exact"] == 50
    assert values["chamfer_l1_m"] == 5 and values["fscore@10cm"] == 0


def test_exact_values_against_scipy():
    mine, true = cloud(500), cloud(300, 1)
    found = exact_values(Surface(mine, None), Surface(true, None), [0.1, 0.25])
    near, far = cKDTree(true).query(mine)[0], cKDTree(mine).query(true)[0]
    assert found["accuracy_m"] == pytest.approx(near.mean(), rel=1e-6)
    assert found["completeness_m"] == pytest.approx(far.mean(), rel=1e-6)
    assert found["chamfer_l1_m"] == pytest.approx((near.mean() + far.mean()) / 2, rel=1e-6)
    squared = (near**2).mean() + (far**2).mean()
    assert found["chamfer_l2sq_m2"] == pytest.approx(squared, rel=1e-6)
    precision, recall = (near < 0.25).mean(), (far < 0.25).mean()
    harmonic = 2 * precision * recall / (precision + recall)
    assert found["fscore@25cm"] == pytest.approx(harmonic)
    assert set(found) >= {"fscore@10cm", "precision@10cm", "recall@10cm", "normal_consistency"}


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("shift", [0.0, 4e6])
def test_cell_values_against_scipy(in_order, shift):
    # A wall, sampled more densely than one point a 1 cm cell, and a noisy copy.
    generator = np.random.default_rng(4)
    true, mine = generator.uniform(0, 0.4, (2, 6000, 3)) * [1, 1, 0.01] + shift
    mine = mine + generator.normal(0, 0.02, mine.shape)
    sides = [Surface.ordered(side) if in_order else Surface(side) for side in (mine, true)]
    thresholds = [0.01, 0.025, 0.05, 0.25]
    found = cell_values(*sides, thresholds)
    for cell, threshold in [(0.01, None), *((value / 2, value) for value in thresholds)]:
        first, second = (side.points[cell_representatives(side.points, cell)] for side in sides)
        near, far = cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
        if threshold is None:
            assert found["accuracy_m"] == pytest.approx(near.mean(), rel=1e-12)
            assert found["completeness_m"] == pytest.approx(far.mean(), rel=1e-12)
        else:
            name = threshold_name(threshold)
            assert found[f"precision@{name}"] == (near < threshold).mean()
            assert found[f"recall@{name}"] == (far < threshold).mean()


def test_duplicates_help_the_exact_values_alone():
    true = cloud(2000)
    mine = true[:1000] + np.float32(0.3)
    flooded = np.concatenate([mine, *[true[:1]] * 5000])
    exact = [exact_values(Surface(p, None), Surface(true, None), []) for p in (mine, flooded)]
    assert exact[1]["accuracy_m"] < exact[0]["accuracy_m"] / 2
    cells = [compare_surfaces(Surface(p, None), Surface(true, None)) for p in (mine, flooded)]
    assert cells[1]["accuracy_m"] > 0.95 * cells[0]["accuracy_m"]


@pytest.mark.parametrize("kind", ["ply", "obj", "glb", "off", "stl", "npz"])
def test_every_format_reads_the_same_mesh(tmp_path, kind):
    box, path = trimesh.creation.box((2, 3, 1)), tmp_path / f"box.{kind}"
    if kind == "npz":
        saved(path, vertices=box.vertices, faces=box.faces)
    else:
        box.export(path)
    found = read_surface(path)
    area = trimesh.Trimesh(found.points, found.faces, process=False).area
    assert len(found.faces) == 12 and area == pytest.approx(22) and found.pixels is None


@pytest.mark.parametrize("kind", ["ply", "xyz", "glb"])
def test_every_format_reads_the_same_cloud(tmp_path, kind):
    path = tmp_path / f"cloud.{kind}"
    trimesh.PointCloud(cloud()).export(path)
    found = read_surface(path)
    assert found.faces is None and np.allclose(found.points, cloud(), atol=1e-6)


def test_equal_points_are_searched_once_and_counted_each(tmp_path):
    true = cloud(60_000).astype(np.float64)
    mine = np.concatenate([np.repeat([[0.5, 0.5, 0.5]], 60_000, axis=0), true[:500] + 0.01])
    start = time.process_time()
    pred = Surface.ordered(mine)
    values = exact_values(pred, Surface.ordered(true), [0.05])
    assert time.process_time() - start < 10  # more than a minute one by one
    near = cKDTree(true).query(mine)[0]
    assert values["accuracy_m"] == pytest.approx(near.mean(), rel=1e-12)
    assert values["precision@5cm"] == (near < 0.05).mean()
    assert values["completeness_m"] == pytest.approx(cKDTree(mine[59_999:]).query(true)[0].mean())
    aligned = compare_files(
        saved(tmp_path / "a.npz", points=true[:500]),
        saved(tmp_path / "b.npz", points=mine[:50_000] + [[0.1, 0, 0]]),
        "icp_se3",
        with_floors=False,
    )
    assert aligned["values"]["completeness_m_exact_icp_se3"] < 1


def test_steps_over_many_points_are_reported(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.npz", points=cloud(400))
    lines: list[str] = []
    compare_files(path, path, progress=lines.append)
    assert lines == []
    monkeypatch.setattr("metrics.reconstruction.compare_files.LARGE", 399)
    compare_files(path, path, progress=lines.append)
    assert lines == ["comparing: 400 and 400 points", "floors: 400 and 400 points"]


def ply_with_pixels(path: Path, points: np.ndarray, pixels: np.ndarray, text: bool) -> Path:
    fields = [(name, "<f4") for name in "xyz"] + [(name, "<i4") for name in ("view", "row", "col")]
    rows = np.zeros(len(points), fields)
    for place, (name, _) in enumerate(fields):
        rows[name] = (points[:, place] if place < 3 else pixels[:, place - 3]).astype(
            fields[place][1]
        )
    kinds = {"<f4": "float", "<i4": "int"}
    header = ["ply", f"format {'ascii' if text else 'binary_little_endian'} 1.0"]
    header += [f"element vertex {len(points)}"]
    header += [f"property {kinds[kind]} {name}" for name, kind in fields] + ["end_header", ""]
    body = "\n".join(" ".join(map(str, row)) for row in rows.tolist()).encode()
    path.write_bytes("\n".join(header).encode() + (body if text else rows.tobytes()))
    return path


@pytest.mark.parametrize("text", [True, False])
def test_pixels_of_a_ply(tmp_path, text):
    pixels = np.stack(np.unravel_index(np.arange(400), (2, 10, 20)), 1)
    found = read_surface(ply_with_pixels(tmp_path / "a.ply", cloud(), pixels, text))
    assert np.array_equal(found.pixels, pixels)


def test_sim3_matches_pixels_whatever_their_order(tmp_path):
    pixels = np.stack(np.unravel_index(np.arange(400), (2, 10, 20)), 1)
    order = np.random.default_rng(1).permutation(400)[:300]
    moved = 3 * cloud() @ TURN.T + [4, -2, 1]
    mine = saved(tmp_path / "a.npz", points=moved[order], pixels=pixels[order])
    true = saved(tmp_path / "b.npz", points=cloud(), pixels=pixels)
    found = compare_files(mine, true, "sim3")
    assert found["similarity"]["scale"] == pytest.approx(1 / 3)
    assert found["values"]["accuracy_m_exact_sim3"] < 1e-5
    assert found["values"]["completeness_m_exact_sim3"] > 0.01  # a hundred points are not there
    with pytest.raises(InputError, match="carries no pixels"):
        compare_files(mine, saved(tmp_path / "c.npz", points=cloud()), "sim3")
    apart = saved(tmp_path / "d.npz", points=cloud(), pixels=pixels + [5, 0, 0])
    with pytest.raises(InputError, match="shares 0 pixels"):
        compare_files(mine, apart, "sim3")


@pytest.mark.parametrize(("align", "scale"), [("icp_se3", 1.0), ("icp_sim3", 1.02)])
def test_icp_undoes_a_small_motion_and_turns_normals(tmp_path, align, scale):
    true = trimesh.util.concatenate(
        [trimesh.creation.box((2, 3, 1)), trimesh.creation.icosphere(radius=0.8)]
    )
    mine = true.copy()
    mine.vertices = scale * mine.vertices @ TURN.T + [0.03, -0.02, 0.01]
    for name, mesh in (("a", mine), ("b", true)):
        mesh.export(tmp_path / f"{name}.ply")
    files = tmp_path / "a.ply", tmp_path / "b.ply"
    before = compare_files(*files, samples=5_000)
    after = compare_files(*files, align, samples=5_000)
    suffix = f"_{align}"
    assert before["values"]["accuracy_m"] > 1.4 * before["floors"]["accuracy_m"]
    name = f"accuracy_m{suffix}"
    assert after["values"][name] < 1.05 * after["floors"][name]
    assert set(after["floors"]) == set(after["values"]) != set(before["values"])
    consistency = f"normal_consistency{suffix}"
    assert after["values"][consistency] > after["floors"][consistency] - 0.02
    assert after["similarity"]["scale"] == pytest.approx(1 / scale, abs=0.01)


def test_a_perfect_prediction_scores_its_floor(tmp_path):
    trimesh.creation.box((2, 3, 1)).export(tmp_path / "a.ply")
    mesh = compare_files(tmp_path / "a.ply", tmp_path / "a.ply", samples=20_000)
    for name, value in mesh["values"].items():
        assert value == pytest.approx(mesh["floors"][name], rel=0.03), name
    # A cloud's floor is that of another cloud as dense as itself.
    box = trimesh.creation.box((2, 3, 1))
    for seed, name in enumerate(("b", "c")):
        saved(tmp_path / f"{name}.npz", points=box.sample(20_000, seed=seed))
    clouds = compare_files(tmp_path / "b.npz", tmp_path / "c.npz")
    for name in ("accuracy_m", "chamfer_l1_m_exact", "fscore@2.5cm"):
        assert clouds["values"][name] == pytest.approx(clouds["floors"][name], rel=0.05), name


def test_samples_thresholds_and_floors_follow_the_arguments(tmp_path):
    trimesh.creation.box((2, 3, 1)).export(tmp_path / "a.ply")
    found = compare_files(
        tmp_path / "a.ply", tmp_path / "a.ply", samples=500, thresholds=[0.2], with_floors=False
    )
    assert found["points"] == {"predicted": 500, "truth": 500} and found["floors"] == {}
    assert "fscore@20cm" in found["values"] and "fscore@5cm" not in found["values"]


BAD = {
    "none.ply": b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n",
    "many.ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\n"
    b"property float x\nproperty float y\nproperty float z\nend_header\n1234",
    "empty.ply": b"",
    "range.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
    "short.glb": b"glTF\2\0\0\0",
    "zip.npz": b"PK\3\4",
    "pickle.npy": b"\x93NUMPY\1\0F\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"
    + b" " * 14 + b"\n\x80\4.",
    "words.xyz": b"a b c\n",
    "notes.txt": b"1 2 3\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_an_error_of_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(InputError) as error:
        read_surface(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.zeros((0, 3))}, "holds no points"),
        ({"points": np.array([[0, 0, np.nan], [1, 1, 1]])}, "1 of 2 points are not finite"),
        ({"points": np.full((2, 3), np.inf)}, "2 of 2 points"),
        ({"points": np.zeros((4, 2))}, r"give \[N, 3\]"),
        ({"points": np.array([["a", "b", "c"]])}, r"give numbers \[N, 3\]"),
        ({"normals": np.zeros((4, 3))}, "has no points and no vertices"),
        ({"vertices": np.eye(3), "faces": np.array([[0, 1, 3]])}, "faces refer to vertices 0 to 3"),
        ({"vertices": np.eye(3), "faces": np.array([[-1, 1, 2]])}, "index them from 0"),
        ({"vertices": np.eye(3), "faces": np.eye(3)}, r"give \[F, 3\]"),
        ({"points": np.eye(3), "pixels": np.eye(2)}, "pixels are"),
        (
            {"points": np.eye(3), "pixels": -np.eye(3)},
            r"pixels of row 0 are \[-1.0, -?0.0, -?0.0\]",
        ),
        ({"points": np.eye(3), "pixels": np.full((3, 3), np.nan)}, "pixels of row 0 are .*; give"),
        ({"points": np.eye(3), "pixels": 1e6 * (1 + np.eye(3))}, "pixels of row 0 are .*1048575"),
        ({"points": np.array([[None, 1, 2]])}, r"points: is object \[1, 3\]; give numbers"),
    ],
)
def test_bad_arrays_are_reported(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_surface(saved(tmp_path / "a.npz", **arrays))


# A NaN that raises the flag "invalid value" when it is cast, unlike NumPy's own.
_SIGNALLING = {"<f4": 0x7F800001, "<f8": 0x7FF0000000000001}


def _box(kind: str) -> np.ndarray:
    """Return the box with such a NaN as the y of its sixth point."""
    points = BOX.astype(kind)
    points.view(kind.replace("f", "u"))[5, 1] = _SIGNALLING[kind]
    return points


def _binary_ply(rows: np.ndarray, names: Sequence[str]) -> bytes:
    kind = {"f4": "float", "f8": "double"}[rows.dtype.str[1:]]
    columns = "".join(f"property {kind} {name}\n" for name in names)
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 8\n"
    return f"{head}{columns}end_header\n".encode() + rows.tobytes()


def _binary_stl() -> bytes:
    facets = np.zeros(8, np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("a", "<u2")]))
    facets["corners"] = _box("<f4")[:, None]
    return bytes(80) + struct.pack("<I", 8) + facets.tobytes()


def _arrays(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.ply", _binary_ply(_box("<f4"), "xyz"), "first row 5, whose y is nan"),
        ("a.ply", _binary_ply(_box("<f8"), "xyz"), "first row 5, whose y is nan"),
        (
            "a.ply",
            _binary_ply(np.hstack([BOX.astype("<f4"), _box("<f4")]), ("x", "y", "z", *PIXELS)),
            r"pixels of row 5 are \[2.0, nan, 1.0\]",
        ),
        ("a.stl", _binary_stl(), "first row 15, whose y is nan"),
        ("a.glb", glb(*box_document(_box("<f4"))), "accessor 0: 1 of 8 .* row 5, whose y is nan"),
        ("a.npz", _arrays(points=_box("<f4")), "first row 5, whose y is nan"),
        ("a.npz", _arrays(points=BOX, pixels=_box("<f4")), r"pixels of row 5 are \[2.0, nan"),
        ("a.npz", _arrays(points=_box("<f4"), loc=np.ones(3)), "first row 5, whose y is nan"),
    ],
)
def test_a_number_that_cannot_be_cast_is_named(name, content, words, tmp_path):
    path = written(tmp_path / name, content)
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{words}"),
    ):
        read_surface(path)


def test_a_mesh_without_area_is_reported(tmp_path):
    path = saved(tmp_path / "a.npz", vertices=np.ones((3, 3)), faces=np.array([[0, 1, 2]]))
    with pytest.raises(InputError, match="no area"):
        compare_files(path, path)


def test_a_decompression_bomb_is_refused(tmp_path):
    path = saved(tmp_path / "a.npz", points=np.eye(3))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="a.npz"):
        read_surface(path)


TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
PLY_TRIANGLE = (
    "ply\nformat ascii 1.0\ncomment TextureFile {}\nobj_info {}\nelement vertex 3\n"
    "property float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\n"
    "property list uchar float texcoord\nproperty int texnumber\nend_header\n"
    "0 0 0\n1 0 0\n0 1 0\n3 0 1 2 6 0 0 1 0 0 1 0\n"
)


@pytest.fixture(scope="module")
def opened() -> list[str]:
    """Every path that this process opens from here on."""
    paths: list[str] = []

    def note(event: str, arguments: tuple) -> None:
        if event == "open":
            paths.append(str(arguments[0]))

    sys.addaudithook(note)
    return paths


@pytest.mark.parametrize("name", ["pipe", "text"])
def test_files_named_inside_a_file_are_not_opened(tmp_path, opened, name):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer forever
    (tmp_path / "text").write_text("newmtl x\nmap_Kd /etc/passwd\n")
    binary = np.eye(3, dtype="<f4").tobytes()
    document = {
        "asset": {"version": "2.0"},
        "images": [{"uri": name}],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    }
    files = [
        written(tmp_path / "a.obj", f"mtllib {name}\nusemtl x\n{TRIANGLE}"),
        written(tmp_path / "b.ply", PLY_TRIANGLE.format(name, name)),
        written(tmp_path / "c.glb", glb(document, binary)),
    ]
    for path in files:
        del opened[:]
        assert len(read_surface(path).faces) == 1
        assert [place for place in opened if str(tmp_path) in place] == [str(path)]


@pytest.mark.parametrize("kind", sorted(READERS))
def test_only_regular_files_are_read(tmp_path, kind):
    os.mkfifo(tmp_path / f"pipe{kind}")
    (tmp_path / f"folder{kind}").mkdir()
    (tmp_path / f"device{kind}").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "device"):
        with pytest.raises(InputError, match=f"{name}{kind}: is not a regular file"):
            read_surface(tmp_path / f"{name}{kind}")


@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_file_over_the_limit_is_refused_unread(tmp_path, kind):
    path = tmp_path / f"a{kind}"
    with path.open("wb") as handle:
        handle.truncate((1 << 31) + 1)  # takes no room on the disk
    with pytest.raises(InputError, match="larger than 2048 MiB; name a point cloud"):
        read_surface(path)


def test_a_message_escapes_the_controls_of_a_name(tmp_path):
    path = tmp_path / "a\n\x1b[31m.ply"
    for content in (b"", b"ply\nformat ascii 1.0\nelement \x1b[0m 1\nend_header\n"):
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            read_surface(path)
        assert str(error.value).isprintable()


SHIFT = np.array([399_000.0, 5_820_000.0, 1e7])


def _pair(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return a predicted and a true surface of a few metres, and the faces of both."""
    generator = np.random.default_rng(4)
    if kind == "cloud":
        true = generator.uniform(0.001, 3, (3000, 3))
        return true[:2500] + generator.normal(0, 0.03, (2500, 3)), true, None
    box = trimesh.creation.box((2, 3, 1))
    turned = box.vertices @ TURN.T + 2.5
    return turned + [0.013, -0.021, 0.008], turned, box.faces


def _values(tmp_path, kind: str, moved) -> dict[str, float]:
    mine, true, faces = _pair(kind)
    if faces is None:
        paths = [
            saved(tmp_path / f"{k}.npz", points=moved(side)) for k, side in enumerate((mine, true))
        ]
    else:
        paths = [
            saved(tmp_path / f"{k}.npz", vertices=moved(side), faces=faces)
            for k, side in enumerate((mine, true))
        ]
    return compare_files(*paths, samples=3000, with_floors=False)["values"]


@pytest.mark.parametrize("kind", ["cloud", "mesh"])
@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("translation", lambda points: points + SHIFT),
        ("far translation", lambda points: points - 1e7),
        ("rotation", lambda points: points @ TURN.T),
        ("both", lambda points: points @ TURN.T + 1e7),
    ],
)
def test_exact_values_do_not_depend_on_the_frame(tmp_path, kind, name, moved):
    before, after = _values(tmp_path, kind, lambda points: points), _values(tmp_path, kind, moved)
    assert before["accuracy_m_exact"] > 0.01
    for key in (key for key in before if "_exact" in key):
        assert after[key] == pytest.approx(before[key], abs=1e-6), key


@pytest.mark.parametrize("kind", ["cloud", "mesh"])
@pytest.mark.parametrize("cells", [[2, -5, 1], [200_000_000] * 3, [-8e6, 116.4e6, 700]])
def test_values_of_cells_do_not_change_under_whole_cells(tmp_path, kind, cells):
    # 5 cm holds whole numbers of all cells: 1 cm, 1.25 cm, 2.5 cm and 5 cm.
    shift = 0.05 * np.array(cells)
    before = _values(tmp_path, kind, lambda points: points)
    after = _values(tmp_path, kind, lambda points: points + shift)
    assert before["fscore@2.5cm"] < 0.9
    assert after == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("kind", ["ply", "xyz", "glb"])
def test_map_coordinates_keep_their_millimetres_in_every_format(tmp_path, kind):
    mine, true, _ = _pair("cloud")
    near = compare_files(*_clouds(tmp_path, mine, true, kind, 0.0), with_floors=False)["values"]
    far = compare_files(*_clouds(tmp_path, mine, true, kind, SHIFT), with_floors=False)["values"]
    for key in (key for key in near if "_exact" in key):
        assert far[key] == pytest.approx(near[key], abs=1e-5), key


def _clouds(tmp_path: Path, mine, true, kind: str, shift) -> list[Path]:
    """Write both clouds with digits down to the micrometre, moved by a shift."""
    paths = []
    for name, points in (("mine", mine), ("true", true)):
        path, moved = tmp_path / f"{name}.{kind}", points + shift
        rows = "".join(f"{x:.9f} {y:.9f} {z:.9f}\n" for x, y, z in moved)
        head = "ply\nformat ascii 1.0\nelement vertex {}\n" + "".join(
            f"property double {axis}\n" for axis in "xyz"
        )
        document = {
            "asset": {"version": "2.0"},
            "nodes": [{"mesh": 0, "translation": (np.zeros(3) + shift).tolist()}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}],
            "accessors": [
                {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"}
            ],
            "bufferViews": [{"buffer": 0, "byteLength": 12 * len(points)}],
            "buffers": [{"byteLength": 12 * len(points)}],
        }
        content = {
            "ply": head.format(len(points)) + "end_header\n" + rows,
            "xyz": rows,
            "glb": glb(document, points.astype("<f4").tobytes()),
        }[kind]
        paths.append(written(path, content))
    return paths


def test_icp_works_far_from_the_origin(tmp_path):
    mine, true, faces = _pair("mesh")
    paths = [
        saved(tmp_path / f"{k}.npz", vertices=side + SHIFT, faces=faces)
        for k, side in enumerate((mine, true))
    ]
    found = compare_files(*paths, "icp_se3", samples=5000, with_floors=False)
    moved = np.array(found["similarity"]["rotation"]) @ (mine + SHIFT).T
    moved = moved.T + found["similarity"]["translation"]
    assert np.abs(moved - true - SHIFT).max() < 0.01
