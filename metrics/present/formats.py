"""Tables as markdown and as LaTeX that compiles on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metrics.present.tables import Table

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
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "“": "``",
    "”": "''",
}


def escape_tex(text: str) -> str:
    r"""Return text with every character that LaTeX reads as a command made plain.

    >>> escape_tex("a_b & 5%")
    'a\\_b \\& 5\\%'
    """
    return "".join(TEX.get(c, c if c.isascii() else "?") for c in str(text))


def to_markdown(table: Table) -> str:
    """Return the caption and the table in GitHub's markdown."""

    def cell(value: object) -> str:
        text = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
        return text.replace("<", "&lt;").replace("_", "\\_")

    heads = [cell(c) for c in table.text.columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in table.text.to_numpy()]
    return f"{table.caption}\n\n" + "\n".join(lines) + "\n"


def to_tex(table: Table) -> str:
    """Return a standalone booktabs document; `\\input` it with the standalone package."""
    columns = list(table.text.columns)
    rows, earlier = [], None
    for row in table.text.to_numpy():
        if earlier is not None and columns[0] in ("Item", "Metric") and row[0] != earlier:
            rows.append(r"\addlinespace")
        first = "" if row[0] == earlier and columns[0] in ("Item", "Metric") else row[0]
        rows.append(" & ".join(escape_tex(v) for v in (first, *row[1:])) + r" \\")
        earlier = row[0]
    return "\n".join(
        [
            r"\documentclass[border=4pt]{standalone}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{booktabs}",
            r"\begin{document}",
            f"% {table.caption}",
            r"\begin{tabular}{" + "l" * len(columns) + "}",
            r"\toprule",
            " & ".join(escape_tex(c) for c in columns) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{document}",
            "",
        ]
    )
