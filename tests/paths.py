"""Folders that tests read."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Small inputs that failed once, kept outside the repository; tests that read them skip without it.
CASES = REPOSITORY.parent / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no shared/cases beside the repository")
