"""The task that all systems work on: eight numbers, a landscape with many hollows, and evaluators that take no time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["BRIEF", "EIGHT_NUMBERS", "NUMBERS", "SEED", "TASK_TOML", "Problem", "answer", "compose", "evaluator"]
__all__ += ["program"]

NUMBERS = 8
BRIEF = "Choose eight numbers. The score is highest, 0, where all of them are 0; on the way there are many hollows."

_PART = '''\
def number{0}():
    """Return number {0}, moved from its start."""
    start = X{0}
    pull = 0.25 * start
    step = start - pull
    bend = step * step / 64.0
    turn = step - bend * 0.5
    return turn + bend


'''


def program(numbers: list[float]) -> str:
    """Return a program that starts from these numbers."""
    constants = "".join(f"X{n} = {number!r}\n" for n, number in enumerate(numbers))
    parts = "".join(_PART.format(n) for n in range(len(numbers)))
    calls = "".join(f"        number{n}(),\n" for n in range(len(numbers)))
    solve = f'def solve():\n    """Return the numbers."""\n    return [\n{calls}    ]\n'
    # One of the systems asks for these two marks.
    return f'"""Eight numbers."""\n\n# EVOLVE-BLOCK-START\n{constants}\n\n{parts}{solve}# EVOLVE-BLOCK-END\n'


SEED = program([2.5] * NUMBERS)


def answer(call: int) -> str:
    """Return the answer to a request for a program, which depends on its number from 1 alone.

    All the systems read it: name and program stand in tags, and the program in a fence too. Its numbers come nearer to
    the best ones as the calls go on.
    """
    rng = random.Random(call)
    numbers = [round(rng.uniform(-5.0, 5.0) / (1.0 + call / 50.0), 6) for _ in range(NUMBERS)]
    return (
        f"<NAME>\nstep_{call}\n</NAME>\n\n<DESCRIPTION>\nStart the eight numbers elsewhere.\n</DESCRIPTION>\n\n"
        f"<CODE>\n```python\n{program(numbers)}```\n</CODE>\n"
    )


TASK_TOML = """\
name = "numbers"
direction = "maximize"
guarded = {guarded}

[interface]
functions = ["solve"]
"""

_SCORE = '''\
import math


def score(numbers):
    """Return the negative of Rastrigin's function."""
    if len(numbers) != 8:
        raise ValueError("there must be eight numbers")
    return -math.fsum(x * x - 10.0 * math.cos(2.0 * math.pi * x) + 10.0 for x in map(float, numbers))
'''

_GUARDED = """\


def evaluate(program_path):
    import evolve_task

    return {"score": score(evolve_task.call("solve"))}
"""

_OPEN = """\


def evaluate(program_path):
    import runpy

    return {"score": score(runpy.run_path(program_path)["solve"]())}
"""

# A peer's first evaluation leaves the time in a file beside the evaluator.
_NOTE_TIME = """\


def note_time():
    import pathlib
    import time

    try:
        with open(pathlib.Path(__file__).with_name("first"), "x") as file:
            file.write(repr(time.time()))
    except FileExistsError:
        pass
"""

_WITHIN = """\


def evaluate(program_path):
    import runpy

    note_time()
    return {"combined_score": score(runpy.run_path(program_path)["solve"]())}
"""

_CHILD = "import json, runpy, sys; print(json.dumps(runpy.run_path(sys.argv[1])['solve']()))"
_APART = f"""\


def evaluate(program_path):
    import json
    import subprocess
    import sys

    note_time()
    command = [sys.executable, "-c", {_CHILD!r}, program_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return {{"combined_score": score(json.loads(done.stdout))}}
"""

_COMMAND = """\


if __name__ == "__main__":
    import argparse
    import json
    import os
    import runpy

    note_time()
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path")
    parser.add_argument("--results_dir")
    given = parser.parse_args()
    reached = score(runpy.run_path(given.program_path)["solve"]())
    os.makedirs(given.results_dir, exist_ok=True)
    results = {
        "correct.json": {"correct": True, "error": None},
        "metrics.json": {"combined_score": reached, "public": {}, "private": {}},
    }
    for name, content in results.items():
        with open(os.path.join(given.results_dir, name), "w") as file:
            json.dump(content, file)
"""

_OURS = {"guarded": _GUARDED, "open": _OPEN}
_THEIRS = {"within": _WITHIN, "apart": _APART, "command": _COMMAND}


def evaluator(kind: str) -> str:
    """Return the text of an evaluator.

    Args:
        kind: `guarded` and `open` are ours; `within` runs the candidate in the process that calls `evaluate`, `apart`
            in a Python of its own; `command` is a script that is called for each candidate and runs it itself.
    """
    return compose(kind, _SCORE, _NOTE_TIME)


def compose(kind: str, score: str, note: str) -> str:
    """Return the text of an evaluator of another problem.

    Args:
        kind: see `evaluator`.
        score: defines `score(numbers)`.
        note: defines `note_time()`, which a peer's evaluator calls before each program.
    """
    return score + _OURS[kind] if kind in _OURS else score + note + _THEIRS[kind]


@dataclass(frozen=True)
class Problem:
    """What all the systems are given."""

    brief: str
    seed: str
    """The initial program."""
    toml: str
    """Our task.toml, with a place for `guarded`."""
    evaluator: Callable[[str], str]
    """The evaluator of a kind."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What our evaluator needs beside it."""
    model: str = "m"
    """The model's name."""
    number: int | None = None
    """The seed of a search, for systems that take one; None: their default."""


EIGHT_NUMBERS = Problem(BRIEF, SEED, TASK_TOML, evaluator)
