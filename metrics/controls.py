"""Do the controls stand where they must? If not, the yardstick or the data is broken.

The oracle hands in the truth through the submission format and must reach the ceiling that the
metric functions give the truth itself; chance must lie where closed forms put random answers.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from metrics.files import InputError
from metrics.language.grounding import SINGLE, THRESHOLDS, subsets_of
from metrics.language.retrieval import ranks_reported
from metrics.reconstruction.surfaces import Surface, TruthClouds, point_metrics, surface_values
from metrics.registry import METRICS
from metrics.rows import Row, summarise
from metrics.scene_graph.boxes import box_iou
from metrics.scene_graph.predicates import FAMILIES
from metrics.scene_graph.score import ranked_values, rule_values
from metrics.scene_graph.spq import GraphTruth, graph_truth, relation_confusion
from metrics.scene_graph.triplet_recall import ranked_triplets
from metrics.truth import Truth


@dataclass(frozen=True)
class ChanceValue:
    """Expected score of a random answerer and the standard deviation of one run's score."""

    mean: float
    sd: float

    def z_score(self, measured: float, runs: int = 1) -> float:
        """Return how many standard deviations the mean of `runs` runs lies from expectation.

        >>> round(ChanceValue(0.5, 0.1).z_score(0.6, runs=4), 3)
        2.0
        """
        if self.sd == 0.0:
            return 0.0 if math.isclose(measured, self.mean, abs_tol=1e-9) else math.inf
        return abs(measured - self.mean) / (self.sd / math.sqrt(runs))


def hit(options: int, right: int = 1) -> ChanceValue:
    """One uniform draw among `options`, of which `right` are right (a Bernoulli variable).

    >>> hit(4).mean
    0.25
    """
    share = right / options
    return ChanceValue(share, math.sqrt(share * (1.0 - share)))


def first_rank_distribution(gallery: int, relevant: int) -> np.ndarray:
    """Probability that the best-ranked relevant item of a random order has rank 1, 2, …

    Negative hypergeometric: P(first > k) = C(gallery - relevant, k) / C(gallery, k).
    Returns f64[gallery - relevant + 1].
    """
    ranks = np.arange(gallery - relevant + 1)
    later = np.cumprod((gallery - relevant - ranks) / (gallery - ranks))
    return -np.diff(np.concatenate([[1.0], later]))


def recall_at(gallery: int, relevant: int, k: int) -> ChanceValue:
    """Chance that any relevant item is among the first `k` of a random order.

    >>> recall_at(10, 1, 5).mean
    0.5
    """
    share = float(first_rank_distribution(gallery, relevant)[:k].sum())
    return ChanceValue(share, math.sqrt(max(share * (1.0 - share), 0.0)))


def reciprocal_rank(gallery: int, relevant: int) -> ChanceValue:
    """1 / rank of the best relevant item in a random order.

    >>> round(reciprocal_rank(2, 1).mean, 3)
    0.75
    """
    chances = first_rank_distribution(gallery, relevant)
    values = 1.0 / np.arange(1, len(chances) + 1)
    mean = float(chances @ values)
    return ChanceValue(mean, math.sqrt(max(float(chances @ values**2) - mean**2, 0.0)))


def average_precision(gallery: int, relevant: int) -> ChanceValue:
    """Expected average precision of a random order (Bestgen 2015, eq. 4).

    E[AP] = (H_n + (r - 1) / (n - 1) (n - H_n)) / n for r relevant items among n. The spread is
    the largest that a value in [0, 1] of this mean can have (Bhatia and Davis 2000).

    >>> average_precision(1, 1).mean
    1.0
    """
    harmonic = float(np.sum(1.0 / np.arange(1, gallery + 1)))
    further = (relevant - 1) / (gallery - 1) if gallery > 1 else 0.0
    mean = (harmonic + further * (gallery - harmonic)) / gallery
    return ChanceValue(mean, math.sqrt(max(mean * (1.0 - mean), 0.0)))


def scene_mean(scenes: Iterable[Sequence[ChanceValue]]) -> ChanceValue | None:
    """Average independent queries within a scene, then over the scenes that have any."""
    filled = [queries for queries in scenes if queries]
    if not filled:
        return None
    means = [sum(query.mean for query in queries) / len(queries) for queries in filled]
    variances = [sum(query.sd**2 for query in queries) / len(queries) ** 2 for queries in filled]
    return ChanceValue(sum(means) / len(filled), math.sqrt(sum(variances)) / len(filled))


def chance_values(annotations: Sequence[dict[str, Any]]) -> dict[tuple[str, str], ChanceValue]:
    """Return the expected chance score of every headline metric that has a closed form.

    `annotations` are the lines of truth/<split>/annotations.jsonl. Keys are (metric, subset) as in
    a score table: references by subset, retrieval and `sg_accuracy` over "all", and `answer_em` of
    the question types that are multiple choice throughout. R@K appears only where the gallery is
    large enough.
    """
    values = _references(annotations) | _choices(annotations) | _given_relations(annotations)
    relevance = [list(line["relevance"].values()) for line in annotations]
    phrases = [list(line["phrase_relevance"].values()) for line in annotations]
    per_text = [[len(scenes) for scenes in found] for found in relevance]
    of_scene = Counter(name for found in relevance for scenes in found for name in set(scenes))
    per_scene = [[of_scene[line["scene"]]] for line in annotations]
    objects = sum(len(line["given"]) for line in annotations)
    per_phrase = [[len(right) for right in found] for found in phrases]
    texts = sum(map(len, relevance))
    found = {
        **_retrieval("text_to_scene", len(annotations), per_text),
        **_retrieval("scene_to_text", texts, per_scene),
        **_retrieval("grounding_retrieval", objects, per_phrase),
        "grounding_retrieval_map": scene_mean(
            [average_precision(objects, right) for right in line if right] for line in per_phrase
        ),
    }
    return values | {(name, "all"): value for name, value in found.items() if value is not None}


def _references(
    annotations: Sequence[dict[str, Any]],
) -> dict[tuple[str, str], ChanceValue]:
    """`ref_pick`, `ref_acc` and `ref_f1` by subset, of one given object and its true box."""
    found: dict[tuple[str, str], list[list[ChanceValue]]] = {}
    for line in annotations:
        of_scene: dict[tuple[str, str], list[ChanceValue]] = {}
        for reference in line["references"]:
            for metric, value in _reference_values(line, reference).items():
                for subset in subsets_of(reference):
                    of_scene.setdefault((metric, subset), []).append(value)
        for key, values in of_scene.items():
            found.setdefault(key, []).append(values)
    means = {key: scene_mean(scenes) for key, scenes in found.items()}
    return {key: value for key, value in means.items() if value is not None}


def _reference_values(line: dict[str, Any], reference: dict[str, Any]) -> dict[str, ChanceValue]:
    """Return what the true box of a given object, drawn at random, scores on one reference."""
    given, targets = line["given"], reference["targets"]
    if not given:
        return {}
    boxes = {item["index"]: item["box"] for item in line["objects"]}
    drawn, wanted = ([boxes[index] for index in some] for some in (given, targets))
    overlap = box_iou(drawn, wanted)
    if reference["kind"] in SINGLE:
        values = {"ref_pick": hit(len(given), len(targets))}
        for threshold in THRESHOLDS:
            right = int((overlap[:, 0] >= threshold).sum())
            values[f"ref_acc@{threshold:g}"] = hit(len(given), right)
        return values
    each = {
        threshold: np.where((overlap >= threshold).any(axis=1), 2 / (1 + len(targets)), 0.0)
        for threshold in THRESHOLDS
    }
    return {
        f"ref_f1@{threshold:g}": ChanceValue(float(score.mean()), float(score.std()))
        for threshold, score in each.items()
    }


def _choices(annotations: Sequence[dict[str, Any]]) -> dict[tuple[str, str], ChanceValue]:
    """`answer_em` of the question types that are multiple choice throughout."""
    by_type: dict[str, list[list[ChanceValue]]] = {}
    open_types = set()
    for line in annotations:
        of_scene: dict[str, list[ChanceValue]] = {}
        for question in line["questions"]:
            if question["choices"]:
                of_scene.setdefault(question["type"], []).append(hit(len(question["choices"])))
            else:
                open_types.add(question["type"])
        for kind, values in of_scene.items():
            by_type.setdefault(kind, []).append(values)
    means = {("answer_em", kind): scene_mean(scenes) for kind, scenes in by_type.items()}
    return {key: value for key, value in means.items() if value and key[1] not in open_types}


def _given_relations(
    annotations: Sequence[dict[str, Any]],
) -> dict[tuple[str, str], ChanceValue]:
    """`sg_accuracy` of uniform labels: whatever is true, each of K labels is drawn 1 time in K."""
    tables = [relation_confusion(line, {}) for line in annotations]
    means, variances = [], []
    for family in FAMILIES:
        totals = sum(table[family].sum(axis=1) for table in tables)
        share, there = 1.0 / len(totals), totals[totals > 0]
        if len(there):
            means.append(share)
            variances.append(float((share * (1 - share) / there).sum()) / len(there) ** 2)
    if not means:
        return {}
    spread = math.sqrt(sum(variances)) / len(means)
    return {("sg_accuracy", "all"): ChanceValue(sum(means) / len(means), spread)}


def _retrieval(
    name: str, gallery: int, counts: Sequence[Sequence[int]]
) -> dict[str, ChanceValue | None]:
    """MRR and R@K of one direction; `counts` holds the relevant items of each scene's queries."""
    values = {
        f"{name}_mrr": scene_mean(
            [reciprocal_rank(gallery, right) for right in line if right] for line in counts
        )
    }
    for k in ranks_reported(gallery):
        values[f"{name}_r@{k}"] = scene_mean(
            [recall_at(gallery, right, k) for right in line if right] for line in counts
        )
    return values


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
