"""Tables as markdown and as LaTeX that compiles on its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from report.table import Table

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
NOTE_WIDTH = 110


def escape_tex(text: str) -> str:
    r"""Return text with every character that LaTeX reads as a command made plain.

    >>> escape_tex("a_b & 5%")
    'a\\_b \\& 5\\%'
    """
    return "".join(TEX.get(c, c if c.isascii() else "?") for c in " ".join(str(text).split()))


def to_markdown(table: Table) -> str:
    """Return the caption, the table and its footnotes in GitHub's markdown."""

    def cell(value: object) -> str:
        text = str(value).replace("\\", "\\\\").replace("\n", " ")
        return text.replace("<", "&lt;").replace("_", "\\_")

    grid = markdown_grid(map(cell, table.text.columns), (map(cell, row) for row in _blocks(table)))
    notes = "".join(f"\n{cell(note)}  " for note in table.notes)
    tail = f"\n{notes.rstrip()}\n" if notes else ""
    return f"**{cell(table.title)}.** {table.caption}\n\n{grid}\n{tail}"


def markdown_grid(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    r"""Return a table in GitHub's markdown of cells that are markdown already.

    >>> print(markdown_grid(["a", "*b*"], [["1|2", "3"]]))
    | a | *b* |
    | --- | --- |
    | 1\|2 | 3 |
    """
    heads = list(heads)
    first, *rest = (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, *rows)
    )
    return "\n".join([first, "|" + " --- |" * len(heads), *rest])


def to_tex(table: Table) -> str:
    r"""Return a standalone booktabs document: the table, then caption and footnotes in small type.

    A paper takes it in whole with the standalone package, or copies the inner tabular.
    """
    columns = list(table.text.columns)
    rows: list[str] = []
    for row in _blocks(table):
        if table.groups and rows and row[0]:
            rows.append(r"\addlinespace")
        rows.append(" & ".join(escape_tex(v) for v in row) + r" \\")
    said = [
        line for note in (f"{table.title}. {table.caption}", *table.notes) for line in _wrap(note)
    ]
    return "\n".join(
        [
            r"\documentclass[border=4pt]{standalone}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{booktabs}",
            r"\begin{document}",
            r"\begin{tabular}{@{}l@{}}",
            r"\begin{tabular}{" + "l" * len(columns) + "}",
            r"\toprule",
            " & ".join(escape_tex(c) for c in columns) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular} \\[1ex]",
            *(rf"\footnotesize {line} \\" for line in said),
            r"\end{tabular}",
            r"\end{document}",
            "",
        ]
    )


def _wrap(text: str) -> list[str]:
    return [escape_tex(line) for line in textwrap.wrap(" ".join(text.split()), NOTE_WIDTH)]


def _blocks(table: Table) -> list[list[object]]:
    """Return the rows, with the name of a block in its first row alone."""
    rows = table.text.to_numpy().tolist()
    if not table.groups:
        return rows
    before = [None, *(row[0] for row in rows)]
    return [
        ["" if row[0] == was else row[0], *row[1:]] for row, was in zip(rows, before, strict=False)
    ]
