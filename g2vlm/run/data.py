"""`data/` against its pins: `python -m g2vlm.run.data verify | pin | cache`.

`data.manifest.json` pins every file of `data/` by sha256 and `data.dvc` the folder as a whole.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from metrics.files import InputError, read_json, run_main, sha256_file, write_json

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("data")
MANIFEST = Path("data.manifest.json")
PIN = Path("data.dvc")
CACHE = Path(".snakemake/data-seen.json")
# What a build without the captured rooms lacks.
ROOMS = ("real_rooms/", "sources/rooms/")


def list_files(data: Path = DATA) -> dict[str, Path]:
    """Return every file under `data` by its path inside it, sorted."""
    paths = sorted(path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): path for path in paths}


def hash_files(data: Path = DATA, cache: Path | None = CACHE) -> dict[str, str]:
    """Return the sha256 of every file under `data`.

    Files whose size, inode and change time are those of the last look are not read again.
    """
    seen = json.loads(cache.read_text()) if cache and cache.exists() else {}
    fresh: dict[str, Any] = {}
    for name, path in list_files(data).items():
        stat = path.stat()
        # The change time, unlike the modification time, cannot be set back by a copy.
        mark = [stat.st_size, stat.st_ino, stat.st_ctime_ns]
        known = seen.get(name)
        digest = known[1] if known and known[0] == mark else sha256_file(path)
        fresh[name] = [mark, digest]
    if cache and fresh != seen:
        write_json(cache, fresh)
    return {name: digest for name, (_, digest) in fresh.items()}


def of_rooms(name: str) -> bool:
    """Say whether a file of `data/` is one of the captured rooms'."""
    return name.startswith(ROOMS)


def verify(data: Path = DATA, manifest: Path = MANIFEST, cache: Path | None = CACHE) -> int:
    """Compare `data` with the manifest and return the number of files.

    A build without the captured rooms lacks all of their files, and is whole without them.
    Raises `InputError` naming the first file that is missing, differs or is not listed.
    """
    if not data.is_dir():
        raise InputError(f"{data}/: not built yet; run `make data`")
    pinned = read_json(manifest)["files"]
    found = hash_files(data, cache)
    if not any(map(of_rooms, found)):
        pinned = {name: digest for name, digest in pinned.items() if not of_rooms(name)}
    for name in sorted(set(pinned) | set(found)):
        if name not in found:
            raise InputError(f"{data}/{name}: missing; run `make data` to build it again")
        if name not in pinned:
            raise InputError(f"{data}/{name}: not in {manifest}; remove it or run `make data`")
        if pinned[name] != found[name]:
            raise InputError(
                f"{data}/{name}: differs from {manifest}; run `make data` to build it again, "
                "or `make pin` if the change is meant"
            )
    return len(found)


def write_manifest(data: Path = DATA, manifest: Path = MANIFEST) -> None:
    """Pin every file of `data` by sha256; an equal manifest is left untouched."""
    value = {"format": "g2vlm-data", "version": 1, "files": hash_files(data)}
    if not manifest.exists() or read_json(manifest) != value:
        write_json(manifest, value)


def fill_cache() -> None:
    """Pin the folder in data.dvc and link its files into the DVC cache (needs a git clone)."""
    if not Path(".git").exists():
        print("data: no git clone here, so DVC's cache is not filled (everything else works)")
        return
    before = PIN.read_text() if PIN.exists() else None
    call = [sys.executable, "-m", "dvc", "add", "--quiet", str(DATA)]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{PIN}: dvc add failed ({reason}); run `dvc doctor`")
    if before is not None and PIN.read_text() == before:
        return
    print(f"data: {PIN} {'written' if before is None else 'changed'}; commit it")


def folder_hash(pin: Path = PIN) -> str:
    """Return the folder's hash as data.dvc pins it, or "unpinned" before the first pin."""
    if not pin.exists():
        return "unpinned"
    rows = [row.strip(" -") for row in pin.read_text(encoding="utf-8").splitlines()]
    return next((row.split()[1] for row in rows if row.startswith("md5:")), "unpinned")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m g2vlm.run.data", description=__doc__)
    parser.add_argument("action", choices=["verify", "pin", "cache"])
    action = parser.parse_args().action
    os.chdir(ROOT)
    if action == "pin":
        if not DATA.is_dir():
            raise InputError(f"{DATA}/: not built yet; run `make data`")
        write_manifest()
        fill_cache()
    else:
        count = verify()
        whole = count == len(read_json(MANIFEST)["files"])
        rest = "" if whole else " (built without the captured rooms; data.dvc pins them too)"
        print(f"data: {count} files match {MANIFEST}{rest}")
        if action == "cache" and whole:
            fill_cache()
    return 0


if __name__ == "__main__":
    run_main(main)
