"""The pilot that tells whether trainings of one seed are worth comparing as pairs."""

import json
import sys

import pandas as pd
import pytest

from benchmarks.seed_correlation import main, seed_correlations
from metrics.files import InputError
from metrics.rows import ALL
from metrics.statistics.families import parse_families

FAMILIES = {
    "parts": {
        "split": "rooms",
        "claims": {
            "part": {
                "a": "whole",
                "against": ["without"],
                "facets": {
                    "answers": {"primary": "answer_score", "secondary": ["ref_pick/near"]},
                },
            }
        },
    }
}


def means(**scores):
    """Return the means of methods from a list of scores, one a seed."""
    return {
        name: {seed: {("answer_score", ALL): value} for seed, value in enumerate(values)}
        for name, values in scores.items()
    }


def correlation(**scores):
    return seed_correlations(parse_families(FAMILIES), means(**scores))


def test_the_correlation_over_common_seeds_is_pearsons():
    (row,) = correlation(whole=[1.0, 2.0, 3.0, 5.0], without=[2.0, 1.0, 4.0, 3.0, 9.0])
    # Deviations (-1.75, -0.75, 0.25, 2.25) and (-0.5, -1.5, 1.5, 0.5): 3.5 / sqrt(8.75 * 5).
    assert row.r == pytest.approx(3.5 / (8.75 * 5) ** 0.5)
    assert (row.a, row.b, row.metric, row.seeds) == ("whole", "without", "answer_score", 4)


@pytest.mark.parametrize(
    "scores",
    [
        {"whole": [1.0, 2.0, 3.0], "without": [1.0, 2.0, 3.0]},
        {"whole": [1.0, 2.0, 3.0, 4.0], "without": [1.0, 1.0, 1.0, 1.0]},
        {"whole": [1.0, 2.0, 3.0, 4.0]},
    ],
    ids=["few seeds", "no spread", "no rival"],
)
def test_what_has_no_correlation_is_left_out(scores):
    assert correlation(**scores) == []


def test_a_run_is_read_from_its_record_and_its_scores_on_val(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["seed_correlation", str(tmp_path)])
    with pytest.raises(InputError, match=r"manifest.json: not found; give the folder"):
        main()
    methods = ["whole", "without"]
    record = {"config": {"methods": methods, "statistics": {"families": FAMILIES}}}
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="no two methods of a declared test have 4 seeds"):
        main()
    for name, sign in (("whole", 1), ("without", -1)):
        folder = tmp_path / "gate" / "scores" / "val" / name
        folder.mkdir(parents=True)
        for seed in range(4):
            rows = {"scene": ["a"], "query": [""], "metric": ["answer_score"], "subset": [ALL]}
            rows |= {"value": [0.5 + sign * seed / 10], "succeeded": [True], "kind": ["item"]}
            table = pd.DataFrame(rows)
            table.to_parquet(folder / f"{seed}.parquet")
    assert main() == 0
    assert "-1.00" in capsys.readouterr().out
