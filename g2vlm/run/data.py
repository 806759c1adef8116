"""Check `data/` against its pins: `python -m g2vlm.run.data verify | pin | cache`.

`data.manifest.json` pins every file of `data/` by sha256, `data.dvc` the folder as a whole.
"""

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
# Files of the captured rooms; a build without these rooms lacks them all.
ROOMS = ("real_rooms/", "sources/rooms/")


def hash_files(data: Path = DATA, cache: Path | None = CACHE) -> dict[str, str]:
    """Return the sha256 of every file under `data`, by its path in the folder.

    A file is not read again while its size, inode and change time are those in `cache`.
    """
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    fresh: dict[str, Any] = {}
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        name, stat = path.relative_to(data).as_posix(), path.stat()
        # A copy can set back the modification time, but not the change time.
        state = [stat.st_size, stat.st_ino, stat.st_ctime_ns]
        old_state, digest = known.get(name, (None, None))
        fresh[name] = [state, digest if old_state == state else sha256_file(path)]
    if cache and fresh != known:
        write_json(cache, fresh)
    return {name: digest for name, (_, digest) in fresh.items()}


def verify(data: Path = DATA, manifest: Path = MANIFEST, cache: Path | None = CACHE) -> int:
    """Compare `data` with the manifest and return the number of files.

    A build without the captured rooms must lack all of their files.

    Raises:
        InputError: names the first file that is missing, differs or is not listed.
    """
    if not data.is_dir():
        raise InputError(f"{data}/: not built yet; run `make data`")
    pinned = read_json(manifest)["files"]
    actual = hash_files(data, cache)
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


def fill_cache() -> None:
    """Pin the folder in data.dvc and link its files into DVC's cache; needs a git clone."""
    if not Path(".git").exists():
        print("data: no git clone here, so DVC's cache is not filled (everything else works)")
        return
    before = PIN.read_text() if PIN.exists() else None
    call = [sys.executable, "-m", "dvc", "add", "--quiet", str(DATA)]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{PIN}: dvc add failed ({reason}); run `dvc doctor`")
    if PIN.read_text() != before:
        print(f"data: {PIN} {'changed' if before else 'written'}; commit it")


def folder_hash(pin: Path = PIN) -> str:
    """Return the folder's hash as data.dvc pins it, or "unpinned" before the first pin."""
    if not pin.exists():
        return "unpinned"
    import yaml

    return yaml.safe_load(pin.read_text(encoding="utf-8"))["outs"][0]["md5"]


def main() -> int:
    """Parse the command line and act on it."""
    parser = argparse.ArgumentParser(prog="python -m g2vlm.run.data", description=__doc__)
    parser.add_argument("action", choices=["verify", "pin", "cache"])
    action = parser.parse_args().action
    os.chdir(ROOT)
    if action == "pin":
        if not DATA.is_dir():
            raise InputError(f"{DATA}/: not built yet; run `make data`")
        write_manifest()
        fill_cache()
        return 0
    count = verify()
    complete = count == len(read_json(MANIFEST)["files"])
    note = "" if complete else " (built without the captured rooms; data.dvc pins them too)"
    print(f"data: {count} files match {MANIFEST}{note}")
    if action == "cache" and complete:
        fill_cache()
    return 0


if __name__ == "__main__":
    run_main(main)
