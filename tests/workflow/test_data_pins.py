"""data/ against its pins: an error names the first file that differs and the fix."""

import pytest

from g2vlm.run import data
from metrics.files import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b/c.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    data.write_manifest()
    data.PIN.write_text("outs:\n- md5: 0123.dir\n")
    return tmp_path / "data"


def test_equal_data_passes(folder):
    assert data.verify() == 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "b/c.txt").write_text("b/c.tyt"), "b/c.txt: differs"),
        (lambda folder: (folder / "a.csv").unlink(), "a.csv: missing"),
        (lambda folder: (folder / "b/extra").write_text(""), "b/extra: not in"),
    ],
)
def test_the_first_differing_file_is_named(folder, damage, words):
    data.verify()
    damage(folder)
    with pytest.raises(InputError, match=words) as fault:
        data.verify()
    assert "make data" in str(fault.value)


def test_the_error_without_data_names_make_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="run `make data`"):
        data.verify()


def test_an_equal_manifest_is_not_written_again(folder):
    before = data.MANIFEST.stat().st_mtime_ns
    data.write_manifest()
    assert data.MANIFEST.stat().st_mtime_ns == before


def test_the_folder_hash_is_read_from_the_pin(tmp_path):
    pin = tmp_path / "data.dvc"
    assert data.folder_hash(pin) == "unpinned"
    pin.write_text("outs:\n- md5: 0123abc.dir\n  size: 3\n  path: data\n")
    assert data.folder_hash(pin) == "0123abc.dir"
