"""Two bare files: reading them, aligning them, exact values against SciPy, floors."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from metrics.files import InputError
from metrics.reconstruction.compare_files import (
    Surface,
    compare_files,
    compare_surfaces,
    exact_values,
)
from metrics.reconstruction.surface_files import read_surface

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
        ({"points": np.eye(3), "pixels": np.full((3, 3), -1)}, "pixels beyond"),
        ({"points": np.array([[None, 1, 2]])}, r"points: is object \[1, 3\]; give numbers"),
    ],
)
def test_bad_arrays_are_reported(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        read_surface(saved(tmp_path / "a.npz", **arrays))


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


def test_files_named_inside_a_file_are_not_opened(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl x\nf 1 2 3\n")
    (tmp_path / "a.mtl").write_text("newmtl x\nmap_Kd /etc/passwd\n")
    assert len(read_surface(path).faces) == 1
