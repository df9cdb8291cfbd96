"""Functions stay short: what is longer than a screen is two ideas."""

import ast
import math
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

LONGEST, NINETIETH_PERCENTILE = 50, 25  # lines, from ``def`` to the last one, docstring included


def list_functions(folder: Path) -> Iterator[tuple[int, str]]:
    """Length and ``file: name`` of every function."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield n_lines, f"{path.relative_to(folder.parent)}: {node.name}"


def find_long_functions(*folders: Path) -> list[str]:
    """The functions that are too long; the longest tenth where nine of ten are."""
    functions = sorted((own for folder in folders for own in list_functions(folder)), reverse=True)
    tenth = functions[: math.ceil(len(functions) / 10)]
    too_long = [own for own in functions if own[0] > LONGEST]
    if len(functions) > len(tenth) and functions[len(tenth)][0] > NINETIETH_PERCENTILE:
        too_long = tenth
    return [f"{name}, {n_lines} lines" for n_lines, name in too_long]


def test_functions_are_short():
    assert find_long_functions(ROOT / "separation", ROOT / "local") == []


def test_a_planted_long_function_is_named(tmp_path):
    package = tmp_path / "separation"
    package.mkdir()
    (package / "short.py").write_text("def scan():\n    return 1\n" * 20, encoding="utf-8")
    assert find_long_functions(package) == []
    body = "    x = 1\n"
    (package / "long.py").write_text("def render():\n" + body * 50, encoding="utf-8")
    assert find_long_functions(package) == ["separation/long.py: render, 51 lines"]
    (package / "many.py").write_text(("def mix():\n" + body * 25) * 5, encoding="utf-8")
    assert "separation/many.py: mix, 26 lines" in find_long_functions(package)
