"""Experiment configs for tests; config/cpu.yaml is the only place of default settings."""

from pathlib import Path
from typing import Any

from g2vlm.run.config import DEFAULTS, check_config, read_sources
from metrics.yaml_file import read_yaml
from tests.paths import REPOSITORY

CPU_FILE = REPOSITORY / DEFAULTS
CPU = read_yaml(CPU_FILE)
SENSOR = CPU["render"]["sensor"]


def load_config(*paths: str | Path) -> dict[str, Any]:
    """Return a checked experiment config: the files merged onto config/cpu.yaml."""
    return check_config(read_sources(paths))
