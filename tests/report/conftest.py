"""One small study for every test of tables, figures and the page."""

import pytest
import yaml

from metrics.statistics import compare
from report.config import ReportConfig
from tests.metrics.statistics import synthetic
from tests.paths import REPOSITORY


@pytest.fixture(scope="session")
def score_files(tmp_path_factory):
    """Return the reference's tables on one split, one a training."""
    return synthetic.write(synthetic.scores(scenes=10), "full", tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="session")
def stats_dir(tmp_path_factory):
    """Return the statistics of eight methods, three trainings and ten scenes of two splits."""
    scores = synthetic.scores(scenes=10, splits=("dev_scene", "dev_asset"))
    found = compare.compare(scores, synthetic.CONFIG)
    found["methods"] = synthetic.sidecars(found["methods"])
    folder = tmp_path_factory.mktemp("study") / "statistics"
    compare.write(found, folder)
    return folder


@pytest.fixture(scope="session")
def config():
    """Return what the report reads of the default experiment's config."""
    text = (REPOSITORY / "config" / "cpu.yaml").read_text(encoding="utf-8")
    return ReportConfig.from_experiment(yaml.safe_load(text))
