"""Programs that compute the same under other names, and programs that only look as if they did."""

from __future__ import annotations

import ast
import builtins
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.programs.canon import canonical_digest
from engine.programs.trees import Remembered, lines_of, parsed
from engine.task.load import find_task, load_task
from tests.conftest import SEED

PROGRAM = """\
import math

STEP = 0.5


def _scaled(value, by):
    total = 0
    for part in range(3):
        total += value * by + part
    return total


def point():
    found = _scaled(STEP, math.pi)
    return [found, max(part for part in (1, 2))]
"""
REQUIRED = ["point"]


def same(one: str, other: str, required: list[str] = REQUIRED) -> bool:
    return canonical_digest(one, required) == canonical_digest(other, required)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("total",), ("summed",)),
        (("_scaled",), ("multiplied",)),
        (("STEP",), ("STEP_SIZE",)),
        (("value", "by"), ("x", "y")),
        (("part",), ("index",)),
        (("STEP", "_scaled", "found", "total"), ("A", "b", "c", "d")),
        (
            ("def point", "import math\n"),
            ("def unused(x):\n    return STEP\n\n\ndef point", "import math\nimport json\n"),
        ),
        (("STEP = 0.5\n",), ("STEP = 0.5\nMORE = [1, 2]\n",)),
        (("    total = 0",), ('    """It adds."""\n    total = 0  # a sum',)),
    ],
)
def test_other_names_and_unused_helpers_make_no_other_program(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    changed = PROGRAM
    for before, after in zip(old, new, strict=True):
        changed = changed.replace(before, after)
    assert changed != PROGRAM
    assert same(PROGRAM, changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value * by", "by * by"),
        ("STEP = 0.5", "STEP = 0.25"),
        ("def point", "def unused():\n    return 1\n\n\nprint(unused())\n\n\ndef point"),
        ("max(", "min("),
        ("math.pi", "math.e"),
        ("_scaled(STEP, math.pi)", "_scaled(by=STEP, value=math.pi)"),
        ("STEP = 0.5\n", "STEP = 0.5\nSTEP = STEP * 2\n"),
        ("STEP = 0.5\n", "STEP = 0.5\nSTEP += 2\n"),
    ],
)
def test_another_computation_is_another_program(old: str, new: str) -> None:
    assert not same(PROGRAM, PROGRAM.replace(old, new))


PAIRS = {
    "an argument that is passed by name": (
        "def h(size):\n    return size\n\n\ndef point():\n    return h(size=1)\n",
        "def h(width):\n    return width\n\n\ndef point():\n    return h(size=1)\n",
    ),
    "an argument named as a function": (
        "def size():\n    return 1\n\n\ndef h(size):\n    return size\n\n\ndef point():\n    return h(size=size())\n",
        "def width():\n    return 1\n\n\ndef h(width):\n    return width\n\n\n"
        "def point():\n    return h(size=width())\n",
    ),
    "an argument of a required function": ("def point(x=1):\n    return x\n", "def point(y=1):\n    return y\n"),
    "a builtin that a nested function hides": (
        "def point():\n    def g():\n        max = 3\n        return max\n    return max(1, 2), g()\n",
        "def foo(*x):\n    return 0\n\n\n"
        "def point():\n    def g():\n        foo = 3\n        return foo\n    return foo(1, 2), g()\n",
    ),
    "a name in a string": (
        "def a():\n    return 1\n\n\ndef point():\n    return globals()['a']()\n",
        "def b():\n    return 1\n\n\ndef point():\n    return globals()['a']()\n",
    ),
    "a name in a class": (
        "class P:\n    size = 1\n\n\ndef point():\n    return P.size\n",
        "class P:\n    width = 1\n\n\ndef point():\n    return P.size\n",
    ),
    "names from a star import": (
        "from math import *\n\n\ndef point():\n    def g():\n        pi = 1\n        return pi\n    return pi + g()\n",
        "from math import *\n\n\ndef point():\n    def g():\n        e = 1\n        return e\n    return e + g()\n",
    ),
    "a base in place of a decorator": (
        "class B:\n    pass\n\n\n@B\nclass A:\n    pass\n\n\ndef point():\n    return A\n",
        "class B:\n    pass\n\n\nclass A(B):\n    pass\n\n\ndef point():\n    return A\n",
    ),
}


@pytest.mark.parametrize("what", PAIRS)
def test_in_doubt_a_name_counts(what: str) -> None:
    assert not same(*PAIRS[what])


def test_without_required_names_only_local_names_do_not_count() -> None:
    assert same(PROGRAM, PROGRAM.replace("total", "summed"), [])
    assert not same(PROGRAM, PROGRAM.replace("_scaled", "multiplied"), [])
    assert not same(PROGRAM, PROGRAM + "\n\ndef more():\n    return 1\n", [])


NAMES = st.from_regex(r"[a-z][a-z0-9_]{2,7}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and name not in dir(builtins)
)


class Renamed(ast.NodeTransformer):
    """Call local variables otherwise."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.copy_location(ast.arg(self.names.get(node.arg, node.arg), node.annotation), node)


@given(st.lists(NAMES, min_size=4, max_size=4, unique=True), st.booleans())
def test_any_renaming_is_seen_through(names: list[str], all_alike: bool) -> None:
    old = ["total", "value", "by", "found"]
    new = dict(zip(old, [names[0]] * 2 + names[2:] if all_alike else names, strict=True))
    other = ast.unparse(Renamed(new).visit(ast.parse(PROGRAM)))
    fresh = not {"math", "part", "point"} & set(names)
    # Two variables that become one are another program.
    assert not fresh or same(PROGRAM, other) != all_alike


@pytest.mark.parametrize("task", ["circle_packing", "linear_attention", "drug_target"])
def test_seeds_have_a_digest_that_layout_does_not_change(task: str) -> None:
    loaded = load_task(find_task(task))
    code, interface = loaded.seeds[0].code, loaded.spec.interface
    required = [*interface.functions, *interface.classes]
    assert same(code, ast.unparse(ast.parse(code)), required)
    assert not same(code, SEED, required)


def test_long_statements_are_not_remembered_without_limit() -> None:
    """Statements of 100 kB take megabytes each once they have been read."""
    found = Remembered(lambda item: item.lineno, 512)
    read: list[int] = []
    for number in range(60):
        code = f"a{number} = '{'x' * 100_000}'"
        read.append(found.of(parsed(code).body[0], lines_of(code)))
        assert sum(len(text) for text, *_ in found._known) <= 4_100_000
    code = f"b = '{'x' * 300_000}'"
    read.append(found.of(parsed(code).body[0], lines_of(code)))
    assert all(len(text) < 300_000 for text, *_ in found._known)
    assert read == [1] * 61 and 0 < len(found._known) < 60
