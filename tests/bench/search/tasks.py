"""Tasks of the benchmark of searches: landscapes whose programs are numbers, and open problems made cheaper."""

from __future__ import annotations

import ast
import random
import re
import shutil
from pathlib import Path

from engine.task.load import BUILTIN_TASKS
from tests.bench import landscapes
from tests.bench.landscapes import LANDSCAPES, Landscape, Vector

__all__ = [
    "CHOSEN",
    "failing_program",
    "landscape_toml",
    "numbers_in",
    "program",
    "start_of",
    "write_landscape",
    "write_problem",
]

CHOSEN = {landscape.name: landscape for landscape in LANDSCAPES if landscape.name in ("rastrigin", "rugged", "circles")}
"""Many optima in regular order, many in none, and the work of a program."""

_PROGRAM = '''\
"""Numbers to be chosen."""

# EVOLVE-BLOCK-START
NUMBERS = {numbers}


def solve():
    """Return the numbers."""
    {body}


# EVOLVE-BLOCK-END
'''
_NUMBERS = re.compile(r"^\+?NUMBERS = (\[[^\]\n]*\])$", re.MULTILINE)
_TASK = """\
name = "{name}"
direction = "maximize"
guarded = {guarded}

[interface]
functions = ["solve"]
"""
_EVALUATE = """\
import runpy

from landscapes import LANDSCAPES

LANDSCAPE = next(landscape for landscape in LANDSCAPES if landscape.name == "{name}")


def evaluate(program_path):
    numbers = tuple(map(float, runpy.run_path(program_path)["solve"]()))
    if len(numbers) != {size}:
        raise ValueError("there must be {size} numbers")
    return {{"score": LANDSCAPE.score(numbers)}}
"""
_SOLVES = re.compile(r"^SOLVES = \d+\s*# tune: .*$", re.MULTILINE)
_FEW_SOLVES = 4
_CPU_SECONDS = {"circle_packing": 4.0}
_LEAST_CPU_SECONDS = 2.0


def start_of(landscape: Landscape) -> Vector:
    """Return the seed program's numbers, as it writes them."""
    return _written(landscape.start(random.Random(f"{landscape.name} begin")))


def program(numbers: Vector) -> str:
    """Return the program that gives these numbers."""
    return _PROGRAM.format(numbers=list(_written(numbers)), body="return list(NUMBERS)")


def failing_program(parent: Vector, number: int) -> str:
    """Return a program that does not run, unlike all others of its kind."""
    body = f'raise RuntimeError("idea {number} does not run")'
    return _PROGRAM.format(numbers=list(_written(parent)), body=body)


def _written(numbers: Vector) -> Vector:
    return tuple(round(number, 6) for number in numbers)


def numbers_in(text: str) -> list[Vector]:
    """Return the numbers of all programs that a text shows, whole or as what they have other than another one."""
    return [tuple(map(float, ast.literal_eval(found))) for found in _NUMBERS.findall(text)]


def landscape_toml(name: str) -> str:
    """Return the task.toml of a landscape, with a place for `guarded`."""
    return _TASK.replace("{name}", name)


def write_landscape(landscape: Landscape, folder: Path) -> None:
    """Write a landscape as a task whose programs hold its numbers."""
    start = start_of(landscape)
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(landscape_toml(landscape.name).format(guarded="false"))
    (folder / "brief.md").write_text(f"Choose {len(start)} numbers.\n")
    (folder / "seed.py").write_text(program(start))
    (folder / "evaluate.py").write_text(_EVALUATE.format(name=landscape.name, size=len(start)))
    shutil.copy(Path(landscapes.__file__), folder / "landscapes.py")


def write_problem(name: str, folder: Path) -> None:
    """Copy a built-in task with a smaller budget for each program, so that a round takes seconds at most.

    The number of solves can no longer be tuned, so that no search buys a better score with more of them.
    """
    shutil.copytree(BUILTIN_TASKS / name, folder)
    for path in folder.glob("priors/*.md"):
        path.write_text(_SOLVES.sub(f"SOLVES = {_FEW_SOLVES}", path.read_text()))
    toml = folder / "task.toml"
    text = toml.read_text().replace(f'name = "{name}"', f'name = "{folder.name}"')
    seconds = _CPU_SECONDS.get(name, _LEAST_CPU_SECONDS)
    toml.write_text(text.replace("cpu_seconds = 20.0", f"cpu_seconds = {seconds}"))
