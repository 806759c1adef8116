"""The register against the Git history: its commits exist, its list of references is complete."""

import csv
import io
import re
import subprocess

import pytest

from tests.paths import REPOSITORY

REGISTER = (REPOSITORY / "docs" / "register.md").read_text(encoding="utf-8")
REFERENCE = "results/reference/cpu"
# A row of the list of references: day, commit, rooms, what had changed, flipped of shared verdicts.
ROW = re.compile(
    r"^\| ([\d-]{10}) \| `(\w{7})` \| `(\w{8})` \| .* \| (?:(\d+) of (\d+))? ?\|$", re.M
)


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


@pytest.fixture(scope="module", autouse=True)
def history():
    if git("rev-parse", "--is-shallow-repository").strip() != "false":
        pytest.skip("no history: a shallow clone, or no clone at all")


def logged():
    """Return the commits that changed the reference's estimates, the first one first."""
    log = ("log", "--reverse", "--format=%H", "--", f"{REFERENCE}/estimates.csv")
    return git(*log).split()


# What the tables of the first thirteen called an outcome of the test of a against b.
OLD_WORDS = {
    "better": "{a} better",
    "below the smallest effect": "{a} better",
    "worse": "{b} better",
    "untested": "not tested",
}


def verdicts(commit):
    found = {}
    for family in ("article", "contrasts", "causes"):
        table = git("show", f"{commit}:{REFERENCE}/tables/{family}.csv")
        for row in csv.DictReader(io.StringIO(table)):
            keys = (row["subset"], row["metric"], row["method_a"], row["method_b"])
            if "outcome" in row:
                word = OLD_WORDS.get(row["outcome"], row["outcome"])
                row["result"] = word.format(a=row["method_a"], b=row["method_b"])
            found[(family, *keys)] = row["result"]
    return found


def flips(before, after):
    shared = before.keys() & after.keys()
    return sum(before[key] != after[key] for key in shared), len(shared)


def test_every_commit_that_it_names_exists():
    # Eight digits are hashes of rooms.
    named = set(re.findall(r"`([0-9a-f]{7})`", REGISTER))
    assert len(named) >= 12
    missing = [name for name in named if not git("rev-parse", "--verify", f"{name}^{{commit}}")]
    assert missing == []


def test_the_list_of_references_is_that_of_the_history():
    """The newest may be missing: a commit cannot name its own hash."""
    listed, commits = [row[1] for row in ROW.findall(REGISTER)], logged()
    assert listed == [commit[:7] for commit in commits[: len(listed)]]
    assert len(commits) - len(listed) <= 1


def test_days_rooms_and_flipped_verdicts_are_those_of_the_history():
    rows = ROW.findall(REGISTER)
    found = [verdicts(commit) for _, commit, *_ in rows]
    for number, (day, commit, rooms, flipped, shared) in enumerate(rows):
        assert git("log", "-1", "--format=%cs", commit).strip() == day
        assert f'"scenes.jsonl": "{rooms}' in git("show", f"{commit}:data.manifest.json")
        if number:
            assert flips(found[number - 1], found[number]) == (int(flipped), int(shared)), commit
    # The last five before the families were declared anew.
    last = found[8:13]
    changed = [key for key in last[-1] if len({one[key] for one in last}) > 1]
    assert (len(changed), len(last[-1])) == (7, 49)
    for metric in {key[2] for key in changed}:
        assert metric in REGISTER
