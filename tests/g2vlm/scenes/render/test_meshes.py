"""Models and rooms: parsing, axes, stretching, walls around openings."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest

from g2vlm.scenes.assets.objfile import read_obj
from g2vlm.scenes.render.meshes import ModelLibrary, place_model
from g2vlm.scenes.render.room import room_shell, wall_frame
from g2vlm.scenes.render.scene import scene_mesh
from metrics.constants import OPENING, WALL
from metrics.files import InputError
from tests.g2vlm.scenes.render.conftest import make_recipe, thing


def _archive(tmp_path, **entries: str) -> zipfile.ZipFile:
    path = tmp_path / "models.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name.replace("_", "."), text)
    return zipfile.ZipFile(path)


VERTICES = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvn 0 0 1\n"


@pytest.mark.parametrize(
    "face",
    [
        "f 1 2 3 4",
        "f 1//1 2//1 3//1 4//1",
        "f 1/ 2/ 3/ 4/",
        "f -4 -3 -2 -1",
        "f  1//1  2//1 3//1 4//1 ",
    ],
)
def test_obj_quads_become_two_triangles(tmp_path, face):
    mesh = read_obj(_archive(tmp_path, a_obj=VERTICES + face + "\n"), "a.obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_faces_of_every_form_keep_their_corners_and_materials(tmp_path, end):
    rows = ["v\t0 0 0", "v 1 0 0", "v 1 1 0 0.5", "  # v 9 9 9", "v 0 1 0", "vt 0 0", "vt 1 .5"]
    rows += ["usemtl a", "f 1/1 2/2 3/1", "f 1//7 3//7 4//7", "usemtl b", "f 1 2 3 4"]
    rows += ["usemtl a", "f 2/2\t3/1  4/1"]
    mesh = read_obj(_archive(tmp_path, a_obj=end.join(rows)), "a.obj")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    # Faces of one form are grouped, in the order in which the forms first appear.
    order = [[0, 1, 2], [1, 2, 3], [0, 2, 3], [0, 1, 2], [0, 2, 3]]
    assert mesh.faces.tolist() == order
    assert mesh.material.tolist() == [1, 1, 1, 2, 2]
    assert mesh.uv[1].tolist() == [[1, 0.5], [0, 0], [0, 0]]


@pytest.mark.parametrize("face", ["f 1/1 2 3", "f 1/1/1/1 2/1/1/1 3/1/1/1", "f 1/ 2 3"])
def test_a_face_whose_corners_differ_in_form_is_named(tmp_path, face):
    with pytest.raises(InputError, match=r"a\.obj: line 6: corners of one face differ"):
        read_obj(_archive(tmp_path, a_obj=VERTICES + face + "\n"), "a.obj")


@pytest.mark.parametrize("text", ["", VERTICES + "f 1 2 9\n", "v 0 zero 0\nf 1 1 1\n"])
def test_broken_obj_names_the_entry(tmp_path, text):
    with pytest.raises(InputError, match=r"models\.zip:a\.obj"):
        read_obj(_archive(tmp_path, a_obj=text), "a.obj")


PLAIN = VERTICES + "f 1 2 3 4\n"


def test_a_missing_material_library_is_named(tmp_path):
    archive = _archive(tmp_path, a_obj="mtllib gone.mtl\nusemtl oak\n" + PLAIN)
    with pytest.raises(InputError, match=r"models\.zip:a\.obj: its material library gone\.mtl"):
        read_obj(archive, "a.obj")


def test_a_library_without_any_material_used_is_named(tmp_path):
    text = "mtllib b.mtl\nusemtl oak\n" + PLAIN
    archive = _archive(tmp_path, a_obj=text, b_mtl="newmtl pine\nKd 1 0 0\n")
    with pytest.raises(InputError, match=r"a\.obj: none of its materials is in b\.mtl"):
        read_obj(archive, "a.obj")


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("Kd . 0 1", "b.mtl: line 2: a material is not given by 3 numbers"),
        ("Kd 1 0", "b.mtl: line 2: a material is not given by 3 numbers"),
        ("Kd spectral a.rfl", "b.mtl: line 2: a material is not given by 3 numbers"),
        ("Kd 1 nan 0", "b.mtl: line 2: a material is not given by 3 numbers"),
        ("d", "b.mtl: line 2: a material is not given by 1 number;"),
        ("d null", "b.mtl: line 2: a material is not given by 1 number;"),
    ],
)
def test_a_broken_material_is_named_by_its_line(tmp_path, line, where):
    archive = _archive(
        tmp_path, a_obj="mtllib b.mtl\nusemtl pine\n" + PLAIN, b_mtl=f"newmtl pine\n{line}\n"
    )
    with pytest.raises(InputError, match=re.escape(where)):
        read_obj(archive, "a.obj")


def test_a_material_is_read_with_tabs_blanks_and_a_byte_order_mark(tmp_path):
    archive = _archive(
        tmp_path,
        a_obj="mtllib\tb.mtl\n usemtl\tpine \n" + PLAIN,
        b_mtl="\ufeff newmtl\tpine\n\tKd\t1 0.25 2\n d -halo 0.5\n",
    )
    mesh = read_obj(archive, "a.obj")
    material = mesh.materials[mesh.material[0]]
    assert (material.colour, material.opacity) == ((1, 0.25, 1), 0.5)


def test_concave_polygons_of_a_catalog_stay_fans(tmp_path):
    # All rooms of the study are made of these triangles.
    corners = "v 2 0 0\nv 2 1 0\nv 1 1 0\nv 1 2 0\nv 0 2 0\nv 0 0 0\n"
    mesh = read_obj(_archive(tmp_path, a_obj=corners + "f 1 2 3 4 5 6\n"), "a.obj")
    assert mesh.faces.tolist() == [[0, k, k + 1] for k in range(1, 5)]


def test_relative_indices_count_from_the_face(tmp_path):
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nf -3/-1 -2/-1 -1/-1\n"
    text += "v 5 0 0\nv 6 0 0\nv 6 1 0\nvt 1 0\nf -3/-1 -2/-1 -1/-1\n"
    mesh = read_obj(_archive(tmp_path, a_obj=text), "a.obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert mesh.uv[:, 0].tolist() == [[0, 0], [1, 0]]


def test_one_unknown_material_among_known_ones_is_grey(tmp_path):
    text = "mtllib b.mtl\nusemtl pine\n" + PLAIN + "usemtl oak\nf 1 2 3\n"
    archive = _archive(tmp_path, a_obj=text, b_mtl="newmtl pine\nKd 1 0 0\n")
    mesh = read_obj(archive, "a.obj")
    colours = [mesh.materials[k].colour for k in mesh.material]
    assert colours == [(1, 0, 0), (1, 0, 0), (0.6, 0.6, 0.6)]


def test_a_corrupt_entry_is_named(tmp_path):
    _archive(tmp_path, a_obj=PLAIN).close()
    path = tmp_path / "models.zip"
    path.write_bytes(path.read_bytes().replace(b"f 1 2 3 4", b"f 1 2 3 3"))
    with pytest.raises(InputError, match=r"models\.zip:a\.obj: unreadable"):
        read_obj(zipfile.ZipFile(path), "a.obj")


def test_a_texture_is_looked_up_by_its_file_name(catalog):
    archive, entry = catalog.open("Tiny#sheet")
    textures = [m.texture for m in read_obj(archive, entry).materials]
    assert "sheet/leaf.png" in textures


def test_invisible_faces_are_left_out(catalog):
    assert len(ModelLibrary(catalog).model("Tiny#sheet").faces) == 2


def _front(catalog, name: str, yaw: int) -> np.ndarray:
    """Return where the blue face's middle lies from the centre of a placed cube."""
    model = ModelLibrary(catalog).model(name)
    blue = [m.colour[2] > 0.5 for m in model.materials]
    item = thing(0, name, "box", [1000, 2000], yaw_deg=yaw, base_mm=100)
    corners = place_model(model, item)[model.faces[np.array(blue)[model.material]]]
    return corners.mean(axis=(0, 1)) - [1.0, 2.0, 0.4]


def test_front_faces_minus_y_and_turns_counter_clockwise(catalog):
    assert _front(catalog, "Tiny#cube", 0) == pytest.approx([0, -0.2, 0], abs=1e-6)
    assert _front(catalog, "Tiny#cube", 90) == pytest.approx([0.2, 0, 0], abs=1e-6)


def test_model_rotation_of_the_catalog_is_applied(catalog):
    # Row-major [0 0 1; 0 1 0; -1 0 0] turns +Z into +X, which stays +x here; width is 0.5 m.
    assert _front(catalog, "Tiny#turned", 0) == pytest.approx([0.25, 0, 0], abs=1e-6)


def test_models_are_stretched_to_the_stated_size(catalog):
    mesh = scene_mesh(make_recipe(), ModelLibrary(catalog))
    corners = mesh.object_vertices(0)
    assert corners.min(axis=0) == pytest.approx([2.25, 1.3, 0.0], abs=1e-6)
    assert corners.max(axis=0) == pytest.approx([2.75, 1.7, 0.6], abs=1e-6)


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    return (
        np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        ).astype(float)
        / 2
    )


def test_openings_are_cut_out_of_the_walls():
    shell, instance = room_shell(make_recipe())
    area = _areas(shell.vertices, shell.faces)
    openings = 0.9 * 2.0 + 1.2 * 1.0
    assert area[instance == OPENING].sum() == pytest.approx(openings, rel=1e-5)
    assert area[instance == WALL].sum() == pytest.approx(14 * 2.5 - openings, rel=1e-5)


def test_walls_run_counter_clockwise():
    size = np.array([4.0, 3.0, 2.5])
    ends = [wall_frame(k, size) for k in range(4)]
    for k, (start, along, length) in enumerate(ends):
        assert start + along * length == pytest.approx(ends[(k + 1) % 4][0])


def test_missing_floor_texture_names_the_file(catalog):
    with pytest.raises(InputError, match=r"nothing\.jpg"):
        ModelLibrary(catalog).floor("nothing")
