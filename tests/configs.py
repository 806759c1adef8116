"""Experiment configs for tests; config/cpu.yaml is the only place of default settings."""

from pathlib import Path
from typing import Any

from g2vlm.run.config import check_config, merge, read_yaml
from tests.paths import REPOSITORY

CPU_FILE = REPOSITORY / "config" / "cpu.yaml"
CPU = read_yaml(CPU_FILE)
SENSOR = CPU["render"]["sensor"]


def load_config(path: str | Path = CPU_FILE) -> dict[str, Any]:
    """Return a checked experiment config: the file merged onto config/cpu.yaml."""
    config = merge(CPU, read_yaml(path))
    check_config(config, [str(CPU_FILE), str(path)])
    return config
