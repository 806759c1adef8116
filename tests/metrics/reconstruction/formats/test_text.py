"""XYZ, OFF and STL: every spelling of the same surface, and what is refused."""

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

POINTS = np.random.default_rng(0).uniform(0, 2, (40, 3)).round(6)


def rows(separator: str = " ", extra: str = "", decimal: str = ".") -> str:
    return "".join(
        separator.join(f"{number:.6f}" for number in row).replace(".", decimal) + extra + "\n"
        for row in POINTS
    )


CLOUDS = {
    "blanks": rows(),
    "tabs": rows("\t"),
    "commas": rows(","),
    "commas and blanks": rows(", "),
    "semicolons": rows(";"),
    "semicolons at the ends": rows("; ").replace("\n", ";\n"),
    "Windows line ends": rows().replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + rows(),
    "a count": "40\n" + rows(),
    "a count and a blank line": "40\n\n" + rows(),
    "a header": "X Y Z\n" + rows(),
    "a header with commas": "x,y,z\n" + rows(","),
    "a count and a header": "40\nX Y Z R G B\n" + rows(extra=" 1 2 3"),
    "a header and a count": "X Y Z\n40\n" + rows(),
    "CloudCompare": "//X Y Z R G B\n" + rows(extra=" 1 2 3"),
    "comments": "# made by hand\n" + rows() + "# end\n",
    "colours and normals": rows(extra=" 255 128 0 0.5 0.5 0.7"),
    "columns in another order": "z x y\n"
    + "".join(f"{z:.6f} {x:.6f} {y:.6f}\n" for x, y, z in POINTS),
    "exponents": "".join(" ".join(f"{n:.6e}" for n in row) + "\n" for row in POINTS),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_every_spelling_is_the_same_cloud(tmp_path, name):
    found = read_surface(written(tmp_path / "a.xyz", CLOUDS[name]))
    assert found.faces is None and np.allclose(found.points, POINTS, atol=1e-9)


WRONG_CLOUDS = {
    "decimal commas": (
        rows(decimal=","),
        r"row 1 has decimal commas.*\(1,27.*write decimal points",
    ),
    "decimal commas with tabs": ("\n" + rows("\t", decimal=","), "row 2 has decimal commas"),
    "decimal commas with semicolons": (rows(";", decimal=","), "row 1 has decimal commas"),
    "commas for both": (rows(",", decimal=","), "row 1 may have decimal commas"),
    "a thousands comma": (rows() + "1,000.5 2 3\n", "row 41 has decimal commas"),
    "an empty field": (rows(",") + "1,,2\n", "row 41 has an empty field"),
    "a wrong count": ("41\n" + rows(), "promises 41 points, but 40 rows follow"),
    "a short row": (rows() + "1 2\n", "row 41 has 2 numbers where others have 3"),
    "a short row after a header": ("X Y Z\n" + rows() + "1 2\n", "row 42 has 2 numbers"),
    "two columns": ("1 2\n3 4\n", "its rows have 2 numbers"),
    "words": (rows() + "end of file\n", "row 41: 'end' is not a number"),
    "atoms": ("2\nwater\nO 0 0 0\nH 0 0 1\n", "row 2: 'water' is not a number"),
    "row numbers": (
        "".join(f"{k} {x} {y} {z}\n" for k, (x, y, z) in enumerate(POINTS)),
        "its first column numbers the rows",
    ),
    "a header without x": ("a b c\n" + rows(), "its header names a b c"),
    "a header of another width": ("x y z\n" + rows(extra=" 1"), "where rows have 4 numbers"),
    "not a number": (rows() + "nan nan nan\n", "1 of 41 points are not finite"),
    "UTF-16": (rows().encode("utf-16"), "is UTF-16 or UTF-32 text"),
    "zero bytes": (rows().encode() + b"\0\0\0", "holds zero bytes"),
    "nothing": ("# no points\n\n", "holds no points"),
}


@pytest.mark.parametrize("name", WRONG_CLOUDS)
def test_a_wrong_cloud_is_refused_by_its_row(tmp_path, name):
    content, message = WRONG_CLOUDS[name]
    path = written(tmp_path / "a.xyz", content)
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*" + message) as error:
        read_surface(path)
    assert "\n" not in str(error.value)


def off(header: str = "OFF\n8 12 0\n", tail: str = "", faces: list = TRIANGLES) -> str:
    lines = [f"{x:g} {y:g} {z:g}" for x, y, z in BOX]
    lines += [f"{len(face)} " + " ".join(map(str, face)) + tail for face in faces]
    return header + "\n".join(lines) + "\n"


MIXED = [QUADS[0], *TRIANGLES[2:4], QUADS[2], QUADS[3], *TRIANGLES[8:10], QUADS[5]]
OFFS = {
    "plain": off(),
    "counts on the first line": off("OFF 8 12 18\n"),
    "no edges": off("OFF\n8 12\n"),
    "comments and blanks": off("# box\nOFF # 1\n\n# counts\n8 12 0\n\n").replace("\n", "\n\n"),
    "colours of faces": off(tail=" 255 0 0"),
    "colours of vertices": off("COFF\n8 12 0\n").replace("\n0 0 0\n", "\n0 0 0 255 0 0 255\n"),
    "mixed polygons": off("OFF\n8 8 0\n", faces=MIXED),
    "byte order mark": "\ufeff" + off(),
}


@pytest.mark.parametrize("name", OFFS)
def test_every_off_is_the_same_box(tmp_path, name):
    assert area(written(tmp_path / "a.off", OFFS[name])) == pytest.approx(BOX_AREA)


@pytest.mark.parametrize("name", CONCAVE)
def test_concave_polygons_of_off_keep_their_outline(tmp_path, name):
    outline, wanted = CONCAVE[name]
    lines = [f"{x} {y} 0" for x, y in outline]
    face = f"{len(outline)} " + " ".join(map(str, range(len(outline))))
    text = "\n".join([f"OFF\n{len(outline)} 1 0", *lines, face])
    assert area(written(tmp_path / "a.off", text)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (off("OFF\n8 1000 0\n"), "promises 8 vertices and 1000 faces, but 20 rows follow"),
        (off("OFF\n8 11 0\n"), "promises 8 vertices and 11 faces, but 20 rows follow"),
        (off("OFF\n80000000 12 0\n"), "holds 80000000 points, more than"),
        (off("OFF BINARY\n8 12 0\n"), "line 1: 'BINARY' is not a number"),
        (off() + "\x1d\n", r"line 23: '\\x1d' is not a number"),
        (off("4OFF\n8 12 0\n"), "begins with '4OFF', not with OFF"),
        (off("8 12 0\n"), "begins with '8 12 0', not with OFF"),
        (off("OFF\n8 12 0 0 0\n"), "does not say how many"),
        (off("OFF\n8.5 12 0\n"), "its counts are not whole numbers"),
        (off(faces=[*TRIANGLES[:11], (0, 1, 8)]), "faces refer to vertices 0 to 8 of 8"),
        (off().replace("3 0 1 3", "4 0 1 3"), "face 0 does not hold as many corners as it says"),
        (off().replace("3 0 1 3", "3 0 1 3.5"), "vertex indices are not whole numbers"),
        (off().replace("3 0 1 3", "3 0 1 1e999"), "vertex indices are not whole numbers"),
        (off().replace("\n2 0 0\n", "\n2 0\n"), "vertex 4 has fewer than 3 numbers"),
    ],
)
def test_a_wrong_off_is_refused(tmp_path, text, message):
    path = written(tmp_path / "a.off", text)
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*" + message):
        read_surface(path)


def stl_text(indent: str = "  ", upper: bool = False) -> str:
    lines = ["solid box"]
    for face in TRIANGLES:
        corners = [indent + "vertex " + " ".join(f"{n:g}" for n in BOX[k]) for k in face]
        lines += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
    text = "\n".join([*lines, "endsolid box", ""])
    return text.upper() if upper else text


def stl_binary(head: bytes = b"") -> bytes:
    facets = b"".join(
        struct.pack("<12fH", 0, 0, 0, *BOX[list(face)].reshape(-1), 0) for face in TRIANGLES
    )
    return head.ljust(80, b"\0") + struct.pack("<I", len(TRIANGLES)) + facets


STLS = {
    "text": stl_text(),
    "text without indents": stl_text(""),
    "text in capitals": stl_text("\t", upper=True),
    "two solids": stl_text().replace("endfacet\n", "endfacet\nendsolid\nsolid b\n", 1),
    "binary": stl_binary(),
    "binary that begins with solid": stl_binary(b"solid box"),
}


@pytest.mark.parametrize("name", STLS)
def test_every_stl_is_the_same_box(tmp_path, name):
    assert area(written(tmp_path / "a.stl", STLS[name])) == pytest.approx(BOX_AREA)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (stl_binary()[:-10], "says that it holds 12 triangles and has room for 11"),
        (stl_binary() + b"\0" * 50, "says that it holds 12 triangles and has room for 13"),
        (stl_binary(b"solid")[:-10], "holds zero bytes"),
        (stl_text()[: stl_text().index("endsolid")], "does not end with endsolid"),
        (stl_text()[: stl_text().index("endloop")], "does not end with endsolid"),
        (stl_text().replace("  vertex 0 0 0\n", "", 1), "line 6 is not the expected statement"),
        (stl_text().replace("vertex 0 0 0", "vertex 0 0", 1), "line 4 does not have 3 numbers"),
        (stl_text().replace("vertex 0 0 0", "vertex 0 0 o", 1), "line 4: 'o' is not a number"),
        (b"", "says that it holds 0 triangles"),
    ],
)
def test_a_wrong_stl_is_refused(tmp_path, content, message):
    path = written(tmp_path / "a.stl", content)
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*" + message):
        read_surface(path)
