"""The registry collects metrics from modules, so that adding one touches one module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metrics import language, registry
from metrics.language.score import score_language
from metrics.submission.reader import Submission
from metrics.truth import Truth

MODULE = """
from metrics.metric import Metric

METRICS = (
    Metric(
        name="answer_words",
        family="answers",
        task="answers",
        input="question",
        compute=lambda comparison: float(len((comparison.answer or "").split())),
        description="number of words",
        source="this test",
        high=100.0,
    ),
)
"""


def test_one_new_module_is_one_new_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle_dir: Path, truth_dir: Path
):
    (tmp_path / "words.py").write_text(MODULE)
    monkeypatch.setattr(language, "__path__", [*language.__path__, str(tmp_path)])
    collected = list(registry.collect())
    sys.modules.pop("metrics.language.words")
    assert [metric.name for metric in collected] == [
        *(metric.name for metric in registry.ROWS),
        "answer_words",
    ]
    rows = score_language(Submission(oracle_dir), Truth(truth_dir), collected[-1:]).rows
    assert {row.metric for row in rows} == {"answer_words"}
    values = {row.value for row in rows}
    assert values == {1.0}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("accuracy_m", "DTU"),
        ("completeness_m", "DTU"),
        ("completeness_completion_m", "DTU"),
        ("voxel_iou@10cm", "SSCNet"),
        ("triplet_recall@50", "Lu et al. 2016"),
        ("triplet_mean_recall@50", "Tang et al. 2019"),
        ("triplet_recall_given@50", "3DSSG"),
        ("box_pq@0.5", "panopticapi"),
        ("object_map@0.5", "VOC"),
        ("ref_acc@0.5", "ScanRefer"),
        ("answer_mra", "VSI-Bench"),
        ("chamfer_l1_m", "Occupancy Networks"),
        ("fscore@5cm", "Tanks and Temples"),
    ],
)
def test_a_metric_that_departs_from_its_source_says_so(name: str, source: str):
    named, _, departure = registry.METRICS[name].source.partition("differs from")
    assert departure and source in named + departure


def test_the_fixed_set_and_void_rules_are_in_the_list():
    for name in ("box_pq@0.5", "spq@0.5", "spq@0.25"):
        text = registry.METRICS[name].description
        assert "at least 20 true ones" in text and "hallucinated" in text and "void" in text


def test_names_are_unique():
    assert len(registry.METRICS) == len(registry.ROWS)
