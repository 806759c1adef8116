"""The seal: what a freeze records, when it opens, and the arithmetic of nonce, digest and seed."""

import hashlib
import subprocess
from dataclasses import replace

import pytest

from g2vlm.run import seal
from metrics.files import InputError, sha256_file
from metrics.yaml_file import read_yaml
from tests.paths import REPOSITORY

# A nonce of these tests; that of the project is not in it.
NONCE = "5e" * 32
COMMITMENT = hashlib.sha256(NONCE.encode()).hexdigest()
CODE = "g2vlm/models/network.py"


def git(root, *arguments):
    names = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    call = ["git", *names, *arguments]
    return subprocess.run(call, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "State")


@pytest.fixture
def clone(tmp_path):
    """A clone with one file of code, a page and a seal that is not frozen."""
    for name in (CODE, "docs/page.md", "config/cpu.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    seal.write_seal(seal.Seal(seal.NOT_FROZEN, COMMITMENT), tmp_path / seal.RECORD)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


@pytest.fixture
def frozen(clone):
    seal.freeze(clone)
    commit(clone)
    return clone


def test_the_committed_seal_is_valid_and_has_the_projects_commitment():
    record = seal.read_seal(REPOSITORY / seal.RECORD)
    assert record.commitment == "0b7c4a22e6f4406b28f3945253e9f6cd9e7123bc07d9f7596604be60d52ad918"


def test_every_covered_path_is_there():
    assert all((REPOSITORY / name).exists() for name in seal.COVERED)


def test_a_freeze_records_digest_commit_and_day(clone):
    head = git(clone, "rev-parse", "HEAD").strip()
    record = seal.freeze(clone)
    lines = [f"{sha256_file(clone / name)}  {name}\n" for name in ("config/cpu.yaml", CODE)]
    assert record.digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert (record.commit, record.state) == (head, "frozen") and len(record.date) == 10
    assert record.methods == {}
    assert seal.read_seal(clone / seal.RECORD) == record


@pytest.mark.parametrize("name", ["docs/page.md", "new.txt"])
def test_a_tree_with_changes_is_not_frozen(clone, name):
    (clone / name).write_text("changed\n")
    with pytest.raises(InputError, match=f"{name}: differs from the last commit; commit"):
        seal.freeze(clone)
    assert seal.read_seal(clone / seal.RECORD).state == "not frozen"


def test_a_frozen_tree_is_not_frozen_again(frozen):
    with pytest.raises(InputError, match="frozen already"):
        seal.freeze(frozen)


def test_the_seed_is_the_sha256_of_digest_and_nonce(frozen):
    digest = seal.read_seal(frozen / seal.RECORD).digest
    record = seal.derive_opened(NONCE, frozen)
    assert record.seed == hashlib.sha256((digest + NONCE).encode()).hexdigest()
    assert (record.state, record.nonce) == ("opened", NONCE)


def test_pages_may_change_between_freeze_and_opening(frozen):
    (frozen / "docs/page.md").write_text("clearer\n")
    assert seal.derive_opened(NONCE, frozen).state == "opened"


@pytest.mark.parametrize("name", [CODE, "metrics/new.py", "config/gpu.yaml"])
def test_a_tree_that_differs_from_the_frozen_one_does_not_open(frozen, name):
    path = frozen / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed\n")
    for _ in range(2):
        with pytest.raises(InputError, match=f"{name}: differs from the tree"):
            seal.derive_opened(NONCE, frozen)
        commit(frozen)  # committed changes count too


def test_a_missing_file_does_not_open_the_seal(frozen):
    (frozen / CODE).unlink()
    with pytest.raises(InputError, match=f"{CODE}: differs from the tree"):
        seal.derive_opened(NONCE, frozen)


@pytest.mark.parametrize(
    ("nonce", "words"),
    [
        ("5f" * 32, "not the commitment"),
        (NONCE[:-1], "64 lower-case hexadecimal digits"),
        (NONCE.upper(), "64 lower-case hexadecimal digits"),
        ("", "64 lower-case hexadecimal digits"),
    ],
)
def test_another_nonce_does_not_open_the_seal(frozen, nonce, words):
    with pytest.raises(InputError, match=words):
        seal.derive_opened(nonce, frozen)


def test_a_seal_that_is_not_frozen_does_not_open(clone):
    with pytest.raises(InputError, match="not frozen; run `make seal`"):
        seal.derive_opened(NONCE, clone)


def test_a_freeze_that_is_not_committed_does_not_open(clone):
    seal.freeze(clone)
    with pytest.raises(InputError, match="the freeze is not committed"):
        seal.derive_opened(NONCE, clone)


def test_opening_draws_the_rooms_and_records_their_hash_once(frozen, monkeypatch):
    drawn = []

    def draw(config, seed, data, out):
        drawn.append((config["experiment"], seed, out))
        return "ab" * 32, ["rug"]

    monkeypatch.setattr(seal, "draw_rooms", draw)
    out = seal.open_test(NONCE, [REPOSITORY / "config/smoke.yaml"], frozen)
    record = seal.read_seal(frozen / seal.RECORD)
    assert drawn == [("smoke", record.seed, out)]
    assert out == frozen / "results/smoke/sealed"
    assert (record.state, record.rooms) == ("opened", {"smoke": "ab" * 32})
    assert record.classes_not_sealed == ["rug"]
    commit(frozen)
    with pytest.raises(InputError, match="opened already"):
        seal.open_test(NONCE, [], frozen)


def test_the_primary_opening_is_of_an_experiment_whose_rooms_are_in_data(frozen):
    (frozen / "data").mkdir()
    (frozen / "data" / "splits.json").write_text('{"scenes": {}}')
    with pytest.raises(InputError, match="smoke.yaml: needs more rooms than data/ holds"):
        seal.open_test(NONCE, [REPOSITORY / "config/smoke.yaml"], frozen)
    assert seal.read_seal(frozen / seal.RECORD).state == "frozen"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nonce": "5f" * 32}, "not the commitment"),
        ({"seed": "00" * 32}, "`seed` is not the sha256 of digest and nonce"),
        ({"digest": "00" * 32}, "`seed` is not the sha256 of digest and nonce"),
        ({"date": "yesterday"}, "`date`"),
    ],
)
def test_a_record_that_was_edited_is_refused(frozen, change, words):
    record = replace(seal.derive_opened(NONCE, frozen), **change)
    seal.write_seal(record, frozen / seal.RECORD)
    with pytest.raises(InputError, match=words):
        seal.read_seal(frozen / seal.RECORD)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("state", "open", "`state`"),
        ("seed", "00" * 32, "unknown key `seed`"),
        ("commitment", "abc", "64 hex digits"),
    ],
)
def test_a_malformed_record_is_refused(clone, key, value, words):
    path = clone / seal.RECORD
    lines = [f"{name}: {text}\n" for name, text in (read_yaml(path) | {key: value}).items()]
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=words):
        seal.read_seal(path)
