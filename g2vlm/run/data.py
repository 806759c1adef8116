"""Check `data/` against its pins: `python -m g2vlm.run.data verify | pin`.

`data.manifest.json` pins every file of `data/` by sha256, `data.dvc` the folder as a whole.
"""

import argparse
import os
from pathlib import Path

from g2vlm.scenes.real import FOLDER, REAL_ROOMS
from metrics.files import InputError, read_json, run_main, sha256_file, write_json

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("data")
MANIFEST = Path("data.manifest.json")
PIN = Path("data.dvc")
# Files of the captured rooms; a build without these rooms lacks them all.
ROOMS = (f"{REAL_ROOMS}/", f"{FOLDER}/")


def hash_files(data: Path = DATA) -> dict[str, str]:
    """Return the sha256 of every file under `data`, by its path in the folder."""
    paths = sorted(path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): sha256_file(path) for path in paths}


def verify(data: Path = DATA, manifest: Path = MANIFEST) -> int:
    """Compare `data` with the manifest and return the number of files.

    A build without the captured rooms must lack all of their files.

    Raises:
        InputError: names the first file that is missing, differs or is not listed.
    """
    if not data.is_dir():
        raise InputError(f"{data}/: not built yet; run `make data`")
    pinned = read_json(manifest)["files"]
    actual = hash_files(data)
    if not any(name.startswith(ROOMS) for name in actual):
        pinned = {name: value for name, value in pinned.items() if not name.startswith(ROOMS)}
    for name in sorted(set(pinned) | set(actual)):
        if name not in actual:
            raise InputError(f"{data}/{name}: missing; run `make data` to build it again")
        if name not in pinned:
            raise InputError(f"{data}/{name}: not in {manifest}; remove it or run `make data`")
        if pinned[name] != actual[name]:
            raise InputError(
                f"{data}/{name}: differs from {manifest}; run `make data` to build it again, "
                "or `make pin` if the change is intended"
            )
    return len(actual)


def write_manifest(data: Path = DATA, manifest: Path = MANIFEST) -> None:
    """Pin every file of `data` by sha256; an equal manifest is not written again."""
    value = {"format": "g2vlm-data", "version": 1, "files": hash_files(data)}
    if not manifest.exists() or read_json(manifest) != value:
        write_json(manifest, value)


def folder_hash(pin: Path = PIN) -> str:
    """Return the folder's hash as data.dvc pins it, or "unpinned" before the first pin."""
    if not pin.exists():
        return "unpinned"
    import yaml

    return yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]["md5"]


def main() -> None:
    """Parse the command line and act on it."""
    parser = argparse.ArgumentParser(prog="python -m g2vlm.run.data", description=__doc__)
    parser.add_argument("action", choices=["verify", "pin"])
    action = parser.parse_args().action
    os.chdir(ROOT)
    if action == "verify":
        print(f"data: {verify()} of {len(read_json(MANIFEST)['files'])} files match {MANIFEST}")
    elif DATA.is_dir():
        write_manifest()
    else:
        raise InputError(f"{DATA}/: not built yet; run `make data`")


if __name__ == "__main__":
    run_main(main)
