"""The sealed test: freeze all that decides a result, then draw the test rooms from it, once.

`python -m g2vlm.run.seal freeze` records the digest of the tree in config/seal.yaml;
`python -m g2vlm.run.seal open --nonce HEX` draws the test rooms. docs/sealed-test.md explains both.
"""

import argparse
import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from g2vlm.run import data as pins
from g2vlm.run.config import check_config, read_sources
from g2vlm.run.recipes import enough_recipes, write_sealed_recipes
from g2vlm.scenes.split_names import SEALED, SEALED_UNSEEN
from g2vlm.settings import describe_fault, first_fault
from metrics.files import InputError, atomic_path, run_main, sha256_file
from metrics.yaml_file import read_yaml

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path("config/seal.yaml")
# What the digest covers: the code of every stage from the generator to the verdicts, the settings,
# the declared tests, the packages, and data/ through the sha256 of each of its files.
COVERED = (
    "Snakefile",
    "baselines",
    "config",
    "data.dvc",
    "data.manifest.json",
    "g2vlm",
    "metrics",
    "report",
    "requirements.lock",
    "workflow",
)
NOT_FROZEN, FROZEN, OPENED = "not frozen", "frozen", "opened"
# The files of the drawn rooms that their sha256 is of.
ROOMS = ("language.jsonl", "scenes.jsonl")
# {split of development: the split of the sealed test that takes its place}.
DEVELOPED = {"dev_scene": "test_scene", "dev_asset": "test_asset"}
HEADER = (
    "# The sealed test (docs/sealed-test.md). `make seal` and `make open-test` write this file.\n"
)
_SHA256 = {"type": "string", "pattern": r"^[0-9a-f]{64}\Z", "description": "64 hex digits"}
_COMMIT = {"type": "string", "pattern": r"^[0-9a-f]{40}\Z", "description": "40 hex digits"}
_DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d\Z", "description": "write '2026-01-31'"}
_FIELDS: dict[str, dict[str, Any]] = {
    "state": {"enum": [NOT_FROZEN, FROZEN, OPENED]},
    "commitment": _SHA256,
    "digest": _SHA256,
    "commit": _COMMIT,
    "date": _DATE,
    "methods": {"type": "object", "additionalProperties": _SHA256},
    "opened": _DATE,
    "nonce": _SHA256,
    "seed": _SHA256,
    "rooms": {"type": "object", "additionalProperties": _SHA256},
    "classes_not_sealed": {"type": "array", "items": {"type": "string"}},
}
# The fields of the file in each state.
_PRESENT = {
    NOT_FROZEN: ("state", "commitment"),
    FROZEN: ("state", "commitment", "digest", "commit", "date", "methods"),
    OPENED: tuple(_FIELDS),
}


@dataclass(frozen=True)
class Seal:
    """The record in config/seal.yaml; a field is "" until the seal's state has it.

    Attributes:
        state: "not frozen", "frozen" or "opened".
        commitment: sha256 of the nonce, fixed before any freeze.
        digest: sha256 of the covered files (`tree_digest`) when the seal was frozen.
        commit: the commit that was frozen.
        date, opened: days (UTC) of the freeze and of the opening.
        methods: {trained method or baseline: sha256 of its own files} of the frozen tree.
        nonce: 64 hexadecimal digits, kept outside the project until the freeze is recorded.
        seed: sha256 of digest and nonce, from which the test rooms are drawn.
        rooms: {experiment: sha256 of its test rooms}.
        classes_not_sealed: classes of furniture without a model that no room of data/ shows.
    """

    state: str
    commitment: str
    digest: str = ""
    commit: str = ""
    date: str = ""
    methods: dict[str, str] = field(default_factory=dict)
    opened: str = ""
    nonce: str = ""
    seed: str = ""
    rooms: dict[str, str] = field(default_factory=dict)
    classes_not_sealed: list[str] = field(default_factory=list)


def read_seal(path: Path = RECORD) -> Seal:
    """Return the record of the seal after checking its fields and its arithmetic.

    Raises:
        InputError: the file is missing or malformed, or nonce and seed do not follow from the rest.
    """
    content = read_yaml(path)
    present = _PRESENT.get(content.get("state"), ("state", "commitment"))
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": list(present),
        "properties": {name: _FIELDS[name] for name in present},
    }
    fault = first_fault(schema, content)
    if fault is not None:
        raise InputError(f"{path}: {describe_fault(fault)}")
    seal = Seal(**content)
    if seal.state == OPENED:
        require_nonce(seal, seal.nonce, str(path))
        if seal.seed != derive_seed(seal.digest, seal.nonce):
            raise InputError(
                f"{path}: `seed` is not the sha256 of digest and nonce; restore the committed file"
            )
    return seal


def write_seal(seal: Seal, path: Path = RECORD) -> None:
    """Write the fields that the seal's state has."""
    content = {name: asdict(seal)[name] for name in _PRESENT[seal.state]}
    with atomic_path(path) as temporary:
        temporary.write_text(HEADER + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def derive_seed(digest: str, nonce: str) -> str:
    """Return the seed of the test rooms: the sha256 of both texts, the digest first."""
    return hashlib.sha256(f"{digest}{nonce}".encode()).hexdigest()


def require_nonce(seal: Seal, nonce: str, source: str) -> None:
    """Raise `InputError` unless the nonce is the one that the seal's commitment was made of."""
    if not re.fullmatch("[0-9a-f]{64}", nonce):
        raise InputError(f"{source}: a nonce is 64 lower-case hexadecimal digits; give all of them")
    if hashlib.sha256(nonce.encode()).hexdigest() != seal.commitment:
        raise InputError(
            f"{source}: sha256 of the nonce is not the commitment in {RECORD}; give the nonce that "
            "the commitment was made of"
        )


def digest_files(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of what `sha256sum` prints for the files, in the order of their names."""
    lines = [f"{sha256_file(root / name)}  {name}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tree_digest(root: Path = Path()) -> str:
    """Return the digest of the covered files as they are now, with those not yet added to Git."""
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *COVERED)
    names = {name for name in listed.split("\0") if name and name != RECORD.as_posix()}
    return digest_files(root, (name for name in names if (root / name).is_file()))


def method_hashes(root: Path = Path()) -> dict[str, str]:
    """Return {trained method or baseline: sha256 of its own files (`digest_files`)}."""
    files = {path.stem: [path] for path in (root / "config" / "methods").glob("*.yaml")}
    for path in (root / "baselines").glob("*/method.py"):
        own = [file for file in path.parent.rglob("*") if "__pycache__" not in file.parts]
        files[path.parent.name] = [file for file in own if file.is_file()]
    return {
        name: digest_files(root, (path.relative_to(root).as_posix() for path in files[name]))
        for name in sorted(files)
    }


def freeze(root: Path = Path()) -> Seal:
    """Record the digest of the tree, its methods, the commit and the day in config/seal.yaml.

    Args:
        root: the clone.

    Raises:
        InputError: the seal is frozen or opened already, or the tree differs from its commit.
    """
    seal = read_seal(root / RECORD)
    if seal.state != NOT_FROZEN:
        raise InputError(
            f"{RECORD}: {seal.state} already, on {seal.date}; docs/sealed-test.md tells how to "
            "abandon a seal"
        )
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        raise InputError(
            f"{changed[0][3:]}: differs from the last commit; commit or remove what "
            "`git status` lists, then freeze"
        )
    seal = replace(
        seal,
        state=FROZEN,
        digest=tree_digest(root),
        commit=_git(root, "rev-parse", "HEAD").strip(),
        date=_today(),
        methods=method_hashes(root),
    )
    write_seal(seal, root / RECORD)
    return seal


def derive_opened(nonce: str, root: Path = Path()) -> Seal:
    """Return the opened seal, still without its rooms; nothing is written.

    Args:
        nonce: 64 hexadecimal digits.
        root: the clone.

    Raises:
        InputError: the seal is not frozen, opened already or not committed; the nonce is not the
            committed one; the tree differs from the frozen one.
    """
    seal = read_seal(root / RECORD)
    if seal.state == NOT_FROZEN:
        raise InputError(f"{RECORD}: not frozen; run `make seal` and commit the record first")
    if seal.state == OPENED:
        raise InputError(f"{RECORD}: opened already, on {seal.opened}; a seal opens once")
    if _git(root, "status", "--porcelain", "--", RECORD.as_posix()):
        raise InputError(f"{RECORD}: the freeze is not committed; commit it before the opening")
    require_nonce(seal, nonce, "--nonce")
    if tree_digest(root) != seal.digest:
        raise InputError(
            f"{_first_difference(root, seal)}: differs from the tree that {RECORD} froze; check "
            f"out that state of it ({seal.commit[:12]})"
        )
    return replace(
        seal, state=OPENED, nonce=nonce, seed=derive_seed(seal.digest, nonce), opened=_today()
    )


def open_test(nonce: str, files: list[str], root: Path = Path()) -> Path:
    """Open the seal: draw an experiment's test rooms and record nonce, seed and the rooms' hash.

    Args:
        nonce: 64 hexadecimal digits.
        files: configs that are merged onto config/cpu.yaml.
        root: the clone.

    Returns:
        The folder of the rooms.

    Raises:
        InputError: the seal cannot be opened (see `derive_opened`), a config is wrong, or the
            experiment trains on more rooms than data/ holds.
    """
    seal = derive_opened(nonce, root)
    config = check_config(read_sources(files))
    data = root / "data"
    if not enough_recipes(data, config["data"]["splits"]):
        raise InputError(
            f"{' + '.join(map(str, files))}: needs more rooms than data/ holds; open the seal "
            "without CONFIG, and this experiment draws its test rooms from the same seed"
        )
    out = root / sealed_folder(config)
    rooms, classes = draw_rooms(config, seal.seed, data, out)
    rooms_of = {config["experiment"]: rooms}
    write_seal(replace(seal, rooms=rooms_of, classes_not_sealed=classes), root / RECORD)
    return out


def sealed_folder(config: Mapping[str, Any]) -> Path:
    """Return where an experiment's test rooms are, relative to the clone."""
    return Path("results", config["experiment"], "sealed")


def draw_rooms(config: dict[str, Any], seed: str, data: Path, out: Path) -> tuple[str, list[str]]:
    """Draw the test rooms of an experiment; return their sha256 and the classes not sealed.

    Args:
        config: of the experiment.
        seed: 64 hexadecimal digits.
        data: the folder of models and of the rooms that everybody may see.
        out: the folder to write.
    """
    classes = write_sealed_recipes(data, out, config["sealed"], int(seed, 16))
    return digest_files(out, ROOMS), classes


def add_sealed_splits(config: dict[str, Any], seal: Seal, root: Path = ROOT) -> None:
    """Let an experiment score the test rooms once the seal is opened.

    The declared tests, the generalisation contrast and the main tables then are of the test rooms
    in place of the development rooms. Gate, thresholds and studies stay with their splits. A new
    section `seal` tells the report what is sealed and which methods came after the freeze. Called
    twice, it changes nothing more.

    Args:
        config: of the experiment, changed in place.
        seal: the record.
        root: the clone, whose methods are compared with those of the record.

    Raises:
        InputError: a submission of others has no predictions of a test split.
    """
    if seal.state != OPENED:
        return
    config["data"]["splits"] |= config["sealed"]["splits"]
    scored = config["score"]["splits"]
    scored += [split for split in SEALED if split not in scored]
    for entry in config["submissions"]:
        for split, count in config["sealed"]["splits"].items():
            if count and not Path(entry["path"], split, "manifest.json").is_file():
                raise InputError(
                    f"{entry['path']}: holds no {split}/manifest.json; the seal is opened, so "
                    "predict the test rooms too, or take it out of `submissions`"
                )
    now = method_hashes(root)
    later = {name for name, files in now.items() if seal.methods.get(name) != files}
    config["seal"] = {
        **{key: getattr(seal, key) for key in ("digest", "commit", "opened", "seed")},
        "splits": list(SEALED),
        "unseen_furniture": list(SEALED_UNSEEN),
        "classes_not_sealed": seal.classes_not_sealed,
        # Predictions made elsewhere are of rooms that their makers could see.
        "post_seal": sorted(later | {entry["name"] for entry in config["submissions"]}),
    }
    statistics, report = config["statistics"], config["report"]
    for family in statistics["families"].values():
        family["split"] = DEVELOPED.get(family["split"], family["split"])
    contrast = statistics["generalisation"]
    contrast["splits"] = [DEVELOPED.get(split, split) for split in contrast["splits"]]
    report["main_split"] = DEVELOPED.get(report["main_split"], report["main_split"])


def redraw_rooms(config: dict[str, Any], seal: Seal, data: Path, out: Path) -> None:
    """Draw the test rooms of an opened seal again.

    Args:
        config: of the experiment.
        seal: the record.
        data: the folder of models and of the rooms that everybody may see.
        out: the folder to write.

    Raises:
        InputError: the rooms differ from those of the opening, where the record has their hash.
    """
    rooms, _ = draw_rooms(config, seal.seed, data, out)
    if seal.rooms.get(config["experiment"], rooms) != rooms:
        raise InputError(
            f"{out}: differs from the rooms of the opening in {RECORD}; draw them with the code of "
            f"{seal.commit[:12]}"
        )


def verify_rooms(config: Mapping[str, Any], seal: Seal, root: Path = Path()) -> None:
    """Compare the test rooms that an experiment has drawn with those of the opening.

    Args:
        config: of the experiment.
        seal: the record; before the opening, there is nothing to compare.
        root: the clone.

    Raises:
        InputError: the rooms were changed after they had been drawn.
    """
    folder = sealed_folder(config)
    recorded = seal.rooms.get(config["experiment"])
    if recorded is None or not all((root / folder / name).is_file() for name in ROOMS):
        return
    if digest_files(root / folder, ROOMS) != recorded:
        raise InputError(
            f"{folder}: differs from the rooms of the opening in {RECORD}; remove the folder, and "
            "the run draws them again"
        )


def _first_difference(root: Path, seal: Seal) -> str:
    """Return the first covered file that differs from the frozen commit."""
    try:
        names = _git(root, "diff", "--name-only", seal.commit, "--", *COVERED).splitlines()
        names += _git(root, "ls-files", "--others", "--exclude-standard", *COVERED).splitlines()
    except InputError:  # a shallow clone lacks the commit
        names = []
    return next((name for name in sorted(names) if name != RECORD.as_posix()), "the tree")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"git {arguments[0]}: {(done.stderr or 'failed').splitlines()[0]}; run this in a clone"
        )
    return done.stdout


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def main() -> None:
    """Parse the command line and act on it."""
    parser = argparse.ArgumentParser(prog="python -m g2vlm.run.seal", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("freeze", help="record the digest of the tree")
    opening = commands.add_parser("open", help="draw the test rooms")
    opening.add_argument("--nonce", required=True, help="64 hexadecimal digits")
    opening.add_argument("files", metavar="FILE", nargs="*", help="as after --configfile, in order")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    if arguments.command == "freeze":
        seal = freeze()
        print(f"seal: frozen at {seal.commit[:12]}, digest {seal.digest}; commit {RECORD}")
    else:
        pins.verify()
        out = open_test(arguments.nonce, arguments.files)
        print(f"seal: opened; the test rooms are in {out}; commit {RECORD}")


if __name__ == "__main__":
    run_main(main)
