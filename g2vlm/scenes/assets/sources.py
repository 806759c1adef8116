"""Fetch the furniture catalogs and floor textures, checked by sha256.

They come from a private `apt-get download` (no root, no change to the system's index) or a local
folder; the checksums are the same.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from metrics.files import InputError, read_bytes
from metrics.zip_file import open_zip, read_entry

PACKAGES = ("sweethome3d-furniture", "sweethome3d")
JAR = "sweethome3d.jar"
TEXTURE_FOLDER = "com/eteks/sweethome3d/io/resources/textures/"
CATALOGS = {
    "BlendSwap-CC-0": "7ef093fe70cedbb160bdb532d86a84580459635e34130c16777f549eba1993dc",
    "BlendSwap-CC-BY": "29ae78937b4d5dbe93db74067817a984fa411f017b007fd666bc40368bdb0c83",
    "KatorLegaz": "f512443b5d3a6903497573095f971f44334b3165ab32182133051fa9487764a6",
    "Scopia": "b4505451b1e8ab339c101c0afddfef4e1a07b95aa8c821c61ec41487afd43850",
}
TEXTURES = {
    "beigeTile": "46c50352b9c860c1a5df78b4547ac25f8cd7d3bc5dbc52eab647eb93b7198997",
    "greyTile": "6755f3e8daa50a55172b29ef1565c81ec35002f260cf979e9d118400af75147e",
    "oldWoodenFloor": "4f527bf11db10cd6b3237bea71c558e7eee9b1f56d62cbf48f5b9509ab403e97",
    "redTiles": "a643846cfee62fc22049df74f7317b3229df25a7c8f8125624aab2815461f2ef",
    "stoneTiles": "87e5bba22f4f2cce06e01bfc8a6710f8c739b682ebb7926457457a8c8f1c130c",
    "woodenFloor": "bc92c0388f098e3a9a5cc821074c90cf2ad7e41a62544efb14e7b556a2bf53b4",
}
WAYS = (
    "There are two ways: let `make data` fetch the Debian packages sweethome3d-furniture 1.8 and "
    "sweethome3d 7.0.2 with apt-get; or give FURNITURE=DIR, a folder with these packages, unpacked "
    "or as .deb files"
)
_FIX = "fetch it again"


def fetch(destination: Path, furniture: str | None = None) -> None:
    """Fill `destination`/furniture and `destination`/textures.

    Args:
        destination: where to write.
        furniture: folder with the sources; None takes them from apt-get.

    Raises:
        InputError: a source is missing, corrupt or not the pinned version.
    """
    with tempfile.TemporaryDirectory(prefix="g2vlm-sources-") as scratch:
        folder = Path(furniture) if furniture else download(Path(scratch) / "apt")
        for package in sorted(folder.glob("*.deb")):
            call = ["dpkg-deb", "-x", str(package.resolve()), scratch]
            run_tool(call, folder, WAYS)
        folders = (folder, Path(scratch))
        for name, pinned in CATALOGS.items():
            target = destination / "furniture" / f"{name}.sh3f"
            copy_checked(find(folders, f"{name}.sh3f", WAYS), target, pinned)
        jar = find(folders, JAR, WAYS)[0]
        with open_zip(jar, str(jar), _FIX) as archive:
            for name, pinned in TEXTURES.items():
                entry = f"{TEXTURE_FOLDER}{name}.jpg"
                data = read_entry(archive, entry, _FIX)
                target = destination / "textures" / f"{name}.jpg"
                write_checked({f"{jar}:{entry}": data}, target, pinned)


def download(folder: Path) -> Path:
    """Fetch the Debian packages into `folder` with private apt state; needs no root."""
    private = {"Dir::State::Lists": "lists", "Dir::Cache": "cache", "Dir::State": "state"}
    options = ["-q", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    for key, name in private.items():
        (folder / name / "partial").mkdir(parents=True, exist_ok=True)
        options += ["-o", f"{key}={folder / name}/"]
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
    for words in (["update"], ["download", *PACKAGES]):
        run_tool(["apt-get", *options, *words], folder, WAYS)
    return folder


def find(folders: Sequence[Path], name: str, ways: str) -> list[Path]:
    """Return the files of a name below some folders.

    Args:
        folders: in the order in which they are searched.
        name: of the file; `*` matches anything.
        ways: to get the sources, for the message.

    Raises:
        InputError: there is none.
    """
    matches = [path for folder in folders for path in sorted(folder.rglob(name))]
    if not matches:
        raise InputError(f"{folders[0]}: missing, cut short or without {name}. {ways}")
    return matches


def copy_checked(matches: Sequence[Path], target: Path, pinned: str) -> None:
    """Copy the file whose sha256 is `pinned`; raises `InputError` if none of the matches is it."""
    write_checked({str(match): read_bytes(match, _FIX) for match in matches}, target, pinned)


def write_checked(contents: Mapping[str, bytes], target: Path, pinned: str) -> None:
    """Write the content {its label: bytes} whose sha256 is `pinned`.

    Raises:
        InputError: none has it.
    """
    for data in contents.values():
        if hashlib.sha256(data).hexdigest() == pinned:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            return
    raise InputError(
        f"{next(iter(contents))}: corrupt or another version (its sha256 is not {pinned[:12]}…); "
        f"{_FIX}"
    )


def run_tool(call: list[str], folder: Path, ways: str) -> None:
    """Run a program that fetches or unpacks sources.

    Args:
        call: the program and its arguments.
        folder: to run it in.
        ways: other ways to get the sources, for the message.

    Raises:
        InputError: the program is missing or fails.
    """
    if not shutil.which(call[0]):
        raise InputError(f"{call[0]}: not on this machine. {ways}")
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{call[0]}: {reason}. {ways}")
