"""The readers of untrusted files, each with inputs that it reads."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import yaml

from metrics.files import InputError, write_json
from tests.fuzz.worker import Fault, Target
from tests.metrics.reconstruction.formats import shapes, test_gltf, test_obj, test_ply, test_text
from tests.paths import REPOSITORY

MESH = trimesh.Trimesh(shapes.BOX, shapes.TRIANGLES, process=False)


def _inputs(files: dict[str, str | bytes], folder: Path) -> None:
    """Write each file as an input of its own."""
    for place, (name, content) in enumerate(files.items()):
        path = folder / f"{place}" / name.rpartition("/")[2]
        path.parent.mkdir(parents=True)
        shapes.written(path, content)


# Geometry files, by suffix.


def _ply_of_pixels() -> bytes:
    """Return a binary PLY cloud with the pixels that saw its points."""
    columns = "property double x\nproperty double y\nproperty double z\n"
    columns += "property int view\nproperty int row\nproperty int col\n"
    head = "ply\nformat binary_little_endian 1.0\ncomment TextureFile a.png\n"
    rows = (struct.pack("<3d3i", *point, 0, k, k + 1) for k, point in enumerate(shapes.BOX))
    return f"{head}element vertex 8\n{columns}end_header\n".encode() + b"".join(rows)


def _obj() -> str:
    rows = ["mtllib a.mtl", "o box", *("v {} {} {}".format(*point) for point in shapes.BOX)]
    rows += ["vt 0 0", "vt 1 0.5", "vn 0 0 1", "g side", "usemtl wood", "s off"]
    for place, quad in enumerate(shapes.QUADS):
        parts = ("{0}", "{0}/1", "{0}//1", "{0}/2/1")[place % 4]
        rows.append("f " + " ".join(parts.format(k + 1) for k in quad))
    outline, _ = shapes.CONCAVE["comb"]
    rows += [f"v {x} {y} 0 # corner" for x, y in outline]
    rows.append("f " + " ".join(str(k - len(outline)) for k in range(len(outline))))
    return "\n".join(rows) + "\n"


def _gltf(document: dict[str, Any], binary: bytes) -> str:
    """Return a document that holds its buffer."""
    coded = base64.b64encode(binary).decode()
    document["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{coded}"
    return json.dumps(document)


def _nested_nodes() -> tuple[dict[str, Any], bytes]:
    document, binary = shapes.box_document()
    document["nodes"] = [
        {"children": [1], "matrix": np.diag([2.0, 1, 1, 1]).ravel().tolist()},
        {"mesh": 0, "translation": [1, 2, 3], "rotation": [0, 0, 0, 1], "scale": [1, 2, 1]},
    ]
    return document, binary


def _export(kind: str, **options: Any) -> bytes:
    data = MESH.export(file_type=kind, **options)
    return data.encode() if isinstance(data, str) else bytes(data)


def _write_geometry(kind: str, folder: Path) -> None:
    """Write inputs of one suffix."""
    if kind in ("npz", "npy"):
        for place, arrays in enumerate(
            [
                {"points": shapes.BOX},
                {"vertices": shapes.BOX.astype(np.float32), "faces": np.array(shapes.TRIANGLES)},
                {"points": shapes.BOX, "pixels": np.arange(24).reshape(8, 3)},
            ]
        ):
            (folder / str(place)).mkdir(parents=True)
            if kind == "npz":
                save = np.savez_compressed if place else np.savez
                save(folder / str(place) / "a.npz", **arrays)
            else:
                np.save(folder / str(place) / "a.npy", next(iter(arrays.values())))
        return
    documents = [*test_gltf.SAME.values(), _nested_nodes]
    files: list[str | bytes] = {
        "ply": [
            *(test_ply.ply(o, e) for o in test_ply.ORDERS for e in test_ply.ELEMENTS.values()),
            _ply_of_pixels(),
        ],
        "obj": [*map("\n".join, test_obj.SPELLINGS.values()), _obj(), _export("obj")],
        "off": [*test_text.OFFS.values(), _export("off")],
        "stl": [*test_text.STLS.values(), _export("stl"), _export("stl_ascii")],
        "glb": [*(shapes.glb(*make()) for make in documents), _export("glb")],
        "gltf": [_gltf(*make()) for make in documents],
        "xyz": [*test_text.CLOUDS.values()],
    }[kind]
    _inputs({f"{place}/a.{kind}": content for place, content in enumerate(files)}, folder)


def _read_geometry(folder: Path) -> None:
    from metrics.reconstruction.surface_files import read_surface

    for path in sorted(folder.iterdir()):
        try:
            with warnings.catch_warnings(action="error"):
                found = read_surface(path)
        except InputError as error:
            # Only NumPy's and zipfile's own faults come as they are; a reader knows its format.
            if "cannot be read (" in str(error) and path.suffix not in (".npz", ".npy"):
                raise Fault(f"the fault is not described: {error}") from error
            raise
        _check_mesh(found.points, found.faces)


def _check_mesh(points: np.ndarray, faces: np.ndarray | None) -> None:
    if not len(points) or not np.isfinite(points).all() or points.dtype != np.float64:
        raise Fault("points that are not finite, not float64, or none")
    if faces is not None and not (faces.min() >= 0 and faces.max() < len(points)):
        raise Fault("faces without vertices")


# Captures, by layout.


def _write_capture(layout: str, folder: Path) -> None:
    """Write captures of 40 x 30 pixels with all optional files."""
    from tests.g2vlm.captures import scans

    large, numbers = scans.scan(2), (32.5, 32.5, 19.5, 14.5)
    made = scans.Scan(large.rgb[:, ::4, ::4], large.depth[:, ::4, ::4], large.pose)
    text = " ".join(map(str, numbers))
    folder.mkdir()
    if layout == "capture.json":
        scans.write_declared(folder / "0", made, intrinsics=list(numbers), up=[0, 0, 1])
        return
    place = scans.WRITERS[layout](folder / "0", made)
    if layout == "ScanNet export":
        for camera in ("color", "depth"):
            extrinsic = scans.matrix_text(np.eye(4))
            (place / f"intrinsic/extrinsic_{camera}.txt").write_text(extrinsic)
        (place / "intrinsic/intrinsic_color.txt").write_text("65 65 39.5 29.5")
        (place / "intrinsic/intrinsic_depth.txt").write_text(text)
        return
    (place / "intrinsics.txt").write_text(f"{text}\n")
    if layout in ("TUM RGB-D", "7-Scenes"):
        _store_depth_otherwise(Path(shutil.copytree(place, folder / "1")))


def _store_depth_otherwise(place: Path) -> None:
    """Store the depth of frames as npy and PGM, under the names that it had as PNG."""
    from PIL import Image

    depth = [p for p in sorted(place.rglob("*.png")) if "depth" in str(p.relative_to(place))]
    for number, path in enumerate(depth):
        values = np.asarray(Image.open(path))
        if number == 0:
            with path.open("wb") as handle:
                np.save(handle, values)
        else:
            head = f"P5\n{values.shape[1]} {values.shape[0]}\n65535\n".encode()
            path.write_bytes(head + values.astype(">u2").tobytes())


def _read_capture(folder: Path) -> None:
    from g2vlm.captures import load_capture

    capture = load_capture(folder)
    for values in (capture.depth, capture.pose, capture.intrinsics, capture.frame_from_capture):
        if not np.isfinite(values).all():
            raise Fault("numbers that are not finite")
    if not (capture.depth >= 0).all() or not 0 < capture.depth.max() <= 30:
        raise Fault("depth that is none")
    if not all(line.isprintable() for line in (*capture.names, *capture.notes)):
        raise Fault("names or notes that do not print")
    json.dumps(capture.notes, ensure_ascii=False).encode()


# Submissions, and the truth that they are compared with.


def _write_toy(folder: Path) -> Path:
    """Write a small truth and the submission that equals it as one input."""
    from tests.metrics import toy_truth

    truth = toy_truth.write_truth(folder / "0" / "truth", 1, 300, 100)
    toy_truth.write_oracle(folder / "0" / "submission", truth)
    return folder


def _write_submission(folder: Path) -> None:
    from metrics.submission.writer import SubmissionWriter

    _write_toy(folder)
    with SubmissionWriter(
        folder / "1" / "submission", "m", 0, "toy", True, ["mesh", "captions"], mesh_kind="solids"
    ) as out:
        out.points("a", np.eye(3), np.zeros((3, 3)), np.zeros((3, 3)), np.ones(3))
        out.mesh("a", np.eye(3), [[0, 1, 2]], np.zeros((3, 3)))
        out.caption("a", "a bed")
    with SubmissionWriter(
        folder / "2" / "submission", "m", 0, "toy", True, [], mesh_kind="solids", compact=True
    ) as out:
        out.points("a", np.eye(3), np.zeros((3, 3)), np.arange(9).reshape(3, 3), np.ones(3))
        out.mesh("a", np.eye(3), [[0, 1, 2]], np.zeros((3, 3)))
        out.occupancy("a", np.ones((2, 3, 4)), [0, 0, 0], 0.04)


def _seal(folder: Path) -> None:
    """Bring the manifest's hashes up to date where there is a manifest that can be read."""
    from tests.metrics.submission.corrupted import sealed

    try:
        sealed(folder / "submission")
    except (ValueError, TypeError, OSError, RecursionError):
        return


def _read_submission(folder: Path) -> None:
    from metrics.submission.reader import TABLES, Contents, Submission
    from metrics.submission.validate import validate
    from metrics.truth import Truth

    place = folder / "submission"
    truth = Truth(folder / "truth") if (folder / "truth").is_dir() else None
    reports = [validate(place), *([validate(place, truth)] if truth is not None else [])]
    for report in reports:
        json.dumps(report.as_dict(), allow_nan=False)
        for fault in report.faults + report.warnings:
            if not str(fault).isprintable() or not str(fault).isascii() or len(str(fault)) > 1000:
                raise Fault(f"a fault that is not one readable line: {str(fault)[:200]!r}")
    scene = "a" if truth is None else truth.scenes[0]
    contents = Contents(place)
    getters: list[Callable[[], Any]] = [
        *(partial(of, scene) for of in (contents.points, contents.mesh, contents.occupancy)),
        *(partial(of, scene) for of in (contents.objects, contents.relations, contents.caption)),
        partial(contents.relation_scores, scene),
        *(partial(contents.grounding, scene, f"r{k:02d}") for k in range(4)),
        *(partial(contents.answer, scene, f"q{k:02d}") for k in range(3)),
        *(partial(contents.table, task) for task in TABLES),
    ]
    sound = not reports[0].faults
    for getter in getters:
        try:
            getter()
        except InputError as error:
            if sound:
                raise Fault(f"refused, but validate finds no fault: {error}") from error
    # The scorer refuses what the validator reports, and can write the rest.
    try:
        submission = Submission(place)
    except InputError as error:
        if not any(str(fault) in str(error) for fault in reports[0].faults):
            raise Fault(f"refused, but validate does not report it: {error}") from error
        raise
    if any(fault.file == "manifest.json" for fault in reports[0].faults):
        raise Fault("read, but validate finds faults in its manifest")
    json.dumps(submission.manifest, allow_nan=False, ensure_ascii=False).encode()


def _read_scored(folder: Path) -> None:
    from metrics.score import score_submission
    from metrics.scoreboard import score_lines

    out = folder / "out" / "scores.parquet"
    score_submission(folder / "submission", folder / "truth", out, folder / "out", _FEW)
    score_lines(json.loads(out.with_suffix(".json").read_text()), None)


# Reconstruction metrics that are computed in milliseconds; one of each input.
_FEW = ("chamfer_l1_m", "mesh_iou", "occupancy_iou")


# Configs.


def _write_configs(folder: Path) -> None:
    smoke = (REPOSITORY / "config" / "smoke.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load((REPOSITORY / "config" / "cpu.yaml").read_text(encoding="utf-8"))
    _inputs({"0/mine.yaml": smoke, "1/mine.yaml": yaml.safe_dump(whole)}, folder)


def _read_config(folder: Path) -> None:
    from g2vlm.run.config import DEFAULTS, check_config, read_sources

    path = folder / "mine.yaml"
    try:
        config = check_config(read_sources([path]))
    except InputError as error:
        # A path below the working folder is shown from there. Of two keys that do not fit, one
        # may be a default.
        shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
        if not str(error).startswith((f"{shown}: ", f"{DEFAULTS}: ")):
            raise Fault(f"names no config: {error}") from error
        raise
    json.dumps(config, allow_nan=False, ensure_ascii=False).encode("utf-8")


def _write_methods(folder: Path) -> None:
    names = ("full", "no_geometry")
    texts = [(REPOSITORY / "config" / "methods" / f"{name}.yaml").read_bytes() for name in names]
    _inputs({f"{place}/mine.yaml": text for place, text in enumerate(texts)}, folder)


def _read_method(folder: Path) -> None:
    from g2vlm.run.config import load_method

    load_method("mine", folder)


# Model folders.


def _write_model(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from g2vlm.inference.calibrate import Thresholds
    from g2vlm.models.checkpoint import save_model
    from tests.g2vlm.models.build import small_model

    place = folder / "0"
    save_model(small_model(), place, {"seed": 3, "encoders": {"image": "mobilenet_v2"}})
    write_json(place / "thresholds.json", Thresholds().to_json())
    parts = {"mean": torch.zeros(5), "scale": torch.ones(5), "rest": torch.ones(1)}
    parts |= {"basis": torch.eye(5)[:2], "deviation": torch.ones(2), "val": torch.ones(9)}
    tensors = {
        f"{name}/{part}": v.clone() for name in ("look", "shape") for part, v in parts.items()
    }
    save_file(tensors, place / "ood_score.safetensors")


def _read_model(folder: Path) -> None:
    from g2vlm.inference.calibrate import read_thresholds
    from g2vlm.models.checkpoint import load_model
    from g2vlm.models.file_format import table
    from g2vlm.use.ood_score import OODScorer

    read_thresholds(folder / "thresholds.json")
    OODScorer(folder / "ood_score.safetensors")
    table(folder)
    load_model(folder)


# The catalogue of furniture.


def _write_catalog(folder: Path) -> None:
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(picture, "png")
    material = "newmtl wood\nKd 0.5 0.4 0.3\nd 0.9\nmap_Kd wood.png\nnewmtl red\nKd 1 0 0\n"
    (folder / "0").mkdir(parents=True)
    with zipfile.ZipFile(folder / "0" / "a.zip", "w") as archive:
        archive.writestr(
            "PluginFurnitureCatalog.properties",
            "id#1=a\nname#1=Box\nmodel#1=/a.obj\nmodelRotation#1=1 0 0 0 0 1 0 -1 0\n",
        )
        archive.writestr("a.obj", _obj())
        archive.writestr("a.mtl", material)
        archive.writestr("wood.png", picture.getvalue())


def _read_catalog(folder: Path) -> None:
    from g2vlm.scenes.assets.catalog import open_catalog
    from g2vlm.scenes.assets.objfile import FIX, read_obj
    from g2vlm.scenes.assets.textures import read_texture
    from g2vlm.scenes.render.meshes import read_rotations
    from metrics.zip_file import read_entry

    with open_catalog(folder / "a.zip") as archive:
        read_rotations(archive)
        with warnings.catch_warnings(action="error"):
            mesh = read_obj(archive, "a.obj")
        _check_mesh(mesh.vertices, mesh.faces)
        for material in mesh.materials:
            if material.texture is not None:
                content = read_entry(archive, material.texture, FIX)
                read_texture(content, f"{archive.filename}:{material.texture}")


# Results: tables of scores, and the record of a run.


def _write_scores(folder: Path) -> None:
    from tests.metrics.statistics import synthetic

    table = synthetic.scores(2, 4, 2)
    table = table[table["metric"].isin(["fscore@5cm", "ref_acc@0.5", "spq@0.5"])]
    facts = synthetic.sidecars()
    for name in ("full", "no_geometry", "oracle"):
        for path in synthetic.write(table, name, _made(folder / "0" / name)):
            split = _made(path.with_suffix("")) / "dev_scene.parquet"
            path.rename(split)
            write_json(
                split.with_suffix(".json"),
                {"method": name, "seed": int(path.stem), "split": "dev_scene"}
                | {key: facts[name][key] for key in ("stochastic", "produces", "reasons", "floors")}
                | {"cost": {"parameters": 5, "seconds_per_scene": 0.1}},
            )
    csv = table[table["method"].isin(["full", "no_geometry"])].to_csv(index=False)
    config = {"reference": "full", "smallest_effect": {"spq@0.5": 0.02}, "controls": ["oracle"]}
    facets = {"first": {"primary": "spq@0.5", "secondary": ["fscore@5cm"]}}
    claims = {"better": {"a": "full", "against": ["no_geometry"], "facets": facets}}
    config["families"] = {"mine": {"split": "dev_scene", "claims": claims}}
    for place in "12":
        _made(folder / place)
    (folder / "1" / "scores.csv").write_text(csv)
    write_json(folder / "1" / "scores.json", {"method": "full", "stochastic": True})
    (folder / "2" / "scores.csv").write_text(csv)
    (folder / "2" / "statistics.yaml").write_text(yaml.safe_dump({"statistics": config}))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read_scores(folder: Path) -> None:
    from metrics.scoreboard import compare_lines, compare_tables

    config = folder / "statistics.yaml"
    table = folder / "scores.csv"
    source = [str(table if table.exists() else folder)]
    tables = compare_tables(source, "full", str(config) if config.exists() else None, None)
    compare_lines(tables)
    for frame in tables.values():
        json.loads(frame.to_json(orient="records"))


def _write_record(folder: Path) -> None:
    from hashlib import sha256

    place = folder / "0"
    predictions = _made(place / "predictions" / "full" / "0" / "dev_scene")
    (place / "estimates.csv").write_text("a,b\n1,2\n")
    (predictions / "captions.jsonl").write_text("{}\n")

    def digests(*paths: Path, below: Path) -> dict[str, str]:
        return {
            path.relative_to(below).as_posix(): sha256(path.read_bytes()).hexdigest()
            for path in paths
        }

    manifest = predictions / "manifest.json"
    write_json(manifest, {"files": digests(predictions / "captions.jsonl", below=predictions)})
    record = {"format": "g2vlm-experiment", "stage_files": digests(manifest, below=place)}
    record["results"] = digests(place / "estimates.csv", below=place)
    write_json(place / "manifest.json", record)


def _read_record(folder: Path) -> None:
    from g2vlm.run.check_results import find_changes

    for line in find_changes(folder):
        if not line.isprintable():
            raise Fault(f"not one readable line: {line[:200]!r}")


# Text that is scored.

_ANSWERS = """about 2.5 m
twenty-five
two hundred and five thousand and one point five
2 m 50 cm or 3 1/2 inches
In the 3D scene there are 5 chairs, no 1,234 and not 1e5 \u00bd
there are none; I can't tell. The answer is: the brown cabinet or no idea
"""


def _write_answers(folder: Path) -> None:
    _inputs({"0/answer.txt": _ANSWERS, "1/answer.txt": "3.0e2 sq ft, or -5 and a half"}, folder)


def _read_answers(folder: Path) -> None:
    from baselines.hf_vlm.replies import parse_reply
    from metrics.language.answers import exact_match, mean_relative_accuracy, score_answer
    from metrics.language.numerals import first_token

    text = (folder / "answer.txt").read_text(encoding="utf-8", errors="replace")
    for answer in (text, *text.splitlines()[:20]):
        values = [score_answer(answer, "2", kind)[0] for kind in ("number", "word", "choice")]
        values += [exact_match(answer, text), mean_relative_accuracy(first_token(answer), "2.5")]
        if not all(0 <= value <= 1 for value in values):
            raise Fault(f"scores {values}")
        for kind in ("count", "absolute_distance", "object_size", "room_size"):
            reply = parse_reply(answer, kind, "number", [])
            if reply is not None and not np.isfinite(float(reply)):
                raise Fault(f"the number {reply}")
        parse_reply(answer, "count", "choice", ["brown cabinet", "cabinet", "no"])
        parse_reply(answer, "existence", "word", [])


def _targets() -> list[Target]:
    from metrics.reconstruction.surface_files import READERS
    from tests.g2vlm.captures.scans import WRITERS

    geometry = [
        Target(kind, partial(_write_geometry, kind), _read_geometry)
        for kind in (suffix.lstrip(".") for suffix in READERS)
    ]
    captures = [
        Target(_capture_name(layout), partial(_write_capture, layout), _read_capture)
        for layout in WRITERS
    ]
    # What scoring the sound input has left.
    written = {f"out/{name}" for name in ("toy.safetensors", "scores.parquet", "scores.json")}
    truth = frozenset({"truth/annotations.jsonl", "truth/geometry.safetensors", *written})
    submission = frozenset(written) | frozenset(
        f"submission/{name}.{kind}"
        for name, kind in (
            *((n, "jsonl") for n in ("objects", "relations", "grounding", "answers", "captions")),
            *((n, "safetensors") for n in ("geometry", "retrieval")),
            *((n, "json") for n in ("manifest", "retrieval")),
        )
    )
    return [
        *geometry,
        *captures,
        Target("submission", _write_submission, _read_submission, truth, _seal),
        Target("score", _write_toy, _read_scored, truth, _seal),
        Target("truth", _write_toy, _read_scored, submission),
        Target("config", _write_configs, _read_config, names_file=False),
        Target("method", _write_methods, _read_method),
        Target("model", _write_model, _read_model),
        Target("catalog", _write_catalog, _read_catalog),
        Target("scores", _write_scores, _read_scores),
        Target("record", _write_record, _read_record),
        Target("answers", _write_answers, _read_answers),
    ]


def _capture_name(layout: str) -> str:
    """Return the target of a layout of captures, such as "capture-tum-rgb-d"."""
    return f"capture-{re.sub(r'[^a-z0-9]+', '-', layout.lower()).strip('-')}"


TARGETS = {target.name: target for target in _targets()}
