"""Score a submission against the truth of its split: one table of rows and one summary."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from metrics.files import InputError, atomic_path, write_json
from metrics.language.score import score_answers, score_grounding, score_retrieval
from metrics.reconstruction.score import NO_PIXELS, geometry_tasks, has_pixels, score_geometry
from metrics.reconstruction.surfaces import SIM3
from metrics.registry import SIM3_FLOORS
from metrics.rows import Row, pooled_succeeded, summarise
from metrics.scene_graph.score import score_graph, score_relations
from metrics.submission.reader import Submission
from metrics.truth import Truth


def score_submission(
    submission_dir: str | os.PathLike[str],
    truth_dir: str | os.PathLike[str],
    out_parquet: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
    reconstruction: Collection[str] | None = None,
) -> None:
    """Score a submission folder and write its table, and beside it a ``.json`` summary.

    Args:
        submission_dir: a folder in the submission format.
        truth_dir: the truth folder of the same split.
        out_parquet: method, seed, split, scene, query, subset, metric, value, kind ("item",
            "pseudo", "pooled"), succeeded.
        cache_dir: where to keep the truth's shared work, if the truth folder does not hold it.
        reconstruction: names of the reconstruction metrics to compute, the costly ones; by
            default all. Every metric of the other tasks is computed.

    Items that are missing or unusable get their metric's worst value and succeeded = False;
    tasks that are not declared get no rows. Raises `InputError` for a folder that cannot be
    scored at all.
    """
    submission, truth = Submission(submission_dir), Truth(truth_dir, cache_dir)
    if submission.split != truth.split:
        raise InputError(
            f"{submission_dir}: predicts split {submission.split!r}, the truth is "
            f"{truth.split!r}; name the truth of the same split"
        )
    rows, notes = score_rows(submission, truth, reconstruction)
    write_scores(out_parquet, submission, rows)
    write_json(Path(out_parquet).with_suffix(".json"), _summary(submission, truth, notes))


def score_rows(
    submission: Submission, truth: Truth, reconstruction: Collection[str] | None = None
) -> tuple[list[Row], dict[str, Any]]:
    """Return every row of a submission and notes on what was used or left out.

    `reconstruction` as in `score_submission`.
    """
    rows: list[Row] = []
    reasons = dict(submission.reasons)
    if geometry_tasks(submission):
        pixels = has_pixels(submission, truth.scenes)
        if not pixels:
            reasons |= dict.fromkeys(SIM3, NO_PIXELS)
        for scene in truth.scenes:
            rows += score_geometry(submission, truth, scene, pixels, reconstruction)
    succeeded: dict[str, float] = {}
    graph = score_graph(submission, truth)
    for scored in (graph, score_relations(submission, truth)):
        rows += scored.rows
        reasons |= scored.reasons
        succeeded |= pooled_succeeded(scored.pooled, scored.succeeded)
    rows += score_grounding(submission, truth)
    rows += score_retrieval(submission, truth)
    rows += score_answers(submission, truth)
    summary = summarise(rows)
    for name, value in succeeded.items():
        summary[name]["all"]["mean_succeeded"] = value
    return rows, {"reasons": reasons, "graph": graph.notes, "summary": summary}


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
    for name in ("scene", "query", "subset", "metric"):
        columns[name] = pa.array([getattr(row, name) for row in rows], pa.string())
    columns["value"] = pa.array([row.value for row in rows], pa.float64())
    columns["kind"] = pa.array([row.kind for row in rows], pa.string())
    columns["succeeded"] = pa.array([row.succeeded for row in rows], pa.bool_())
    with atomic_path(out_parquet) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _summary(submission: Submission, truth: Truth, notes: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": submission.method,
        "seed": submission.seed,
        "split": submission.split,
        "stochastic": submission.stochastic,
        "produces": sorted(submission.produces),
        "reasons": notes["reasons"],
        "cost": submission.cost,
        "thresholds": submission.thresholds,
        "floors": _floors(submission, truth),
        "graph": notes["graph"],
        "summary": notes["summary"],
    }


def _floors(submission: Submission, truth: Truth) -> dict[str, float]:
    """What a perfect surface, sampled anew, scores on the split; {} where none is scored."""
    if "points" not in geometry_tasks(submission):
        return {}
    floors = truth.floors()
    aligned = {name: floors[plain] for name, plain in SIM3_FLOORS.items() if plain in floors}
    return floors | aligned
