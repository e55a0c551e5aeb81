"""Tunable values of a program, and changes of a value."""

from __future__ import annotations

import pytest

from engine.designers.recombine.editor import Editor
from engine.designers.recombine.messages import (
    Apply,
    Edited,
    Failed,
    Hello,
    Options,
    SetValue,
    Survey,
    Tunable,
)
from engine.designers.recombine.program import EditError, Program, parse_program
from engine.designers.recombine.tune import set_value, tunables
from engine.designers.recombine.worker import editor_of
from tests.engine.designers.programs import RECIPE, SEED, donor


def found(code: str, *required: str) -> dict[str, Tunable]:
    """Return tunable values by their readable names."""
    return {tunable.name: tunable for tunable in tunables(parse_program(code), required or ("total",))}


def moves(tunable: Tunable | None) -> tuple[object, ...] | None:
    """Return kind, value and bounds of a number, or the options of a choice."""
    if tunable is None:
        return None
    if tunable.kind in ("flip", "choice"):
        return tunable.kind, tunable.value, tunable.choices
    return tunable.kind, tunable.value, tunable.low, tunable.high


def test_comments_set_how_constants_are_tuned() -> None:
    constants = found(SEED)
    assert constants["STEPS"] == Tunable("STEPS", 0, "tune/STEPS", "STEPS", "effort", 30, 5, 200)
    assert constants["RATE"] == Tunable("RATE", 0, "tune/RATE", "RATE", "scale", 0.5, 0.1, 0.9)
    assert constants["a number in second()"] == Tunable(
        "second", 0, "tune/second()", "a number in second()", "scale", 0.75, 0.075, 7.5
    )


def test_unread_values_and_values_that_are_no_floats_are_not_tuned() -> None:
    assert set(found(SEED)) == {"STEPS", "RATE", "a number in second()"}
    assert "RATE" not in found(SEED.replace("x * RATE", "x"))


def test_values_of_uncalled_functions_are_not_tuned() -> None:
    code = SEED.replace("sum(first(k) for k in range(STEPS))", "STEPS")
    assert "RATE" not in found(code)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("X = 1e-9  # tune: tolerance 1e-12..1e-6", ("tolerance", 1e-9, 1e-12, 1e-6)),
        ("X = -0.5", ("scale", -0.5, 0.05, 5.0)),
        ("X: float = 2.0", ("scale", 2.0, 0.2, 20.0)),
        ("X = 3  # tune: scale 1..6", ("scale", 3, 1, 6)),
        ("X = 3  # tune: effort 1..6, and no more", ("effort", 3, 1, 6)),
        ("X = 3  # Tune: Effort", ("effort", 3, 1, 30)),
        ("X = 0  # tune: scale -2..2", ("scale", 0, -2, 2)),
        ("X = True  # tune: flip", ("flip", True, [])),
        ('X = "a"  # tune: choice a|b c|"d|e"', ("choice", "a", ["a", "b c", "d|e"])),
        ("X = None  # tune: choice None|3|0.5|True", ("choice", None, [None, 3, 0.5, True])),
        ("X = 3", None),
        ("X = 0.0", None),
        ("X = True", None),
        ("X = 'a'", None),
        ("X = 2.0  # tune: fixed", None),
        ("X = 1.0  # tune: scale 5..1", None),
        ("X = 1.0  # tune: efort 1..5", None),
        ("X = 1e999", None),
        ("X = 10**400  # tune: effort 1..5", None),
        ('X = "# tune: choice a|b"', None),
    ],
)
def test_constants_have_kinds(line: str, expected: tuple[object, ...] | None) -> None:
    assert moves(found(f"{line}\n\n\ndef total():\n    return X\n").get("X")) == expected


def test_constant_set_twice_is_not_tuned() -> None:
    assert found("X = 1.5\nX = 2.5\n\n\ndef total():\n    return X\n") == {}


PLACES = '''\
from dataclasses import dataclass, field

import numpy as np

LIST = [0.5, 2, -3]
DICT = {"rate": 0.1, "deep": {"a/b": [4.0]}, "on": True, 5: "text"}
TUPLE = (1.5, 0)
A, B = 0.25, 7.0
ARRAY = np.array([[1, 2.5], [0, 3]])
FLAT = np.full((2, 3), 0.5)


@dataclass(frozen=True)
class Config:
    """Its docstring."""

    rate: float = 0.3
    steps: int = 9
    on: bool = False
    weights: list = field(default_factory=lambda: [1.0])

    def run(self, depth=3):
        return depth * 0.75


CONFIG = Config(rate=0.9)


def total(depth=4, *, wide=True, axis=0) -> float:
    """Its docstring."""
    w = [0.125, 6]
    shown = f"{w[0]:.2f} {0.5}"
    best = sorted(w, reverse=True)[1]
    all_of = np.zeros((3, 4)).sum(axis=1, keepdims=True)
    return solve(LIST, DICT, TUPLE, A, B, ARRAY, FLAT, CONFIG, tol=1e-9) * 11 + 12.5


def solve(*args: float, tol: float) -> float:
    return 0
'''


def test_numbers_are_found_at_all_places_of_parameters() -> None:
    assert {name: tunable.value for name, tunable in found(PLACES).items()} == {
        "LIST[0]": 0.5,
        "LIST[1]": 2,
        "LIST[2]": -3,
        "DICT['rate']": 0.1,
        "DICT['deep']['a/b'][0]": 4.0,
        "DICT['on']": True,
        "TUPLE[0]": 1.5,
        "TUPLE[1]": 0,
        "A": 0.25,
        "B": 7.0,
        "ARRAY[0][0]": 1,
        "ARRAY[0][1]": 2.5,
        "ARRAY[1][0]": 0,
        "ARRAY[1][1]": 3,
        "a number in FLAT": 0.5,
        "Config.rate": 0.3,
        "Config.steps": 9,
        "Config.on": False,
        "Config.weights[0]": 1.0,
        "Config.run(depth)": 3,
        "a number in Config": 0.75,
        "CONFIG.rate": 0.9,
        "total(depth)": 4,
        "total(wide)": True,
        "w[0] in total()": 0.125,
        "w[1] in total()": 6,
        "sorted(reverse) in total()": True,
        "solve(tol) in total()": 1e-9,
        "a number in total()": 12.5,
    }


def test_undeclared_bounds_come_from_number_or_neighbours_of_zero() -> None:
    places = found(PLACES)
    assert moves(places["LIST[1]"]) == ("scale", 2, 1, 20)
    assert moves(places["LIST[2]"]) == ("scale", -3, 1, 30)
    assert moves(places["TUPLE[1]"]) == ("scale", 0, -1.5, 1.5)
    assert moves(places["DICT['on']"]) == ("flip", True, [])


def test_every_named_number_has_its_own_arm() -> None:
    arms = [tunable.arm for tunable in found(PLACES).values()]
    assert len(set(arms)) == len(arms)
    assert all(arm.startswith("tune/") and arm.count("/") <= 2 for arm in arms)
    loose = "def total():\n    return 0.5 + 0.25\n"
    assert {tunable.arm for tunable in tunables(parse_program(loose), ["total"])} == {"tune/total()"}


def test_comments_apply_to_elements_and_brackets() -> None:
    code = """\
WEIGHTS = [  # tune: scale 0.1..5
    0.5,
    2.0,  # tune: fixed
    [1.5, 3.5],  # tune: scale 1..4
    4,  # tune: effort 1..9
    2.5,
]
OTHER = {
    "mode": "best", "share": 0.5,  # tune: choice best|worst
    "deep": [
        1.0,
    ],  # tune: tolerance 0.01..100
}


def total(
    k=3,  # tune: effort 2..5
    mode=None,  # tune: choice None|fast
):
    steps = 8  # tune: effort 1..99
    return WEIGHTS, OTHER, steps, k, mode
"""
    assert {name: moves(tunable) for name, tunable in found(code).items()} == {
        "WEIGHTS[0]": ("scale", 0.5, 0.1, 5.0),
        "WEIGHTS[2][0]": ("scale", 1.5, 1.0, 4.0),
        "WEIGHTS[2][1]": ("scale", 3.5, 1.0, 4.0),
        "WEIGHTS[3]": ("effort", 4, 1.0, 9.0),
        "WEIGHTS[4]": ("scale", 2.5, 0.1, 5.0),
        "OTHER['mode']": ("choice", "best", ["best", "worst"]),
        "OTHER['share']": ("scale", 0.5, 0.05, 5.0),
        "OTHER['deep'][0]": ("tolerance", 1.0, 0.01, 100.0),
        "total(k)": ("effort", 3, 2.0, 5.0),
        "total(mode)": ("choice", None, [None, "fast"]),
        "steps in total()": ("effort", 8, 1.0, 99.0),
    }
    assert parse_program(code).rules.problems == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("X = 1.0  # tune: efort 5..200", "there is no kind 'efort'; the kinds are effort, scale, tolerance"),
        ("X = 1.0  # tune: 5..200", "there is no kind '5..200'"),
        ("X = 1.0  # tune:", "there is no kind ''"),
        ("X = 1.0  # tune: scale 5-200", "'5-200' is no pair of bounds; write 'scale 5..200'"),
        ("X = 1.0  # tune: scale 5..1", "the lower bound 5 is not below the upper bound 1"),
        ("X = 1.0  # tune: effort -5..5", "its bounds cannot be below 0"),
        ("X = 9.0  # tune: scale 1..5", "9.0 lies outside of its bounds"),
        ("X = 0.0  # tune: scale", "0 has no size to start from; give bounds"),
        ("X = 'c'  # tune: choice a|b", "there is none of these values here"),
        ("X = 'a'  # tune: choice a", "two or more different values"),
        ("X = 1  # tune: flip", "there is no True or False here"),
        ("X = True  # tune: scale 0..1", "there is no number here"),
        ("# tune: scale 0..1", "there is no number here"),
    ],
)
def test_invalid_comment_is_reported(line: str, problem: str) -> None:
    program = parse_program(f"import math\n{line}\n\n\ndef total():\n    return math.pi\n")
    assert [at for at, _ in program.rules.problems] == [2]
    assert problem in program.rules.problems[0][1]


def test_prose_about_tuning_is_ignored() -> None:
    code = 'X = 1.0  # tune this later\nY = "# tune: nonsense"\n'
    assert parse_program(code).rules.problems == []


def test_setting_value_changes_nothing_else() -> None:
    code = "É = 'é'\nX  =  -0.5   # tune: scale 0.1..1\n\x0c\n\ndef f():\n    return 'é', 2.5, 0.5\n"
    assert set_value(parse_program(code), "X", 0, -0.5, -0.25) == code.replace("-0.5", "-0.25")
    assert set_value(parse_program(code), "f", 1, 2.5, 7.0) == code.replace("2.5", "7.0")
    for owner, index, old in (("f", 3, 2.5), ("f", -1, 0.5), ("g", 0, 2.5), ("f", 1, 2.0)):
        with pytest.raises(EditError):
            set_value(parse_program(code), owner, index, old, 7.0)


def test_quotes_of_text_are_kept() -> None:
    code = "X = \"a\"  # tune: choice a|b\nY = 'a'  # tune: choice a|b\n"
    assert set_value(parse_program(code), "X", 0, "a", "b") == code.replace('"a"', '"b"')
    assert set_value(parse_program(code), "Y", 0, "a", "b") == code.replace("'a'", "'b'")


def editor() -> Editor[Program]:
    return editor_of(Hello([SEED], ["total"], 10_000))


def test_survey_offers_new_alternatives() -> None:
    options = editor().handle(Survey(1, SEED, [donor(RECIPE, "a"), donor(SEED, "same")], [donor(RECIPE, "4")]))
    assert isinstance(options, Options)
    assert [(option.function, option.donor) for option in options.swaps] == [("first", "a")]
    assert [(option.function, option.donor) for option in options.exchanges] == [("first", "4")]
    assert options.reverts == []


def test_unparsable_recipe_is_ignored() -> None:
    options = editor().handle(Survey(1, SEED, [donor("def first(x:")], []))
    assert isinstance(options, Options)
    assert options.swaps == []


def test_edit_without_effect_is_reported() -> None:
    edited = editor().handle(Apply(1, SEED, [SetValue("UNREAD", 0, 0.25, 3.5)]))
    assert isinstance(edited, Edited)
    assert edited.program != SEED
    assert edited.changes == [[]]
    assert edited.outline is None


def test_program_over_size_limit_is_not_made() -> None:
    small = editor_of(Hello([SEED], ["total"], len(SEED) + 1))
    edited = small.handle(Apply(1, SEED, [SetValue("RATE", 0, 0.5, 0.123456789)]))
    assert isinstance(edited, Edited)
    assert edited.changes == [[]]
    assert "longer than" in edited.problem


@pytest.mark.parametrize("code", ["def (", "x = " + "(" * 400 + ")" * 400, "\0", "x = " + "-" * 200_000 + "1"])
def test_unreadable_program_gets_answer(code: str) -> None:
    assert isinstance(editor().handle(Apply(1, code, [])), Failed)
