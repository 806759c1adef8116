"""What the command line prints: scores, floors and comparisons as a few aligned lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.files import InputError, read_json
from metrics.registry import METRICS
from metrics.schemas import shown

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = ["split", "metric", "method", "mean", "ci_low", "ci_high", "n_seeds", "n_scenes"]
DIFFERENCES = ["split", "metric", "method_a", "method_b", "difference", "ci_low", "ci_high", "p"]


def metric_lines() -> list[str]:
    """Return the registry, two lines a metric."""
    lines = []
    for metric in METRICS.values():
        better = "higher" if metric.higher_is_better else "lower"
        facts = f"{metric.unit or 'share'}, {better} is better, worst {metric.worst_text}"
        lines.append(f"{metric.name}  [{facts}, floor: {metric.floor}]")
        lines.append(f"    {metric.description}; {metric.source}")
    return lines


def geometry_lines(found: dict[str, Any]) -> list[str]:
    """Return the values of `compare_files`, each next to its floor."""
    floors = found["floors"]
    rows = [
        [name, f"{value:.6g}", f"{floors[name]:.6g}" if name in floors else ""]
        for name, value in found["values"].items()
    ]
    return _aligned([["metric", "value", "floor"], *rows])


def score_lines(said: dict[str, Any], kept: str | None) -> list[str]:
    """Return what stands beside a score table as lines: both summaries, floors, what is missing.

    Args:
        said: the ``.json`` that `metrics.score.score_submission` writes.
        kept: where the rows were kept, if they were.
    """
    cells = {
        name: said["summary"][name]["all"]
        for name in METRICS
        if "all" in said["summary"].get(name, {})
    }
    rows = [["metric", "value", "floor", "unit", "succeeded", "value of those"]]
    for name, cell in cells.items():
        metric = METRICS[name]
        floor = said["floors"].get(name)
        alone = None if cell["succeeded"] == 1 else cell["mean_succeeded"]
        rows.append(
            [
                f"{name} {'^' if metric.higher_is_better else 'v'}",
                f"{cell['mean']:.4f}",
                "" if floor is None else f"{floor:.4f}",
                metric.unit,
                f"{100 * cell['succeeded']:.0f}%",
                "" if alone is None else f"{alone:.4f}",
            ]
        )
    head = f"{shown(said['method'])[1:-1]}, seed {said['seed']}, {said['split']}; "
    lines = [f"{head}^ higher is better, v lower; failures count as the worst value"]
    lines += _aligned(rows)
    lines += [f"no {task}: {shown(why)[1:-1]}" for task, why in sorted(said["reasons"].items())]
    if any(cell["succeeded"] < 1 for cell in cells.values()):
        lines.append("some items failed: python -m metrics validate lists why")
    if kept:
        lines.append(f"rows: {kept}")
    return lines


def compare_tables(
    scores: list[str], reference: str | None, config: str | None, out: str | None
) -> dict[str, pd.DataFrame]:
    """Return the "estimates" and "differences" of score tables, and write all statistics to `out`.

    Args:
        scores: tables, or one folder of <method>/<seed>/<split>.parquet.
        reference: method that each other one is compared with.
        config: yaml whose statistics section declares the families.
        out: folder for the statistics, or None.

    Raises `InputError` for what cannot be compared.
    """
    from metrics.statistics.compare import compare, write

    settings = _settings(config) if config else {}
    if reference:
        settings["reference"] = reference
    if len(scores) == 1 and Path(scores[0]).is_dir():
        source: Any = scores[0]
    else:
        source, settings["deterministic"] = _joined(scores, settings.get("deterministic", []))
    results = compare(source, settings)
    names = set(results["estimates"]["method"])
    if reference and reference not in names:
        raise InputError(
            f"{', '.join(map(str, scores))}: no method {reference!r}; choose from {sorted(names)}"
        )
    if out:
        write(results, out)
    return {name: results[name] for name in ("estimates", "differences")}


def _settings(config: str) -> dict[str, Any]:
    import yaml

    try:
        loaded = yaml.safe_load(Path(config).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{config}: cannot be read as yaml; mend the file") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{config}: holds no mapping; write a statistics section")
    return dict(loaded.get("statistics", loaded))


def _joined(scores: list[str], deterministic: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the tables as one, and the methods whose sidecars say that reruns are identical."""
    import pandas as pd

    frames, fixed = [], set(deterministic)
    for name in scores:
        path = Path(name)
        try:
            frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no score table ({error}); score the submission") from error
        beside = path.with_suffix(".json")
        said = read_json(beside) if beside.is_file() else {}
        if not said.get("stochastic", True):
            fixed.add(said["method"])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True), sorted(fixed)


def compare_lines(found: dict[str, pd.DataFrame]) -> list[str]:
    """Return means with intervals of every metric, and the differences from the reference."""
    lines = ["means with 95% intervals", ""]
    estimates = found["estimates"]
    lines += _table(estimates[estimates["subset"] == "all"], HEADLINE)
    differences = found["differences"]
    differences = (
        differences[differences["difference"].notna()] if len(differences) else differences
    )
    if len(differences):
        chosen = differences[differences["subset"] == "all"]
        chosen = chosen.drop_duplicates(["split", "metric", "method_a", "method_b"])
        lines += ["", "differences, a minus b, with 95% intervals", ""]
        lines += _table(chosen, DIFFERENCES)
    return lines


def _table(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    rows = [columns]
    for values in frame[columns].itertuples(index=False):
        rows.append([f"{v:.4g}" if isinstance(v, float) else shown(v).strip("'") for v in values])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Pad the columns; the first is words, the others stand right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
