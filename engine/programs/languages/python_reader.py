"""Read Python programs."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from engine.programs.canon import canonical_digest
from engine.programs.languages.passage import Passage
from engine.programs.outline import Outline, outline, unbound_names
from engine.programs.trees import parsed

__all__ = ["PythonReader"]

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class PythonReader:
    """Read programs by Python's own parser."""

    def outline(self, code: str) -> Outline:
        """Return a program's outline.

        Raises:
            ProgramError: it is not valid Python.
        """
        return outline(code)

    def canonical_digest(self, code: str, required: Sequence[str]) -> str:
        """Return a digest in which names and unused helpers do not count.

        Raises:
            ProgramError: it is not valid Python.
        """
        return canonical_digest(code, required)

    def unbound_names(self, code: str) -> list[str]:
        """Return names that a program reads but never binds.

        Raises:
            ProgramError: it is not valid Python.
        """
        return unbound_names(code)

    def passages(self, code: str) -> list[Passage]:
        """Return a program's top-level definitions in order.

        Raises:
            ProgramError: it is not valid Python.
        """
        outline(code)
        return [_passage(item) for item in parsed(code).body]


def _passage(item: ast.stmt) -> Passage:
    first = min([item.lineno, *(decorator.lineno for decorator in getattr(item, "decorator_list", []))]) - 1
    end = item.end_lineno or item.lineno
    if isinstance(item, _DEFINITIONS):
        kind = "type" if isinstance(item, ast.ClassDef) else "function"
        return Passage((item.name,), kind, first, end, item.body[0].lineno - 1)
    if isinstance(item, ast.Import | ast.ImportFrom):
        return Passage((), "import", first, end, end)
    names = tuple(node.id for node in ast.walk(item) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return Passage(names, "value" if isinstance(item, ast.Assign | ast.AnnAssign) else "other", first, end, end)
