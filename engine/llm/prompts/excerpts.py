"""Parts of programs for prompts: functions with what they need, and outlines of the rest."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from engine.llm.prompts import passages
from engine.programs.languages.base import Language
from engine.programs.trees import parsed

__all__ = ["outlined", "shortened", "signature", "source_of", "untuned"]


def shortened(code: str, wanted: Collection[str], language: Language) -> str:
    """Return the functions of a recipe that are wanted, with the imports, constants and helpers that they need.

    Docstrings and comments that say how a value is tuned are left out. The whole code is returned if it is not valid
    Python or defines nothing that is wanted.
    """
    if not language.is_python:
        return untuned(passages.shortened(code, wanted, language), language)
    try:
        body = parsed(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    names = [_bound(item) for item in body]
    needed = {name for bound in names for name in bound if name in wanted}
    if not needed:
        return code
    while True:
        more = {
            node.id
            for item, bound in zip(body, names, strict=True)
            if bound & needed
            for node in ast.walk(item)
            if isinstance(node, ast.Name)
        }
        if more <= needed:
            break
        needed |= more
    lines = code.splitlines()
    kept = [_without_docstring(item, lines) for item, bound in zip(body, names, strict=True) if bound & needed]
    return untuned("\n".join(kept), language) + "\n"


def untuned(code: str, language: Language) -> str:
    """Return a program without the comments that say how values are tuned."""
    sign = re.escape(language.comment)
    return re.sub(rf"[ \t]*{sign}[ \t]*tune:[^\n]*", "", code) if sign else code


def source_of(code: str, name: str, language: Language) -> str:
    """Return a top-level function or class of a program as it is written; empty if there is none of this name."""
    if not language.is_python:
        return passages.source_of(code, name, language)
    try:
        body = parsed(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    lines = code.splitlines()
    found = [item for item in body if isinstance(item, _DEFINITIONS) and item.name == name]
    return "\n".join(lines[_first(found[-1]) - 1 : found[-1].end_lineno]) if found else ""


def signature(code: str, name: str, language: Language) -> str:
    """Return the line or lines that open a top-level function or class; empty if there is none of this name."""
    if not language.is_python:
        return passages.signature(code, name, language)
    source = source_of(code, name, language)
    if not source:
        return ""
    item = ast.parse(source).body[0]
    assert isinstance(item, _DEFINITIONS)
    first = min(_first(part) if isinstance(part, _DEFINITIONS) else part.lineno for part in item.body)
    lines = source.splitlines()
    head = lines[item.lineno - 1 : first - 1] if first > item.lineno else [lines[0].partition(":")[0] + ":"]
    return "\n".join(line for line in head if line.strip())


def outlined(code: str, whole: Collection[str], language: Language) -> str:
    """Return a program in which only some functions are whole; of the others their first lines are shown.

    Imports and constants stay. The code is returned unchanged if it is not valid Python.
    """
    if not language.is_python:
        return passages.outlined(code, whole, language)
    try:
        body = parsed(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    lines = code.splitlines()
    out: list[str] = []
    for item in body:
        if isinstance(item, _DEFINITIONS) and item.name not in whole:
            out += ["", signature(code, item.name, language), "    ..."]
        elif isinstance(item, _DEFINITIONS):
            out += ["", "", *lines[_first(item) - 1 : item.end_lineno], ""]
        else:
            out += lines[item.lineno - 1 : item.end_lineno]
    return re.sub(r"\n{3,}", "\n\n\n", "\n".join(out)).strip() + "\n"


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _first(item: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([item.lineno, *(decorator.lineno for decorator in item.decorator_list)])


def _bound(item: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds."""
    if isinstance(item, _DEFINITIONS):
        return {item.name}
    if isinstance(item, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in item.names}
    return {node.id for node in ast.walk(item) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _without_docstring(item: ast.stmt, lines: list[str]) -> str:
    """Return the source of a statement; of a function without its docstring, with blank lines before it."""
    if not isinstance(item, _DEFINITIONS):
        return "\n".join(lines[item.lineno - 1 : item.end_lineno])
    rows = range(_first(item), (item.end_lineno or item.lineno) + 1)
    left_out = range(0)
    if ast.get_docstring(item, clean=False) is not None and len(item.body) > 1:
        said = item.body[0]
        left_out = range(said.lineno, (said.end_lineno or said.lineno) + 1)
    return "\n\n" + "\n".join(lines[row - 1] for row in rows if row not in left_out)
