"""Open zip archives of any origin; an entry is measured before it is unpacked."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from metrics.files import LARGEST_FILE, InputError, require_regular

# What zipfile raises for an archive, or an entry, that is cut short, encrypted or damaged.
_UNREADABLE = (
    *(zipfile.BadZipFile, zipfile.zlib.error, EOFError, KeyError, OSError, RuntimeError),
    ValueError,
)


def open_zip(file: Path | BinaryIO, label: str, fix: str) -> zipfile.ZipFile:
    """Open an archive and read its list of entries.

    Args:
        file: the path, or an opened file.
        label: names it in messages.
        fix: how to fix a missing or damaged archive, for messages.

    Raises:
        InputError: it is missing, not a regular file or no zip archive, or its list cannot be read,
            such as an entry's name that is marked as UTF-8 and is not.
    """
    if isinstance(file, Path):
        require_regular(file, fix)
    try:
        return zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise InputError(f"{label}: no readable zip archive ({error}); {fix}") from error


def check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, label: str, fix: str) -> None:
    """Raise `InputError` for an entry that could take more memory than its sizes say.

    Args:
        archive: the opened archive.
        entry: one of its entries.
        label: names the entry in messages.
        fix: how to fix it, for messages.
    """
    # zipfile unpacks the other methods (bzip2, LZMA) as a whole, whatever is asked for.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{label}: packed by method {entry.compress_type}; pack it by deflate")
    # zipfile reserves memory for the packed bytes that an entry announces.
    if entry.header_offset + entry.compress_size > archive.start_dir:
        raise InputError(f"{label}: has more packed bytes than its archive; {fix}")


def read_entry(archive: zipfile.ZipFile, name: str, fix: str, limit: int = LARGEST_FILE) -> bytes:
    """Return the bytes of an entry.

    Args:
        archive: the opened archive.
        name: of the entry.
        fix: how to fix an entry that is missing or damaged, for messages.
        limit: largest size, bytes.

    Raises:
        InputError: the entry is missing, damaged, encrypted, packed in a way that is not read, or
            larger than `limit`.
    """
    label = f"{archive.filename}:{name}"
    try:
        entry = archive.getinfo(name)
        check_entry(archive, entry, label, fix)
        if entry.file_size > limit:
            raise InputError(f"{label}: larger than {limit >> 20} MiB; {fix}")
        return archive.read(entry)
    except _UNREADABLE as error:
        raise InputError(f"{label}: unreadable ({error}); {fix}") from error
