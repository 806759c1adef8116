"""Rows of references, retrieval and answers over a split."""

from collections.abc import Iterable, Sequence

import numpy as np

from metrics.language.answers import AnswerComparison
from metrics.language.grounding import ReferenceComparison, subsets_of, target_boxes
from metrics.language.retrieval import QueryRanking, SplitRanks
from metrics.metric import Metric
from metrics.pooled import PooledValue, over_succeeded, pooled_rows
from metrics.rows import ALL, Row, ScoredRows, item_row, usable
from metrics.submission.items import SimilarityTable
from metrics.submission.reader import Submission
from metrics.truth import Truth

# Queries are (scene, query); a scene as a query of its own has the query "".
Keys = list[tuple[str, str]]


def score_language(submission: Submission, truth: Truth, metrics: Sequence[Metric]) -> ScoredRows:
    """Return the rows of every declared task of this domain.

    Args:
        submission, truth: of one split.
        metrics: of all domains, in the order of rows.
    """
    metrics = [metric for metric in metrics if metric.task in submission.produces]
    scored = ScoredRows()
    scored.rows.extend(_reference_rows(submission, truth, _of_input(metrics, "reference")))
    _add_retrieval_rows(scored, submission, truth, metrics)
    scored.rows.extend(_answer_rows(submission, truth, _of_input(metrics, "question")))
    return scored


def _of_input(metrics: Sequence[Metric], name: str) -> list[Metric]:
    return [metric for metric in metrics if metric.input == name]


def _reference_rows(
    submission: Submission, truth: Truth, metrics: Sequence[Metric]
) -> Iterable[Row]:
    """Yield one row a reference, subset and metric."""
    if not metrics:
        return
    nothing = np.zeros((0, 6))
    for line in truth.annotations:
        scene = line["scene"]
        for reference in line["references"]:
            query = reference["id"]
            answer = usable(submission.grounding, scene, query)
            boxes, pick = (nothing, None) if answer is None else (answer.boxes, answer.pick)
            comparison = ReferenceComparison(reference, boxes, pick, target_boxes(line, reference))
            values = {
                metric: None if answer is None else metric.compute(comparison)
                for metric in metrics
                if metric.applies(comparison)
            }
            for subset in subsets_of(reference):
                for metric, value in values.items():
                    yield item_row(metric, scene, value, 0.0, query, subset)


def _add_retrieval_rows(
    scored: ScoredRows, submission: Submission, truth: Truth, metrics: Sequence[Metric]
) -> None:
    """Add rows of captions against scenes, both ways and through a probe, and of phrases."""
    lines = truth.annotations
    objects = [f"{line['scene']}:{index}" for line in lines for index in line["given"]]
    captions = ("captions", "relevance", truth.scenes)
    phrases = ("phrases", "phrase_relevance", objects)
    for task, name, (items, relevance, gallery) in (
        ("retrieval", "text_to_scene", captions),
        ("probed_retrieval", "probed_text_to_scene", captions),
        ("grounding_retrieval", "grounding_retrieval", phrases),
    ):
        if task not in submission.produces:
            continue
        keys, relevant = _queries(truth, items, relevance, gallery)
        table = _full_table(usable(submission.table, task), keys, gallery)
        _add_query_rows(scored, metrics, name, keys, table, relevant)
        if task == "retrieval":
            scenes = [(scene, "") for scene in truth.scenes]
            _add_query_rows(scored, metrics, "scene_to_text", scenes, table.T, relevant.T)


def _queries(
    truth: Truth, items: str, relevance: str, gallery: list[str]
) -> tuple[Keys, np.ndarray]:
    """Return the queries of a split, Q, and bool [Q, gallery]: which items are relevant to each.

    Args:
        items: key of an annotation whose items are the queries.
        relevance: key of the annotation that holds {query: names of relevant items}.
        gallery: names of the items.
    """
    keys = [(line["scene"], item["id"]) for line in truth.annotations for item in line[items]]
    place = {name: index for index, name in enumerate(gallery)}
    relevant = np.zeros((len(keys), len(gallery)), bool)
    for row, (scene, query) in zip(relevant, keys, strict=True):
        names = truth.annotation(scene)[relevance][query]
        row[[place[name] for name in names if name in place]] = True
    return keys, relevant


def _full_table(table: SimilarityTable | None, keys: Keys, columns: list[str]) -> np.ndarray:
    """Return f32 [queries, columns]; NaN where the submission has no number."""
    rows = [f"{scene}/{query}" for scene, query in keys]
    full = np.full((len(rows), len(columns)), np.nan, np.float32)
    if table is None:
        return full
    row_of = {name: place for place, name in enumerate(table.rows)}
    column_of = {name: place for place, name in enumerate(table.columns)}
    filled_rows = [place for place, name in enumerate(rows) if name in row_of]
    filled_columns = [place for place, name in enumerate(columns) if name in column_of]
    from_rows = [row_of[rows[place]] for place in filled_rows]
    from_columns = [column_of[columns[place]] for place in filled_columns]
    full[np.ix_(filled_rows, filled_columns)] = table.scores[np.ix_(from_rows, from_columns)]
    return full


def _add_query_rows(
    scored: ScoredRows,
    metrics: Sequence[Metric],
    name: str,
    keys: Keys,
    scores: np.ndarray,
    relevant: np.ndarray,
) -> None:
    """Add rows of the queries with something relevant, then those pooled over these queries.

    Args:
        scored: what to add to.
        metrics: of all inputs; name: the input to score.
        keys: of the queries, Q.
        scores: f32 [Q, gallery], NaN where an item is not scored: such items rank last.
        relevant: bool [Q, gallery].
    """
    of_query, of_ranks = _of_input(metrics, name), _of_input(metrics, f"{name}_ranks")
    gallery = scores.shape[1]
    ranks: dict[str, list[int]] = {}
    answered: set[str] = set()
    for (scene, query), values, right in zip(keys, scores, relevant, strict=True):
        if not right.any():
            continue
        ranking = QueryRanking(values, right)
        failed = bool(np.isnan(values).all())
        if not failed:
            answered.add(scene)
        ranks.setdefault(scene, []).append(gallery if failed else ranking.rank)
        for metric in of_query:
            if metric.applies(ranking):
                value = None if failed else metric.compute(ranking)
                scored.rows.append(item_row(metric, scene, value, 0, query))
    if not ranks:
        return
    split = SplitRanks(list(ranks.values()))
    pooled: dict[str, PooledValue] = {m.name: m.compute(split) for m in of_ranks}
    succeeded = np.array([scene in answered for scene in ranks])
    scored.rows.extend(pooled_rows(list(ranks), pooled, succeeded))
    scored.mean_succeeded.update(over_succeeded(pooled, succeeded))


def _answer_rows(submission: Submission, truth: Truth, metrics: Sequence[Metric]) -> Iterable[Row]:
    """Yield rows of questions, then those of the scene.

    A metric whose questions count by their type alone has the mean over types as the value of the
    scene.
    """
    if not metrics:
        return
    by_type = [metric for metric in metrics if metric.subsets == ("type",)]
    for line in truth.annotations:
        scene = line["scene"]
        values: dict[str, dict[str, list[float]]] = {metric.name: {} for metric in by_type}
        answered = []
        for question in line["questions"]:
            query, kind = question["id"], question["type"]
            answer = usable(submission.answer, scene, query)
            answered.append(answer is not None)
            comparison = AnswerComparison(question, answer)
            for metric in metrics:
                if not metric.applies(comparison):
                    continue
                value = metric.compute(comparison)
                if metric in by_type:
                    values[metric.name].setdefault(kind, []).append(value)
                for name in metric.subsets:
                    subset = kind if name == "type" else ALL
                    yield item_row(metric, scene, value, 0.0, query, subset, answered[-1])
        for metric in by_type:
            if values[metric.name]:
                means = [np.mean(of_type) for of_type in values[metric.name].values()]
                yield item_row(metric, scene, float(np.mean(means)), succeeded=all(answered))
