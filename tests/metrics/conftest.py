"""A tiny truth folder and the oracle's score table, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metrics.score import score_submission
from tests.metrics import toy_truth


@pytest.fixture(scope="session")
def truth_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Truth of three small rooms."""
    return toy_truth.write_truth(tmp_path_factory.mktemp("toy") / "truth")


@pytest.fixture(scope="session")
def oracle_dir(tmp_path_factory: pytest.TempPathFactory, truth_dir: Path) -> Path:
    """The truth as a submission."""
    return toy_truth.write_oracle(tmp_path_factory.mktemp("oracle") / "submission", truth_dir)


@pytest.fixture(scope="session")
def oracle_scores(
    tmp_path_factory: pytest.TempPathFactory, truth_dir: Path, oracle_dir: Path
) -> Path:
    """The oracle's score table."""
    path = tmp_path_factory.mktemp("scores") / "toy.parquet"
    score_submission(oracle_dir, truth_dir, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, oracle_dir: Path) -> Path:
    """A copy of a valid submission, to be corrupted."""
    return Path(shutil.copytree(oracle_dir, tmp_path / "s"))
