"""A table of the report is added by editing one file: a function with `@report_table`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.paths import REPOSITORY

TABLE = '''

@report_table
def methods_by_name(stats: Statistics) -> Table:
    """Return the methods in alphabetical order."""
    rows = pd.DataFrame({"Method": sorted(stats.method_names)})
    return Table("methods_by_name", "Methods by name", rows, rows, "Every method of the study.")
'''
WRITE = """
import sys
from pathlib import Path
import yaml
from metrics.statistics import compare
from report.config import ReportConfig
from report.tables import write_tables
from tests.metrics.statistics import synthetic

folder = Path(sys.argv[1])
found = compare.compare(synthetic.scores(scenes=6), synthetic.CONFIG)
found["methods"] = synthetic.sidecars(found["methods"])
compare.write(found, folder / "statistics")
config = ReportConfig.from_experiment(yaml.safe_load(Path("config/cpu.yaml").read_text()))
write_tables(folder / "statistics", folder / "tables", config)
"""


def test_one_edit_adds_a_table(tmp_path):
    for folder in ("metrics", "report", "config", "tests"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    with open(tmp_path / "report" / "tables.py", "a", encoding="utf-8") as module:
        module.write(TABLE)
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("csv", "md", "tex"):
        text = (tmp_path / "tables" / f"methods_by_name.{kind}").read_text(encoding="utf-8")
        assert "full" in text, kind
