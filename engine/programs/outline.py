"""Check a program without running it, and list the parts that changed between two programs."""

from __future__ import annotations

import ast
import builtins
import hashlib
import warnings
from dataclasses import dataclass

from engine.programs.errors import ProgramError
from engine.programs.trees import Remembered, lines_of, nodes_of, parsed

__all__ = [
    "BUILTIN_NAMES",
    "Outline",
    "ProgramError",
    "changed_parts",
    "outline",
    "remember_outline",
    "unbound_names",
    "uses_of",
]


@dataclass(frozen=True)
class Outline:
    """The parts and names of a program; comments, layout and docstrings do not count."""

    digest: str
    """sha256 of the normalised syntax tree; equal for programs that differ in layout only."""
    parts: dict[str, str]
    """Digest of every top-level function, class and assigned name; other statements are `<other>`."""
    functions: frozenset[str]
    classes: frozenset[str]
    imports: frozenset[str]
    """Full names of all imported modules."""
    names: frozenset[str]
    """All names and attributes that occur in it."""


_outlines: dict[str, Outline] = {}
"""Outlines by program, most recently used last."""
_OUTLINES_KEPT = 256


def outline(code: str) -> Outline:
    """Return a program's outline; recently used ones are cached.

    Raises:
        ProgramError: it is not valid Python, or nested too deeply to be read.
    """
    known = _outlines.pop(code, None)
    shape = _read_outline(code) if known is None else known
    remember_outline(code, shape)
    return shape


def remember_outline(code: str, shape: Outline) -> None:
    """Cache the outline of a program that another process of ours has read."""
    _outlines[code] = shape
    if len(_outlines) > _OUTLINES_KEPT:
        _outlines.pop(next(iter(_outlines)), None)


def _read_outline(code: str) -> Outline:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parsed(code)
            lines = lines_of(code)
            read = [_PARTS.of(item, lines) for item in tree.body[_is_docstring(tree.body) :]]
    except SyntaxError as exc:
        raise ProgramError("syntax", f"line {exc.lineno}: {exc.msg}") from None
    except (ValueError, RecursionError, MemoryError) as exc:
        raise ProgramError("syntax", f"it cannot be parsed: {exc or type(exc).__name__}") from None
    parts: dict[str, str] = {}
    whole = hashlib.sha256()
    names: set[str] = set()
    imports: set[str] = set()
    for name, text, its_names, its_imports in read:
        names |= its_names
        imports |= its_imports
        whole.update(text.encode("utf-8", "surrogatepass") + b"\n")
        parts[name] = hashlib.sha256((parts.get(name, "") + text).encode("utf-8", "surrogatepass")).hexdigest()
    return Outline(
        digest=whole.hexdigest(),
        parts=parts,
        functions=frozenset(x.name for x in tree.body if isinstance(x, ast.FunctionDef | ast.AsyncFunctionDef)),
        classes=frozenset(x.name for x in tree.body if isinstance(x, ast.ClassDef)),
        imports=frozenset(imports),
        names=frozenset(names),
    )


_Part = tuple[str, str, set[str], set[str]]
"""Name, normalised text, names and imports of a top-level statement."""


def _read_part(item: ast.stmt) -> _Part:
    """Analyse a top-level statement."""
    out: list[str] = []
    names: set[str] = set()
    imports: set[str] = set()
    _dump(item, out, names, imports)
    return _part_name(item), " ".join(out), names, imports


_PARTS = Remembered(_read_part, 2048)


def _part_name(item: ast.stmt) -> str:
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return item.name
    if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
        return item.targets[0].id
    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
        return item.target.id
    return "<imports>" if isinstance(item, ast.Import | ast.ImportFrom) else "<other>"


def _dump(item: ast.AST, out: list[str], names: set[str], imports: set[str]) -> None:
    """Serialise a syntax tree without positions and docstrings, and collect its names and imports.

    One pass written by hand, since `ast.dump` alone takes three times as long.
    """
    kind = item.__class__
    out.append(kind.__name__)
    if kind is ast.Name:
        names.add(item.id)  # type: ignore[attr-defined]
    elif kind is ast.Attribute:
        names.add(item.attr)  # type: ignore[attr-defined]
    elif isinstance(item, ast.MatchClass):
        # `case object(name=x)` also reads an attribute.
        names.update(item.kwd_attrs)
    elif isinstance(item, ast.Import):
        imports.update(alias.name for alias in item.names)
    elif isinstance(item, ast.ImportFrom):
        imports.add("." * item.level + (item.module or ""))
        names.update(alias.name for alias in item.names)
    for name in kind._fields:
        value = getattr(item, name, None)
        if isinstance(value, ast.expr_context):
            # Load, Store or Del follows from the expression's position.
            continue
        if isinstance(value, ast.AST):
            _dump(value, out, names, imports)
        elif isinstance(value, list):
            out.append("[")
            first = 1 if name == "body" and isinstance(item, _WITH_DOCSTRING) and _is_docstring(value) else 0
            for part in value[first:]:
                if isinstance(part, ast.AST):
                    _dump(part, out, names, imports)
                else:
                    out.append(repr(part))
            out.append("]")
        else:
            out.append(repr(value))


_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _is_docstring(body: list[ast.stmt]) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def changed_parts(before: str, after: str) -> list[str]:
    """Return names of the top-level parts that differ between two programs, in the order of `after`, removed last.

    Raises:
        ProgramError: one of them is not valid Python.
    """
    old, new = outline(before).parts, outline(after).parts
    changed = [name for name, digest in new.items() if old.get(name) != digest]
    return changed + [name for name in old if name not in new]


BUILTIN_NAMES = frozenset({*dir(builtins), "__file__", "__builtins__", "__class__"})
"""Names that every program may read."""
_BINDING = frozenset({
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.arg, ast.Import, ast.ImportFrom, ast.ExceptHandler,
    ast.MatchAs, ast.MatchStar, ast.MatchMapping,
})  # fmt: skip
"""Nodes that bind names, beside names themselves."""


def unbound_names(code: str) -> list[str]:
    """Return, sorted, the names that a program reads but never binds by assignment, import, parameter or builtin.

    In doubt a name counts as bound: a name bound anywhere is bound, and a star import may bind any.

    Raises:
        ProgramError: it is not valid Python.
    """
    outline(code)
    lines = lines_of(code)
    uses = [_USES.of(item, lines) for item in parsed(code).body]
    if any(use is None for use in uses):
        return []
    read = {name for use in uses if use is not None for name in use[0]}
    return sorted(read.difference(BUILTIN_NAMES, *(use[1] for use in uses if use is not None)))


def uses_of(part: ast.stmt) -> tuple[set[str], set[str]] | None:
    """Return the names that a statement reads and those that it binds, in functions too; None if it may bind any."""
    read: set[str] = set()
    bound: set[str] = set()
    for item in nodes_of(part):
        kind = item.__class__
        if kind is ast.Name:
            # Most nodes by far are names or cannot bind any.
            (read if isinstance(item.ctx, ast.Load) else bound).add(item.id)  # type: ignore[attr-defined]
            continue
        if kind not in _BINDING:
            continue
        match item:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.add(item.name)
            case ast.arg():
                bound.add(item.arg)
            case ast.Import() | ast.ImportFrom():
                if any(alias.name == "*" for alias in item.names):
                    return None
                bound |= {(alias.asname or alias.name).partition(".")[0] for alias in item.names}
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case ast.MatchMapping(rest=str(rest)):
                bound.add(rest)
    return read, bound


_USES = Remembered(uses_of, 512)
