"""What can be tuned in a program, and how a number is changed."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.designers.recombine.messages import Apply, Constant, Edited, Failed, Hello, Options, SetConstant, Survey
from engine.designers.recombine.program import EditError, parse_program
from engine.designers.recombine.tune import set_constant, set_literal
from engine.designers.recombine.worker import Editor
from tests.engine.designers.programs import RECIPE, SEED, donor


def found(code: str, required: tuple[str, ...] = ("total",)) -> dict[str, Constant]:
    return {
        constant.name if constant.index is None else f"{constant.name}#{constant.index}": constant
        for constant in parse_program(code).constants(required)
    }


def test_constants_say_how_they_are_tuned() -> None:
    constants = found(SEED)
    assert constants["STEPS"] == Constant("STEPS", "effort", 30, 5, 200)
    assert constants["RATE"] == Constant("RATE", "scale", 0.5, 0.1, 0.9)
    assert constants["second#0"] == Constant("second", "scale", 0.75, 0.075, 7.5, 0)


def test_what_is_not_read_or_no_float_is_left_alone() -> None:
    assert set(found(SEED)) == {"STEPS", "RATE", "second#0"}
    assert "RATE" not in found(SEED.replace("x * RATE", "x"))


def test_what_only_a_function_that_nothing_calls_reads_is_left_alone() -> None:
    code = SEED.replace("sum(first(k) for k in range(STEPS))", "STEPS")
    assert "RATE" not in found(code)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("X = 1e-9  # tune: tolerance 1e-12..1e-6", Constant("X", "tolerance", 1e-9, 1e-12, 1e-6)),
        ("X = -0.5", Constant("X", "scale", -0.5, 0.05, 5.0)),
        ("X: float = 2.0", Constant("X", "scale", 2.0, 0.2, 20.0)),
        ("X = 3  # tune: scale 1..6", Constant("X", "scale", 3, 1, 6)),
        ("X = 3", None),
        ("X = 0.0", None),
        ("X = True", None),
        ("X = 1.0  # tune: scale 5..1", None),
        ("X = 1e999", None),
    ],
)
def test_kinds_of_constants(line: str, expected: Constant | None) -> None:
    assert found(f"{line}\n\n\ndef total():\n    return X\n").get("X") == expected


def test_a_constant_set_twice_is_left_alone() -> None:
    assert found("X = 1.5\nX = 2.5\n\n\ndef total():\n    return X\n") == {}


def test_nothing_but_the_number_changes() -> None:
    code = "É = 1; X = -0.5   # tune: scale 0.1..1\n"
    with pytest.raises(EditError):
        set_constant(parse_program(code), "X", -0.25)
    code = "É = 'é'\nX  =  -0.5   # tune: scale 0.1..1\n\x0c\n\ndef f():\n    return 'é', 2.5, 0.5\n"
    assert set_constant(parse_program(code), "X", -0.25) == code.replace("-0.5", "-0.25")
    assert set_literal(parse_program(code), "f", 0, 7.0) == code.replace("2.5", "7.0")
    with pytest.raises(EditError):
        set_literal(parse_program(code), "f", 2, 7.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12))
def test_any_number_survives(value: float) -> None:
    code = set_constant(parse_program(SEED), "RATE", value)
    assert ast.literal_eval(code.split("RATE = ")[1].split("  #")[0]) == value


def editor() -> Editor:
    return Editor(Hello([SEED], ["total"], 10_000))


def test_the_survey_offers_what_is_not_there_yet() -> None:
    options = editor().handle(Survey(1, SEED, [donor(RECIPE, "a"), donor(SEED, "same")], [donor(RECIPE, "4")]))
    assert isinstance(options, Options)
    assert [(option.function, option.donor) for option in options.swaps] == [("first", "a")]
    assert [(option.function, option.donor) for option in options.exchanges] == [("first", "4")]
    assert options.reverts == []


def test_a_recipe_that_does_not_parse_offers_nothing() -> None:
    options = editor().handle(Survey(1, SEED, [donor("def first(x:")], []))
    assert isinstance(options, Options)
    assert options.swaps == []


def test_an_edit_that_changes_nothing_that_runs_is_told() -> None:
    edited = editor().handle(Apply(1, SEED, [SetConstant("UNREAD", 3.5)]))
    assert isinstance(edited, Edited)
    assert edited.done == [True]
    assert edited.outline is None


def test_a_program_over_the_limit_is_not_made() -> None:
    small = Editor(Hello([SEED], ["total"], len(SEED) + 1))
    edited = small.handle(Apply(1, SEED, [SetConstant("RATE", 0.123456789)]))
    assert isinstance(edited, Edited)
    assert edited.done == [False]
    assert "longer than" in edited.problem


@pytest.mark.parametrize("code", ["def (", "x = " + "(" * 400 + ")" * 400, "\0", "x = " + "-" * 200_000 + "1"])
def test_a_program_that_cannot_be_read_is_answered(code: str) -> None:
    assert isinstance(editor().handle(Apply(1, code, [])), Failed)
