"""List all faults of a submission at once, for `python -m metrics validate`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.files import InputError, read_json, sha256_file, write_json
from metrics.language.numerals import parse_number
from metrics.rows import usable
from metrics.schemas import printable, short_repr
from metrics.submission import items
from metrics.submission.packing import PARTS, SUFFIX
from metrics.submission.parsing import (
    KEYS,
    LIMITS,
    Fault,
    Invalid,
    label,
    regular_file,
    scene_label,
)
from metrics.submission.reader import (
    GEOMETRY,
    SCORES,
    TABLES,
    Contents,
    read_manifest,
    repeated,
)

if TYPE_CHECKING:
    from metrics.truth import Truth

# More faults of one file than a person reads.
MOST_LISTED = 1000
# Tasks with one item a scene, and their files.
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
    """Faults make an item fail. Warnings are valid, but look like a mistake."""

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
        truth: of its split, or None. With it, predictions that are declared and missing and those
            that are not in the split are faults too.
        split: required split, or None for any.

    Raises:
        InputError: there is no such folder.
    """
    contents = Contents(folder)
    manifest, faults = read_manifest(contents.folder)
    produces = manifest.get("produces")
    declared = (
        {task for task in produces if isinstance(task, str)}
        if isinstance(produces, list)
        else set()
    )
    required = split if truth is None else truth.split
    if required is not None and manifest.get("split") not in (None, required):
        what = f"split is {short_repr(manifest['split'])}, not {required!r}"
        faults.append(Fault("manifest.json", None, "", what, "predict that one"))
    warnings: list[Fault] = []
    faults += _file_faults(contents.folder, manifest.get("files"))
    faults += _geometry_faults(contents, declared, truth, warnings)
    faults += _row_faults(contents, declared, truth)
    faults += _table_faults(contents, declared, truth)
    warnings += _tie_warnings(contents)
    if truth is not None:
        warnings += [*_class_warnings(contents, truth), *_number_warnings(contents, truth)]
    return Report(_shortened(faults), _shortened(warnings))


def require_valid(folder: str | os.PathLike[str], fix: str) -> dict[str, str]:
    """Raise `InputError` for a submission with any fault.

    A prediction that is declared and missing for a scene is no fault here: it is scored as a
    failure. Files that `validate_cache` recorded are not checked again while their bytes are the
    same.

    Args:
        folder: the submission.
        fix: what the message tells the user to do.

    Returns:
        The sha256 of each file, taken before the files were checked.
    """
    # Links, and whatever is not a file, are not read.
    digests = {
        path.relative_to(folder).as_posix(): ""
        if path.is_symlink() or not path.is_file()
        else sha256_file(path)
        for path in sorted(Path(folder).rglob("*"))
    }
    cache = _cache_file(folder)
    if cache.is_file() and read_json(cache) == digests:
        return digests
    faults = validate(folder).faults
    if faults:
        raise InputError(
            f"{folder}/{faults[0]} (fault 1 of {len(faults)}; python -m metrics validate {folder} "
            f"lists all); {fix}"
        )
    return digests


def validate_cache(folder: str | os.PathLike[str], digests: dict[str, str]) -> None:
    """Record next to a submission that `require_valid` accepted these bytes, here or elsewhere."""
    write_json(_cache_file(folder), digests)


def _cache_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder).with_name(f"{Path(folder).name}.valid.json")


def _shortened(faults: Iterable[Fault]) -> list[Fault]:
    """Return at most `MOST_LISTED` faults a file, and how many more there are."""
    kept, counts = [], Counter[str]()
    for fault in faults:
        counts[fault.file] += 1
        if counts[fault.file] <= MOST_LISTED:
            kept.append(fault)
    return kept + [
        Fault(file, None, "", f"{count - MOST_LISTED} faults more", "fix those listed first")
        for file, count in counts.items()
        if count > MOST_LISTED
    ]


def _file_faults(folder: Path, digests: Any) -> Iterator[Fault]:
    """Compare the folder's files with the manifest's sha256; links are never followed."""
    digests = digests if isinstance(digests, dict) else {}
    for name in sorted(entry.name for entry in os.scandir(folder)):
        if name not in LIMITS:
            yield Fault(printable(name), None, "", "not a file of the format", "remove it")
    for name in LIMITS:
        if name == "manifest.json":
            continue
        try:
            readable = regular_file(folder / name)
        except Invalid as error:
            yield error.fault
            continue
        if readable and name not in digests:
            yield Fault(name, None, "", "not in the manifest's files", "add it with its sha256")
        elif readable and sha256_file(folder / name) != digests[name]:
            yield Fault(name, None, "", "differs from the manifest's sha256", "write it again")
        elif not readable and name in digests:
            yield Fault(name, None, "", "in the manifest's files and missing", "write it")


def _geometry_faults(
    contents: Contents, declared: set[str], truth: Truth | None, warnings: list[Fault]
) -> Iterator[Fault]:
    """Check each scene's tensors: all that are in the file and, with the truth, all declared."""
    try:
        tensors = contents.tensors(GEOMETRY)
    except Invalid as error:
        yield error.fault
        return
    scenes: dict[str, None] = dict.fromkeys(truth.scenes if truth is not None else ())
    parts = {part for names, _ in GEOMETRY_TASKS.values() for part in names}
    parts |= {part + SUFFIX for part in PARTS}
    for name in sorted(tensors.keys()) if tensors is not None else ():
        scene, _, part = name.rpartition("/")
        if part not in parts or not scene:
            yield Fault(GEOMETRY, None, short_repr(name), "not a tensor of the format", "remove it")
        elif truth is None or scene in truth.scenes:
            scenes[scene] = None
        elif part.removesuffix(SUFFIX) in ("points", "vertices", "occupancy"):
            # One fault for a task of an unknown scene, not one for each of its tensors.
            yield Fault(GEOMETRY, None, scene_label(scene), "not in the split", "remove it")
    for scene in scenes:
        diagonal = truth.geometry(scene).clip if truth is not None and tensors else None
        for task in GEOMETRY_TASKS:
            yield from _scene_geometry(
                contents, scene, task, truth is not None and task in declared, diagonal, warnings
            )


def _scene_geometry(
    contents: Contents,
    scene: str,
    task: str,
    required: bool,
    diagonal: float | None,
    warnings: list[Fault],
) -> Iterator[Fault]:
    """Check the tensors of one task and scene."""
    parts, problems_of = GEOMETRY_TASKS[task]

    def fault(what: str, fix: str) -> Fault:
        return Fault(GEOMETRY, None, scene_label(scene), what, fix)

    try:
        arrays = contents.arrays(scene, parts)
    except Invalid as error:
        yield error.fault
        return
    if not arrays:
        # A scene in which nothing is solid has a grid without solid voxels, and no mesh.
        grid = usable(contents.occupancy, scene) if task == "mesh" else None
        if required and (grid is None or grid.grid.any()):
            yield _missing(GEOMETRY, scene_label(scene), task)
        return
    if task == "points" and "points" not in arrays:
        yield fault("has no points", "give them")
        return
    problems = [fault(what, fix) for what, fix in problems_of(arrays)]
    yield from problems
    name = {"points": "points", "mesh": "vertices"}.get(task)
    if name is not None and not problems:
        warnings += [
            fault(what, fix)
            for what, fix in items.extent_warnings(name, items.positions_of(name, arrays), diagonal)
        ]


def _missing(file: str, item: str, task: str) -> Fault:
    return Fault(
        file, None, item, f"{task} declared and missing", "write it or do not declare the task"
    )


def _row_faults(contents: Contents, declared: set[str], truth: Truth | None) -> Iterator[Fault]:
    """Check the JSON-lines files, and with the truth which items they must and may hold."""
    for file in KEYS:
        yield from contents.rows(file).faults
    if truth is None:
        return
    for task, file in SCENE_TASKS.items():
        required = [(scene,) for scene in truth.scenes]
        if task != "graph":
            yield from _not_in_the_split(contents, file, required)
        if task == "captions":
            required = [(line["scene"],) for line in truth.annotations if line["captions"]]
        if task in declared and not (task == "graph" and "objects" in declared):
            yield from _missing_items(contents, file, required, task)
    for file, tasks, kind in (
        ("grounding.jsonl", {"grounding", "picks"}, "references"),
        ("answers.jsonl", {"answers"}, "questions"),
    ):
        required = [
            (line["scene"], item["id"]) for line in truth.annotations for item in line[kind]
        ]
        yield from _not_in_the_split(contents, file, required)
        if declared & tasks:
            yield from _missing_items(contents, file, required, kind)
    yield from _unknown_objects(contents, truth)


def _not_in_the_split(
    contents: Contents, file: str, split_items: Collection[tuple[str, ...]]
) -> list[Fault]:
    known = set(split_items)
    return [
        Fault(file, number, label(file, key), "not in the split", "remove it")
        for key, (number, _) in contents.rows(file).items.items()
        if key not in known
    ]


def _missing_items(
    contents: Contents, file: str, required: Collection[tuple[str, ...]], task: str
) -> list[Fault]:
    rows = contents.rows(file)
    return [
        _missing(file, label(file, key), task)
        for key in dict.fromkeys(required)
        if key not in rows.items and key not in rows.invalid
    ]


def _unknown_objects(contents: Contents, truth: Truth) -> Iterator[Fault]:
    """Check that picks and relations are over ground-truth objects that the method was given."""
    given = {line["scene"]: set(line["given"]) for line in truth.annotations}
    file = "grounding.jsonl"
    for key, (number, row) in contents.rows(file).items.items():
        pick = row.get("pick")
        if pick is not None and pick not in given.get(key[0], {pick}):
            what = f"pick {pick} is not a given object"
            yield Fault(file, number, label(file, key), what, "pick a given object")
    file = "relations.jsonl"
    for key, (number, row) in contents.rows(file).items.items():
        ends = {int(end) for pair in row["pairs"] for end in pair[:2]}
        ends |= {int(end) for scored in row.get("scores") or [] for end in scored[:3:2]}
        unknown = sorted(ends - given.get(key[0], ends))
        if unknown:
            what = f"objects {short_repr(unknown)} are not given objects"
            yield Fault(file, number, label(file, key), what, "relate given objects")


def _tie_warnings(contents: Contents) -> list[Fault]:
    """Warn of scenes whose triplets all have one score, which leaves their ranking to chance."""
    warnings = []
    for file, key in (("objects.jsonl", "triplets"), ("relations.jsonl", "scores")):
        rows = contents.rows(file).items
        tied = [
            (name, number)
            for name, (number, row) in rows.items()
            if len(ranked := row.get(key) or []) > 1
            and len({float(triplet[3]) if len(triplet) == 4 else 1.0 for triplet in ranked}) == 1
        ]
        if tied:
            name, number = tied[0]
            what = f"all {key} of {len(tied)} of {len(rows)} scenes have one score, first here"
            fix = "give each its own score; recall@K ranks false triplets first among equal scores"
            warnings.append(Fault(file, number, label(file, name), what, fix))
    return warnings


def _class_warnings(contents: Contents, truth: Truth) -> list[Fault]:
    """Warn of classes that no object of the split has."""
    known = {item["class"] for line in truth.annotations for item in line["objects"]}
    unknown = Counter(
        item["class"]
        for _, row in contents.rows("objects.jsonl").items.values()
        for item in row["objects"]
        if item["class"] not in known
    )
    fix = "check its spelling; such objects can only be false positives"
    return [
        Fault("objects.jsonl", None, "", f"class {short_repr(name)} ({count}) is in no room", fix)
        for name, count in sorted(unknown.items())
    ]


def _number_warnings(contents: Contents, truth: Truth) -> list[Fault]:
    """Warn of answers without a number to questions that ask for one."""
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
    item = label("answers.jsonl", wordy[0])
    return [Fault("answers.jsonl", number, item, what, "such answers score 0")]


def _table_faults(contents: Contents, declared: set[str], truth: Truth | None) -> Iterator[Fault]:
    """Check the retrieval tables: their names, and that each row and column has a score."""
    for task, (tensor, rows, columns) in TABLES.items():
        try:
            table = contents.table(task)
        except Invalid as error:
            yield error.fault
            continue
        if table is None:
            if task in declared:
                yield _missing(SCORES, tensor, task)
            continue
        for axis, (names, kind) in enumerate(((table.rows, rows), (table.columns, columns))):
            twice = repeated(names)
            for place in twice:
                what = f"{short_repr(names[place])} twice"
                yield Fault("retrieval.json", None, kind, what, "name each once")
            if truth is not None:
                yield from _name_faults(truth, kind, names, task in declared)
            empty = np.isnan(table.scores).all(axis=1 - axis)
            empty[twice] = False
            for place in np.flatnonzero(empty) if table.scores.size else ():
                item = f"{tensor}, {short_repr(names[place])}"
                yield Fault(SCORES, None, item, "no score is a number", "give finite scores")


def _name_faults(truth: Truth, kind: str, names: list[str], required: bool) -> Iterator[Fault]:
    """Compare the names of a table's rows or columns with those of the split."""
    known = _split_names(truth, kind)
    for name in names:
        if name not in known:
            what = f"{short_repr(name)} not in the split"
            yield Fault("retrieval.json", None, kind, what, "remove it")
    present = set(names)
    for name in known if required else ():
        if name not in present:
            what = f"{short_repr(name)} missing"
            yield Fault("retrieval.json", None, kind, what, "score it too")


def _split_names(truth: Truth, kind: str) -> dict[str, None]:
    """Return all texts, scenes, phrases or objects of the split, in order."""
    lines = truth.annotations
    if kind == "scenes":
        return dict.fromkeys(truth.scenes)
    if kind == "objects":
        return dict.fromkeys(
            f"{line['scene']}:{index}" for line in lines for index in line["given"]
        )
    key = {"texts": "captions", "phrases": "phrases"}[kind]
    return dict.fromkeys(f"{line['scene']}/{item['id']}" for line in lines for item in line[key])
