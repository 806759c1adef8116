"""List every fault of a submission at once: what `python -m metrics validate` prints."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.files import InputError, read_json, sha256_file, write_json
from metrics.language.answers import parse_number
from metrics.schemas import printable, short_repr
from metrics.submission import items
from metrics.submission.parsing import KEYS, LIMITS, Fault, Invalid, from_error, label, regular_file
from metrics.submission.reader import GEOMETRY, TABLES, Contents, read_manifest, repeated

if TYPE_CHECKING:
    from metrics.truth import Truth

# More faults of one file than a person reads.
MOST_LISTED = 1000
# What a task is answered in, one item a scene.
SCENE_TASKS = {
    "objects": "objects.jsonl",
    "graph": "objects.jsonl",
    "given_relations": "relations.jsonl",
    "captions": "captions.jsonl",
}
GEOMETRY_TASKS = {
    "points": (items.POINT_PARTS, items.point_problems),
    "mesh": (items.MESH_PARTS, items.mesh_problems),
    "occupancy": (items.GRID_PARTS, items.grid_problems),
}


@dataclass
class Report:
    """Faults make an item fail; warnings are sound but look like a mistake."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "sound": not self.faults,
            "faults": [asdict(fault) for fault in self.faults],
            "warnings": [asdict(fault) for fault in self.warnings],
        }


def validate(
    folder: str | os.PathLike[str], truth: Truth | None = None, split: str | None = None
) -> Report:
    """Return every fault and warning of a submission folder.

    Args:
        folder: the submission.
        truth: of its split: also what is declared and missing, and what is not in the split.
        split: which split it must be of, if that matters.

    Raises `InputError` when there is no such folder.
    """
    contents = Contents(folder)
    manifest, faults = read_manifest(contents.folder)
    report = Report(faults)
    produces = manifest.get("produces")
    declared = {task for task in produces if isinstance(task, str)} if _listed(produces) else set()
    wanted = split if truth is None else truth.split
    if wanted is not None and manifest.get("split") not in (None, wanted):
        said = short_repr(manifest["split"])
        report.faults.append(
            Fault("manifest.json", None, "", f"split is {said}, not {wanted!r}", "predict that one")
        )
    report.faults += _file_faults(contents.folder, manifest.get("files"))
    for part in (
        _geometry(contents, declared, truth, report.warnings),
        _lines(contents, declared, truth, report.warnings),
        _tables(contents, declared, truth),
    ):
        report.faults += part
    report.faults = _shortened(report.faults)
    report.warnings = _shortened(report.warnings)
    return report


def require_valid(folder: str | os.PathLike[str], fix: str) -> dict[str, str]:
    """Check that a submission has no fault, and return the sha256 of each file.

    A missing prediction for a scene is not a fault here: it is scored as a failure. Files are not
    read again while their bytes are those that `validate_cache` recorded.

    Args:
        folder: the submission.
        fix: how to fix it, for the error message.

    Raises:
        InputError: names the first fault and the number of all faults.
    """
    hashes, record = _hashes(folder), cache_file(folder)
    if record.is_file() and read_json(record) == hashes:
        return hashes
    faults = validate(folder).faults
    if faults:
        raise InputError(
            f"{folder}/{faults[0]} (fault 1 of {len(faults)}; python -m metrics validate {folder} "
            f"lists all); {fix}"
        )
    return hashes


def validate_cache(folder: str | os.PathLike[str], hashes: dict[str, str]) -> None:
    """Record the hashes that `require_valid` returned, next to the submission or to its copy."""
    write_json(cache_file(folder), hashes)


def cache_file(folder: str | os.PathLike[str]) -> Path:
    """Return the file next to a submission's folder that `validate_cache` writes."""
    return Path(folder).with_name(f"{Path(folder).name}.valid.json")


def _hashes(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return each path's sha256, empty for what is no file of its own: links are not read."""
    return {
        path.relative_to(folder).as_posix(): ""
        if path.is_symlink() or not path.is_file()
        else sha256_file(path)
        for path in sorted(Path(folder).rglob("*"))
    }


def _listed(value: Any) -> bool:
    return isinstance(value, list)


def _shortened(faults: Iterable[Fault]) -> list[Fault]:
    """Return at most `MOST_LISTED` faults a file, and how many there are beyond them."""
    kept, seen = [], Counter[str]()
    for fault in faults:
        seen[fault.file] += 1
        if seen[fault.file] <= MOST_LISTED:
            kept.append(fault)
    return kept + [
        Fault(name, None, "", f"{count - MOST_LISTED} faults more", "mend those listed first")
        for name, count in seen.items()
        if count > MOST_LISTED
    ]


def _file_faults(folder: Path, digests: Any) -> Iterator[Fault]:
    """Compare the folder's files with the manifest's sha256; links are never followed."""
    digests = digests if isinstance(digests, dict) else {}
    there = sorted(entry.name for entry in os.scandir(folder))
    for name in there:
        if name not in LIMITS:
            yield Fault(printable(name), None, "", "not a file of the format", "remove it")
    for name in LIMITS:
        if name == "manifest.json":
            continue
        path = folder / name
        try:
            readable = regular_file(path)
        except Invalid as error:
            yield from_error(error, path)
            continue
        if readable and name not in digests:
            yield Fault(name, None, "", "not in the manifest's files", "add it with its sha256")
        elif readable and sha256_file(path) != digests[name]:
            yield Fault(name, None, "", "differs from the manifest's sha256", "write it again")
        elif not readable and name in digests:
            yield Fault(name, None, "", "in the manifest's files and missing", "write it")


def _geometry(
    contents: Contents, declared: set[str], truth: Truth | None, warnings: list[Fault]
) -> Iterator[Fault]:
    """Check each scene's tensors: those that are there, and with the truth those that must be."""
    try:
        tensors = contents.tensors(GEOMETRY)
    except Invalid as error:
        yield from_error(error, contents.folder / GEOMETRY)
        return
    scenes: dict[str, None] = dict.fromkeys(truth.scenes if truth is not None else ())
    parts = {part for names, _ in GEOMETRY_TASKS.values() for part in names}
    for name in sorted(tensors.keys()) if tensors is not None else ():
        scene, _, part = name.rpartition("/")
        known = truth is None or scene in truth.scenes
        if part not in parts or not scene:
            yield Fault(GEOMETRY, None, short_repr(name), "no tensor of the format", "remove it")
        elif known:
            scenes[scene] = None
        elif part in ("points", "vertices", "occupancy"):
            yield Fault(GEOMETRY, None, _scene(scene), "not in the split", "remove it")
    for scene in scenes:
        diagonal = truth.geometry(scene).clip if truth is not None and tensors else None
        for task in GEOMETRY_TASKS:
            must = truth is not None and task in declared
            yield from _scene_geometry(contents, scene, task, must, diagonal, warnings)


def _scene_geometry(
    contents: Contents,
    scene: str,
    task: str,
    must: bool,
    diagonal: float | None,
    warnings: list[Fault],
) -> Iterator[Fault]:
    parts, problems_of = GEOMETRY_TASKS[task]
    try:
        arrays = contents.arrays(scene, parts)
    except Invalid as error:
        yield from_error(error, contents.folder / GEOMETRY)
        return
    if not arrays or (task == "points" and "points" not in arrays):
        if arrays:
            yield Fault(GEOMETRY, None, _scene(scene), "has no points", "give them")
        # A mesh is left out on purpose beside a grid in which nothing is solid.
        elif must and not (task == "mesh" and contents.nothing_solid(scene)):
            yield _missing(GEOMETRY, _scene(scene), task)
        return
    problems = list(problems_of(arrays))
    yield from (Fault(GEOMETRY, None, _scene(scene), what, mend) for what, mend in problems)
    name = {"points": "points", "mesh": "vertices"}.get(task)
    if name is not None and not problems:
        warnings += [
            Fault(GEOMETRY, None, _scene(scene), what, mend)
            for what, mend in items.extent_warnings(name, arrays[name], diagonal)
        ]


def _scene(scene: str) -> str:
    return label(("scene",), (scene,))


def _missing(file: str, item: str, task: str) -> Fault:
    return Fault(
        file, None, item, f"{task} declared and missing", "write it or do not declare the task"
    )


def _lines(
    contents: Contents, declared: set[str], truth: Truth | None, warnings: list[Fault]
) -> Iterator[Fault]:
    for name in KEYS:
        yield from contents.rows(name).faults
    if truth is None:
        return
    for task, name in SCENE_TASKS.items():
        wanted = {(scene,): None for scene in truth.scenes}
        if task != "graph":
            yield from _strangers(contents, name, wanted)
        if task == "captions":
            wanted = {(line["scene"],): None for line in truth.annotations if line["captions"]}
        if task in declared and not (task == "graph" and "objects" in declared):
            yield from _lacking(contents, name, wanted, task)
    for name, tasks, asked in (
        ("grounding.jsonl", ("grounding", "picks"), "references"),
        ("answers.jsonl", ("answers",), "questions"),
    ):
        wanted = {
            (line["scene"], item["id"]): item for line in truth.annotations for item in line[asked]
        }
        yield from _strangers(contents, name, wanted)
        if declared & set(tasks):
            yield from _lacking(contents, name, wanted, asked)
    yield from _not_given(contents, truth)
    warnings += _class_warnings(contents, truth)
    warnings += _number_warnings(contents, truth)


def _strangers(contents: Contents, name: str, wanted: dict[tuple[str, ...], Any]) -> list[Fault]:
    rows = contents.rows(name).items
    return [
        Fault(name, number, label(KEYS[name], key), "not in the split", "remove it")
        for key, (number, _) in rows.items()
        if key not in wanted
    ]


def _lacking(
    contents: Contents, name: str, wanted: dict[tuple[str, ...], Any], task: str
) -> list[Fault]:
    rows = contents.rows(name)
    return [
        _missing(name, label(KEYS[name], key), task)
        for key in wanted
        if key not in rows.items and key not in rows.spoiled
    ]


def _not_given(contents: Contents, truth: Truth) -> Iterator[Fault]:
    """Name the picks and pairs over objects that were not given."""
    given = {line["scene"]: set(line["given"]) for line in truth.annotations}
    for key, (number, row) in contents.rows("grounding.jsonl").items.items():
        pick = row.get("pick")
        if pick is not None and pick not in given.get(key[0], {pick}):
            item = label(KEYS["grounding.jsonl"], key)
            yield Fault(
                "grounding.jsonl", number, item, f"pick {pick} is not given", "pick a given object"
            )
    for key, (number, row) in contents.rows("relations.jsonl").items.items():
        ends = {int(end) for pair in row["pairs"] for end in pair[:2]}
        ends |= {int(end) for scored in row.get("scores") or [] for end in scored[:3:2]}
        loose = sorted(ends - given.get(key[0], ends))
        if loose:
            what = f"objects {short_repr(loose)} are not given"
            yield Fault("relations.jsonl", number, _scene(key[0]), what, "relate given objects")


def _class_warnings(contents: Contents, truth: Truth) -> list[Fault]:
    known = {item["class"] for line in truth.annotations for item in line["objects"]}
    found = Counter(
        item["class"]
        for _, row in contents.rows("objects.jsonl").items.values()
        for item in row["objects"]
        if item["class"] not in known
    )
    mend = "check its spelling; such objects can only be false positives"
    return [
        Fault("objects.jsonl", None, "", f"class {short_repr(name)} ({count}) is in no room", mend)
        for name, count in sorted(found.items())
    ]


def _number_warnings(contents: Contents, truth: Truth) -> list[Fault]:
    rows = contents.rows("answers.jsonl").items
    asked = [
        (line["scene"], item["id"])
        for line in truth.annotations
        for item in line["questions"]
        if item["answer_kind"] == "number"
    ]
    wordy = [key for key in asked if key in rows and parse_number(rows[key][1]["answer"]) is None]
    if not wordy:
        return []
    number = rows[wordy[0]][0]
    what = f"{len(wordy)} of {len(asked)} numbers asked for are answered without one, first here"
    item = label(KEYS["answers.jsonl"], wordy[0])
    return [Fault("answers.jsonl", number, item, what, "such answers score 0")]


def _tables(contents: Contents, declared: set[str], truth: Truth | None) -> Iterator[Fault]:
    for task, (tensor, rows, columns) in TABLES.items():
        try:
            table = contents.table(task)
        except Invalid as error:
            yield from _table_fault(contents.folder, error)
            continue
        if table is None:
            if task in declared:
                yield _missing("retrieval.safetensors", tensor, task)
            continue
        for axis, (names, what) in enumerate(((table.rows, rows), (table.columns, columns))):
            for place in repeated(names):
                name = short_repr(names[place])
                yield Fault("retrieval.json", None, what, f"{name} twice", "name each once")
            if truth is not None:
                yield from _table_names(truth, what, names, task in declared)
            empty = np.isnan(table.scores).all(axis=1 - axis)
            empty[repeated(names)] = False
            for place in np.flatnonzero(empty) if table.scores.size else ():
                yield Fault(
                    "retrieval.safetensors",
                    None,
                    f"{tensor}, {short_repr(names[place])}",
                    "no score is a number",
                    "give finite scores",
                )


def _table_fault(folder: Path, error: Invalid) -> Iterator[Fault]:
    text = str(error).removeprefix(f"{folder}/")
    for name in ("retrieval.json", "retrieval.safetensors"):
        if text.startswith(f"{name}: "):
            yield from_error(Invalid(text), Path(name))


def _table_names(truth: Truth, what: str, names: list[str], must: bool) -> Iterator[Fault]:
    """Compare a table's names with the split's."""
    wanted = split_names(truth, what)
    there = set(names)
    for name in names:
        if name not in wanted:
            yield Fault(
                "retrieval.json", None, what, f"{short_repr(name)} not in the split", "remove it"
            )
    for name in wanted if must else ():
        if name not in there:
            yield Fault("retrieval.json", None, what, f"{short_repr(name)} missing", "score it too")


def split_names(truth: Truth, what: str) -> dict[str, None]:
    """Return what a table must name: all texts, scenes, phrases or objects of the split."""
    each: Callable[[dict[str, Any]], list[str]] = {
        "scenes": lambda line: [line["scene"]],
        "texts": lambda line: [f"{line['scene']}/{item['id']}" for item in line["captions"]],
        "phrases": lambda line: [f"{line['scene']}/{item['id']}" for item in line["phrases"]],
        "objects": lambda line: [f"{line['scene']}:{index}" for index in line["given"]],
    }[what]
    return dict.fromkeys(name for line in truth.annotations for name in each(line))
