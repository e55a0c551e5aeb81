"""Properties of tuning and exchanging that hold for every program."""

from __future__ import annotations

import ast
import io
import random
import tokenize

from hypothesis import given
from hypothesis import strategies as st

from engine.designers.recombine.comments import same_value
from engine.designers.recombine.editor import Editor
from engine.designers.recombine.messages import (
    Apply,
    Donor,
    Edit,
    Edited,
    Graft,
    Hello,
    Options,
    SetValue,
    Survey,
    TakeValues,
    Tunable,
)
from engine.designers.recombine.moves import directions, move, reach
from engine.designers.recombine.program import Program, parse_program
from engine.designers.recombine.tune import set_value, tunables
from engine.designers.recombine.worker import editor_of
from engine.programs.outline import outline

floats = st.floats(-1e6, 1e6).map(lambda number: float(f"{number:.3g}"))
whole = st.integers(-1000, 1000)
numbers = floats | whole
steps = st.floats(0.02, 2.3)


@st.composite
def commented(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a value as text, and a comment on its tuning or none."""
    sort = draw(st.sampled_from(["plain", "flag", "text", "bounded", "signed", "fixed", "choice", "misspelt"]))
    number = draw(numbers)
    match sort:
        case "flag":
            return repr(draw(st.booleans())), draw(st.sampled_from(["", "  # tune: flip"]))
        case "text":
            return draw(st.sampled_from(['"é"', "'worst'"])), "  # tune: choice é|worst|'a|b'"
        case "bounded" if number:
            kind = draw(st.sampled_from(["effort", "scale", "tolerance"]))
            low, high = abs(number) * draw(st.floats(0, 1)), abs(number) * draw(st.floats(1.5, 9))
            return repr(number), f"  # tune: {kind} {low!r}..{high!r}"
        case "signed":
            return repr(number), f"  # tune: scale {-abs(number) - draw(st.integers(1, 9))}..{abs(number) + 1}"
        case "choice":
            return repr(number), f"  # tune: choice {number!r}|{number + 1!r}|None"
        case "fixed":
            return repr(number), "  # tune: fixed"
        case "misspelt":
            return repr(number), "  # tune: scael 1..2"
    return repr(number), ""


VALUES = st.lists(commented(), min_size=12, max_size=12)


def written(values: list[tuple[str, str]]) -> str:
    """Write a program with parameters at all places, including one where a minus sign would bind differently."""
    v = [value for value, _ in values]
    c = [comment for _, comment in values]
    return f"""\
import numpy as np
from dataclasses import dataclass

ALONE = {v[0]}{c[0]}
LIST = [
    {v[1]},{c[1]}
    [{v[2]}, {v[3]}],{c[3]}
]
DICT = {{"a": {v[4]},{c[4]}
        "é": [{v[5]}], 1: 2}}
ARRAY = np.array(({v[6]}, {v[6]}))


@dataclass(frozen=True)
class Config:
    first: object = {v[7]}{c[7]}

    def second(self, given={v[8]}):{c[8]}
        return self.first, given


def total(depth={v[9]}, *, wide=None):
    'Its docstring.'
    é = solve(depth, key={v[10]})**0.5 if depth else-0.25{c[10]}
    return 2.5 ** depth - 1.5, é, ALONE, LIST, DICT, ARRAY, Config(first={v[11]}){c[11]}


def solve(depth, key):
    return-0.125
"""


def literals(code: str) -> list[object]:
    """List the leaves of the tree in a fixed order without positions, numbers with their signs as one leaf."""

    class Signed(ast.NodeTransformer):
        def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
            self.generic_visit(node)
            operand = node.operand
            if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant) and operand.value is not None:
                return ast.Constant(-operand.value)  # type: ignore[operator]
            return node

    tree = Signed().visit(ast.parse(code))
    return [node.value if isinstance(node, ast.Constant) else type(node) for node in ast.walk(tree)]


def different(before: str, after: str) -> list[tuple[object, object]]:
    """Return the literals that differ, and check that everything else is the same."""
    old, new = literals(before), literals(after)
    assert len(old) == len(new)
    return [(a, b) for a, b in zip(old, new, strict=True) if type(a) is not type(b) or a != b]


def comments(code: str) -> list[str]:
    return [t.string for t in tokenize.generate_tokens(io.StringIO(code).readline) if t.type == tokenize.COMMENT]


def obeys(tunable: Tunable, value: object) -> bool:
    """Tell whether a tunable value may become a new value."""
    if tunable.kind == "flip":
        return value is (not tunable.value)
    if tunable.kind == "choice":
        return any(same_value(value, choice) for choice in tunable.choices) and value != tunable.value
    assert isinstance(value, int | float)
    within = tunable.low <= (value if tunable.low < 0 else abs(value)) <= tunable.high
    return within and type(value) is type(tunable.value) and value != tunable.value


@given(VALUES, st.integers(), steps)
def test_tuning_changes_one_literal_within_its_comment(values: list[tuple[str, str]], seed: int, step: float) -> None:
    code = written(values)
    rng = random.Random(seed)
    found = tunables(parse_program(code), ["total"])
    ways = [(tunable, direction) for tunable in found for direction in directions(tunable)]
    assert ways
    for tunable, direction in rng.sample(ways, min(len(ways), 3)):
        value = move(tunable, direction, rng, step)
        assert obeys(tunable, value), (tunable, direction, value)
        every = reach(tunable, direction)
        assert every is None or any(same_value(value, each) for each in every)
        after = set_value(parse_program(code), tunable.owner, tunable.index, tunable.value, value)
        assert different(code, after) == [(tunable.value, value)]
        assert comments(after) == comments(code)
        again = tunables(parse_program(after), ["total"])
        assert [t.name for t in again if t.kind != "scale"] == [t.name for t in found if t.kind != "scale"]


@given(VALUES)
def test_fixed_values_and_invalid_comments_are_never_tuned(values: list[tuple[str, str]]) -> None:
    named = {0: "ALONE", 1: "LIST[0]", 4: "DICT['a']", 7: "Config.first", 8: "Config.second(given)"}
    found = {tunable.name for tunable in tunables(parse_program(written(values)), ["total"])}
    for index, name in named.items():
        if values[index][1] in ("  # tune: fixed", "  # tune: scael 1..2"):
            assert name not in found


@given(floats.filter(bool), st.lists(steps, min_size=1, max_size=30), st.integers())
def test_steps_stay_within_declared_bounds(start: float, sizes: list[float], seed: int) -> None:
    rng = random.Random(seed)
    low, high = abs(start) / 3, abs(start) * 2
    code = f"X = {start!r}  # tune: scale {low!r}..{high!r}\n\n\ndef total():\n    return X\n"
    for size in sizes:
        (tunable,) = tunables(parse_program(code), ["total"])
        direction = rng.choice(directions(tunable))
        code = set_value(parse_program(code), "X", 0, tunable.value, move(tunable, direction, rng, size))
        value = ast.literal_eval(code.split(" = ")[1].split("  #")[0])
        assert low <= abs(value) <= high
        assert (value < 0) == (start < 0)


# Exchange

BODIES = ["helper(x) * FACTOR", "x + helper(x)", "helper(LIST[0]) - x", "min(x, FACTOR)"]


@st.composite
def relatives(draw: st.DrawFn) -> tuple[str, str]:
    """Draw two related programs: numbers, bodies and the text around them may differ."""
    few = st.sampled_from([0.5, 0.75, 2.5])

    def member() -> str:
        return f"""\
{draw(st.sampled_from(["", "# A comment.", "UNREAD = 3.5"]))}
FACTOR = {draw(few)}
LIST = [{draw(few)}, {draw(few)}]


def helper(x, k={draw(few)}):
    {draw(st.sampled_from(["", "'''A docstring.'''", "# A comment."]))}
    return x * k + LIST[1]


def score(x):
    return {draw(st.sampled_from(BODIES))}


def total():
    return score({draw(few)})
"""

    return member(), member()


def editor(seed: str) -> Editor[Program]:
    return editor_of(Hello([seed], ["total"], 10_000))


def edited(made: Editor[Program], code: str, edit: Edit) -> Edited:
    reply = made.handle(Apply(1, code, [edit]))
    assert isinstance(reply, Edited), reply
    return reply


@given(relatives(), st.integers(0, 2**32 - 1))
def test_offered_exchange_changes_reachable_code(pair: tuple[str, str], seed: int) -> None:
    code, other = pair
    made = editor(code)
    options = made.handle(Survey(1, code, [], [Donor("4", other)]))
    assert isinstance(options, Options)
    assert options.reverts == [], "the program is the seed"
    edits: list[Edit] = [Graft(option.function, other) for option in options.exchanges]
    edits += [TakeValues(option.function, other, seed) for option in options.crossings]
    live = parse_program(code).live(["total"])
    for edit in edits:
        after = edited(made, code, edit)
        if isinstance(edit, Graft) and edit.function not in live:
            # Its partner may be a change that makes the function reachable; alone it is no design.
            assert after.outline is None
            continue
        assert after.outline is not None, (edit, after.problem)
        assert after.outline.digest != outline(code).digest
        assert after.changes[0]
        ast.parse(after.program)
    if outline(code).digest == outline(other).digest:
        assert edits == []
    offered = {option.function for option in [*options.exchanges, *options.crossings, *options.shared]}
    assert offered >= live & {"helper", "score", "total"}, "each function is offered, or known to be the same"


@given(relatives(), st.integers(0, 2**32 - 1))
def test_crossover_only_takes_numbers_of_either_parent(pair: tuple[str, str], seed: int) -> None:
    code, other = pair
    made = editor(code)
    options = made.handle(Survey(1, code, [], [Donor("4", other)]))
    assert isinstance(options, Options)
    for option in options.crossings:
        after = edited(made, code, TakeValues(option.function, other, seed))
        changed = different(code, after.program)
        assert changed
        assert len(changed) == len(after.changes[0])
        assert after.program == edited(made, code, TakeValues(option.function, other, seed)).program
        texts = {(change.old, change.new) for change in after.changes[0]}
        assert texts == {(f"{old:.5g}", f"{new:.5g}") for old, new in changed}


@given(relatives())
def test_reported_changes_are_difference_of_programs(pair: tuple[str, str]) -> None:
    code, other = pair
    made = editor(code)
    for function in ("helper", "score", "total"):
        after = edited(made, code, Graft(function, other))
        if after.outline is None:
            assert after.changes == [[]]
            continue
        told = {change.owner for change in after.changes[0]}
        before, now = outline(code).parts, after.outline.parts
        assert told <= {name for name in {*before, *now} if before.get(name) != now.get(name)}
        assert told


def test_edit_of_missing_value_is_not_made() -> None:
    code = "X = 0.5\n\n\ndef total():\n    return X * 2.5\n"
    made = editor(code)
    swapped = Graft("total", "def total():\n    return 7.5\n")
    reply = made.handle(Apply(1, code, [swapped, SetValue("total", 1, 2.5, 3.5), SetValue("X", 0, 0.5, 0.75)]))
    assert isinstance(reply, Edited)
    assert reply.program.endswith("return 7.5\n")
    assert [bool(changes) for changes in reply.changes] == [True, False, False]
