"""Values of config/cpu.yaml, the only place of default settings."""

import yaml

from tests.paths import REPOSITORY

CPU = yaml.safe_load((REPOSITORY / "config" / "cpu.yaml").read_text(encoding="utf-8"))
SENSOR = CPU["render"]["sensor"]
