"""PLY: polygons, strips, text and binary of either order, and what is refused."""

import re
import struct

import numpy as np
import pytest

from metrics.files import InputError
from metrics.reconstruction.surface_files import read_surface
from tests.metrics.reconstruction.formats.shapes import (
    BOX,
    BOX_AREA,
    CONCAVE,
    QUADS,
    TRIANGLES,
    area,
    written,
)

XYZ = "property float x\nproperty float y\nproperty float z\n"
# A face as a quad, two as triangles: the sizes alternate.
MIXED = [QUADS[0], *TRIANGLES[2:4], QUADS[2], *TRIANGLES[6:8], QUADS[4], *TRIANGLES[10:12]]
STRIP = [0, 1, 2, 3, 6, 7, 4, 5, 0, 1]  # four sides; the ends are missing
ENDS = [0, 2, 4, 6], [1, 3, 5, 7]


def ply(order: str, elements: list[tuple[str, str, list]], comments: str = "") -> bytes:
    """Return a PLY of (name, properties, rows); a row is a list of numbers and of lists.

    A list's length is a uchar and its items are ints; other numbers are floats.
    """
    head = f"ply\nformat {order} 1.0\n{comments}"
    for name, properties, rows in elements:
        head += f"element {name} {len(rows)}\n{properties}"
    body = b""
    mark = ">" if order == "binary_big_endian" else "<"
    for _, _, rows in elements:
        for row in rows:
            for item in row:
                if order == "ascii":
                    numbers = [len(item), *item] if isinstance(item, list) else [item]
                    body += (" ".join(f"{n:.9g}" for n in numbers) + " ").encode()
                elif isinstance(item, list):
                    body += struct.pack(f"{mark}B{len(item)}i", len(item), *item)
                else:
                    body += struct.pack(f"{mark}f", item)
            body += b"\n" if order == "ascii" else b""
    return (head + "end_header\n").encode() + body


ORDERS = ["ascii", "binary_little_endian", "binary_big_endian"]
VERTEX = ("vertex", XYZ, BOX.tolist())
LIST = "property list uchar int vertex_indices\n"
ELEMENTS = {
    "triangles": [VERTEX, ("face", LIST, [[list(f)] for f in TRIANGLES])],
    "mixed polygons": [VERTEX, ("face", LIST, [[list(f)] for f in MIXED])],
    "vertex_index": [VERTEX, ("face", LIST.replace("ices", "ex"), [[list(f)] for f in QUADS])],
    "other lists": [
        VERTEX,
        (
            "face",
            "property float quality\nproperty list uchar int texcoord\n" + LIST,
            [[0.5, [7] * (k % 4), list(f)] for k, f in enumerate(MIXED)],
        ),
    ],
    "faces first": [("face", LIST, [[list(f)] for f in MIXED]), VERTEX],
    "an edge element": [
        VERTEX,
        ("edge", "property float a\nproperty float b\n", [[0, 1]]),
        ("face", LIST, [[list(f)] for f in TRIANGLES]),
    ],
    "strips with ends": [
        VERTEX,
        ("tristrips", LIST, [[[*STRIP, -1, *ENDS[0], -1, *ENDS[1]]]]),
    ],
    "strips in rows": [VERTEX, ("tristrips", LIST, [[STRIP], [ENDS[0]], [ENDS[1]]])],
    "strips and faces": [
        VERTEX,
        ("tristrips", LIST, [[[*STRIP, STRIP[-1]]]]),
        ("face", LIST, [[[0, 2, 6, 4]], [[1, 5, 7, 3]]]),
    ],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ELEMENTS)
def test_every_kind_is_the_same_box(tmp_path, order, name):
    path = written(tmp_path / "a.ply", ply(order, ELEMENTS[name]))
    assert area(path) == pytest.approx(BOX_AREA)


def test_strips_turn_every_second_triangle_round(tmp_path):
    path = written(tmp_path / "a.ply", ply("ascii", ELEMENTS["strips in rows"]))
    found = read_surface(path)
    corners = found.points[found.faces[: len(STRIP) - 2]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = np.einsum("ij,ij->i", normals, corners.mean(axis=1) - BOX.mean(axis=0))
    assert (outward > 0).all() or (outward < 0).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CONCAVE)
def test_concave_polygons_keep_their_outline(tmp_path, order, name):
    outline, wanted = CONCAVE[name]
    points = [[x, y, 0] for x, y in outline]
    elements = [("vertex", XYZ, points), ("face", LIST, [[list(range(len(outline)))]])]
    assert area(written(tmp_path / "a.ply", ply(order, elements))) == pytest.approx(wanted)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ELEMENTS)
def test_a_file_cut_short_is_refused_wherever_it_ends(tmp_path, order, name):
    whole = ply(order, ELEMENTS[name])
    begin = whole.index(b"end_header\n") + 11
    # A text row may lose its last digits unseen, so text is cut between rows.
    cuts = range(begin, len(whole))
    if order == "ascii":
        cuts = [k + 1 for k in range(begin - 1, len(whole) - 1) if whole[k : k + 1] == b"\n"]
    for cut in cuts:
        with pytest.raises(InputError, match="more than the file holds"):
            read_surface(written(tmp_path / "a.ply", whole[:cut]))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["triangles", "mixed polygons"])
def test_more_than_the_header_says_is_refused(tmp_path, order, name):
    whole = ply(order, ELEMENTS[name]) + (b"3 0 1 2\n" if order == "ascii" else b"\1\2\3")
    with pytest.raises(InputError, match="where its header says|more than its header says"):
        read_surface(written(tmp_path / "a.ply", whole))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([VERTEX, ("range_grid", LIST, [[[0]]])], "its element 'range_grid' is not read"),
        ([VERTEX, ("trifans", LIST, [[[0, 1, 2]]])], "its element 'trifans' is not read"),
        ([VERTEX, ("face", "property float quality\n", [[1]])], "has no list vertex_indices"),
        ([("face", LIST, [[[0, 1, 2]]])], "holds no points"),
        ([("vertex", XYZ[:34], [[0, 0]])], "vertices lack x, y or z"),
        ([VERTEX, ("face", LIST, [[[0, 1, 8]]])], "faces refer to vertices 0 to 8 of 8"),
        ([VERTEX, ("face", LIST, [[[0, 1, -1]]])], "faces refer to vertices -1 to 1 of 8"),
        ([VERTEX, ("face", LIST, [[[0, 1]], [[]]])], "none with three corners"),
        ([VERTEX, ("tristrips", LIST, [[[0, 1, -1, 2]]])], "its strips hold no triangle"),
        ([VERTEX, ("tristrips", LIST, [[[0, 1, 8]]])], "strips refer to vertices 0 to 8 of 8"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_not_read_is_refused_by_name(tmp_path, order, elements, message):
    path = written(tmp_path / "a.ply", ply(order, elements))
    with pytest.raises(InputError, match=re.escape(message)):
        read_surface(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("element vertex 80000000\n" + XYZ, "holds 80000000 points, more than 10000000"),
        ("element vertex 1\n" + XYZ + "element face 99999999999\n" + LIST, "99999999999 faces"),
        ("element vertex 1\nproperty half x\n", "the line 'property half x', which is not known"),
        ("element vertex one\n" + XYZ, "the line 'element vertex one', which is not known"),
        ("element vertex 1\n" + XYZ + "property float x\n", "has a property twice"),
        ("element vertex 1\n" + XYZ + "element vertex 1\n" + XYZ, "two elements 'vertex'"),
        ("element vertex 1\n", "its element 'vertex' has no properties"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, header, message):
    text = f"ply\nformat binary_little_endian 1.0\n{header}end_header\n"
    with pytest.raises(InputError, match=message):
        read_surface(written(tmp_path / "a.ply", text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(tmp_path, end):
    text = ply("ascii", ELEMENTS["mixed polygons"]).decode().replace("\n", end)
    assert area(written(tmp_path / "a.ply", text)) == pytest.approx(BOX_AREA)


@pytest.mark.parametrize("order", ORDERS[1:])
def test_lists_of_vertices_are_skipped_where_all_are_as_long(tmp_path, order):
    properties = XYZ + "property list uchar int views\n"
    faces = ("face", LIST, [[list(f)] for f in TRIANGLES])
    rows = [[*row, [1, 2]] for row in BOX.tolist()]
    path = written(tmp_path / "a.ply", ply(order, [("vertex", properties, rows), faces]))
    assert area(path) == pytest.approx(BOX_AREA)
    rows[3] = [*BOX[3].tolist(), [1]]
    with pytest.raises(InputError, match="its vertices have lists of different lengths"):
        read_surface(written(path, ply(order, [("vertex", properties, rows), faces])))


@pytest.mark.parametrize("index", ["1.5", "1e999", "nan"])
def test_an_index_in_text_must_be_whole(tmp_path, index):
    text = ply("ascii", ELEMENTS["triangles"]).replace(b"\n3 0 1 3", b"\n3 0 1 " + index.encode())
    with pytest.raises(InputError, match="vertex indices are not whole numbers"):
        read_surface(written(tmp_path / "a.ply", text))


def test_a_byte_order_mark_is_read_over(tmp_path):
    text = b"\xef\xbb\xbf" + ply("ascii", ELEMENTS["triangles"])
    assert area(written(tmp_path / "a.ply", text)) == pytest.approx(BOX_AREA)


def test_double_coordinates_keep_all_digits(tmp_path):
    text = "ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ.replace("float", "double")
    found = read_surface(
        written(tmp_path / "a.ply", text + "end_header\n399000.123456 5820000.5 3\n")
    )
    assert found.points.dtype == np.float64
    assert found.points.tolist() == [[399000.123456, 5820000.5, 3]]
