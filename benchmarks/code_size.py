"""Count the Python statements of folders: `python -m benchmarks.code_size [FOLDER ...]`.

A compound statement counts once, for its header, and the statements inside it count too. Docstrings
do not count, so documentation does not make code larger. Tests are left out.
"""

import argparse
import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("g2vlm", "metrics", "report", "viewer", "baselines", "benchmarks", "workflow", "docs")


def count_statements(source: str) -> int:
    """Return the number of statements of a Python module, docstrings excluded.

    >>> count_statements('"A docstring."\\nif True:\\n    x = 1; y = 2\\n')
    3
    """
    tree = ast.parse(source)
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    return statements - sum(ast.get_docstring(node, clean=False) is not None for node in nodes)


def main() -> None:
    """Print statements by folder and in all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.code_size", description=__doc__)
    parser.add_argument("folders", nargs="*", default=FOLDERS, help="default: all but tests/")
    counts = {}
    for name in parser.parse_args().folders:
        paths = (ROOT / name).rglob("*.py")
        counts[name] = sum(count_statements(path.read_text(encoding="utf-8")) for path in paths)
        print(f"{name:<12} {counts[name]:>7,}")
    print(f"{'total':<12} {sum(counts.values()):>7,}")


if __name__ == "__main__":
    main()
