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
from engine.programs.trees import Remembered, lines_of, nodes_of, parsed

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
    lines = lines_of(code)
    try:
        body = parsed(code).body
        parts = [_PARTS.of(item, lines) for item in body]
        if any(part.looks_up_names for part in parts):
            return shape.digest
        return _Program(body, parts, required).digest()
    except RecursionError:
        return shape.digest


class _Part:
    """What a statement of the top level says by itself, whatever program it stands in."""

    def __init__(self, item: ast.stmt) -> None:
        nodes = nodes_of(item)
        self.bound = _binds(item)
        self.strings, self.keywords, self.in_classes = _fixed(nodes)
        self.reads = _names_in(nodes)
        self.looks_up_names = _looks_up_names(nodes)
        self.is_idle = _is_idle(item)
        self.is_docstring = _is_docstring(item)
        self.keeps_names = isinstance(item, ast.ClassDef | ast.Import | ast.ImportFrom)
        self.function = item.name if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        self.own = _own_names(item)
        self.text: list[str] | None = None
        """Its serialised tree, with names that may be others as `_Name`; None if these depend on classes in it."""
        if not any(isinstance(node, ast.ClassDef) for node in nodes):
            self.text = _joined(_RECORDER.write(item))


class _Name(str):
    """A name that may be another one."""

    __slots__ = ()


def _joined(out: list[str]) -> list[str]:
    """Join what stands between names that may be others."""
    found: list[str] = []
    plain: list[str] = []
    for word in out:
        if word.__class__ is _Name:
            if plain:
                found.append(" ".join(plain))
                plain = []
            found.append(word)
        else:
            plain.append(word)
    return [*found, " ".join(plain)] if plain else found


class _Program:
    def __init__(self, body: list[ast.stmt], parts: list[_Part], required: Collection[str]) -> None:
        self._strings, self._keywords, fixed = (
            set().union(*sets)
            for sets in (
                [part.strings for part in parts],
                [part.keywords for part in parts],
                [part.in_classes for part in parts],
            )
        )
        top = {name for part in parts for name in part.bound}
        kept = {*required, *self._strings, *self._keywords, *fixed, *_BUILTINS}
        for part in parts:
            if part.keeps_names:
                kept |= part.bound
        self._free = {name for name in top if name not in kept and not _is_dunder(name)} if required else set()
        """Names of the top level that may be called otherwise."""
        self._not_local = top | _BUILTINS | self._keywords | self._strings
        used = self._used(parts, required) if required else [True] * len(parts)
        self._parts = [both for both, is_used in zip(zip(body, parts, strict=True), used, strict=True) if is_used]
        self._names: dict[str, str] = {}

    def _used(self, parts: list[_Part], required: Collection[str]) -> list[bool]:
        """Tell which parts count: no definitions, imports and constants that nothing needs."""
        idle = [part.is_idle and not part.bound & {*required, *self._strings} for part in parts]
        needed = {name for part, is_idle in zip(parts, idle, strict=True) if not is_idle for name in part.reads}
        while True:
            more = {name for part in parts if part.bound & needed for name in part.reads}
            if more <= needed:
                break
            needed |= more
        return [
            bool(not is_idle or part.bound & needed or not part.bound)
            for part, is_idle in zip(parts, idle, strict=True)
        ]

    def digest(self) -> str:
        whole = hashlib.sha256()
        first = 1 if self._parts and self._parts[0][1].is_docstring else 0
        for item, part in self._parts[first:]:
            locals_ = self._locals(part.function, part.own)
            local: dict[str, str] = {}
            if part.text is not None:
                named = self._name
                out = [named(word, local, locals_) if word.__class__ is _Name else word for word in part.text]
            else:
                out = []
                self._write(item, out, local, locals_)
            whole.update(" ".join(out).encode("utf-8", "surrogatepass") + b"\n")
        return whole.hexdigest()

    def _locals(self, function: str, own: tuple[set[str], set[str]]) -> set[str]:
        """Return the names that a statement of the top level, or a method, binds within functions for itself alone.

        Args:
            function: the name of the function that it is.
            own: as of `_own_names`.
        """
        bound, arguments = own
        if function not in self._free:
            # The evaluator may pass arguments by name.
            bound = bound - arguments
        return bound - self._not_local

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
            if isinstance(stmt, ast.FunctionDef | ast.AsyncFunctionDef) and not locals_:
                self._write(stmt, out, {}, self._locals(stmt.name, _own_names(stmt)))
            else:
                self._write(stmt, out, local, locals_)
        out.append("]")


class _Recorder(_Program):
    """Serialise a statement without classes, whatever names may be others in its program."""

    def __init__(self) -> None:
        super().__init__([], [], ())

    def write(self, item: ast.stmt) -> list[str]:
        out: list[str] = []
        self._write(item, out, {}, set())
        return out

    def _name(self, name: str, local: dict[str, str], locals_: set[str]) -> str:
        return _Name(name)


_RECORDER = _Recorder()
_PARTS = Remembered(_Part, 512)

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


def _fixed(nodes: list[ast.AST]) -> tuple[set[str], set[str], set[str]]:
    """Return strings that are names, names that are passed as keywords, and names bound in a class."""
    strings: set[str] = set()
    keywords: set[str] = set()
    classes: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            strings.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg:
            keywords.add(node.arg)
        elif isinstance(node, ast.ClassDef):
            classes |= {name for part in node.body for name in _binds(part)}
    return strings, keywords, classes


def _own_names(item: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement binds within functions, and the parameters of the function that it is."""
    if isinstance(item, ast.ClassDef):
        # Its methods have their own.
        return set(), set()
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
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
        return bound - kept, {arg.arg for arg in _arguments(item.args)}
    return bound - kept, set()


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


def _looks_up_names(nodes: list[ast.AST]) -> bool:
    """Tell whether a program can see how its parts are called, or where names come from is not to be seen."""
    for node in nodes:
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
