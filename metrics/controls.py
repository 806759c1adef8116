"""Do the controls stand where they must? If not, the yardstick or the data is broken.

The oracle hands in the truth through the submission format and must reach the ceiling that the
metric functions give the truth itself; chance must lie where closed forms put random answers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from metrics.chance import chance_values
from metrics.files import InputError
from metrics.given import ranked_triplets
from metrics.graph import GraphTruth, graph_truth
from metrics.grounding import SINGLE
from metrics.registry import METRICS
from metrics.rows import Row
from metrics.score_graph import ranked_values, rule_values
from metrics.summary import summarise
from metrics.surfaces import Surface, TruthClouds, point_metrics, surface_values
from metrics.truth import Truth

TOLERANCE = 1e-6
LARGEST_Z = 5.0
# The oracle's solids pass through voxel grids and its alignment through pixel centres: these
# have no exact ceiling, only a bound that any sound run keeps.
BOUNDS = {
    "occupancy_iou": 0.9,
    "mesh_iou": 0.95,
    "fscore@5cm_sim3": 0.9,
    "chamfer_l1_sim3_m": 0.03,
}


def ceilings(truth: Truth) -> dict[str, float]:
    """Return what the truth itself scores, by metric: scene means for the split.

    Reconstruction values are computed (a cloud that is drawn as squares, or whose normals are
    estimated, is not at 1), and so are those of the relation rules on true boxes and of one
    ranking for all predicates; everything else is the best there is.
    """
    each: dict[str, list[float]] = {}
    for scene in truth.scenes:
        prepared = truth.prepared(scene)
        true = prepared.ordered(truth.geometry(scene))
        surface = Surface.ordered(true.surface, None, true.surface_colour)
        values = surface_values(surface, TruthClouds(true, prepared))
        for name in point_metrics(true, False):
            each.setdefault(name, []).append(values[name])
    found = {name: float(np.mean(values)) for name, values in each.items()}
    for name, metric in METRICS.items():
        if metric.task != "points" and name not in BOUNDS:
            found[name] = metric.best
    return found | _graph_ceilings(truth)


def _graph_ceilings(truth: Truth) -> dict[str, float]:
    """Return what true objects and triplets score where that is not 1."""
    truths = [graph_truth(line) for line in truth.annotations]
    answers = [
        _true_answer(true, line) for true, line in zip(truths, truth.annotations, strict=True)
    ]
    ranked = [ranked_triplets(true, *answer) for true, answer in zip(truths, answers, strict=True)]
    values = rule_values(truths, answers) | ranked_values(truths, ranked)
    return {name: value.theta for name, value in values.items() if value is not None}


def _true_answer(
    truth: GraphTruth, annotation: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[tuple]]:
    """Return true objects and the relations as they are annotated, before inverses are folded.

    A ranking that is cut among equal scores goes by these words, as it does for the oracle.
    """
    objects = [
        {"box": box.tolist(), "class": name, "score": 1.0}
        for box, name in zip(truth.boxes, truth.classes, strict=True)
    ]
    nodes = [item["index"] for item in annotation["objects"] if item["state"] == "eligible"]
    place = {index: position for position, index in enumerate(nodes)}
    return objects, [
        (place[i], name, place[j], 1.0)
        for i, j, name in annotation["relations"]
        if i in place and j in place
    ]


def check_oracle(scores: str | os.PathLike[str], truth_dir: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with the oracle's score table, one line each; [] when all is well."""
    measured = {
        name: value for (name, subset), value in split_means(scores).items() if subset == "all"
    }
    truth = Truth(truth_dir)
    wanted = ceilings(truth)
    faults = []
    for name, value in measured.items():
        if name in BOUNDS:
            good = (
                value >= BOUNDS[name] if METRICS[name].higher_is_better else value <= BOUNDS[name]
            )
            if not good:
                faults.append(f"oracle {name}: {value:.6g}, beyond the bound {BOUNDS[name]:g}")
        elif abs(value - wanted[name]) > TOLERANCE:
            faults.append(f"oracle {name}: {value:.9g}, its ceiling is {wanted[name]:.9g}")
    judged = _judged_tasks(truth)
    missing = [
        name
        for name in wanted
        if name not in measured and METRICS[name].task in judged and not _optional(name)
    ]
    return faults + [f"oracle {name}: no rows" for name in missing]


def _judged_tasks(truth: Truth) -> set[str]:
    """Return the tasks the split's truth has anything to ask about."""
    lines = truth.annotations
    kinds = {item["kind"] for line in lines for item in line["references"]}
    single = bool(kinds & set(SINGLE))
    asked = {
        "points": True,
        "objects": any(line["given"] for line in lines),
        "graph": any(line["relations"] for line in lines),
        "given_relations": any(line["relations"] for line in lines),
        "grounding": single,
        "picks": single,
        "retrieval": any(line["captions"] for line in lines),
        "grounding_retrieval": any(line["phrases"] for line in lines),
        "answers": any(line["questions"] for line in lines),
    }
    return {task for task, there in asked.items() if there}


def _optional(name: str) -> bool:
    """Say whether sound truth may leave a metric without rows.

    R@k needs a large gallery, SPQ by family its predicates, the rest items of one kind.
    """
    some = ("spq", "ref_f1", "answer_em", "answer_mra", "predicate_f1", "triplet", "oriented")
    return "_r@" in name or name.startswith(some)


def check_chance(
    scores: Sequence[str | os.PathLike[str]], truth_dir: str | os.PathLike[str]
) -> list[str]:
    """Return what is wrong with the chance control's tables (one a seed); [] when all is well.

    The mean over the tables must lie within 5 standard deviations of its closed form.
    """
    truth = Truth(truth_dir)
    tables = [split_means(path) for path in scores]
    faults = []
    for (name, subset), expected in chance_values(truth.annotations).items():
        values = [table[name, subset] for table in tables if (name, subset) in table]
        if values and expected.z_score(float(np.mean(values)), len(values)) > LARGEST_Z:
            faults.append(
                f"chance {name} ({subset}): {np.mean(values):.4f} over {len(values)} runs, "
                f"its closed form is {expected.mean:.4f}"
            )
    return faults


def split_means(path: str | os.PathLike[str]) -> dict[tuple[str, str], float]:
    """Return {(metric, subset): value} of a score table.

    Queries are averaged within a scene, then scenes; a pooled metric is its theta.
    """
    cells = summarise(_read(path))
    return {
        (metric, subset): cell["mean"]
        for metric, subsets in cells.items()
        for subset, cell in subsets.items()
    }


def _read(path: str | os.PathLike[str]) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [field.name for field in fields(Row)]
    try:
        columns = pq.read_table(path, columns=names).to_pydict()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: no score table ({error}); score the control first") from error
    return [Row(*values) for values in zip(*(columns[name] for name in names), strict=True)]
