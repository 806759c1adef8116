"""What must hold before any job: one run a clone, data as pinned, a config without slips."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from g2vlm.run import config as settings
from g2vlm.run import data, lock
from metrics.files import InputError

LOOKS = {"--dry-run", "--dryrun", "--dag", "--rulegraph", "--filegraph", "--summary", "--lint"}


def read_methods(config: dict[str, Any], files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Check the merged config and return its learned methods; ends the process on a fault.

    Splits of no scenes are taken out of `config`.
    """
    try:
        settings.check_config(config, files)
        settings.leave_out_empty(config)
        for name in config.get("pretrained", {}):
            settings.pretrained_folder(config, name)
        return {name: settings.load_method(name) for name in config["methods"]}
    except InputError as fault:
        sys.exit(f"error: {fault}")


def enter(root: str | Path, arguments: Sequence[str]) -> IO[str] | None:
    """Check data against its pins and take the clone's lock; ends the process on a fault.

    `arguments` are Snakemake's own. Returns the open lock file, to be kept for the life of the
    process: None for a call that only looks. Linting needs no data either.
    """
    # Jobs must run this clone's packages even where another one is installed.
    os.environ["PYTHONPATH"] = str(root)
    # Sets of strings then have one order in every job, here and elsewhere.
    os.environ["PYTHONHASHSEED"] = "0"
    if "--lint" in arguments:
        return None
    try:
        data.verify()
        if not data.PIN.exists():
            raise InputError(f"{data.PIN}: missing; run `make pin` to pin the folder")
        return None if only_looks(arguments) else lock.hold(lock.LOCK)
    except InputError as fault:
        sys.exit(f"error: {fault}")


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether a call of Snakemake runs no job: a dry run, a drawing or a list.

    While the Snakefile is read, Snakemake itself does not yet know that.
    """
    return any(word in LOOKS or re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*", word) for word in arguments)
