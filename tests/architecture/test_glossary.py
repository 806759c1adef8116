"""Words that a reader from the field would have to look up do not occur in code or docs."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePath

from tests.paths import REPOSITORY

# Each word with the field's word for it.
REPLACEMENTS = {
    r"yardsticks?": "evaluation protocol",
    r"strangers?('s)?": "third party, untrusted input",
    r"mend(s|ed|ing)?": "fix, fixed",
    r"spoil(s|ed|ing|t)?|SpoiledStore": "corrupt, corrupted, CorruptedStore",
    r"tally|tallies": "dataset_stats",
    r"speakers?": "referring_context",
    r"ledgers?": "answer_balancing",
    r"vouch(es|ed)?": "validate_cache",
    r"familiar(ity)?": "ood_score, out of distribution",
    r"SeenScene": "CachedScene",
    r"judge_(detections|overlaps|model)": "match_predictions, evaluate_model",
    r"choose_thresholds": "calibrate_thresholds",
    r"require_sound": "require_valid",
    r"others than": "differ from",
    r"is no count from": "must be an integer from ... to ...",
}
WORDS = re.compile(r"(?<![A-Za-z])(" + "|".join(REPLACEMENTS) + r")(?![A-Za-z])", re.IGNORECASE)
# Keys of random generators seed what exists; changing one would change every number.
GENERATOR_KEY = re.compile(r"\b(?:rng|generator|seeded)\([^()]*\"[a-z_]+\"")
# A class of objects: a loudspeaker.
OBJECT_CLASS = re.compile(r"\"speaker\"")
TEXT = (
    ".py",
    ".smk",
    ".md",
    ".yaml",
    ".yml",
    ".toml",
    ".ipynb",
    ".j2",
    ".js",
    ".html",
    ".sh",
    ".in",
)
LEFT_OUT = ("results/reference/", "tests/architecture/test_glossary.py")


def test_no_private_vocabulary():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    faults = []
    for name in listed.stdout.splitlines():
        if PurePath(name).suffix not in TEXT or name.startswith(LEFT_OUT):
            continue
        lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            found = WORDS.search(OBJECT_CLASS.sub("", GENERATOR_KEY.sub("", line)))
            if found:
                faults.append(f"{name}:{number}: {found[0]}")
    assert not faults, f"{len(faults)} private words: " + "; ".join(faults[:20])
