"""Experiment configs for tests; config/cpu.yaml is the only place of default settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2vlm.run.config import check_config, read_yaml
from tests.paths import REPOSITORY

CPU_FILE = REPOSITORY / "config" / "cpu.yaml"
CPU = read_yaml(CPU_FILE)
SENSOR = CPU["render"]["sensor"]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes`, as Snakemake merges config files."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def load_config(path: str | Path = CPU_FILE) -> dict[str, Any]:
    """Return a checked experiment config: the file merged onto config/cpu.yaml."""
    config = merge(CPU, read_yaml(path))
    check_config(config, [str(CPU_FILE), str(path)])
    return config
