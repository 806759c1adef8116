"""Findings take their numbers from the tables and are refused where these disagree."""

from copy import deepcopy

import pandas as pd
import pytest
import yaml

from metrics.files import InputError
from report.findings import MOST, Finding, Tables, check_findings, write_findings
from report.reference import MARKS, results_block
from tests.paths import REPOSITORY

FINDING = {
    "text": "Without depth the F-score falls to {without} vs {full}.",
    "split": "rooms",
    "values": {"without": "no_depth fscore@5cm", "full": "full fscore@5cm"},
    "checks": ["full better without"],
}


@pytest.fixture
def reference(tmp_path):
    """A folder with the files of a reference that findings read."""
    (tmp_path / "tables").mkdir()
    pd.DataFrame(
        [
            ("full", "rooms", "all", "fscore@5cm", 0.957),
            ("no_depth", "rooms", "all", "fscore@5cm", 0.172),
            ("full", "rooms", "near", "ref_pick", 0.8),
            ("full", "unseen", "all", "fscore@5cm", float("nan")),
        ],
        columns=["method", "split", "subset", "metric", "mean"],
    ).to_csv(tmp_path / "estimates.csv", index=False)
    pd.DataFrame(
        [("rooms", "all", "fscore@5cm", "full", "no_depth", 0.785, 0.001)],
        columns=["split", "subset", "metric", "method_a", "method_b", "difference", "p_adjusted"],
    ).to_csv(tmp_path / "tables" / "causes.csv", index=False)
    pd.DataFrame(
        [("full", "fscore@5cm", True), ("no_depth", "fscore@5cm", False)],
        columns=["method", "metric", "fit"],
    ).to_csv(tmp_path / "tables" / "gate.csv", index=False)
    pd.DataFrame({"method": ["full"], "mean": [1.0]}).to_csv(tmp_path / "tables" / "main.csv")
    return tmp_path


def declared(folder, *findings):
    path = folder / "findings.yaml"
    path.write_text(
        yaml.safe_dump({"findings": [deepcopy(one) for one in findings]}, sort_keys=False)
    )
    return path


def tables_of(folder):
    rows = pd.read_csv(folder / "estimates.csv", keep_default_na=False)
    return Tables(rows, folder / "tables")


def written(folder, *findings):
    return write_findings(tables_of(folder), declared(folder, *findings)).splitlines()


def test_a_finding_has_the_numbers_of_the_tables_and_names_their_rows(reference):
    (found,) = written(reference, FINDING)
    assert found == (
        "- Without depth the F-score falls to 0.17 vs 0.96. "
        "<sub>(no_depth fscore@5cm rooms; full fscore@5cm rooms)</sub>"
    )
    assert written(reference, FINDING | {"checks": ["without unfit"]}) == [found]
    value = {"text": "It picks {x}.", "values": {"x": "full ref_pick/near @ rooms"}}
    assert written(reference, value)[0].startswith("- It picks 0.80.")


def test_another_run_says_what_its_tables_do_not_bear_out(reference):
    lost = {"text": "SPQ is {x}.", "values": {"x": "full spq @ rooms"}}
    wrong = FINDING | {"checks": ["without better full"]}
    good, bad, none = check_findings(
        tables_of(reference), declared(reference, FINDING, wrong, lost)
    )
    assert good.fault == "" and bad.sentence == good.sentence
    assert "'without better full' does not hold: no_depth is worse (p = 0.001)" in bad.fault
    assert none == Finding("", "full spq rooms", none.fault)
    assert none.fault.endswith("finding 3: x: full rooms all spq is in no table")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"checks": ["without better full"]},
            "'without better full' does not hold: no_depth is wo",
        ),
        ({"checks": ["full not separable without"]}, "does not hold: full is better"),
        ({"checks": ["full beats without"]}, "'full beats without' is no check; give two names"),
        ({"checks": ["full better other"]}, "is no check"),
        ({"checks": ["full unfit"]}, "'full unfit' does not hold: full is fit"),
        ({"checks": ["other unfit"]}, "is no check"),
        ({"checks": ["full"]}, "is no check"),
        (
            {"values": {"without": "full ref_pick/near", "full": "full fscore@5cm"}}
            | {"checks": ["without unfit"]},
            "full is not judged by ref_pick",
        ),
        ({"values": {"without": "no_depth spq", "full": "full fscore@5cm"}}, "is in no table"),
        (
            {"values": {"without": "full fscore@5cm @ unseen", "full": "full fscore@5cm"}},
            "full unseen all fscore@5cm is in no table",
        ),
        ({"values": {"full": "full fscore@5cm"}, "checks": []}, "'without' is no value"),
        ({"values": {"without": "no_depth", "full": "full fscore@5cm"}}, "'no_depth' is no value"),
        ({"colour": 1}, "give text, split, values"),
    ],
)
def test_what_the_tables_do_not_say_is_refused(reference, change, message):
    with pytest.raises(InputError, match=message) as caught:
        written(reference, FINDING | change)
    assert "findings.yaml: finding 1" in str(caught.value)


def test_the_readme_says_what_the_reference_bears_out():
    folder = REPOSITORY / "results" / "reference" / "cpu"
    tables = Tables(pd.read_csv(folder / "estimates.csv", keep_default_na=False), folder / "tables")
    findings = write_findings(tables, REPOSITORY / "config" / "findings" / "cpu.yaml")
    block = results_block(folder, "results/reference/cpu", findings)
    begin, end = MARKS
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme.split(begin)[1].split(end)[0] == block


def test_there_are_at_most_ten(reference):
    assert len(written(reference, *[FINDING] * MOST)) == MOST
    with pytest.raises(InputError, match="`findings` of at most 10"):
        written(reference, *[FINDING] * (MOST + 1))
