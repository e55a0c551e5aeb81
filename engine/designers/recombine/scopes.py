"""Find the module-level names that a statement reads and binds, where it does, and which it needs when it is executed.

Python's rules of scope are applied to the syntax tree of one top-level statement. Unlike `symtable`, this says the
place of each name, so that one can be renamed, and whether the name is needed as soon as the statement runs (a
decorator, a default, a class body) or only when a function that it defines is called.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Names", "Place", "names_of", "postponed"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Place:
    """One occurrence of a module-level name."""

    name: str
    node: ast.AST
    """The node that holds the name: a `Name`, a definition, a `global` statement, or one that cannot be renamed."""


@dataclass
class Names:
    """The module-level names of one statement."""

    reads: set[str] = field(default_factory=set)
    """Names that it reads at any time, builtins too."""
    binds: dict[str, None] = field(default_factory=dict)
    """Names that it defines when it is executed, in order."""
    writes: set[str] = field(default_factory=set)
    """Names that a function in it binds by `global`."""
    needs: set[str] = field(default_factory=set)
    """Names that it reads when it is executed."""
    uses: set[str] = field(default_factory=set)
    """Those of `needs` whose value may be called or looked into, not only passed on."""
    local: set[str] = field(default_factory=set)
    """Names that are bound in an inner scope."""
    unclear: set[str] = field(default_factory=set)
    """Names that a class body reads, but it depends on the run whether from the module or from the body."""
    changed: set[str] = field(default_factory=set)
    """Names that are the root of an attribute or element that it assigns or deletes."""
    places: list[Place] = field(default_factory=list)
    """Where they occur."""


class _Scope:
    """Names bound in a module, function, class or comprehension."""

    def __init__(self, kind: str, parent: _Scope | None = None) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        # Of a class body, as far as it has been read: names that are bound for certain, and that may be.
        self.surely: set[str] = set()
        self.perhaps: set[str] = set()

    def owner(self, name: str) -> _Scope | None:
        """Return the scope that a name belongs to; None for the module."""
        scope: _Scope | None = self
        while scope is not None and scope.kind != "module":
            if name in scope.globals:
                return None
            if name in scope.bound and (scope is self or scope.kind != "class") and name not in scope.nonlocals:
                return scope
            scope = scope.parent
        return None


def postponed(tree: ast.Module) -> bool:
    """Tell whether a module's annotations are kept as text instead of being evaluated."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(a.name == "annotations" for a in node.names)
        for node in tree.body
    )


def names_of(group: Iterable[ast.stmt], *, lazy_annotations: bool) -> Names:
    """Return the module-level names of one top-level statement, or of several that share a line.

    Args:
        group: the statements.
        lazy_annotations: whether the module's annotations are not evaluated.

    Raises:
        RecursionError: it is nested too deeply.
    """
    finder = _Finder(lazy_annotations)
    for node in group:
        finder.visit(node)
    return finder.names


def _bound(nodes: Iterable[ast.AST], scope: _Scope) -> None:
    """Add the names that nodes bind in a scope, inner scopes left out."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                scope.bound.add(node.id)
        elif isinstance(node, _Function):
            scope.bound.add(node.name)
            pending += [*node.decorator_list, *_defaults(node.args), *_annotations(node)]
        elif isinstance(node, ast.ClassDef):
            scope.bound.add(node.name)
            pending += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, ast.Lambda):
            pending += _defaults(node.args)
        elif isinstance(node, _Comprehension):
            # A walrus binds in the scope around the comprehension.
            pending += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
            pending.append(node.generators[0].iter)
        elif isinstance(node, ast.Global):
            scope.globals.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.nonlocals.update(node.names)
        else:
            scope.bound.update(_named(node))
            pending += ast.iter_child_nodes(node)
    scope.bound -= scope.globals


def _named(node: ast.AST) -> list[str]:
    """Return names that a node binds by itself, as text."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return []
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*"]
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    return [node.rest] if isinstance(node, ast.MatchMapping) and node.rest else []


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in every if argument is not None]


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _annotations(node: _Function) -> list[ast.expr]:
    found = [argument.annotation for argument in _arguments(node.args)]
    return [annotation for annotation in [*found, node.returns] if annotation is not None]


class _Finder(ast.NodeVisitor):
    def __init__(self, lazy_annotations: bool) -> None:
        self.names = Names()
        self._lazy_annotations = lazy_annotations
        self._scope = _Scope("module")
        self._now = True
        self._passed = False
        self._branch = 0
        self._class = ""
        self._calls_own = False
        """Whether a class body uses something of its own when it is executed."""

    # Contexts

    @contextmanager
    def _inside(self, scope: _Scope, *, now: bool) -> Iterator[None]:
        before = self._scope, self._now, self._passed, self._branch
        self._scope, self._now, self._passed, self._branch = scope, self._now and now, False, 0
        yield
        self._scope, self._now, self._passed, self._branch = before

    def _each(self, nodes: Iterable[ast.AST | None], *, passed: bool = False, now: bool = True) -> None:
        """Visit nodes; `passed` if the value is only passed on, so that a name there is not called."""
        before = self._passed, self._now
        self._passed, self._now = passed, self._now and now
        for node in nodes:
            if node is not None:
                self.visit(node)
        self._passed, self._now = before

    def generic_visit(self, node: ast.AST) -> None:
        self._each(ast.iter_child_nodes(node))
        for name in _named(node):
            self._bind(name, node)

    # Names

    def _read(self, raw: str, node: ast.AST) -> None:
        name, owner = self._resolved(raw)
        if name == "__class__" and self._class:
            return
        if owner is not None:
            if owner is not self._scope or owner.kind != "class" or name in owner.surely:
                if owner.kind == "class" and self._now and not self._passed:
                    # What the class body calls of its own may read anything that the class reads.
                    self._calls_own = True
                return
            if name in owner.perhaps:
                self.names.unclear.add(name)
            name = self._mangled(name)
        self.names.reads.add(name)
        self.names.places.append(Place(name, node))
        if self._now:
            self.names.needs.add(name)
            if not self._passed:
                self.names.uses.add(name)

    def _bind(self, raw: str, node: ast.AST) -> None:
        name, owner = self._resolved(raw)
        if owner is not None:
            owner.perhaps.add(name)
            if not self._branch:
                owner.surely.add(name)
            self.names.local.add(name)
            return
        self.names.places.append(Place(name, node))
        if self._scope.kind in ("module", "class") or self._now:
            self.names.binds[name] = None
        else:
            self.names.writes.add(name)
            self.names.reads.add(name)

    def _resolved(self, raw: str) -> tuple[str, _Scope | None]:
        """Return a name and the scope that it belongs to; None for the module, whose names have their full form."""
        owner = self._scope.owner(raw)
        return (raw if owner is not None else self._mangled(raw)), owner

    def _mangled(self, name: str) -> str:
        if self._class and name.startswith("__") and not name.endswith("__"):
            return f"_{self._class}{name}"
        return name

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id, node)
        else:
            self._bind(node.id, node)
            if isinstance(node.ctx, ast.Del) and self._scope.kind == "class":
                self._scope.surely.discard(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self.names.places.append(Place(self._mangled(name), node))

    def _visit_part(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            root: ast.AST = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name) and self._scope.owner(root.id) is None:
                self.names.changed.add(self._mangled(root.id))
        self.generic_visit(node)

    visit_Attribute = _visit_part
    visit_Subscript = _visit_part

    # Values that are only passed on

    def _visit_display(self, node: ast.AST) -> None:
        self._each(ast.iter_child_nodes(node), passed=self._passed)

    visit_Tuple = visit_List = visit_Set = visit_Dict = visit_Starred = _visit_display

    def visit_Assign(self, node: ast.Assign) -> None:
        self._each([node.value], passed=True)
        self._each(node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._each([node.value], passed=True)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self._each([node.target])
        if self._scope.kind in ("module", "class"):
            self._each([node.annotation], passed=True, now=not self._lazy_annotations)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id, node.target)
        self._each([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._each([node.value], passed=self._passed)
        scope = self._scope
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        with self._inside(scope, now=True):
            self.visit(node.target)

    # Order and branches

    def _visit_loop(self, node: ast.For | ast.AsyncFor) -> None:
        self._each([node.iter])
        # What an earlier turn bound is known at the next.
        self._before_branch([node.target, *node.body, *node.orelse])

    visit_For = visit_AsyncFor = _visit_loop

    def visit_While(self, node: ast.While) -> None:
        self._before_branch([node.test, *node.body, *node.orelse])

    def _before_branch(self, nodes: list[ast.AST]) -> None:
        if self._scope.kind == "class":
            turn = _Scope("class")
            _bound(nodes, turn)
            self._scope.perhaps |= turn.bound - self._scope.surely
        self._branched(nodes)

    def _branched(self, nodes: Iterable[ast.AST]) -> None:
        self._branch += 1
        self._each(nodes)
        self._branch -= 1

    def visit_If(self, node: ast.If) -> None:
        self._each([node.test])
        self._branched([*node.body, *node.orelse])

    def _visit_try(self, node: ast.Try | ast.TryStar) -> None:
        self._branched([*node.body, *node.handlers, *node.orelse])
        self._each(node.finalbody)

    visit_Try = visit_TryStar = _visit_try

    def visit_Match(self, node: ast.Match) -> None:
        self._each([node.subject])
        self._branched(node.cases)

    # Scopes

    def _visit_function(self, node: _Function) -> None:
        self._each(node.decorator_list)
        self._each(_defaults(node.args), passed=True)
        self._each(_annotations(node), passed=True, now=not self._lazy_annotations)
        self._bind(node.name, node)
        if self._now and node.decorator_list:
            # A decorator may call what it decorates.
            with self._whole():
                self._body(node.args, node.body)
        else:
            self._body(node.args, node.body)

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._each(_defaults(node.args), passed=True)
        if self._passed:
            self._body(node.args, [node.body])
        else:
            with self._whole():
                self._body(node.args, [node.body])

    def _body(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        body = list(body)
        scope = _Scope("function", self._scope)
        scope.bound.update(argument.arg for argument in _arguments(arguments))
        _bound(body, scope)
        self.names.local |= scope.bound
        with self._inside(scope, now=False):
            self._each(body)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Count everything that is read as used, because a function may be called at its definition."""
        outer, now = self.names.reads, self._now
        self.names.reads = set()
        yield
        if now:
            self.names.uses |= self.names.reads
        self.names.reads |= outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._each([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        scope = _Scope("class", self._scope)
        _bound(node.body, scope)
        self.names.local |= scope.bound
        outer, calls, owner = self.names.reads, self._calls_own, self._class
        self.names.reads, self._calls_own, self._class = set(), False, node.name.lstrip("_")
        with self._inside(scope, now=True):
            self._each(node.body)
        if self._now and (self._calls_own or node.decorator_list or node.bases or node.keywords):
            # A decorator, a base or the body itself may call what the class defines.
            self.names.uses |= self.names.reads
        self.names.reads |= outer
        self._calls_own, self._class = calls, owner
        self._bind(node.name, node)

    def _visit_comprehension(self, node: _Comprehension) -> None:
        self._each([node.generators[0].iter])
        scope = _Scope("comprehension", self._scope)
        _bound([generator.target for generator in node.generators], scope)
        self.names.local |= scope.bound
        with self._inside(scope, now=True):
            for index, generator in enumerate(node.generators):
                self._each([generator.target, *generator.ifs] if index == 0 else ast.iter_child_nodes(generator))
            self._each([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension
