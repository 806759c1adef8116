"""Score a submission against the truth of its split: one table of rows and one summary."""

import os
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from metrics.files import InputError, atomic_path, write_json
from metrics.language.score import score_language
from metrics.prepare import measured_floors, open_truth
from metrics.reconstruction.score import geometry_tasks, score_reconstruction
from metrics.registry import METRICS, ROWS
from metrics.rows import Row, summarise
from metrics.scene_graph.score import score_graphs, score_relations
from metrics.submission.reader import Submission
from metrics.truth import Truth


def score_submission(
    submission_dir: str | os.PathLike[str],
    truth_dir: str | os.PathLike[str],
    out_parquet: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
    reconstruction: Collection[str] | None = None,
) -> None:
    """Score a submission folder; write its table, and next to it a ``.json`` summary.

    Items that are missing or unusable get their metric's worst value and succeeded = False;
    tasks that are not declared get no rows.

    Args:
        submission_dir: a folder in the submission format.
        truth_dir: the truth folder of the same split.
        out_parquet: table to write, with columns method, seed, split, scene, query, subset,
            metric, value, kind ("item", "pseudo", "pooled"), succeeded.
        cache_dir: where to keep the truth's prepared file, if the truth folder does not hold it.
        reconstruction: names of the reconstruction metrics to compute, which are the costly ones;
            by default all. Every metric of the other tasks is computed.

    Raises:
        InputError: the folder cannot be scored at all.
    """
    submission, truth = Submission(submission_dir), open_truth(truth_dir, cache_dir)
    if submission.split != truth.split:
        raise InputError(
            f"{submission_dir}: predicts split {submission.split!r}, the truth is "
            f"{truth.split!r}; name the truth of the same split"
        )
    rows, notes = score_rows(submission, truth, reconstruction)
    write_scores(out_parquet, submission, rows)
    write_json(
        Path(out_parquet).with_suffix(".json"),
        {
            "method": submission.method,
            "seed": submission.seed,
            "split": submission.split,
            "stochastic": submission.stochastic,
            "produces": sorted(submission.produces),
            "cost": submission.cost,
            "thresholds": submission.thresholds,
            "floors": _floors(submission, truth),
        }
        | notes,
    )


def score_rows(
    submission: Submission, truth: Truth, reconstruction: Collection[str] | None = None
) -> tuple[list[Row], dict[str, Any]]:
    """Return every row of a submission, and notes on what was used or left out.

    Args:
        submission, truth: of one split; the truth is prepared.
        reconstruction: as in `score_submission`.
    """
    rows, reasons = score_reconstruction(submission, truth, ROWS, reconstruction)
    graphs = score_graphs(submission, truth, ROWS)
    relations = score_relations(submission, truth, ROWS)
    language = score_language(submission, truth, ROWS)
    rows += [*graphs.rows, *relations.rows, *language.rows]
    reasons = submission.reasons | reasons | graphs.reasons | relations.reasons
    summary = summarise(rows)
    for domain in (graphs, relations, language):
        for name, value in domain.mean_succeeded.items():
            summary[name]["all"]["mean_succeeded"] = value
    return rows, {"reasons": reasons, "graph": graphs.notes, "summary": summary}


def write_scores(
    out_parquet: str | os.PathLike[str], submission: Submission, rows: list[Row]
) -> None:
    """Write rows as Parquet under the submission's method, seed and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "method": pa.array([submission.method] * len(rows), pa.string()),
        "seed": pa.array([submission.seed] * len(rows), pa.int64()),
        "split": pa.array([submission.split] * len(rows), pa.string()),
    }
    types = {"value": pa.float64(), "succeeded": pa.bool_()}
    for field in fields(Row):
        values = [getattr(row, field.name) for row in rows]
        columns[field.name] = pa.array(values, types.get(field.name, pa.string()))
    with atomic_path(out_parquet) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _floors(submission: Submission, truth: Truth) -> dict[str, float]:
    """Return what a perfect surface, sampled again, scores on the split; {} without surfaces."""
    if "points" not in geometry_tasks(submission):
        return {}
    measured = measured_floors(truth)
    return {
        name: measured[metric.floor_of]
        for name, metric in METRICS.items()
        if metric.floor_of in measured
    }
