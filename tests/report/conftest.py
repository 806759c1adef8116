"""One small study for every test of tables, figures and the page."""

import pytest

from metrics.statistics import compare
from tests.metrics.statistics import synthetic


@pytest.fixture(scope="session")
def score_files(tmp_path_factory):
    """Return the reference's tables on one split, one a training."""
    return synthetic.write(synthetic.scores(scenes=10), "full", tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="session")
def stats_dir(tmp_path_factory):
    """Return the statistics of eight methods, three trainings and ten scenes of two splits."""
    scores = synthetic.scores(scenes=10, splits=("test_scene", "test_asset"))
    found = compare.compare(scores, synthetic.CONFIG)
    found["methods"] = synthetic.sidecars(found["methods"])
    folder = tmp_path_factory.mktemp("study") / "statistics"
    compare.write(found, folder)
    return folder
