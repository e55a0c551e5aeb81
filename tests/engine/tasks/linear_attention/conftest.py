"""Set-up for the tests of the task linear_attention."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.designers.recombine.program import parse_program
from engine.evaluation import evolve_task
from tests.engine.tasks.builtin import BuiltIn

LINEAR = BuiltIn("linear_attention")
SEED = LINEAR.seed
SMALL = {"recall_width": 32, "recall_length": 32, "recall_batch": 4, "text_batch": 2, "steps": 5, "held_out": 8}


@pytest.fixture
def load() -> Iterator[Callable[[str], Any]]:
    """Import one of the task's files, for this test only."""
    with LINEAR.importable() as load:
        yield load


@pytest.fixture
def session(load: Callable[[str], Any]) -> Iterator[Callable[[str], Any]]:
    """Open a session with a program, in this process."""

    def make(code: str) -> Any:
        sys.meta_path[:] = [found for found in sys.meta_path if not isinstance(found, evolve_task._Program)]
        sys.meta_path.insert(0, evolve_task._Program("program.py", code))
        for name in ("program", "beside"):
            sys.modules.pop(name, None)
        importlib.import_module("program")
        beside = load("beside")

        class Session:
            cpu_seconds = 0.0

            def call(self, function: str, *arguments: Any) -> Any:
                sent = evolve_task._decode(evolve_task._encode(arguments))
                began = time.process_time()
                found = getattr(beside, function)(*sent)
                self.cpu_seconds += time.process_time() - began
                return evolve_task._decode(evolve_task._encode(found))

        return Session()

    yield make
    sys.meta_path[:] = [found for found in sys.meta_path if not isinstance(found, evolve_task._Program)]


@pytest.fixture
def check(load: Callable[[str], Any], session: Callable[[str], Any]) -> Callable[..., dict[str, float]]:
    """Check a program against the contract; `short` keeps to sequences of 2,600 tokens."""

    def run(code: str, width: int = 32, heads: int = 2, short: bool = False) -> dict[str, float]:
        limit = load("evaluate").budget(width, heads, LINEAR.spec.settings)
        contract = load("contract")
        contract.TIMES = contract.TIMES_BACK  # fewer passes to time: the tests of hostile layers take all
        if short:
            contract.SHORTEST, contract.TIMED, contract.TIMED_BACK = (20, 24), (128, 160), (64, 80)
        found: dict[str, float] = contract.check_layer(session(code), width, heads, limit, 1)
        return found

    return run


def changed(function: str, body: str) -> str:
    """Return the seed with another version of one of its functions appended."""
    parameters = ", ".join(argument.arg for argument in parse_program(SEED).functions[function].args.args)
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{SEED}\n\ndef {function}({parameters}):\n{lines}\n"
