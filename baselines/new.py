"""Create the folder of a new baseline, with a method that runs."""

from __future__ import annotations

import keyword
import re
import shutil
from pathlib import Path

from metrics.files import InputError, atomic_path

HERE = Path(__file__).parent
SKELETON = HERE / "skeleton" / "method.py.in"


def write_skeleton(name: str, root: Path = HERE) -> Path:
    """Write `root`/`name`/ with a method that predicts the mean room, and return the folder.

    Raises:
        InputError: the name is taken, or is not valid both for Snakemake and for Python.
    """
    folder = root / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"baseline {name!r}: use lower-case letters, digits and underscores, a letter first"
        )
    if folder.exists() or (root.parent / "config" / "methods" / f"{name}.yaml").exists():
        raise InputError(f"baseline {name}: the name is taken; choose another")
    with atomic_path(folder, folder=True) as temporary:
        (temporary / "__init__.py").touch()
        shutil.copyfile(SKELETON, temporary / "method.py")
    return folder
