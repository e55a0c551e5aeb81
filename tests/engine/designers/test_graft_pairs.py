"""A grafted program loads, and its function gives what it gives in the program that it comes from."""

from __future__ import annotations

import textwrap
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import EditError, parse_program
from tests.engine.designers.pairs import answers, loads, random_program

COMPONENTS = frozenset({"step", "run"})


def joined(program: str, donor: str) -> str:
    return graft(parse_program(program), parse_program(donor), "step", COMPONENTS)


def sound(code: str) -> bool:
    try:
        answers(code)
    except Exception:
        return False
    return True


def check(program: str, donor: str) -> bool:
    """Graft and compare; return whether the graft was made."""
    try:
        after = joined(program, donor)
    except EditError:
        return False
    try:
        assert answers(after) == answers(donor)
    except Exception as exc:
        raise AssertionError(f"{exc!r}\n---- program\n{program}\n---- donor\n{donor}\n---- grafted\n{after}") from exc
    return True


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_grafted_function_gives_what_it_gives_at_home(one: Random, two: Random) -> None:
    program, donor = random_program(one), random_program(two)
    assume(sound(program) and sound(donor))
    check(program, donor)


def test_most_pairs_can_be_grafted() -> None:
    rng = Random(7)
    programs = [code for code in (random_program(rng) for _ in range(240)) if sound(code)]
    made = [check(program, donor) for program, donor in zip(programs[::2], programs[1::2], strict=False)]
    assert len(made) > 50
    assert sum(made) > 0.9 * len(made)


def at_home(program: str, donor: str) -> None:
    assert check(textwrap.dedent(program), textwrap.dedent(donor))


def test_value_that_class_body_reads_before_it_binds_its_own_is_the_donors() -> None:
    donor = """
        K = 7

        class Config:
            K = K + 1

        def step(x):
            return x + Config.K
        """
    at_home("K = 3\n\ndef step(x):\n    return x\n\ndef run(x):\n    return step(x) + K\n", donor)


def test_annotation_that_its_own_module_never_evaluates_is_kept_as_text() -> None:
    donor = """
        from __future__ import annotations
        from dataclasses import dataclass

        def step(x: Later) -> dict[Later, "Never"]:
            return Later(x).size

        @dataclass
        class Later:
            size: Missing
        """
    at_home("def step(x):\n    return x\n\ndef run(x):\n    return step(x)\n", donor)


def test_statement_that_fills_a_table_comes_along() -> None:
    donor = """
        TABLE = [1]
        for n in range(3):
            TABLE.append(n)

        def step(x):
            return x + sum(TABLE)
        """
    at_home("TABLE = [1]\n\ndef step(x):\n    return x\n\ndef run(x):\n    return step(x) + sum(TABLE)\n", donor)


def test_module_level_call_finds_what_the_new_function_needs() -> None:
    program = """
        def step(x):
            return x

        READY = step(1)

        def tail(x):
            return x + READY

        def run(x):
            return step(x) + tail(x)
        """
    donor = (
        "import math\n\ndef step(x):\n    return half(x)\n\nTWO = math.floor(2.5)\n\ndef half(x):\n    return x / TWO\n"
    )
    at_home(program, donor)


def test_program_that_looks_names_up_while_it_runs_keeps_them_all() -> None:
    program = """
        K = 7

        def step(x):
            return x + K

        def run(x):
            return step(x) + globals()["K"]
        """
    after = joined(textwrap.dedent(program), "def step(x):\n    return x\n")
    assert loads(after)["run"](1) == 8
