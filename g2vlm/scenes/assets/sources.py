"""Fetch the furniture catalogs and floor textures, checked by sha256.

They come from a private `apt-get download` (no root, no change to the system's index), a local
folder, or an archive (`.zip`, `.deb`) that holds the catalogs; the checksums are the same.
"""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from g2vlm.scenes.assets.catalog import check_inside
from metrics.files import InputError

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
    "There are three ways: let `make data` fetch the Debian packages sweethome3d-furniture 1.8 and "
    "sweethome3d 7.0.2 with apt-get; give --furniture DIR with the unpacked packages; or give "
    "--furniture FILE, the upstream 3DModels archive or the folder of the .deb files"
)


def fetch(destination: Path, furniture: str | None = None) -> None:
    """Fill `destination`/furniture and `destination`/textures.

    Args:
        destination: where to write.
        furniture: folder or archive with the sources; None takes them from apt-get.

    Raises:
        InputError: a source is missing, corrupt or not the pinned version.
    """
    with tempfile.TemporaryDirectory(prefix="g2vlm-sources-") as scratch:
        origin = Path(furniture) if furniture else download(Path(scratch) / "apt")
        if not origin.exists():
            raise InputError(f"{origin}: no such folder or archive. {WAYS}")
        folder = unpack(origin, Path(scratch) / "unpacked")
        for name, pinned in CATALOGS.items():
            target = destination / "furniture" / f"{name}.sh3f"
            source = _find(folder, f"{name}.sh3f", origin)
            _write_checked(source.read_bytes(), str(source), target, pinned)
        _textures(_find(folder, JAR, origin), destination / "textures")


def download(folder: Path) -> Path:
    """Fetch and unpack the Debian packages into `folder` with private apt state; needs no root."""
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


def unpack(origin: Path, scratch: Path) -> Path:
    """Return a folder that holds the sources: `origin`, or `scratch` with its archives unpacked."""
    is_package = origin.is_file() and origin.suffix == ".deb"
    packages = [origin] if is_package else sorted(origin.glob("*.deb"))
    for package in packages:
        run_tool(["dpkg-deb", "-x", str(package), str(scratch)], scratch.parent, WAYS)
    if packages:
        return scratch
    if origin.is_file():
        scratch.mkdir(parents=True)
        try:
            with zipfile.ZipFile(origin) as archive:
                check_inside(archive)
                archive.extractall(scratch)
        except zipfile.BadZipFile as error:
            raise InputError(f"{origin}: not a zip archive ({error}); fetch it again") from error
        return scratch
    return origin


def _find(folder: Path, name: str, origin: Path) -> Path:
    """Return the first file called `name` below `folder`."""
    matches = sorted(folder.rglob(name))
    if not matches:
        raise InputError(f"{origin}: holds no {name}, or is cut short. {WAYS}")
    return matches[0]


def _write_checked(data: bytes, source: str, target: Path, pinned: str) -> None:
    """Write the content of `source` whose sha256 is `pinned`; raises `InputError` for any other."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != pinned:
        raise InputError(
            f"{source}: corrupt or another version (sha256 {digest[:12]}…, pinned {pinned[:12]}…); "
            "fetch it again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _textures(jar: Path, destination: Path) -> None:
    """Write the floor textures of Sweet Home 3D's jar."""
    try:
        with zipfile.ZipFile(jar) as archive:
            for name, pinned in TEXTURES.items():
                data = archive.read(f"{TEXTURE_FOLDER}{name}.jpg")
                _write_checked(data, f"{jar}:{name}.jpg", destination / f"{name}.jpg", pinned)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{jar}: corrupt or another version ({error}); fetch it again") from error


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
