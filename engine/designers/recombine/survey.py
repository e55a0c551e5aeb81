"""What can be changed in a program: functions with an alternative, and numbers that can be tuned."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence

from engine.designers.recombine.messages import Donor, Options, Replaced
from engine.designers.recombine.program import EditError, Program, parse_program, positional

__all__ = ["alike", "same_effect", "survey"]

_SUFFIX = re.compile(r"_\d+$")


def survey(
    request: int,
    program: Program,
    recipes: Sequence[Donor],
    nodes: Sequence[Donor],
    seeds: Sequence[str],
    required: Sequence[str],
    components: frozenset[str],
) -> Options:
    """List the edits that a program offers.

    Args:
        request: number of the request, for the answer.
        program: the parent.
        recipes: code blocks of the priors shown; one that does not parse offers nothing.
        nodes: programs of the other nodes shown.
        seeds: programs that the run started from.
        required: names that the task requires.
        components: functions that belong to the task's design, not to one recipe.
    """
    swaps: list[Replaced] = []
    exchanges: list[Replaced] = []
    shared: list[Replaced] = []
    reverts: list[Replaced] = []
    for recipe in recipes:
        for name, other in _offered(program, recipe.code):
            if not alike(program, other, name, components, values=False):
                swaps.append(Replaced(name, recipe.key))
    for node in nodes:
        for name, other in _offered(program, node.code):
            same = alike(program, other, name, components, values=True)
            (shared if same else exchanges).append(Replaced(name, node.key))
    for index, code in enumerate(seeds):
        for name, other in _offered(program, code):
            if not alike(program, other, name, components, values=False):
                reverts.append(Replaced(name, str(index)))
    return Options(
        id=request,
        functions=list(program.functions),
        swaps=swaps,
        exchanges=exchanges,
        reverts=reverts,
        constants=program.constants(required),
        shared=shared,
    )


def _offered(program: Program, code: str) -> list[tuple[str, Program]]:
    """Functions that the code has with the name and the number of positional parameters of one of the program's."""
    try:
        other = parse_program(code)
    except EditError:
        return []
    return [
        (name, other)
        for name, function in other.functions.items()
        if name in program.functions and positional(function) == positional(program.functions[name])
    ]


def alike(
    program: Program, donor: Program, name: str, components: frozenset[str], *, values: bool, with_name: str = ""
) -> bool:
    """Whether a function of the program does what the donor's does: the same text but for the names of helpers.

    Args:
        program: one program.
        donor: another, or a recipe.
        name: the function in the donor.
        components: functions that are each program's own business: a call of one is the same in both.
        values: whether the numbers that constants are set to count too.
        with_name: the name in the program, where it differs.
    """
    pending = [(with_name or name, name)]
    seen: set[tuple[str, str]] = set()
    while pending:
        pair = pending.pop()
        if pair in seen:
            continue
        seen.add(pair)
        mine, theirs = pair
        left, right = program.by_name.get(mine, []), donor.by_name.get(theirs, [])
        if len(left) != 1 or len(right) != 1 or left[0].kind != right[0].kind:
            return False
        if left[0].kind == "assign" and not values and _number(program, mine) and _number(donor, theirs):
            continue
        text, names = _canonical(
            program, mine, lambda n: n in donor.by_name or _SUFFIX.sub("", n) in donor.by_name, components
        )
        other, others = _canonical(donor, theirs, lambda n: True, components)
        if text != other:
            return False
        pending += zip(names, others, strict=True)
    return True


def _number(program: Program, name: str) -> bool:
    return program.number(name) is not None


def _canonical(
    program: Program, name: str, counts: Callable[[str], bool], components: frozenset[str]
) -> tuple[str, list[str]]:
    """A statement's text with the names of helpers replaced by their order, and these names."""
    order: dict[str, int] = {}
    item = program.by_name[name][0]

    class Neutral(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            helpers = program.by_name.get(node.id, [])
            if node.id in item.locals or node.id in components or not helpers or not counts(node.id):
                return node
            if any(helper.kind == "import" for helper in helpers):
                return node
            return ast.Name(f"§{order.setdefault(node.id, len(order))}", node.ctx)

    parts = []
    for node in item.nodes:
        neutral = Neutral().visit(ast.parse(ast.unparse(node)).body[0])
        if isinstance(neutral, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            neutral.name = "§"
            if ast.get_docstring(neutral, clean=False) is not None:
                neutral.body = neutral.body[1:] or [ast.Pass()]
        parts.append(ast.dump(neutral))
    return "\n".join(parts), list(order)


def same_effect(before: Program, after: Program, required: Sequence[str]) -> bool:
    """Whether all that runs is the same in two programs."""

    def live(program: Program) -> list[str]:
        names = program.closure(program.entries(required))
        return [
            ast.dump(node)
            for item in program.items
            if item.kind == "other" or names.intersection(item.names)
            for node in item.nodes
        ]

    return live(before) == live(after)
