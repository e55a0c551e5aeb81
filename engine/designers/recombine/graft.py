"""Replace a function of one program by a donor's; copy what the new one needs and remove what only the old one needed.

The plan (what to copy, share, rename, remove) is made on the standard library's syntax tree; libcst carries it out, so
that comments and layout of everything else are kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from engine.designers.recombine.loose import DYNAMIC, changers, is_loose, touched
from engine.designers.recombine.order import Piece, ordered
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
from engine.designers.recombine.renaming import quote_annotations, rename

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
    remove: set[str]
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
    if donor.postponed and not program.postponed:
        donor = parse_program(quote_annotations(donor))
    plan = _plan(program, donor, function, components)
    result = _carry_out(program, donor, function, plan)
    missing = parse_program(result).undefined() - program.undefined()
    if missing:
        raise EditError(f"{function} needs {', '.join(sorted(missing))}, which the program does not have")
    return result


def _plan(program: Program, donor: Program, function: str, components: frozenset[str]) -> _Plan:
    # The program keeps its own components: the donor's versions are not copied.
    own = frozenset(name for name in components if name in program.functions) - {function}
    needed, loose = _needed(donor, function, own)
    items = [item for item in donor.items if item in loose or needed.intersection(item.names)]
    source = donor.by_name[function][-1]
    reads = set(source.reads).union(*(item.reads for item in items if item.kind != "import"))
    kept_by_reading = {name for name in reads if name not in needed and name != function}
    _check(program, donor, function, needed, kept_by_reading)
    dying = _dying(program, function, components, kept_by_reading)
    shared = _shared(program, donor, items, loose, needed, own | {function})
    names = _renamed(program, donor, needed - shared, dying)
    if function in names.values():
        raise EditError(f"the name {function} is taken")
    imports = [
        (names.get(name, name), node, alias)
        for item in items
        if item.kind == "import"
        for name, node, alias in aliases(item)
        if name in needed and name not in shared
    ]
    take = [
        item
        for item in items
        if item.kind != "import"
        and not shared.issuperset(touched(donor, item) & needed if item in loose else item.names)
    ]
    return _Plan(take, names, imports, dying - shared)


def _needed(donor: Program, function: str, own: frozenset[str]) -> tuple[set[str], list[Item]]:
    """Return the names that the donor's function needs, and the loose statements that change something of these."""
    needed = donor.closure([function], stop=own) - own - {function}
    loose: list[Item] = []
    while True:
        more = [
            item
            for item in donor.items
            if is_loose(item) and item not in loose and touched(donor, item) & (needed | {function})
        ]
        if not more:
            return needed, loose
        loose += more
        needed |= donor.closure({n for item in more for n in (*item.reads, *item.names)}, stop=own) - own - {function}


def _check(program: Program, donor: Program, function: str, needed: set[str], others: set[str]) -> None:
    """Raise `EditError` if what the function needs cannot be told or cannot be copied."""
    twice = [n for n in needed if len(donor.by_name[n]) > 1 and any(i.kind != "import" for i in donor.by_name[n])]
    if twice:
        raise EditError(f"the donor of {function} defines {', '.join(sorted(twice))} more than once")
    if donor.stars:
        raise EditError(f"the donor of {function} imports everything from a module")
    captured = {name for name in others if name in BUILTINS and name in program.by_name and name not in donor.by_name}
    if captured:
        raise EditError(f"{function} means the builtin {', '.join(sorted(captured))}, which the program redefines")
    dynamic = (others & DYNAMIC) - donor.by_name.keys()
    if dynamic:
        raise EditError(f"{function} looks names up while it runs, by {', '.join(sorted(dynamic))}")


def _dying(program: Program, function: str, components: frozenset[str], reads: set[str]) -> set[str]:
    """Return names that only the old version of the function needs."""
    if any(item.reads & DYNAMIC for item in program.items):
        return set()
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


def _shared(
    program: Program, donor: Program, items: list[Item], loose: list[Item], needed: set[str], own: frozenset[str]
) -> set[str]:
    """Return needed names that the program already defines identically, and changes identically."""
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
            if item.kind != "import" and item not in loose
            for name in item.names
            if name in shared
            and (
                not shared.issuperset(item.names)
                or any(read in needed and read not in shared and read not in own for read in item.reads)
            )
        }
        for item in loose:
            changes = touched(donor, item) & needed
            if not changes <= shared:
                broken |= changes & shared
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
    if changers(program, name) != changers(donor, name):
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
        clash = (name in program.by_name and name not in dying) or name in BUILTINS or name in program.undefined()
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
    source = donor.by_name[function][-1]
    if plan.rename:
        donor = parse_program(rename(donor, [source, *plan.take], plan.rename))
    module, theirs = _module(program.code), _module(donor.code)
    if len(module.body) != len(program.items) or len(theirs.body) != len(donor.items):
        raise EditError("statements that share lines in an unusual way cannot be edited")
    header, imports, place = _header_end(program), _imports_end(program), program.by_name[function][-1].index
    pieces = [
        Piece((imports, 1, n), program, None, (entry[0],), _import(*entry)) for n, entry in enumerate(plan.imports)
    ]
    for item, statement in zip(program.items, module.body, strict=True):
        kept = _without(item, statement, plan.remove)
        if item.index == place:
            new = donor.items[source.index]
            pieces.append(Piece((place, 0, 0), donor, new, new.names, theirs.body[new.index]))
        elif kept is not None:
            names = tuple(name for name in item.names if name not in plan.remove)
            pieces.append(Piece((item.index, 0, 0), program, item, names, kept))
    for taken in plan.take:
        item = donor.items[taken.index]
        key = (header, 2, item.index) if item.kind == "assign" else (place - 1, 3, item.index)
        pieces.append(Piece(key, donor, item, item.names, theirs.body[item.index]))
    body: list[Statement] = []
    kind = "import"
    for piece in ordered(pieces, function):
        statement = piece.statement
        if piece.source is donor and piece.item is not None:
            loose = piece.item.kind not in ("function", "class")
            statement = _spaced(statement, int(kind == "import") if loose and kind not in ("function", "class") else 2)
        if not body:
            statement = _spaced(statement, 0) if piece.source is donor else statement
        kind = piece.item.kind if piece.item is not None else "import"
        body.append(statement)
    return module.with_changes(body=body).code


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
