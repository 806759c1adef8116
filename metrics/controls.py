"""Do the controls score what they must? If not, the evaluation protocol or the data is broken.

Two controls bound every metric. The ceiling control submits the truth and must reach what the
metric functions give the truth itself. The chance control answers at random and must score what
closed forms predict.
"""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from metrics.chance import ChanceValue
from metrics.language.grounding import SINGLE
from metrics.metric import Metric
from metrics.prepare import open_truth
from metrics.reconstruction.surfaces import Surface, SurfaceComparison, TruthClouds
from metrics.registry import METRICS
from metrics.rows import Row, summarise
from metrics.scene_graph.spq import Answer, GraphComparison
from metrics.truth import Truth

# How far a score of the ceiling control may lie from its ceiling.
TOLERANCE = 1e-6
# How many standard deviations the chance control may lie from its expectation.
LARGEST_Z = 5.0


def check_ceiling(
    scores: str | os.PathLike[str], truth_dir: str | os.PathLike[str], name: str = "ceiling control"
) -> list[str]:
    """Return what is wrong with the score table of a control that submits the truth.

    Args:
        scores: its score table.
        truth_dir: the truth folder of the same split.
        name: of the control, for the messages.

    Returns:
        One line for each fault; [] when all is well.
    """
    measured = {
        metric: value for (metric, subset), value in split_means(scores).items() if subset == "all"
    }
    truth = open_truth(truth_dir)
    expected = ceilings(truth)
    faults = []
    for metric, value in measured.items():
        bound = METRICS[metric].perfect_bound
        if bound is not None:
            reached = value >= bound if METRICS[metric].higher_is_better else value <= bound
            if not reached:
                faults.append(f"{name} {metric}: {value:.6g}, beyond the bound {bound:g}")
        elif abs(value - expected[metric]) > TOLERANCE:
            faults.append(f"{name} {metric}: {value:.9g}, its ceiling is {expected[metric]:.9g}")
    asked = _asked_tasks(truth)
    missing = [
        metric
        for metric in expected
        if metric not in measured and METRICS[metric].task in asked and not METRICS[metric].optional
    ]
    return faults + [f"{name} {metric}: no rows" for metric in missing]


def ceilings(truth: Truth) -> dict[str, float]:
    """Return what the truth itself scores on a split, by metric.

    It is computed where it is not the best value: a cloud whose normals are estimated, relation
    rules on true boxes, one ranking for all predicates. Metrics with a bound have no ceiling.

    Args:
        truth: prepared (`metrics.prepare.open_truth`).
    """
    by_scene: dict[str, list[float]] = {}
    for scene in truth.scenes:
        prepared = truth.prepared(scene)
        true = prepared.ordered(truth.geometry(scene))
        comparison = SurfaceComparison(
            Surface.ordered(true.surface, None, true.surface_colour), TruthClouds(true, prepared)
        )
        for metric in _computed("surface"):
            if metric.applies(comparison):
                by_scene.setdefault(metric.name, []).append(metric.compute(comparison))
    values = {name: float(np.mean(scores)) for name, scores in by_scene.items()}
    values |= {
        name: metric.best
        for name, metric in METRICS.items()
        if not metric.computed_ceiling and metric.perfect_bound is None
    }
    graphs = GraphComparison(truth.annotations, [_true_answer(line) for line in truth.annotations])
    for metric in _computed("graphs"):
        pooled = metric.compute(graphs)
        if pooled is not None:
            values[metric.name] = pooled.theta
    return values


def _computed(name: str) -> list[Metric]:
    """Return the metrics of one input whose ceiling must be computed."""
    return [m for m in METRICS.values() if m.computed_ceiling and m.input == name]


def _true_answer(annotation: dict[str, Any]) -> Answer:
    """Return true objects and the relations as they are annotated, before inverses are folded."""
    nodes = [item for item in annotation["objects"] if item["state"] == "eligible"]
    place = {item["index"]: position for position, item in enumerate(nodes)}
    objects = [{"box": item["box"], "class": item["class"], "score": 1.0} for item in nodes]
    return objects, [
        (place[i], name, place[j], 1.0)
        for i, j, name in annotation["relations"]
        if i in place and j in place
    ]


def _asked_tasks(truth: Truth) -> set[str]:
    """Return the tasks for which the split's truth holds anything to answer."""
    lines = truth.annotations
    single = any(item["kind"] in SINGLE for line in lines for item in line["references"])
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
    return {task for task, is_asked in asked.items() if is_asked}


def check_chance(
    scores: Sequence[str | os.PathLike[str]],
    truth_dir: str | os.PathLike[str],
    name: str = "chance control",
) -> list[str]:
    """Return what is wrong with the score tables of a control that answers at random.

    The mean over the tables must lie within 5 standard deviations of its closed form.

    Args:
        scores: its score tables, one a seed.
        truth_dir: the truth folder of the same split.
        name: of the control, for the messages.

    Returns:
        One line for each fault; [] when all is well.
    """
    tables = [split_means(path) for path in scores]
    faults = []
    for (metric, subset), expected in chance_values(Truth(truth_dir).annotations).items():
        values = [table[metric, subset] for table in tables if (metric, subset) in table]
        if values and expected.z_score(float(np.mean(values)), len(values)) > LARGEST_Z:
            faults.append(
                f"{name} {metric} ({subset}): {np.mean(values):.4f} over {len(values)} runs, "
                f"its closed form is {expected.mean:.4f}"
            )
    return faults


def chance_values(annotations: Sequence[dict[str, Any]]) -> dict[tuple[str, str], ChanceValue]:
    """Return the expected score of random answers, by (metric, subset), where one is known.

    Args:
        annotations: the lines of a split's annotations.jsonl.
    """
    return {
        (name, subset): value
        for name, metric in METRICS.items()
        if metric.chance is not None
        for subset, value in metric.chance(annotations).items()
    }


def split_means(path: str | os.PathLike[str]) -> dict[tuple[str, str], float]:
    """Return {(metric, subset): value} of a score table.

    Queries are averaged within a scene, then scenes; a pooled metric is its theta.
    """
    from metrics.statistics.table import read_scores

    columns = read_scores(Path(path))[[field.name for field in fields(Row)]]
    rows = [Row(*values) for values in columns.itertuples(index=False, name=None)]
    return {
        (metric, subset): cell["mean"]
        for metric, subsets in summarise(rows).items()
        for subset, cell in subsets.items()
    }
