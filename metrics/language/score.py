"""Scores of references, retrieval and answers over a split."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from metrics.language import grounding, retrieval
from metrics.language.answers import score_answer
from metrics.rows import Row, failed, usable
from metrics.submission.reader import TABLES, ScoreTable, Submission
from metrics.truth import Truth


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
    asked = [task for task in ("retrieval", "probed_retrieval") if task in submission.produces]
    if asked:
        texts = [
            (line["scene"], caption["id"], line["relevance"][caption["id"]])
            for line in truth.annotations
            for caption in line["captions"]
        ]
        names = [f"{scene}/{caption}" for scene, caption, _ in texts]
        relevant = _relevance([right for _, _, right in texts], truth.scenes)
        keys = [(scene, caption) for scene, caption, _ in texts]
    for task in asked:
        table = _full_table(usable(lambda t=task: submission.table(t)), names, truth.scenes)
        rows += _query_rows(TABLES[task][0], keys, table, relevant, False)
        if task == "retrieval":
            own = [(scene, "") for scene in truth.scenes]
            rows += _query_rows("scene_to_text", own, table.T, relevant.T, False)
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
    of_scene: dict[str, list[int]] = {}
    for (scene, query), values, right in zip(keys, scores, relevant, strict=True):
        if not right.any():
            continue
        if np.isnan(values).all():
            rows += failed(scene, metrics, 0.0, query)
            of_scene.setdefault(scene, []).append(gallery)
            continue
        values = np.where(np.isnan(values), -np.inf, values)
        rank = retrieval.first_rank(values, right)
        of_scene.setdefault(scene, []).append(rank)
        found = [retrieval.reciprocal_rank(rank), *(retrieval.recall_at(rank, k) for k in ranks)]
        found += [retrieval.average_precision(values, right)] if precision else []
        rows += [
            Row(scene, query, "all", metric, value)
            for metric, value in zip(metrics, found, strict=True)
        ]
    return rows + _median_ranks(name, of_scene, {row.scene for row in rows if row.succeeded})


def _median_ranks(name: str, ranks: dict[str, list[int]], heard: set[str]) -> list[Row]:
    metric = f"{name}_median_rank"
    return [
        Row(scene, "", "all", metric, retrieval.median_rank(found), "item", scene in heard)
        for scene, found in ranks.items()
    ]


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
