"""Format scores, floors and comparisons as the aligned lines that the command line prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.files import InputError
from metrics.registry import METRICS
from metrics.schemas import printable, short_repr

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

HEADLINE = ["split", "metric", "method", "mean", "ci_low", "ci_high", "n_seeds", "n_scenes"]
DIFFERENCES = ["split", "metric", "method_a", "method_b", "difference", "ci_low", "ci_high", "p"]
DIFFERENCES += ["p_adjusted"]


def metric_lines() -> list[str]:
    """Return two lines for each metric of the registry."""
    lines = []
    for metric in METRICS.values():
        better = "higher" if metric.higher_is_better else "lower"
        facts = f"{metric.unit or 'share'}, {better} is better, worst {metric.worst_text}"
        lines += [
            f"{metric.name}  [{facts}, floor: {metric.floor}]",
            f"    {metric.description}; {metric.source}",
        ]
    return lines


def geometry_lines(result: dict[str, Any]) -> list[str]:
    """Return the values of `compare_files`, each next to its floor."""
    floors = result["floors"]
    rows = [
        [name, f"{value:.6g}", f"{floors[name]:.6g}" if name in floors else ""]
        for name, value in result["values"].items()
    ]
    return aligned([["metric", "value", "floor"], *rows])


def score_lines(scored: dict[str, Any], out: str | None) -> list[str]:
    """Return the summary of a scored submission as lines.

    Args:
        scored: the ``.json`` that `metrics.score.score_submission` writes.
        out: file of the score table, or None if it was not kept.
    """
    summary = scored["summary"]
    cells = {name: summary[name]["all"] for name in METRICS if "all" in summary.get(name, {})}
    rows = [["metric", "value", "over queries", "floor", "unit", "succeeded", "value of those"]]
    for name, cell in cells.items():
        metric = METRICS[name]
        floor = scored["floors"].get(name)
        of_succeeded = None if cell["succeeded"] == 1 else cell["mean_succeeded"]
        over_queries = cell["query_mean"] if metric.query_mean else None
        rows.append(
            [
                f"{name} {'^' if metric.higher_is_better else 'v'}",
                f"{cell['mean']:.4f}",
                "" if over_queries is None else f"{over_queries:.4f}",
                "" if floor is None else f"{floor:.4f}",
                metric.unit,
                f"{100 * cell['succeeded']:.0f}%",
                "" if of_succeeded is None else f"{of_succeeded:.4f}",
            ]
        )
    head = f"{printable(scored['method'])}, seed {scored['seed']}, {scored['split']}; "
    lines = [
        f"{head}^ higher is better, v lower; failures count as the worst value",
        *aligned(rows),
        *(f"no {task}: {printable(why)}" for task, why in sorted(scored["reasons"].items())),
    ]
    if any(cell["succeeded"] < 1 for cell in cells.values()):
        lines.append("some items failed: python -m metrics validate lists why")
    if out:
        lines.append(f"rows: {out}")
    return lines


def compare_tables(
    scores: list[str],
    reference: str | None,
    config: str | None,
    out: str | None,
    gate: str | None = None,
) -> dict[str, pd.DataFrame]:
    """Return "estimates", "differences" and "claims" of scores; write all statistics to `out`.

    Args:
        scores: tables, one folder of <method>/<seed>/<split>.parquet, or the cells of an earlier
            comparison.
        reference: method that all others are compared with; None takes that of the config, if any.
        config: yaml with a statistics section (families, controls and so on), or None. Without
            families, all differences are exploratory.
        out: folder for the statistics, or None.
        gate: file of the methods that are unfit for a task (`read_gate`), or None.

    Raises:
        InputError: the tables cannot be compared.
    """
    from metrics.statistics.compare import compare, write
    from metrics.statistics.settings import read_gate
    from metrics.statistics.table import is_cells

    settings = _settings(config) if config else {}
    if reference:
        settings["reference"] = reference
    if len(scores) == 1 and (Path(scores[0]).is_dir() or is_cells(Path(scores[0]))):
        source: Any = scores[0]
    else:
        source, settings["deterministic"] = _joined(scores, settings.get("deterministic", []))
    try:
        results = compare(source, settings, read_gate(gate) if gate else None)
    except InputError as error:
        # The statistics know neither file: they take tables and settings from anywhere.
        names = {"the table": ", ".join(map(str, scores)), "config": config}
        start, _, what = str(error).partition(": ")
        raise InputError(f"{names.get(start) or start}: {what}") from error
    if config:
        _check_metrics(config, settings, set(results["estimates"]["metric"]))
    names = set(results["estimates"]["method"])
    if reference and reference not in names:
        raise InputError(
            f"{', '.join(map(str, scores))}: no method {reference!r}; choose from {sorted(names)}"
        )
    if out:
        write(results, out)
    return {name: results[name] for name in ("estimates", "differences", "claims")}


def _settings(config: str) -> dict[str, Any]:
    """Return the `statistics` section of a config file, or the file's content without one."""
    from metrics.statistics.settings import check_settings
    from metrics.yaml_file import read_yaml

    loaded = read_yaml(config)
    settings = loaded.get("statistics", loaded)
    if not isinstance(settings, dict):
        raise InputError(f"{config}: `statistics` must hold keys and values; see config/cpu.yaml")
    check_settings(settings, config)
    return dict(settings)


def _check_metrics(config: str, settings: dict[str, Any], scored: Collection[str]) -> None:
    """Raise `InputError` for a metric that neither the registry nor the tables have."""
    from metrics.statistics.families import parse_families

    contrasts = [settings.get(name, {}) for name in ("generalisation", "data_efficiency")]
    named = [
        *(
            test.metric
            for claim in parse_families(settings.get("families", {}))
            for _, _, test in claim.tests()
        ),
        *settings.get("smallest_effect", {}),
        *(metric for contrast in contrasts for metric in contrast.get("metrics", [])),
    ]
    for metric in named:
        if metric not in METRICS and metric not in scored:
            what = f"names the unknown metric {short_repr(metric)}"
            raise InputError(f"{config}: {what}; `python -m metrics list` has all names")


def _joined(scores: list[str], deterministic: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the tables as one, and all methods whose reruns are identical, sidecars included."""
    import pandas as pd

    from metrics.statistics.table import check_rows, read_scores, read_sidecar

    frames = [check_rows(read_scores(Path(name)), name) for name in scores]
    sidecars = [Path(name).with_suffix(".json") for name in scores]
    facts = [read_sidecar(sidecar) for sidecar in sidecars if sidecar.is_file()]
    fixed = {scored.get("method", "") for scored in facts if not scored.get("stochastic", True)}
    return pd.concat(frames, ignore_index=True), sorted({*deterministic, *fixed})


def compare_lines(results: dict[str, pd.DataFrame]) -> list[str]:
    """Return means with intervals of every metric, and the differences from the reference."""
    estimates, differences = results["estimates"], results["differences"]
    means = _table(estimates[estimates["subset"] == "all"], HEADLINE)
    lines = ["means with 95% intervals", "", *means, ""]
    measured = differences[differences["difference"].notna() & (differences["subset"] == "all")]
    if len(measured):
        # A declared difference has a row for each question; the headline's comes first.
        headline = measured.drop_duplicates(["split", "metric", "method_a", "method_b"])
        table = _table(headline, DIFFERENCES)
        lines += ["differences, a minus b, with 95% intervals", "", *table]
    else:
        lines.append("no differences: there is one method")
    verdicts = results["claims"].drop_duplicates(["family", "claim"])
    if len(verdicts):
        lines += ["", "verdicts on the declared claims", ""]
        for row in verdicts.itertuples():
            line = f"{row.family}.{row.claim}: {row.verdict}"
            # Names and reasons come from files of others: they must not control the terminal.
            lines.append("".join(c if c.isprintable() else "?" for c in line))
    return lines


def _table(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    rows = [
        [f"{v:.4g}" if isinstance(v, float) else short_repr(v).strip("'") for v in values]
        for values in frame[columns].itertuples(index=False)
    ]
    return aligned([columns, *rows])


def json_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as values of JSON, with null for NaN."""
    return json.loads(table.to_json(orient="records"))


def aligned(rows: list[list[str]]) -> list[str]:
    """Pad the columns: the first is text and aligned left, the others are aligned right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
