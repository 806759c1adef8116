"""Files are written whole or not at all, and errors name the file that was asked for."""

from __future__ import annotations

import errno
import os
import tracemalloc

import pytest

from metrics.files import InputError, atomic_path, read_at_most, read_bytes


def failing(error: OSError):
    def write(path):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            if error.filename == "temporary":
                error.filename = str(temporary)
            raise error

    return write


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "I/O", "temporary")],
)
def test_an_error_in_writing_names_the_target_and_leaves_nothing(tmp_path, error):
    path = tmp_path / "scores.parquet"
    path.write_text("earlier")
    with pytest.raises(OSError) as refused:
        failing(error)(path)
    assert refused.value.filename == str(path) and refused.value.errno == error.errno
    assert path.read_text() == "earlier" and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "No such file", "other.npz"), OSError("made of words alone")]
)
def test_errors_of_other_files_keep_their_names(tmp_path, error):
    with pytest.raises(OSError) as refused:
        failing(error)(tmp_path / "scores.parquet")
    assert refused.value is error and os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named_as_asked(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "scores.parquet"
    with pytest.raises(OSError) as refused, atomic_path(path):
        pass
    assert refused.value.filename == str(path)


def test_a_message_is_one_printable_line():
    message = str(InputError("a\nb\x1b[31m\u202ec\udcff: broken; write it again"))
    assert message.isprintable() and "\n" not in message


def test_reading_reserves_no_more_memory_than_a_file_needs(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    tracemalloc.start()
    try:
        assert read_bytes(path, "write it again") == b"12345"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with path.open("rb") as handle:
        assert read_at_most(handle, 3) == b"123"
    # Files of /proc announce no size.
    assert read_bytes("/proc/self/cmdline", "write it again")
