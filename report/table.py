"""A printed table: rows of text, unrounded numbers, caption and footnotes; markdown and LaTeX."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from report import text
from report.statistics import Statistics

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": "{`}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"\dag{}",
    "“": "``",
    "”": "''",
    "’": "'",
    "–": "--",
    "²": r"\textsuperscript{2}",
    **{raised: rf"\textsuperscript{{{k}}}" for k, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
# Columns that hold names of methods.
METHOD_COLUMNS = ("Method", "First", "Other", "Against")
# Characters of a caption's or a footnote's line in LaTeX.
NOTE_WIDTH = 110


# First characters that make a spreadsheet take a cell for a formula, in full width too.
FORMULA = tuple("=+-@\t＝＋－＠")


def csv_text(rows: pd.DataFrame) -> str:
    """Return rows as csv in which no text is a formula: an apostrophe before it makes it text.

    Names and reasons come from submissions of others. Their line breaks become spaces. Numbers
    stay as they are.

    Example:
        >>> csv_text(pd.DataFrame({"why": ["=1+1", "no mesh"], "mean": [-0.5, 1.0]})).split()
        ['why,mean', "'=1+1,-0.5", 'no', 'mesh,1.0']
    """

    def quote(cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        line = " ".join(cell.splitlines())
        return f"'{line}" if line.startswith(FORMULA) else line

    words = rows.select_dtypes(exclude=["number", "bool"]).columns
    quoted = rows.assign(**{name: rows[name].map(quote) for name in words})
    return quoted.rename(columns=quote).to_csv(index=False, lineterminator="\n")


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        name: stem of its files.
        title: its name for readers.
        text: the cells as printed.
        numbers: the same unrounded, for csv.
        caption: what it holds and how to read it.
        notes: footnotes.
        groups: equal neighbours in the first column form a block, whose name is printed once.
        open: the page displays it unfolded.
        keep_empty: it is written without rows too.
    """

    name: str
    title: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    caption: str
    notes: tuple[str, ...] = ()
    groups: bool = False
    open: bool = False
    keep_empty: bool = False


Build = Callable[[Statistics], Table | list[Table] | None]
BUILDERS: list[Build] = []


def report_table(build: Build) -> Build:
    """Register a function that builds a table, several tables, or None without its scores.

    Registration order is reading order. A new table needs nothing else: it is written as csv,
    markdown and LaTeX, and the report page and the documentation display it.
    """
    BUILDERS.append(build)
    return build


def build_tables(stats: Statistics) -> list[Table]:
    """Return every registered table that this study has rows for."""
    tables: list[Table] = []
    for build in BUILDERS:
        built = build(stats)
        tables += built if isinstance(built, list) else [built] if built else []
    return [_with_seal(table, stats) for table in tables if len(table.text) or table.keep_empty]


def _with_seal(table: Table, stats: Statistics) -> Table:
    """Return a table with its post-seal methods marked, and the notes on what is not sealed."""
    sealed = stats.config.sealed
    labels = {method: sealed.label(method) for method in sealed.post_seal}
    cells = table.text.rename(columns=labels)
    for column in set(METHOD_COLUMNS) & set(cells):
        cells[column] = cells[column].replace(labels)
    printed = [table.caption, *map(str, cells.columns), *map(str, cells.to_numpy().ravel())]
    notes = sealed.notes("\n".join(printed), stats.splits)
    return replace(table, text=cells, notes=(*table.notes, *notes))


@dataclass
class Footnotes:
    """Footnotes in the order of their first use; equal texts share a number."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """Return the dash of an empty cell with the raised number of its reason.

        >>> Footnotes().mark("not produced")
        '–¹'
        """
        if text not in self.texts:
            self.texts.append(text)
        return "–" + str(self.texts.index(text) + 1).translate(RAISED)

    def lines(self) -> tuple[str, ...]:
        """Return the footnotes, each with its raised number."""
        return tuple(
            f"{str(place).translate(RAISED)} {text}" for place, text in enumerate(self.texts, 1)
        )


def score_or_reason(stats: Statistics, notes: Footnotes, method: str, metric: str) -> str:
    """Return "mean ± half-width letters" on the main split, without the parts that are missing.

    Where there is no score, it is a dash with the footnote of the reason.
    """
    row = stats.estimate(method, stats.main_split, "all", metric)
    if row is None:
        return notes.mark(stats.reason(method, metric))
    letters = f" {row.tie_group}" if row.tie_group else ""
    half = text.number((row.ci_high - row.ci_low) / 2)
    return text.number(row.mean) + (f" ± {half}" if half else "") + letters


def escape_tex(value: object) -> str:
    r"""Return text in which LaTeX reads no character as a command.

    >>> escape_tex("a_b & 5%")
    'a\\_b \\& 5\\%'
    """
    return "".join(TEX.get(c, c if c.isascii() else "?") for c in " ".join(str(value).split()))


def to_markdown(table: Table) -> str:
    """Return the caption, the table and its footnotes in GitHub's markdown."""

    def escape(value: object) -> str:
        plain = str(value).replace("\\", "\\\\").replace("\n", " ")
        return plain.replace("<", "&lt;").replace("_", "\\_")

    rows = [[escape(value) for value in row] for row in _block_rows(table)]
    grid = markdown_grid([escape(column) for column in table.text.columns], rows)
    notes = "".join(f"\n{escape(note)}  " for note in table.notes)
    tail = f"\n{notes.rstrip()}\n" if notes else ""
    return f"**{escape(table.title)}.** {table.caption}\n\n{grid}\n{tail}"


def markdown_grid(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    r"""Return a table in GitHub's markdown of cells that are markdown already.

    >>> print(markdown_grid(["a", "*b*"], [["1|2", "3"]]))
    | a | *b* |
    | --- | --- |
    | 1\|2 | 3 |
    """
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, *rows)
    ]
    return "\n".join([lines[0], "|" + " --- |" * len(heads), *lines[1:]])


def to_tex(table: Table) -> str:
    r"""Return a LaTeX document that compiles alone: a booktabs table, caption and footnotes.

    A paper includes it whole with the standalone package, or copies the inner tabular.
    """
    rows: list[str] = []
    for row in _block_rows(table):
        if table.groups and rows and row[0]:
            rows.append(r"\addlinespace")
        rows.append(" & ".join(escape_tex(value) for value in row) + r" \\")
    notes = [
        escape_tex(line)
        for note in (f"{table.title}. {table.caption}", *table.notes)
        for line in textwrap.wrap(" ".join(note.split()), NOTE_WIDTH)
    ]
    return "\n".join(
        [
            r"\documentclass[border=4pt]{standalone}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{booktabs}",
            r"\begin{document}",
            r"\begin{tabular}{@{}l@{}}",
            r"\begin{tabular}{" + "l" * table.text.shape[1] + "}",
            r"\toprule",
            " & ".join(escape_tex(column) for column in table.text) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular} \\[1ex]",
            *(rf"\footnotesize {line} \\" for line in notes),
            r"\end{tabular}",
            r"\end{document}",
            "",
        ]
    )


def _block_rows(table: Table) -> list[list[object]]:
    """Return the rows; the name of a block is in its first row alone."""
    cells = table.text.copy()
    if table.groups:
        names = cells.iloc[:, 0]
        cells.isetitem(0, names.mask(names == names.shift(), ""))
    return cells.to_numpy().tolist()
