"""Tables and page of an opened sealed test: what is not sealed, and methods that came later."""

from dataclasses import replace

import pytest

from report import figures, headline, statistics
from report.seal import MARK, SealedTest
from report.table import build_tables

OPENED = SealedTest(("dev_asset",), ("dev_asset",), ("rug", "sink"), ("no_geometry", "absent"))
NOT_SEALED = "Not sealed: dev_scene."
CLASSES = "Unseen furniture of these classes is not sealed (dev_asset): rug, sink."


@pytest.fixture(scope="module")
def opened(config):
    return replace(config, sealed=OPENED)


@pytest.fixture(scope="module")
def tables(stats_dir, opened):
    return {table.name: table for table in build_tables(statistics.load(stats_dir, opened))}


def test_before_an_opening_nothing_is_added(stats_dir, config, tables):
    assert config.sealed == SealedTest()
    for table in build_tables(statistics.load(stats_dir, config)):
        after = tables[table.name]
        assert after.notes[: len(table.notes)] == table.notes
        assert not any("sealed" in note or "Post-seal" in note for note in table.notes)
        marked = after.text.to_csv().replace(MARK, "")
        assert marked == table.text.to_csv()


def test_a_table_names_what_it_shows_and_is_not_sealed(tables):
    assert {NOT_SEALED, CLASSES} <= set(tables["splits"].notes)
    assert NOT_SEALED in tables["main"].notes and CLASSES not in tables["main"].notes
    assert CLASSES in tables["retention"].notes
    assert not {NOT_SEALED, CLASSES} & set(tables["cost"].notes)


def test_later_methods_are_marked_in_rows_heads_and_tests(tables):
    marked = f"no_geometry{MARK}"
    for name in ("main", "splits", "cost"):
        names = set(tables[name].text["Method"])
        assert marked in names and "no_geometry" not in names and "full" in names
    assert marked in tables["reconstruction"].text and marked in set(
        tables["article"].text["Other"]
    )
    assert marked in set(tables["verdicts"].text["Against"])
    for table in tables.values():
        cells = (*table.text.columns, *table.text.to_numpy().ravel())
        notes = [note for note in table.notes if note.startswith("Post-seal: ")]
        assert len(notes) == any(marked in str(cell) for cell in cells), table.name


def test_the_page_and_the_terminal_mark_them_too(stats_dir, opened):
    stats = statistics.load(stats_dir, opened)
    board = headline.leaderboard(stats)
    assert f"no_geometry{MARK}" in {row["method"] for row in board["rows"]}
    assert NOT_SEALED in board["caption"] and CLASSES in board["caption"]
    sentences = " ".join(claim["sentence"] for claim in headline.claims(stats))
    assert f"against no_geometry{MARK}" in sentences
    summary = headline.terminal_summary(stats_dir, opened)
    assert f"\nno_geometry{MARK} " in summary and "\nPost-seal: the method" in summary
    assert max(map(len, summary.splitlines())) <= headline.TERMINAL_WIDTH


def test_figures_mark_them(stats_dir, opened):
    stats = statistics.load(stats_dir, opened)
    fig = figures.distributions(stats)
    labels = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert f"no_geometry{MARK}" in labels and "full" in labels
