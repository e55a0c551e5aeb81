"""The structure of the code: no circle of imports, packages that say what they are for, files of one idea."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "tui", "cognition", "kernels")
FLAT = {"__init__", "__main__", "errors", "text", "workspace"}
"""Modules that stand directly in `engine/`."""
MOST_LINES = 450


def source_files(*folders: str) -> list[Path]:
    """Return the Python files below some folders of the project; built-in tasks are scripts of their own."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "tasks" not in path.relative_to(ROOT).parts[:2]]


def module_of(path: Path) -> str:
    """Return the dotted name of a file; a package is named by its `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    """Yield the modules that a file imports, at its top, inside functions and under TYPE_CHECKING."""
    for item in ast.walk(tree):
        if isinstance(item, ast.ImportFrom) and item.module and not item.level:
            for alias in item.names:
                whole = f"{item.module}.{alias.name}"
                yield whole if whole in modules else item.module
        elif isinstance(item, ast.Import):
            yield from (alias.name for alias in item.names)


def import_circles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Return the sets of modules that import each other, each sorted."""
    graph = nx.DiGraph()
    for name, tree in trees.items():
        graph.add_edges_from((name, other) for other in imported(tree, set(trees)) if other in trees and other != name)
    return sorted(sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1)


def test_no_files_import_each_other_in_a_circle() -> None:
    trees = {module_of(path): ast.parse(path.read_text()) for path in source_files(*PACKAGES)}
    assert len(trees) > 200
    assert import_circles(trees) == []


def test_circles_are_found_in_functions_and_under_type_checking() -> None:
    texts = {
        "a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B\n",
        "p.b": "def run():\n    import c\n",
        "c": "from a import A\n",
        "d": "import a\n",
    }
    assert import_circles({name: ast.parse(text) for name, text in texts.items()}) == [["a", "c", "p.b"]]


def test_no_module_is_left_flat_in_the_engine() -> None:
    assert {path.stem for path in (ROOT / "engine").glob("*.py")} == FLAT


@pytest.mark.parametrize(
    "package", sorted(path.parent for path in source_files("engine") if path.name == "__init__.py")
)
def test_each_package_says_what_it_is_for(package: Path) -> None:
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    assert said, f"{package.relative_to(ROOT)}/__init__.py has no docstring"


def test_a_long_file_says_why_it_is_one() -> None:
    long = set()
    for path in source_files(*PACKAGES, "tests"):
        text = path.read_text()
        said = " ".join((ast.get_docstring(ast.parse(text)) or "").lower().split())
        if text.count("\n") > MOST_LINES and "one file" not in said:
            long.add(str(path.relative_to(ROOT)))
    assert not long
