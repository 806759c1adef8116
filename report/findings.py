"""The findings of a reference: sentences whose numbers and verdicts are read off its tables.

`config/findings.yaml` declares them. A sentence with a value that the tables lack, or with a check
that they do not bear out, is refused, so that no sentence outlives the numbers it was written for.
"""

from collections.abc import Mapping
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
KEYS = {"text", "split", "values", "checks"}


class Tables:
    """The numbers of a reference.

    Args:
        folder: the reference, with estimates.csv and tables/*.csv.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def means(self) -> dict[tuple[str, str, str, str], float]:
        """{(method, split, subset, metric): mean} of estimates.csv."""
        rows = pd.read_csv(self.folder / "estimates.csv", keep_default_na=False)
        keys = rows[["method", "split", "subset", "metric"]].itertuples(index=False, name=None)
        return dict(zip(keys, pd.to_numeric(rows["mean"], errors="coerce"), strict=True))

    @cached_property
    def tests(self) -> dict[tuple[str, ...], tuple[float, float]]:
        """{(split, subset, metric, a, b): (corrected p, difference)} of all tables of tests."""
        found: dict[tuple[str, ...], tuple[float, float]] = {}
        names = ["split", "subset", "metric", "method_a", "method_b"]
        for path in sorted((self.folder / "tables").glob("*.csv")):
            rows = pd.read_csv(path)
            if not {*names, "p_adjusted", "difference"} <= set(rows):
                continue
            for row in rows.dropna(subset=["p_adjusted"]).itertuples():
                split, subset, metric, a, b = (getattr(row, name) for name in names)
                found[split, subset, metric, a, b] = row.p_adjusted, row.difference
                found[split, subset, metric, b, a] = row.p_adjusted, -row.difference
        return found


def write_findings(folder: str | Path, declared: str | Path) -> list[str]:
    """Return the findings of a reference as sentences, each with the rows that it rests on.

    Args:
        folder: the reference.
        declared: YAML file, `findings` with a list of {text, split, values, checks}. `values` maps
            each name in braces in the text to "<method> <metric>" or "<method> <metric>/<subset>",
            where a split of its own may follow after "@ ". `checks` lists "<name> better <name>"
            (or "worse", "not separable") for values of one metric, split and subset.

    Raises:
        InputError: for another form, a value that no table has, or a check that does not hold.

    Example of a finding::

        findings:
        - text: "Without part x, the score falls to {less} vs {whole}."
          split: rooms
          values: {less: no_x mesh_iou, whole: ours mesh_iou}
          checks: [whole better less]
    """
    tables, items = Tables(Path(folder)), read_yaml(declared).get("findings")
    if not isinstance(items, list) or len(items) > MOST:
        raise InputError(f"{declared}: give a list `findings` of at most {MOST}")
    return [_sentence(item, tables, f"{declared}: finding {k + 1}") for k, item in enumerate(items)]


def _sentence(item: Any, tables: Tables, source: str) -> str:
    if not isinstance(item, Mapping) or set(item) - KEYS or not {"text", "values"} <= set(item):
        raise InputError(f"{source}: give text, split, values and, if wanted, checks")
    places = {
        name: _place(spec, item.get("split"), source) for name, spec in item["values"].items()
    }
    numbers = {}
    for name, place in places.items():
        value = tables.means.get(place)
        if value is None or value != value:
            raise InputError(f"{source}: {name}: {' '.join(place)} is in no table; name another")
        numbers[name] = text.number(value, 2)
    for check in item.get("checks", ()):
        _check(str(check), places, tables, source)
    try:
        sentence = str(item["text"]).format_map(numbers)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{source}: {error} is no value of the text; declare it") from error
    rows = "; ".join(" ".join(place[:1] + place[3:] + place[1:3]) for place in places.values())
    return f"{sentence} <sub>({rows.replace(' all', '')})</sub>"


def _place(spec: Any, split: Any, source: str) -> tuple[str, str, str, str]:
    """Return (method, split, subset, metric) of "<method> <metric>[/<subset>] [@ <split>]"."""
    front, _, own = str(spec).partition(" @ ")
    method, _, metric = front.partition(" ")
    metric, _, subset = metric.partition("/")
    place = (method, str(own or split or ""), subset or "all", metric)
    if not all(place):
        raise InputError(f"{source}: {short_repr(spec)} is no value; give a method and a metric")
    return place


def _check(check: str, places: Mapping[str, Any], tables: Tables, source: str) -> None:
    word = next((word for word in CHECKS if f" {word} " in check), None)
    first, _, second = check.partition(f" {word} ")
    if word is None or first not in places or second not in places:
        what = f"{source}: {short_repr(check)} is no check"
        raise InputError(f"{what}; give two names with one of {', '.join(CHECKS)} between them")
    (a, *place), (b, *other) = places[first], places[second]
    split, subset, metric = place
    test = tables.tests.get((split, subset, metric, a, b))
    if place != other or test is None:
        raise InputError(f"{source}: {short_repr(check)}: no table tests {a} against {b} there")
    found = outcome(*test, metric)
    if found not in CHECKS[word]:
        raise InputError(
            f"{source}: {short_repr(check)} does not hold: {a} is {found} (p = {test[0]:.3g}); "
            "write the finding anew"
        )
