"""Apply parts of a program: functions, classes and constants that replace those of the same name."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from engine.llm.blocks import AnswerError
from engine.programs.languages.base import Language
from engine.programs.languages.passage import Passage
from engine.programs.languages.registry import PYTHON
from engine.programs.outline import ProgramError
from engine.programs.trees import parsed

__all__ = ["EDITS", "is_part", "put_parts"]

EDITS = "write SEARCH/REPLACE blocks, or whole functions of the program under their names"
"""What an answer that edits a program may hold."""
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_part(code: str, program: str, language: Language = PYTHON) -> bool:
    """Return whether code uses top-level names of a program that it does not define, so that it is only a part."""
    try:
        shape, whole = language.outline(code), language.outline(program)
    except ProgramError:
        return False
    return bool(shape.names & (set(whole.parts) - set(shape.parts)))


def put_parts(code: str, program: str, language: Language = PYTHON) -> str:
    """Replace functions, classes and constants of the program by those of the same name in the code.

    New definitions go before the first replaced one, new imports after the program's own.

    Raises:
        AnswerError: nothing of the program is replaced, or the code does more than define names.
    """
    try:
        language.outline(code), language.outline(program)
    except ProgramError as exc:
        raise AnswerError(f"the answer's code is not valid {language.title} ({exc.reason}); {EDITS}") from None
    if not language.is_python:
        return _put_passages(code, program, language)
    lines, new_lines = program.split("\n"), code.split("\n")
    places = {name: item for item in parsed(program).body for name in _names(item)}
    replaced: list[tuple[int, int, list[str]]] = []
    added: list[str] = []
    imports: list[str] = []
    for position, item in enumerate(parsed(code).body):
        text = new_lines[_first_line(item) : item.end_lineno]
        names = _names(item)
        if isinstance(item, ast.Import | ast.ImportFrom):
            imports += [line for line in text if line not in lines]
        elif len(names) == 1 and names[0] in places:
            old = places[names[0]]
            assert old.end_lineno is not None
            replaced.append((_first_line(old), old.end_lineno, text))
        elif names:
            added += [*text, "", ""] if isinstance(item, _Definition) else text
        elif not (position == 0 and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)):
            raise AnswerError(f"line {item.lineno} of the answer's code defines nothing; {EDITS}")
    if not replaced:
        known = ", ".join(name for name, item in places.items() if isinstance(item, _Definition))
        raise AnswerError(f"nothing in the answer's code has the name of a part of the program ({known}); {EDITS}")
    if len({start for start, _, _ in replaced}) < len(replaced):
        raise AnswerError(f"the answer's code defines a name twice; {EDITS}")
    first = min(start for start, _, _ in replaced)
    for start, end, text in sorted(replaced, reverse=True):
        lines[start:end] = [*added, *text] if start == first else text
    if imports:
        at = _behind_imports(program)
        lines[at:at] = imports
    return "\n".join(lines)


def _names(item: ast.stmt) -> list[str]:
    """Return the top-level names that a statement defines."""
    if isinstance(item, _Definition):
        return [item.name]
    if isinstance(item, ast.AnnAssign):
        return [item.target.id] if isinstance(item.target, ast.Name) else []
    if isinstance(item, ast.Assign):
        return [target.id for target in item.targets if isinstance(target, ast.Name)]
    return []


def _first_line(item: ast.stmt) -> int:
    """Return the first line of a statement, its decorators included, from 0."""
    decorators = item.decorator_list if isinstance(item, _Definition) else []
    return min([item.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def _behind_imports(program: str) -> int:
    """Return the line after the imports at the program's head, else after its docstring, from 0."""
    behind = 0
    for item in parsed(program).body:
        docstring = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and behind == 0
        if not docstring and not isinstance(item, ast.Import | ast.ImportFrom):
            break
        behind = item.end_lineno or behind
    return behind


def _put_passages(code: str, program: str, language: Language) -> str:
    """Replace definitions as `put_parts` does, in a program of another language than Python."""
    lines, new_lines = program.split("\n"), code.split("\n")
    old = language.passages(program)
    places = {(item.kind, name): item for item in old for name in item.names}
    replaced: list[tuple[Passage, list[str]]] = []
    added: list[str] = []
    imports: list[str] = []
    for item in language.passages(code):
        text = new_lines[item.start : item.end]
        known = [places[item.kind, name] for name in item.names if (item.kind, name) in places]
        if item.kind == "import":
            imports += [line for line in text if line not in lines]
        elif known:
            replaced.append((known[0], text))
        elif item.names:
            added += [*text, ""]
        elif not _holds(lines, text):
            raise AnswerError(f"line {item.start + 1} of the answer's code defines nothing; {EDITS}")
    if not replaced:
        names = ", ".join(name for kind, name in places if kind in ("function", "type"))
        raise AnswerError(f"nothing in the answer's code has the name of a part of the program ({names}); {EDITS}")
    if len({item.start for item, _ in replaced}) < len(replaced):
        raise AnswerError(f"the answer's code defines a name twice; {EDITS}")
    first = min(item.start for item, _ in replaced)
    for item, text in sorted(replaced, key=lambda pair: pair[0].start, reverse=True):
        lines[item.start : item.end] = [*added, *text] if item.start == first else text
    at = max((item.end for item in old if item.kind == "import" and item.end <= first), default=0)
    lines[at:at] = imports
    return "\n".join(lines)


def _holds(lines: Sequence[str], text: Sequence[str]) -> bool:
    """Tell whether a program has these lines, one after another."""
    return any(list(lines[at : at + len(text)]) == list(text) for at in range(len(lines)))
