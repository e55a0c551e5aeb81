"""Replace a function of one program by a donor's; copy what the new one needs and remove what only the old one needed.

The plan (what to copy, share, rename, remove) is made on the standard library's syntax tree; libcst carries it out, so
that comments and layout of everything else are kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import libcst as cst

from engine.designers.recombine.program import (
    BUILTINS,
    EditError,
    Item,
    Program,
    aliases,
    origin,
    parse_program,
    positional,
)

__all__ = ["graft"]

_SUFFIX = re.compile(r"_\d+$")


@dataclass
class _Plan:
    """The changes of a graft."""

    take: list[Item]
    """The donor's statements to copy, in its order, without the function itself."""
    rename: dict[str, str]
    """New names for copied definitions."""
    imports: list[tuple[str, ast.Import | ast.ImportFrom, ast.alias]]
    """Imports to add, with the name to bind."""
    remove: set[str] = field(default_factory=set)
    """Names of the program that nothing uses any more."""


def graft(program: Program, donor: Program, function: str, components: frozenset[str]) -> str:
    """Return the program's source with `function` taken from the donor.

    Args:
        program: the program to edit.
        donor: a recipe or another program that defines the function.
        function: a top-level function of both, with the same number of positional parameters.
        components: functions that the program keeps unchanged, even if nothing calls them.

    Raises:
        EditError: the function does not fit, or something it needs cannot be added without a clash.
    """
    old, new = program.functions.get(function), donor.functions.get(function)
    if old is None or new is None:
        raise EditError(f"there is no function {function} in {'the program' if old is None else 'the donor'}")
    if positional(old) != positional(new):
        raise EditError(f"{function} takes {positional(old)} positional parameters here and {positional(new)} there")
    plan = _plan(program, donor, function, components)
    result = _carry_out(program, donor, function, plan)
    missing = parse_program(result).undefined() - program.undefined()
    if missing:
        raise EditError(f"{function} needs {', '.join(sorted(missing))}, which the program does not have")
    return result


def _plan(program: Program, donor: Program, function: str, components: frozenset[str]) -> _Plan:
    # The program keeps its own components: the donor's versions are not copied.
    own = frozenset(name for name in components if name in program.functions) - {function}
    needed = donor.closure([function], stop=own) - own - {function}
    items = [item for item in donor.items if needed.intersection(item.names)]
    source = donor.by_name[function][-1]
    reads = set(source.reads).union(*(item.reads for item in items if item.kind != "import"))
    kept_by_reading = {name for name in reads if name not in needed and name != function}
    twice = [n for n in needed if len(donor.by_name[n]) > 1 and any(i.kind != "import" for i in donor.by_name[n])]
    if twice:
        raise EditError(f"the donor of {function} defines {', '.join(sorted(twice))} more than once")
    if donor.stars:
        raise EditError(f"the donor of {function} imports everything from a module")
    captured = {
        name for name in kept_by_reading if name in BUILTINS and name in program.by_name and name not in donor.by_name
    }
    if captured:
        raise EditError(f"{function} means the builtin {', '.join(sorted(captured))}, which the program redefines")
    dying = _dying(program, function, components, kept_by_reading)
    shared = _shared(program, donor, items, needed, own | {function})
    rename = _renamed(program, donor, needed - shared, dying)
    for item in [source, *items]:
        clash = item.locals & rename.keys()
        if clash and item.kind != "import":
            raise EditError(f"{', '.join(sorted(clash))} is global and local in the donor of {function}")
        if item.kind == "other" and rename.keys() & set(item.names):
            raise EditError(f"the donor of {function} defines {', '.join(item.names)} in a compound statement")
    if function in rename.values():
        raise EditError(f"the name {function} is taken")
    imports = [
        (rename.get(name, name), node, alias)
        for item in items
        if item.kind == "import"
        for name, node, alias in aliases(item)
        if name in needed and name not in shared
    ]
    take = [item for item in items if item.kind != "import" and not shared.issuperset(item.names)]
    return _Plan(take, rename, imports, dying - shared)


def _dying(program: Program, function: str, components: frozenset[str], reads: set[str]) -> set[str]:
    """Return names that only the old version of the function needs."""
    keep = components | program.unread() | {function}
    for item in program.items:
        if item.kind == "other":
            keep |= {*item.names, *item.reads}
    body = program.by_name[function][-1]
    roots = (keep - {function}) | reads
    # Collect what is reachable from everything but the function itself.
    alive = program.closure(roots, stop=frozenset({function}))
    before = program.closure([*body.reads, *roots])
    return {name for name in before - alive - {function} if not any(i.kind == "other" for i in program.by_name[name])}


def _shared(program: Program, donor: Program, items: list[Item], needed: set[str], own: frozenset[str]) -> set[str]:
    """Return needed names that the program already defines identically."""
    shared = {
        name
        for item in items
        for name in item.names
        if name in needed and name in program.by_name and _same(program, donor, name, item)
    }
    while True:
        # A helper can be shared only if everything that it reads is the same too.
        broken = {
            name
            for item in items
            if item.kind != "import"
            for name in item.names
            if name in shared
            and (
                not shared.issuperset(item.names)
                or any(read in needed and read not in shared and read not in own for read in item.reads)
            )
        }
        if not broken:
            return shared
        shared -= broken


def _same(program: Program, donor: Program, name: str, item: Item) -> bool:
    there = program.by_name[name]
    if item.kind == "import":
        here = {origin(node, alias) for other in there for bound, node, alias in aliases(other) if bound == name}
        return {origin(node, alias) for bound, node, alias in aliases(item) if bound == name} <= here
    if len(there) != 1 or len(donor.by_name[name]) != 1:
        return False
    return [ast.dump(node) for node in there[0].nodes] == [ast.dump(node) for node in item.nodes]


def _renamed(program: Program, donor: Program, names: set[str], dying: set[str]) -> dict[str, str]:
    """Choose a free name for each name that would clash."""
    taken = program.identifiers | donor.identifiers | BUILTINS
    rename: dict[str, str] = {}
    for name in sorted(names):
        dotted = any(
            isinstance(node, ast.Import) and alias.asname is None and "." in alias.name
            for item in donor.by_name[name]
            for _, node, alias in aliases(item)
        )
        clash = (name in program.by_name and name not in dying) or name in BUILTINS
        if clash and dotted:
            if all(item.kind == "import" for item in program.by_name.get(name, [])):
                continue
            raise EditError(f"the program uses the name {name} for something else than the package")
        if clash:
            stem, number = _SUFFIX.sub("", name), 2
            while f"{stem}_{number}" in taken or f"{stem}_{number}" in rename.values():
                number += 1
            rename[name] = f"{stem}_{number}"
    return rename


@lru_cache(maxsize=16)
def _module(code: str) -> cst.Module:
    try:
        return cst.parse_module(code)
    except (cst.ParserSyntaxError, RecursionError) as exc:
        raise EditError(f"not valid Python: {exc}") from None


Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


def _carry_out(program: Program, donor: Program, function: str, plan: _Plan) -> str:
    module, source = _module(program.code), _module(donor.code)
    if len(module.body) != len(program.items) or len(source.body) != len(donor.items):
        raise EditError("statements that share lines in an unusual way cannot be edited")
    copied = {item.index: _copy(source, item, plan.rename) for item in plan.take}
    constants = [item for item in plan.take if item.kind == "assign" and _early(program, donor, item, plan)]
    helpers = [item for item in plan.take if item.kind != "assign"]
    late = [item for item in plan.take if item.kind == "assign" and item not in constants]
    body: list[Statement] = []
    header, imports = _header_end(program), _imports_end(program)
    place = program.by_name[function][-1].index
    for item, statement in zip(program.items, module.body, strict=True):
        kept = _without(item, statement, plan.remove)
        if item.index == place:
            body += [_spaced(copied[helper.index], 2) for helper in helpers]
            kept = _spaced(_copy(source, donor.by_name[function][-1], plan.rename), 2)
        if kept is not None:
            body.append(kept)
        if item.index == imports:
            body += [_import(*entry) for entry in plan.imports]
        if item.index == header:
            body += [
                _spaced(copied[c.index], 1 if n == 0 and item.kind != "assign" else 0) for n, c in enumerate(constants)
            ]
    if header < 0:
        body = [*(_spaced(copied[constant.index], 0) for constant in constants), *body]
    if imports < 0:
        body = [*(_import(*entry) for entry in plan.imports), *body]
    end = len(body) - 1 if body and _is_main_guard(body[-1]) else len(body)
    body[end:end] = [_spaced(copied[item.index], 2) for item in late]
    return module.with_changes(body=body).code


def _copy(source: cst.Module, item: Item, rename: dict[str, str]) -> Statement:
    statement = source.body[item.index]
    if rename.keys() & (item.reads | set(item.names)):
        renamed = statement.visit(_Rename(rename))
        assert isinstance(renamed, cst.SimpleStatementLine | cst.BaseCompoundStatement)
        return renamed
    return statement


def _early(program: Program, donor: Program, item: Item, plan: _Plan) -> bool:
    """Tell whether a constant can go to the program's head: nothing that it reads is defined further down."""
    header = _header_end(program)
    moving = {name: other for other in plan.take for name in other.names}
    for read in item.reads:
        if read in moving:
            if moving[read].kind != "assign" or (
                moving[read] is not item and not _early(program, donor, moving[read], plan)
            ):
                return False
        elif any(other.index > header for other in program.by_name.get(plan.rename.get(read, read), [])):
            return False
    return True


def _header_end(program: Program) -> int:
    """Return the index of the last statement of the program's head (docstring, imports, constants); -1 if none."""
    end = -1
    for item in program.items:
        if item.kind in ("function", "class"):
            break
        docstring = item.index == 0 and isinstance(item.nodes[0], ast.Expr)
        future = isinstance(item.nodes[0], ast.ImportFrom)
        if item.kind in ("import", "assign") or docstring or future:
            end = item.index
    return end


def _imports_end(program: Program) -> int:
    """Return the index of the last import in the program's head, else of its docstring; -1 if there is neither."""
    head = program.items[: _header_end(program) + 1]
    ends = [item.index for item in head if isinstance(item.nodes[0], ast.Import | ast.ImportFrom)]
    docstring = head and isinstance(head[0].nodes[0], ast.Expr)
    return ends[-1] if ends else 0 if docstring else -1


def _without(item: Item, statement: Statement, remove: set[str]) -> Statement | None:
    """Return the statement without the unused names; None if nothing is left."""
    if not remove.intersection(item.names):
        return statement
    if item.kind != "import":
        return None
    assert isinstance(statement, cst.SimpleStatementLine)
    line = statement.body[0]
    assert isinstance(line, cst.Import | cst.ImportFrom) and not isinstance(line.names, cst.ImportStar)
    kept = [alias for alias, (name, _, _) in zip(line.names, aliases(item), strict=True) if name not in remove]
    if not kept:
        return None
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return statement.with_changes(body=[line.with_changes(names=kept)])


def _import(bind: str, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Statement:
    """Build an import statement for one name."""
    plain = alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name
    asname = bind if alias.asname is not None or bind != plain else None
    text = ast.unparse(
        ast.Import([ast.alias(alias.name, asname)])
        if isinstance(node, ast.Import)
        else ast.ImportFrom(node.module, [ast.alias(alias.name, asname)], node.level)
    )
    statement = cst.parse_statement(text)
    assert isinstance(statement, cst.SimpleStatementLine)
    return statement


def _spaced(statement: Statement, blank: int) -> Statement:
    """Return the statement with `blank` blank lines before it; keep the comments above it."""
    lines: Sequence[cst.EmptyLine] = getattr(statement, "leading_lines", ())
    comments = [line for line in lines if line.comment is not None]
    return statement.with_changes(leading_lines=[*[cst.EmptyLine(indent=False)] * blank, *comments])


def _is_main_guard(statement: Statement) -> bool:
    return isinstance(statement, cst.If) and "__name__" in cst.Module([statement]).code.partition(":")[0]


class _Rename(cst.CSTTransformer):
    """Rename global names, but not attributes, keywords or imported names, which are not the program's names."""

    def __init__(self, rename: dict[str, str]) -> None:
        super().__init__()
        self._rename = rename
        self._hidden: set[int] = set()

    def visit_Attribute_attr(self, node: cst.Attribute) -> None:
        self._hidden.add(id(node.attr))

    def visit_Arg_keyword(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            self._hidden.add(id(node.keyword))

    def visit_MatchKeywordElement_key(self, node: cst.MatchKeywordElement) -> None:
        self._hidden.add(id(node.key))

    def visit_ImportAlias(self, node: cst.ImportAlias) -> bool:
        return False

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        if id(original_node) in self._hidden or original_node.value not in self._rename:
            return updated_node
        return updated_node.with_changes(value=self._rename[original_node.value])
