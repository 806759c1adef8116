"""Scores of scene graphs, references, retrieval and answers over a split."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from metrics import detection, given, graph, grounding, retrieval
from metrics.answers import score_answer
from metrics.pooled import PooledValue
from metrics.rows import Row, failed, usable
from metrics.submission import ScoreTable, Submission
from metrics.truth import Truth

BOX_THRESHOLDS = (0.25, 0.5)


def score_graph(submission: Submission, truth: Truth) -> tuple[list[Row], dict[str, Any]]:
    """Return rows of detected objects and their graph, and the predicate sets that were used.

    A scene without usable objects counts as one with no object found.
    """
    if not submission.produces & {"objects", "graph"}:
        return [], {}
    truths = [graph.graph_truth(line) for line in truth.annotations]
    answers = [usable(lambda s=scene: submission.objects(s)) for scene in truth.scenes]
    succeeded = [answer is not None for answer in answers]
    found = [answer if answer is not None else ([], []) for answer in answers]
    values: dict[str, PooledValue | None] = {}
    predicates: dict[str, list[str]] = {}
    notes: dict[str, Any] = {}
    for threshold in BOX_THRESHOLDS:
        if "objects" in submission.produces:
            judged = [
                detection.judge_detections(true, objects, threshold)
                for true, (objects, _) in zip(truths, found, strict=True)
            ]
            values[f"object_map@{threshold:g}"] = detection.object_map(judged)
        if "graph" in submission.produces:
            counts = [
                graph.graph_counts(true, objects, triplets, threshold)
                for true, (objects, triplets) in zip(truths, found, strict=True)
            ]
            scores = graph.graph_scores(counts, truths, threshold)
            values |= scores.values
            predicates |= scores.predicates
            notes = {"predicates": predicates, "fewest_triplets": scores.fewest}
    if "objects" in submission.produces:
        boxes = [
            detection.box_quality_counts(true, objects, 0.5)
            for true, (objects, _) in zip(truths, found, strict=True)
        ]
        values["box_pq@0.5"] = detection.box_pq(boxes, truths)
    rows = _pooled_rows(truth.scenes, values, succeeded)
    if "graph" in submission.produces:
        for scene, true, (objects, triplets), good in zip(
            truth.scenes, truths, found, succeeded, strict=True
        ):
            for k in given.RANKS:
                recall = given.triplet_recall(true, objects, triplets, k)
                if recall is not None:
                    name = f"triplet_recall@{k}"
                    rows.append(Row(scene, "", "all", name, recall, "item", good))
    return rows, notes


def score_relations(submission: Submission, truth: Truth) -> list[Row]:
    """Return rows of the relations of given objects; a missing scene is all wrong."""
    if "given_relations" not in submission.produces:
        return []
    answers = [usable(lambda s=scene: submission.relations(s)) for scene in truth.scenes]
    confusion = [
        graph.relation_confusion(line, answer or {})
        for line, answer in zip(truth.annotations, answers, strict=True)
    ]
    truths = [graph.graph_truth(line) for line in truth.annotations]
    counts = [
        given.given_counts(true, line["given"], answer or {})
        for true, line, answer in zip(truths, truth.annotations, answers, strict=True)
    ]
    values = {"sg_accuracy": graph.sg_accuracy(confusion), **given.spq_given(counts, truths)}
    return _pooled_rows(truth.scenes, values, [answer is not None for answer in answers])


def _pooled_rows(
    scenes: list[str], values: dict[str, PooledValue | None], succeeded: list[bool]
) -> list[Row]:
    rows = []
    for name, value in values.items():
        if value is None:
            continue
        rows.append(Row("", "", "all", name, value.theta, "pooled"))
        for scene, pseudo, good in zip(scenes, value.pseudo.tolist(), succeeded, strict=True):
            rows.append(Row(scene, "", "all", name, pseudo, "pseudo", good))
    return rows


def score_grounding(submission: Submission, truth: Truth) -> list[Row]:
    """Return one row a reference, metric and subset."""
    boxes, picks = "grounding" in submission.produces, "picks" in submission.produces
    rows: list[Row] = []
    if not boxes and not picks:
        return rows
    for line in truth.annotations:
        scene = line["scene"]
        box_of = {item["index"]: item["box"] for item in line["objects"]}
        for reference in line["references"]:
            found = usable(lambda r=reference, s=scene: submission.grounding(s, r["id"]))
            targets = np.array([box_of[i] for i in reference["targets"]], float).reshape(-1, 6)
            single = reference["kind"] in grounding.SINGLE
            values: dict[str, float] = {}
            for threshold in grounding.THRESHOLDS if boxes else ():
                name = f"ref_acc@{threshold:g}" if single else f"ref_f1@{threshold:g}"
                metric = grounding.ref_acc if single else grounding.ref_f1
                wanted = targets[0] if single else targets
                values[name] = metric(found.boxes, wanted, threshold) if found else 0.0
            if picks and single:
                pick = found.pick if found else None
                values["ref_pick"] = grounding.ref_pick(pick, reference["targets"])
            rows += [
                Row(scene, reference["id"], subset, name, value, "item", found is not None)
                for subset in grounding.subsets_of(reference)
                for name, value in values.items()
            ]
    return rows


def score_retrieval(submission: Submission, truth: Truth) -> list[Row]:
    """Return rows of captions against scenes (both ways) and of phrases against objects."""
    rows: list[Row] = []
    if "retrieval" in submission.produces:
        texts = [
            (line["scene"], caption["id"], line["relevance"][caption["id"]])
            for line in truth.annotations
            for caption in line["captions"]
        ]
        names = [f"{scene}/{caption}" for scene, caption, _ in texts]
        table = _full_table(usable(submission.retrieval), names, truth.scenes)
        relevant = _relevance([right for _, _, right in texts], truth.scenes)
        keys = [(scene, caption) for scene, caption, _ in texts]
        rows += _query_rows("text_to_scene", keys, table, relevant, False)
        keys = [(scene, "") for scene in truth.scenes]
        rows += _query_rows("scene_to_text", keys, table.T, relevant.T, False)
    if "grounding_retrieval" in submission.produces:
        rows += _score_phrases(submission, truth)
    return rows


def _score_phrases(submission: Submission, truth: Truth) -> list[Row]:
    phrases = [
        (line["scene"], phrase["id"], line["phrase_relevance"][phrase["id"]])
        for line in truth.annotations
        for phrase in line["phrases"]
    ]
    objects = [f"{line['scene']}:{index}" for line in truth.annotations for index in line["given"]]
    names = [f"{scene}/{phrase}" for scene, phrase, _ in phrases]
    table = _full_table(usable(submission.grounding_retrieval), names, objects)
    relevant = _relevance([right for _, _, right in phrases], objects)
    keys = [(scene, phrase) for scene, phrase, _ in phrases]
    return _query_rows("grounding_retrieval", keys, table, relevant, True)


def _full_table(table: ScoreTable | None, rows: list[str], columns: list[str]) -> np.ndarray:
    """Return f32 [rows, columns]; NaN where the submission says nothing or no number."""
    full = np.full((len(rows), len(columns)), np.nan, np.float32)
    if table is None:
        return full
    row_of = {name: place for place, name in enumerate(table.rows)}
    column_of = {name: place for place, name in enumerate(table.columns)}
    here = [place for place, name in enumerate(rows) if name in row_of]
    there = [place for place, name in enumerate(columns) if name in column_of]
    mine = [row_of[rows[place]] for place in here]
    theirs = [column_of[columns[place]] for place in there]
    full[np.ix_(here, there)] = table.scores[np.ix_(mine, theirs)]
    return full


def _relevance(right: Iterable[list[str]], columns: list[str]) -> np.ndarray:
    place = {name: index for index, name in enumerate(columns)}
    rows = [[place[name] for name in names if name in place] for names in right]
    found = np.zeros((len(rows), len(columns)), bool)
    for row, chosen in enumerate(rows):
        found[row, chosen] = True
    return found


def _query_rows(
    name: str,
    keys: list[tuple[str, str]],
    scores: np.ndarray,
    relevant: np.ndarray,
    precision: bool,
) -> list[Row]:
    """Score queries [Q] with something relevant; unscored gallery items rank last."""
    gallery = scores.shape[1]
    ranks = retrieval.ranks_reported(gallery)
    metrics = [f"{name}_mrr", *(f"{name}_r@{k}" for k in ranks)]
    metrics += [f"{name}_map"] if precision else []
    rows = []
    for (scene, query), values, right in zip(keys, scores, relevant, strict=True):
        if not right.any():
            continue
        if np.isnan(values).all():
            rows += failed(scene, metrics, 0.0, query)
            continue
        values = np.where(np.isnan(values), -np.inf, values)
        rank = retrieval.first_rank(values, right)
        found = [retrieval.reciprocal_rank(rank), *(retrieval.recall_at(rank, k) for k in ranks)]
        found += [retrieval.average_precision(values, right)] if precision else []
        rows += [
            Row(scene, query, "all", metric, value)
            for metric, value in zip(metrics, found, strict=True)
        ]
    return rows


def score_answers(submission: Submission, truth: Truth) -> list[Row]:
    """Return rows of questions, and the macro mean over question types a scene."""
    rows: list[Row] = []
    if "answers" not in submission.produces:
        return rows
    for line in truth.annotations:
        scene = line["scene"]
        by_type: dict[str, list[float]] = {}
        read = []
        for item in line["questions"]:
            answer = usable(lambda q=item, s=scene: submission.answer(s, q["id"]))
            kind, query = item["answer_kind"], item["id"]
            value, parsed = score_answer(answer, item["answer"], kind)
            there = answer is not None
            by_type.setdefault(item["type"], []).append(value)
            read.append(there)
            own = "answer_mra" if kind == "number" else "answer_em"
            rows += [
                Row(scene, query, item["type"], "answer_score", value, "item", there),
                Row(scene, query, "all", own, value, "item", there),
                Row(scene, query, item["type"], own, value, "item", there),
                Row(scene, query, "all", "answer_unparsed", float(not parsed), "item", there),
            ]
        if by_type:
            mean = float(np.mean([np.mean(values) for values in by_type.values()]))
            rows.append(Row(scene, "", "all", "answer_score", mean, "item", all(read)))
    return rows
