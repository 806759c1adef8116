"""The findings of a reference: sentences whose numbers and verdicts are read off its tables.

`config/findings/<experiment>.yaml` declares them. A sentence with a value that the tables lack, or
with a check that they do not bear out, is refused, so that no sentence outlives the numbers it was
written for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.files import InputError
from metrics.schemas import short_repr
from metrics.statistics.claims import BETTER, SMALL, TIED, WORSE, outcome
from metrics.yaml_file import read_yaml
from report import text

MOST = 10
# What a check may say of two values: the outcomes of the test of the first against the second.
CHECKS = {"better": (BETTER, SMALL), "worse": (WORSE,), "not separable": (TIED,)}
# What a check may say of one value: the gate calls its method unfit by this metric.
UNFIT = "unfit"
KEYS = {"text", "split", "values", "checks"}


@dataclass(frozen=True)
class Finding:
    """A finding with the numbers of a run.

    Attributes:
        sentence: with numbers, "" where the tables lack one.
        rows: the rows of the tables that it rests on.
        fault: why the tables do not bear it out, "" where they do.
    """

    sentence: str
    rows: str
    fault: str


class Tables:
    """The numbers of a run.

    Args:
        estimates: rows of `report.statistics.read_estimates`, or of a reference's estimates.csv.
        folder: the tables as csv files.
    """

    def __init__(self, estimates: pd.DataFrame, folder: str | Path) -> None:
        self.estimates, self.folder = estimates, Path(folder)

    @cached_property
    def means(self) -> dict[tuple[str, str, str, str], float]:
        """{(method, split, subset, metric): mean}."""
        rows = self.estimates
        keys = rows[["method", "split", "subset", "metric"]].itertuples(index=False, name=None)
        return dict(zip(keys, pd.to_numeric(rows["mean"], errors="coerce"), strict=True))

    @cached_property
    def tests(self) -> dict[tuple[str, ...], tuple[float, float]]:
        """{(split, subset, metric, a, b): (corrected p, difference)} of all tables of tests."""
        found: dict[tuple[str, ...], tuple[float, float]] = {}
        names = ["split", "subset", "metric", "method_a", "method_b"]
        for path in sorted(self.folder.glob("*.csv")):
            rows = pd.read_csv(path)
            if not {*names, "p_adjusted", "difference"} <= set(rows):
                continue
            for row in rows.dropna(subset=["p_adjusted"]).itertuples():
                split, subset, metric, a, b = (getattr(row, name) for name in names)
                found[split, subset, metric, a, b] = row.p_adjusted, row.difference
                found[split, subset, metric, b, a] = row.p_adjusted, -row.difference
        return found

    @cached_property
    def fit(self) -> dict[tuple[str, str], bool]:
        """{(method, metric): whether the gate calls the method fit by it}, {} without a gate."""
        path = self.folder / "gate.csv"
        if not path.is_file():
            return {}
        rows = pd.read_csv(path)[["method", "metric", "fit"]].itertuples(index=False, name=None)
        return {(method, metric): bool(fit) for method, metric, fit in rows}


def check_findings(tables: Tables, declared: str | Path) -> list[Finding]:
    """Return the declared findings with the numbers of a run, and whether its tables bear them out.

    Args:
        tables: of the run.
        declared: YAML file, `findings` with a list of {text, split, values, checks}. `values` maps
            each name in braces in the text to "<method> <metric>" or "<method> <metric>/<subset>",
            where a split of its own may follow after "@ ". `checks` lists "<name> better <name>"
            (or "worse", "not separable") for values of one metric, split and subset, or "<name>
            unfit" for a method that the gate calls unfit by that metric.

    Raises:
        InputError: for another form.

    Example of a finding::

        findings:
        - text: "Without part x, the score falls to {less} vs {whole}."
          split: rooms
          values: {less: no_x mesh_iou, whole: ours mesh_iou}
          checks: [whole better less]
    """
    items = read_yaml(declared).get("findings")
    if not isinstance(items, list) or len(items) > MOST:
        raise InputError(f"{declared}: give a list `findings` of at most {MOST}")
    return [_finding(item, tables, f"{declared}: finding {k + 1}") for k, item in enumerate(items)]


def write_findings(tables: Tables, declared: str | Path) -> str:
    """Return the findings as a list in Markdown, each with the rows that it rests on.

    Raises:
        InputError: as `check_findings`; or for a finding that the tables do not bear out.
    """
    findings = check_findings(tables, declared)
    for finding in findings:
        if finding.fault:
            raise InputError(f"{finding.fault}; write the finding anew")
    return "".join(f"- {one.sentence} <sub>({one.rows})</sub>\n" for one in findings)


def _finding(item: Any, tables: Tables, source: str) -> Finding:
    if not isinstance(item, Mapping) or set(item) - KEYS or not {"text", "values"} <= set(item):
        raise InputError(f"{source}: give text, split, values and, if wanted, checks")
    places = {
        name: _place(spec, item.get("split"), source) for name, spec in item["values"].items()
    }
    try:
        str(item["text"]).format_map(dict.fromkeys(places, ""))
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{source}: {error} is no value of the text; declare it") from error
    checks = [_parse_check(str(check), places, source) for check in item.get("checks", ())]
    rows = "; ".join(" ".join(place[:1] + place[3:] + place[1:3]) for place in places.values())
    rows = rows.replace(" all", "")
    numbers = {name: tables.means.get(place, math.nan) for name, place in places.items()}
    for name, value in numbers.items():
        if math.isnan(value):
            return Finding("", rows, f"{source}: {name}: {' '.join(places[name])} is in no table")
    sentence = str(item["text"]).format_map(
        {name: text.number(value, 2) for name, value in numbers.items()}
    )
    faults = [_fault(check, places, tables) for check in checks]
    fault = next((f"{source}: {one}" for one in faults if one), "")
    return Finding(sentence, rows, fault)


def _place(spec: Any, split: Any, source: str) -> tuple[str, str, str, str]:
    """Return (method, split, subset, metric) of "<method> <metric>[/<subset>] [@ <split>]"."""
    front, _, own = str(spec).partition(" @ ")
    method, _, metric = front.partition(" ")
    metric, _, subset = metric.partition("/")
    place = (method, str(own or split or ""), subset or "all", metric)
    if not all(place):
        raise InputError(f"{source}: {short_repr(spec)} is no value; give a method and a metric")
    return place


def _parse_check(check: str, places: Mapping[str, Any], source: str) -> tuple[str, str, str]:
    """Return (first, word, second) of "<first> <word> <second>", second "" after `UNFIT`."""
    alone, _, rest = check.partition(f" {UNFIT}")
    if alone in places and alone != check and not rest:
        return alone, UNFIT, ""
    word = next((word for word in CHECKS if f" {word} " in check), None)
    first, _, second = check.partition(f" {word} ")
    if word is None or first not in places or second not in places:
        what = f"{source}: {short_repr(check)} is no check"
        raise InputError(
            f"{what}; give two names with one of {', '.join(CHECKS)} between them, "
            f"or a name and {UNFIT}"
        )
    return first, word, second


def _fault(check: tuple[str, str, str], places: Mapping[str, Any], tables: Tables) -> str:
    """Return why a check does not hold, "" if it does."""
    first, word, second = check
    if word == UNFIT:
        method, *_, metric = places[first]
        fit = tables.fit.get((method, metric))
        said = "fit" if fit else f"not judged by {metric}"
        return "" if fit is False else f"'{first} {UNFIT}' does not hold: {method} is {said}"
    (a, *place), (b, *other) = places[first], places[second]
    split, subset, metric = place
    test = tables.tests.get((split, subset, metric, a, b))
    if place != other or test is None:
        return f"'{' '.join(check)}': no table tests {a} against {b} there"
    found = outcome(*test, metric)
    if found in CHECKS[word]:
        return ""
    return f"'{' '.join(check)}' does not hold: {a} is {found} (p = {test[0]:.3g})"
