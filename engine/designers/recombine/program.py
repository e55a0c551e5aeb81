"""Analyse a program for editing: top-level statements, the names they define and the names they read.

Analysis uses the standard library's `ast`, which takes milliseconds; libcst is used only to build text (see
`graft.py`).
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal as OneOf

from engine.designers.recombine.comments import Rules, read_rules
from engine.designers.recombine.literals import Literal, find_literals, spelled
from engine.designers.recombine.messages import Value
from engine.designers.recombine.scopes import Names, names_of, postponed
from engine.designers.recombine.shapes import shape_of
from engine.designers.recombine.tunable import Blank, owner_of, tunables_of
from engine.programs.folders import file_lines

__all__ = [
    "BUILTINS",
    "EditError",
    "Item",
    "Program",
    "aliases",
    "origin",
    "parse_program",
    "positional",
    "source_lines",
]

BUILTINS = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__", "__builtins__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class EditError(Exception):
    """An edit cannot be made; the message says why."""


@dataclass(frozen=True)
class Item:
    """One top-level statement, or several that share a line."""

    index: int
    """Index among the module's statements as libcst counts them: by line."""
    kind: OneOf["import", "function", "class", "assign", "other"]
    names: tuple[str, ...]
    """Module-level names it defines."""
    reads: frozenset[str]
    """Module-level names (and builtins) it reads."""
    locals: frozenset[str]
    """Names that are local in some inner scope."""
    nodes: tuple[ast.stmt, ...]
    scopes: Names
    """Where its names occur, and which of them it needs when it is executed."""


def source_lines(code: str) -> list[str]:
    """Split code into lines as Python counts them, with line ends: `str.splitlines` would also split at form feeds."""
    return _LINE.findall(code)


def positional(function: Function) -> int:
    """Return how many positional parameters a function has."""
    return len(function.args.posonlyargs) + len(function.args.args)


@lru_cache(maxsize=64)
def parse_program(code: str) -> Program:
    """Analyse a program; the result is cached for later requests.

    Raises:
        EditError: the code is not Python.
    """
    return Program(code)


class Program:
    """A module's analysed source.

    Args:
        code: the source.

    Raises:
        EditError: the code is not Python, or nested too deeply to be read.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        try:
            self.tree = ast.parse(code)
            self.postponed = postponed(self.tree)
            """Whether annotations are not evaluated."""
            self.items = self._split()
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            raise EditError(f"not valid Python: {exc}") from None
        self._shapes: dict[tuple[int, Blank], tuple[str, tuple[str, ...]]] = {}
        self.by_name: dict[str, list[Item]] = {}
        for item in self.items:
            for name in item.names:
                self.by_name.setdefault(name, []).append(item)
        self._join_files()

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Return top-level functions by name, with the last definition; leave out names also defined otherwise."""
        found: dict[str, Function] = {}
        for name, items in self.by_name.items():
            node = items[-1].nodes[0]
            if len(items) == 1 and items[0].kind == "function" and isinstance(node, Function):
                found[name] = node
        return found

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Return how many positional parameters each of the functions has."""
        return {name: positional(function) for name, function in self.functions.items()}

    @property
    def public(self) -> set[str]:
        """Return the functions whose names do not begin with an underscore."""
        return {name for name in self.functions if not name.startswith("_")}

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Return every identifier in the program, so that a new name can avoid them all."""
        return frozenset(re.findall(r"[^\W\d]\w*", self.code))

    @cached_property
    def stars(self) -> bool:
        """Tell whether `from … import *` binds unknown names."""
        return any(
            isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
            for node in ast.walk(self.tree)
        )

    def closure(self, names: Iterable[str], *, stop: frozenset[str] = frozenset()) -> set[str]:
        """Return module-level names reachable from `names` by reading; names in `stop` are not followed."""
        reached: set[str] = set()
        pending = [name for name in names if name in self.by_name]
        while pending:
            name = pending.pop()
            if name in reached:
                continue
            reached.add(name)
            if name in stop:
                continue
            for item in self.by_name[name]:
                pending += [read for read in item.reads if read in self.by_name and read not in reached]
                # Names that one statement defines are kept or removed together.
                if item.kind != "import":
                    pending += item.names
        return reached

    def origins(self, name: str) -> set[str]:
        """Return where a name is imported from; empty if it is not imported, or also defined otherwise."""
        items = self.by_name.get(name, [])
        if any(item.kind != "import" for item in items):
            return set()
        return {origin(node, alias) for item in items for bound, node, alias in aliases(item) if bound == name}

    def entries(self, required: Iterable[str]) -> set[str]:
        """Return the names from which everything that runs is reachable.

        These are the names that the task requires and those that loose statements read; if the task requires nothing,
        also those that no other statement reads.
        """
        roots = {name for name in required if name in self.by_name} or self.unread()
        for item in self.items:
            if item.kind == "other":
                roots |= {*item.names, *(item.reads & self.by_name.keys())}
        return roots

    def live(self, required: Iterable[str]) -> set[str]:
        """Return the names that are reachable from those that the task requires and from loose statements."""
        return self.closure(self.entries(required))

    def unread(self) -> set[str]:
        """Return names that no other statement reads."""
        read: set[str] = set()
        for item in self.items:
            read |= item.reads - set(item.names)
        return set(self.by_name) - read

    def undefined(self) -> set[str]:
        """Return names that are read but never defined."""
        if self.stars:
            return set()
        return {name for item in self.items for name in item.reads} - self.by_name.keys() - BUILTINS

    @cached_property
    def literals(self) -> list[list[Literal]]:
        """Return the literals whose value can be changed, by statement.

        Raises:
            EditError: it is nested too deeply to be read.
        """
        try:
            return [find_literals(item.nodes) if item.kind != "import" else [] for item in self.items]
        except RecursionError:
            raise EditError("its expressions are nested too deeply") from None

    @cached_property
    def rules(self) -> Rules:
        """Return the rules of its `# tune:` comments."""
        return read_rules(self.code, [(item.nodes, self.literals[item.index]) for item in self.items])

    @cached_property
    def owners(self) -> dict[str, Item]:
        """Return every statement by the name of its literals: the first name it defines, or a number in brackets."""
        found: dict[str, Item] = {}
        for item in self.items:
            found.setdefault(owner_of(item), item)
        return found

    def _join_files(self) -> None:
        """Take imports from one file of the program by another for no definitions, where the other one defines it."""
        lines = file_lines(self.code)
        modules = {line.split()[-2].removesuffix(".py").replace("/", ".") for line in lines}
        for items in self.by_name.values() if modules else ():
            if any(item.kind != "import" for item in items):
                items[:] = [item for item in items if item.kind != "import" or not _imports_from(item, modules)]

    def form(self, index: int) -> object:
        """Return what equals for statements that differ in comments and layout alone."""
        return self.shape(index)

    def shape(self, index: int, blank: Blank = "nothing") -> tuple[str, tuple[str, ...]]:
        """Return a statement's syntax tree as text without docstring and names, and the names in order.

        Names of parameters and attributes, and the names that classes and loose statements define, stay in the text.
        """
        found = self._shapes.get((index, blank))
        if found is None:
            item, literals = self.items[index], self.literals[index]
            if blank == "tunables":
                left_out = {id(literals[tunable.index].node) for tunable in tunables_of(self, item)}
            else:
                sorts = {"nothing": (), "numbers": (int, float), "all": (object,)}[blank]
                left_out = {id(literal.node) for literal in literals if isinstance(literal.value, sorts)}
            found = self._shapes[index, blank] = shape_of(item.nodes, left_out)
        return found

    def with_values(self, values: Sequence[tuple[int, int, Value]]) -> str:
        """Return the source with some of its literals changed.

        Args:
            values: for each literal its statement, its place among the statement's literals, and the new value.
        """
        lines = source_lines(self.code)
        changes = [(self.literals[item][index], value) for item, index, value in values]
        # From the end, so that earlier literals keep their positions; columns of `ast` count bytes.
        for literal, value in sorted(changes, key=lambda pair: (pair[0].node.lineno, pair[0].node.col_offset))[::-1]:
            node = literal.node
            line = lines[node.lineno - 1].encode()
            before, old, after = (
                line[: node.col_offset],
                line[node.col_offset : node.end_col_offset],
                line[node.end_col_offset :],
            )
            text = spelled(value, old.decode(), literal.place == "loose").encode()
            space = b" " if before[-1:].isalnum() and text[:1].isalnum() else b""
            lines[node.lineno - 1] = (before + space + text + after).decode()
        return "".join(lines)

    def _split(self) -> list[Item]:
        groups: list[list[ast.stmt]] = []
        for node in self.tree.body:
            simple = not hasattr(node, "body") and not isinstance(node, ast.Match)
            if groups and simple and node.lineno == groups[-1][-1].end_lineno and not hasattr(groups[-1][-1], "body"):
                groups[-1].append(node)
            else:
                groups.append([node])
        return [_item(index, group, lazy_annotations=self.postponed) for index, group in enumerate(groups)]


def _imports_from(item: Item, modules: set[str]) -> bool:
    """Tell whether a statement imports names from these modules alone, under their own names."""
    return all(
        isinstance(node, ast.ImportFrom)
        and all(alias.asname is None for alias in node.names)
        and (node.module in modules or any(module.endswith(f".{node.module}") for module in modules if node.level))
        for node in item.nodes
    )


def aliases(item: Item) -> list[tuple[str, ast.Import | ast.ImportFrom, ast.alias]]:
    """List the bindings of an import statement: name, statement, alias."""
    return [
        (alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name), node, alias)
        for node in item.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]


def origin(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """Return where an imported name comes from, independent of how the import is written."""
    if isinstance(node, ast.Import):
        return alias.name if alias.asname or "." not in alias.name else f"{alias.name} as package"
    return f"{'.' * node.level}{node.module or ''}:{alias.name}"


def _item(index: int, group: list[ast.stmt], *, lazy_annotations: bool) -> Item:
    """Describe one statement."""
    node = group[0]
    found = names_of(group, lazy_annotations=lazy_annotations)
    names = tuple(found.binds)
    kind: OneOf["import", "function", "class", "assign", "other"] = "other"
    if len(group) > 1:
        kind = "other"
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        names = (node.name, *(name for name in names if name != node.name))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        star = isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*")
        kind = "other" if star else "import"
    elif isinstance(node, ast.Assign | ast.AnnAssign) and names:
        kind = "assign"
    return Item(index, kind, names, frozenset(found.reads), frozenset(found.local), tuple(group), found)
