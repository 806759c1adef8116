"""Small files in the exact layouts of other harnesses, and the files of docs/compare-results.md.

Key names follow lm_eval 0.4.9 (`lm_eval/evaluator.py`, `loggers/evaluation_tracker.py`), lmms-eval
0.7.3 (the same files, and `tasks/vsibench/utils.py`) and VLMEvalKit
(`vlmeval/dataset/vsibench.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

LM_EVAL_DATE = "2025-06-01T10-00-00.123456"
LMMS_EVAL_DATE = "20250601_100000"
# Scores of twelve questions in four scenes, by method.
SCENES = [f"scene{k // 3}" for k in range(12)]
BASE = [1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1]
BETTER = [1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1]


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lm_eval_row(
    doc_id: int, metrics: dict[str, Any], doc: dict[str, Any], name: str = "none"
) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc": doc,
        "target": "A",
        "arguments": {"gen_args_0": {"arg_0": "Which one?", "arg_1": {"until": ["\n"]}}},
        "resps": [["A"]],
        "filtered_resps": ["A"],
        "filter": name,
        "metrics": list(metrics),
        "doc_hash": "a" * 64,
        "prompt_hash": "b" * 64,
        "target_hash": "c" * 64,
        **metrics,
    }


def write_lm_eval(
    folder: Path,
    model: str,
    rows: Sequence[Any],
    task: str = "arc",
    version: str = "0.4.9",
    higher: dict[str, bool] | None = None,
) -> Path:
    """Write a log of lm-evaluation-harness with its results file."""
    folder = folder / model.replace("/", "__")
    path = write_lines(folder / f"samples_{task}_{LM_EVAL_DATE}.jsonl", rows)
    results = {
        "results": {task: {"acc,none": 0.5}},
        "higher_is_better": {task: {"acc": True} if higher is None else higher},
        "config": {"model": "hf", "model_args": f"pretrained={model}", "random_seed": 0},
        "lm_eval_version": version,
        "model_name": model,
    }
    (folder / f"results_{LM_EVAL_DATE}.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def lmms_eval_row(doc_id: int, metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "target": "A",
        "filtered_resps": "A",
        "token_counts": [{"input_tokens": 5, "output_tokens": 1}],
        "doc_hash": "a" * 64,
        "input": "These are frames of a video.",
        **metrics,
    }


def vsibench_row(doc_id: int, scene: str, field: str, value: float) -> dict[str, Any]:
    """Return a row of VSI-Bench: one record under the names of all metrics."""
    record = {
        "id": 100 + doc_id,
        "dataset": "scannet",
        "scene_name": scene,
        "question_type": "object_counting" if field.startswith("MRA") else "route_planning",
        "question": "How many?",
        "ground_truth": "A",
        "options": None,
        "prediction": "A",
        field: value,
    }
    names = ("vsibench_overall", "object_counting_mra", "route_planning_accuracy")
    return lmms_eval_row(doc_id, dict.fromkeys(names, record))


def write_lmms_eval(folder: Path, model: str, rows: Sequence[Any], task: str = "vsibench") -> Path:
    """Write a log of lmms-eval with its results file."""
    folder = folder / model.replace("/", "__")
    path = write_lines(folder / f"{LMMS_EVAL_DATE}_samples_{task}.jsonl", rows)
    results = {
        "results": {task: {"vsibench_overall,none": 0.5}},
        "higher_is_better": {task: {"vsibench_overall": True, "exact_match": True}},
        "config": {"model": "qwen2_5_vl", "random_seed": 0},
        "model_name": model,
    }
    (folder / f"{LMMS_EVAL_DATE}_results.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def judged_frame(scores: Sequence[float], scenes: Sequence[str] = SCENES) -> pd.DataFrame:
    """Return a judged table of VLMEvalKit for VSI-Bench."""
    return pd.DataFrame(
        {
            "index": range(len(scores)),
            "id": [100 + k for k in range(len(scores))],
            "prefix": "scannet",
            "video": list(scenes),
            "type": "route_planning",
            "question": "Where do I turn?",
            "answer": "A",
            "candidates": "['A. left', 'B. right']",
            "prediction": "A",
            "score": scores,
        }
    )


def judged_path(folder: Path, model: str, ending: str = "tsv") -> Path:
    path = folder / model / "T20250601_G0123abcd" / f"{model}_VSIBench_result.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_judged(folder: Path, model: str, scores: Sequence[float]) -> Path:
    path = judged_path(folder, model)
    judged_frame(scores).to_csv(path, sep="\t", index=False)
    return path


def long_frame(method: str, scores: Sequence[float], seed: str | int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "scene": SCENES,
            "item": [f"q{k}" for k in range(len(scores))],
            "metric": "accuracy",
            "value": [float(score) for score in scores],
        }
    )


def write_examples(folder: Path) -> None:
    """Write the files that the commands of docs/compare-results.md name."""
    for model, scores in (("org/base", BASE), ("org/better", BETTER)):
        rows = [
            vsibench_row(k, scene, "accuracy", float(score))
            for k, (scene, score) in enumerate(zip(SCENES, scores, strict=True))
        ]
        write_lmms_eval(folder / "lmms", model, rows)
        rows = [
            lm_eval_row(k, {"acc": float(score)}, {"question": f"q{k}"})
            for k, score in enumerate(scores)
        ]
        write_lm_eval(folder / "lm", model, rows)
        write_judged(folder / "outputs", model.removeprefix("org/"), [float(s) for s in scores])
    flipped = [*BETTER[:5], 0, *BETTER[6:]]
    seeds = [
        long_frame("base", BASE, "first"),
        long_frame("base", BASE[::-1], "second"),
        long_frame("better", BETTER, "first"),
        long_frame("better", flipped, "second"),
    ]
    pd.concat(seeds).to_csv(folder / "long.csv", index=False)
    for name, scores in (("seed0", BETTER), ("seed1", flipped)):
        (folder / name).mkdir()
        wide = pd.DataFrame(
            {
                "video": SCENES,
                "question_id": [f"q{k}" for k in range(12)],
                "accuracy": scores,
                "metres": [0.1 * k + (name == "seed1") * 0.05 for k in range(12)],
            }
        )
        wide.to_csv(folder / name / "wide.csv", index=False)
    scored = pd.concat([long_frame("scored", BETTER, 0), long_frame("scored", flipped, 1)])
    scored.rename(columns={"item": "query"}).assign(split="test", subset="all").to_parquet(
        folder / "scores.parquet"
    )
