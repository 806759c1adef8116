"""What random valid answers score on average, in closed form, with the spread of that average.

Used to check the `chance` control: its measured mean must lie within a few standard deviations
of these values. Nothing here reads a prediction; the annotations are those of the truth folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.boxes import box_iou
from metrics.graph import relation_confusion
from metrics.grounding import SINGLE, THRESHOLDS, subsets_of
from metrics.relations import FAMILIES
from metrics.retrieval import ranks_reported


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
