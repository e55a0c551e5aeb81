"""Grafts of functions from recipes and other programs: what is copied, renamed and removed."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.designers.recombine.graft import graft
from engine.designers.recombine.likeness import alike
from engine.designers.recombine.program import EditError, parse_program
from tests.engine.designers.programs import COMPONENTS, RECIPE, SEED, run


def put(program: str, recipe: str, function: str = "first", components: frozenset[str] = COMPONENTS) -> str:
    recipe = textwrap.dedent(recipe)
    return graft(parse_program(program), parse_program(recipe), function, components)


def test_graft_copies_helpers_constants_and_imports() -> None:
    code = put(SEED, RECIPE)
    assert "from itertools import accumulate" in code
    assert "def _helper(x):" in code
    assert "_TABLE = [k * k for k in range(3)]" in code
    assert run(code) != run(SEED)


def test_clashing_constant_is_renamed_and_keeps_its_comment() -> None:
    code = put(SEED, RECIPE)
    assert "STEPS = 30  # tune: effort 5..200" in code
    assert "STEPS_2 = 7  # tune: effort 1..20" in code
    assert "[_helper(x)] * STEPS_2" in code


def test_existing_import_is_not_added_again() -> None:
    assert put(SEED, RECIPE).count("import math") == 1


def test_graft_removes_unused_names_and_keeps_other_text() -> None:
    code = put(SEED, RECIPE)
    assert "RATE" not in code
    assert "# Kept: a comment inside." in code
    assert "UNREAD = 0.25" in code


def test_swapping_back_and_forth_keeps_program_size() -> None:
    seed = SEED
    sizes = []
    for _ in range(4):
        seed = put(seed, RECIPE)
        seed = put(seed, SEED)
        sizes.append(len(seed))
    assert len(set(sizes)) == 1
    assert run(seed) == run(SEED)


def test_uncalled_components_are_kept() -> None:
    without = put(SEED, "def total():\n    return 3\n", "total")
    assert set(parse_program(without).functions) == COMPONENTS
    assert run(put(without, SEED, "total")) == run(SEED)


def test_helper_of_earlier_recipe_is_removed() -> None:
    code = put(put(SEED, RECIPE), "def first(x):\n    return x\n")
    assert "_helper" not in code
    assert "accumulate" not in code
    assert "STEPS_2" not in code


def test_single_name_of_import_is_removed() -> None:
    first = put(SEED, "from math import pi, tau\n\n\ndef first(x):\n    return x * pi * tau\n")
    both = put(first, "from math import tau\n\n\ndef second(x, y):\n    return tau\n", "second")
    code = put(both, "def first(x):\n    return x\n")
    assert "tau" in code
    assert "import pi" not in code
    run(code)


def test_recipe_calls_components_of_program() -> None:
    code = put(
        SEED,
        """
        def second(x, y):
            return -1

        def first(x):
            return second(x, x)
        """,
    )
    assert "0.75" in code
    assert run(code) != run(SEED)


def test_attributes_and_keywords_are_not_renamed() -> None:
    code = put(
        SEED,
        """
        from types import SimpleNamespace

        STEPS = 2


        def first(x):
            return SimpleNamespace(STEPS=x).STEPS + STEPS
        """,
    )
    assert "SimpleNamespace(STEPS=x).STEPS + STEPS_2" in code
    run(code)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ("def first(x, y):\n    return x\n", "2 there"),
        ("def other(x):\n    return x\n", "no function first"),
        ("def first(x):\n    return missing(x)\n", "missing"),
        ("from math import *\n\ndef first(x):\n    return x\n", "everything"),
        ("def first(x):\n    return globals()['STEPS']\n", "while it runs"),
    ],
)
def test_unfit_graft_is_refused_with_reason(recipe: str, why: str) -> None:
    with pytest.raises(EditError, match=why):
        put(SEED, recipe)


def test_renaming_leaves_local_names_of_the_same_spelling() -> None:
    code = put(SEED, "STEPS = 3\n\ndef first(x):\n    g = lambda STEPS: STEPS\n    return g(x) + STEPS\n")
    assert "lambda STEPS: STEPS" in code
    assert "g(x) + STEPS_2" in code
    run(code)


def test_helper_named_like_builtin_is_renamed() -> None:
    code = put(SEED, "def sum(v):\n    return 0\n\ndef first(x):\n    return sum([x])\n")
    assert "def sum_2(v):" in code
    assert run(code) == run(SEED.replace("x * RATE", "0"))


def test_constant_that_reads_function_is_placed_below_it() -> None:
    code = put(SEED, "def _make():\n    return 3\n\n\nCOUNT = _make()\n\n\ndef first(x):\n    return COUNT\n")
    run(code)
    again = put(code, RECIPE)
    assert "_make" not in again


def test_exchange_copies_numbers() -> None:
    tuned = SEED.replace("RATE = 0.5", "RATE = 0.75")
    code = put(SEED, tuned)
    assert "RATE = 0.75  # tune: scale 0.1..0.9" in code
    assert code.count("RATE =") == 1


def test_functions_with_other_helper_names_are_alike() -> None:
    code = put(SEED, RECIPE)
    assert alike(parse_program(code), parse_program(RECIPE), "first", COMPONENTS, values=False)
    tuned = code.replace("STEPS_2 = 7", "STEPS_2 = 14")
    assert alike(parse_program(tuned), parse_program(RECIPE), "first", COMPONENTS, values=False)
    assert not alike(parse_program(tuned), parse_program(RECIPE), "first", COMPONENTS, values=True)
    changed = RECIPE.replace("x + len(_TABLE)", "x - len(_TABLE)")
    assert not alike(parse_program(code), parse_program(changed), "first", COMPONENTS, values=False)


names = st.sampled_from(["STEPS", "RATE", "SIZE", "math", "_helper", "sum", "fresh", "range", "UNREAD", "x"])


@st.composite
def recipes(draw: st.DrawFn) -> tuple[str, str]:
    """Draw functions with imports, constants and helpers whose names may clash with anything."""
    function, arguments = draw(st.sampled_from([("first", "x"), ("second", "x, y"), ("third", ""), ("total", "")]))
    constant, helper, module = draw(names), draw(names), draw(names)
    lines = [f"import statistics as {module}", f"{constant} = {draw(st.integers(1, 9))}.5"]
    lines += [f"def {helper}(v):\n    return v + {constant}" if draw(st.booleans()) else f"{helper} = len"]
    body = draw(st.sampled_from([constant, f"{helper}([1.0])", f"{module}.mean([1.0, {constant}])", "1"]))
    lines.append(f"def {function}({arguments}):\n    return {body}")
    return function, "\n\n\n".join(lines) + "\n"


@given(st.lists(recipes(), min_size=1, max_size=4))
def test_grafted_program_parses_and_names_stay_unambiguous(made: list[tuple[str, str]]) -> None:
    code = SEED
    for function, recipe in made:
        try:
            after = put(code, recipe, function)
        except EditError:
            continue
        program = parse_program(after)
        ast.parse(after)
        assert set(program.functions) >= COMPONENTS
        assert not program.undefined()
        for name, items in program.by_name.items():
            assert len(items) == 1, f"{name} is defined twice:\n{after}"
        assert alike(program, parse_program(recipe), function, COMPONENTS, values=True)
        code = after
    assert len(code) < len(SEED) + 4 * 400
