"""Tell programs that compute the same under other names: a digest in which names and unused helpers do not count.

These names do not count: local variables, parameters that are never passed by name, and functions and constants of the
top level that the task does not require. In doubt a name counts: one in a class, in a string, or that a program may
look up while it runs.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Collection, Iterator

from engine.programs.outline import outline
from engine.programs.trees import nodes_of, parsed

__all__ = ["canonical_digest"]

_BUILTINS = frozenset(dir(builtins))
_SEES_NAMES = frozenset({"globals", "locals", "vars", "eval", "exec", "compile", "dir", "__import__"})
"""Functions with which a program can see its own names."""
_HOLDS_NAMES = frozenset({
    "__dict__", "__globals__", "__code__", "__name__", "__qualname__", "__annotations__", "__kwdefaults__", "f_locals",
    "f_globals", "modules",
})  # fmt: skip
"""Attributes that tell them."""
_READS_NAMES = frozenset({"inspect", "importlib", "runpy", "ast", "dis", "traceback", "pickle"})
"""Modules that look them up."""


def canonical_digest(code: str, required: Collection[str]) -> str:
    """Return a digest that is equal for programs that differ in names and in helpers that nothing uses.

    Args:
        code: the program.
        required: names that the task requires. If there are none, any name of the top level may be one that the
            evaluator looks for, so that local names alone do not count.

    Raises:
        ProgramError: it is not valid Python.
    """
    shape = outline(code)
    body = parsed(code).body
    try:
        nodes = [nodes_of(item) for item in body]
        return shape.digest if _looks_up_names(nodes) else _Program(body, nodes, required).digest()
    except RecursionError:
        return shape.digest


class _Program:
    def __init__(self, body: list[ast.stmt], nodes: list[list[ast.AST]], required: Collection[str]) -> None:
        self._bound = [_binds(item) for item in body]
        every = [name for bound in self._bound for name in bound]
        self._strings, self._keywords, fixed = _fixed(nodes)
        top = set(every)
        kept = {*required, *self._strings, *self._keywords, *fixed, *_BUILTINS}
        for item, bound in zip(body, self._bound, strict=True):
            if isinstance(item, ast.ClassDef | ast.Import | ast.ImportFrom):
                kept |= bound
        self._free = {name for name in top if name not in kept and not _is_dunder(name)} if required else set()
        """Names of the top level that may be called otherwise."""
        self._top = top
        self._body = self._used(body, nodes, required) if required else body
        self._names: dict[str, str] = {}

    def _used(self, body: list[ast.stmt], nodes: list[list[ast.AST]], required: Collection[str]) -> list[ast.stmt]:
        """Leave out definitions, imports and constants that nothing needs."""
        reads = [_names_in(each) for each in nodes]
        idle = [
            _is_idle(item) and not bound & {*required, *self._strings}
            for item, bound in zip(body, self._bound, strict=True)
        ]
        needed = {name for read, is_idle in zip(reads, idle, strict=True) if not is_idle for name in read}
        while True:
            more = {name for read, bound in zip(reads, self._bound, strict=True) if bound & needed for name in read}
            if more <= needed:
                break
            needed |= more
        return [
            item
            for item, bound, is_idle in zip(body, self._bound, idle, strict=True)
            if not is_idle or bound & needed or not bound
        ]

    def digest(self) -> str:
        whole = hashlib.sha256()
        first = 1 if self._body and _is_docstring(self._body[0]) else 0
        for item in self._body[first:]:
            out: list[str] = []
            self._write(item, out, {}, self._locals(item))
            whole.update(" ".join(out).encode("utf-8", "surrogatepass") + b"\n")
        return whole.hexdigest()

    def _locals(self, item: ast.stmt) -> set[str]:
        """Return the names that a statement of the top level, or a method, binds within functions for itself alone."""
        if isinstance(item, ast.ClassDef):
            # Its methods have their own.
            return set()
        bound: set[str] = set()
        kept: set[str] = set()
        for node in nodes_of(item):
            if node.__class__ is ast.Name:
                if not isinstance(node.ctx, ast.Load):
                    bound.add(node.id)
                continue
            if not isinstance(node, _BINDING):
                continue
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if node is not item:
                    bound.add(node.name)
                case ast.arg():
                    bound.add(node.arg)
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    bound.add(name)
                case ast.MatchMapping(rest=str(name)):
                    bound.add(name)
                case ast.Import() | ast.ImportFrom():
                    kept |= _binds(node)
                case ast.Global():
                    kept |= set(node.names)
                case ast.ClassDef():
                    # What stands in a class is found as an attribute.
                    kept.add(node.name)
                    kept |= {name for part in node.body for name in _binds(part)}
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name not in self._free:
            # The evaluator may pass arguments by name.
            kept |= {arg.arg for arg in _arguments(item.args)}
        return bound - kept - self._top - _BUILTINS - self._keywords - self._strings

    def _name(self, name: str, local: dict[str, str], locals_: set[str]) -> str:
        if name in locals_:
            return local.setdefault(name, f"local {len(local)}")
        if name in self._free:
            return self._names.setdefault(name, f"top {len(self._names)}")
        return f"{name!r}"

    def _write(self, item: ast.AST, out: list[str], local: dict[str, str], locals_: set[str]) -> None:
        """Serialise a syntax tree as `outline` does, with numbers in the place of names that may be others."""
        kind = item.__class__
        out.append(kind.__name__)
        if isinstance(item, ast.ClassDef):
            self._write_class(item, out, local, locals_)
            return
        named = _NAMED.get(kind, ())
        for field in kind._fields:
            value = getattr(item, field, None)
            if isinstance(value, ast.expr_context):
                continue
            if isinstance(value, str) and field in named:
                out.append(self._name(value, local, locals_))
            elif isinstance(value, ast.AST):
                self._write(value, out, local, locals_)
            elif isinstance(value, list):
                out.append("[")
                skipped = (
                    1 if field == "body" and isinstance(item, _DOCUMENTED) and value and _is_docstring(value[0]) else 0
                )
                for part in value[skipped:]:
                    if isinstance(part, ast.AST):
                        self._write(part, out, local, locals_)
                    elif isinstance(part, str) and field in named:
                        out.append(self._name(part, local, locals_))
                    else:
                        out.append(repr(part))
                out.append("]")
            else:
                out.append(repr(value))

    def _write_class(self, item: ast.ClassDef, out: list[str], local: dict[str, str], locals_: set[str]) -> None:
        out.append(repr(item.name))
        for parts in (item.decorator_list, item.bases, item.keywords, getattr(item, "type_params", [])):
            out.append("[")
            for part in parts:
                self._write(part, out, local, locals_)
            out.append("]")
        for stmt in item.body[1 if _is_docstring(item.body[0]) else 0 :]:
            method = isinstance(stmt, ast.FunctionDef | ast.AsyncFunctionDef) and not locals_
            self._write(stmt, out, *(({}, self._locals(stmt)) if method else (local, locals_)))
        out.append("]")


_BINDING = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.arg, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping,
    ast.Import, ast.ImportFrom, ast.Global, ast.ClassDef,
)  # fmt: skip
"""Nodes that bind names or say where a name belongs, beside names themselves."""

_NAMED: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.arg: ("arg",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
    ast.MatchMapping: ("rest",),
}
"""Where names stand in the syntax tree."""
_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _fixed(nodes: list[list[ast.AST]]) -> tuple[set[str], set[str], set[str]]:
    """Return strings that are names, names that are passed as keywords, and names bound in a class."""
    strings: set[str] = set()
    keywords: set[str] = set()
    classes: set[str] = set()
    for each in nodes:
        for node in each:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                strings.add(node.value)
            elif isinstance(node, ast.keyword) and node.arg:
                keywords.add(node.arg)
            elif isinstance(node, ast.ClassDef):
                classes |= {name for part in node.body for name in _binds(part)}
    return strings, keywords, classes


def _binds(item: ast.stmt) -> set[str]:
    """Return the names that a statement binds where it stands."""
    if isinstance(item, _DOCUMENTED):
        return {item.name}
    if isinstance(item, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in item.names}
    return set(_stored(item))


def _stored(item: ast.AST) -> Iterator[str]:
    if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
        yield item.id
    elif isinstance(item, _DOCUMENTED):
        yield item.name
    elif isinstance(item, ast.Import | ast.ImportFrom):
        yield from _binds(item)
    elif not isinstance(item, ast.Lambda):
        for child in ast.iter_child_nodes(item):
            yield from _stored(child)


def _names_in(nodes: list[ast.AST]) -> set[str]:
    """Return the names that a statement reads or binds, in functions too."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Global):
            names.update(node.names)
    return names


def _looks_up_names(nodes: list[list[ast.AST]]) -> bool:
    """Tell whether a program can see how its parts are called, or where names come from is not to be seen."""
    for each in nodes:
        for node in each:
            if isinstance(node, ast.Name):
                found = node.id in _SEES_NAMES
            elif isinstance(node, ast.Attribute):
                found = node.attr in _HOLDS_NAMES
            elif isinstance(node, ast.Import):
                found = any(alias.name.partition(".")[0] in _READS_NAMES for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found = (node.module or "").partition(".")[0] in _READS_NAMES or node.names[0].name == "*"
            else:
                continue
            if found:
                return True
    return False


def _is_idle(item: ast.stmt) -> bool:
    """Tell whether a statement of the top level does nothing but bind names."""
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
        plain = [*item.decorator_list, *item.args.defaults, *filter(None, item.args.kw_defaults)]
        return all(isinstance(part, ast.Constant) for part in plain)
    if isinstance(item, ast.Import | ast.ImportFrom):
        return not any(alias.name == "*" for alias in item.names)
    if isinstance(item, ast.Assign) and all(isinstance(target, ast.Name) for target in item.targets):
        return _is_plain(item.value)
    return False


def _is_plain(value: ast.expr) -> bool:
    """Tell whether an expression is made of constants alone."""
    plain = (ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.USub, ast.UAdd, ast.Load)
    return all(isinstance(node, plain) for node in nodes_of(value))


def _arguments(args: ast.arguments) -> Iterator[ast.arg]:
    yield from (*args.posonlyargs, *args.args, *args.kwonlyargs)
    yield from filter(None, (args.vararg, args.kwarg))


def _is_docstring(item: ast.stmt) -> bool:
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)


def _is_dunder(name: str) -> bool:
    return name.startswith("__")
