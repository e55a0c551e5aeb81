"""`evolve new`: write a small working task, to be adapted."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import TaskError, UsageError
from engine.programs.languages.registry import language_named
from engine.task.spec import is_name
from engine.task.starters import LANGUAGES as STARTERS
from engine.task.starters import starter_of, toolchain_of

__all__ = ["write_task"]

_TOML = """\
name = "{name}"
summary = "Approximate sin(x) on [0, pi] with a short polynomial"
direction = "minimize"          # or "maximize"
metric = "max_error"            # the key of the score in what evaluate() returns
guarded = true                  # the evaluator runs programs only through evolve_task.call

[interface]
functions = ["approximate"]     # what a program must define at its top level

[limits]
seconds = 30                    # wall clock of one evaluation
memory_mb = 1024

[settings]                      # handed to the evaluator as report.settings
points = 400

[run]                           # defaults of `evolve run`
rounds = 50
"""

_BRIEF = """\
# Approximate sin(x)

Write `approximate(xs: list[float]) -> list[float]`: for each x in [0, pi] a value as close to sin(x) as possible, with
additions, multiplications and constants only. The score is the largest absolute error over a grid; lower is better.
"""

_SEED = '''\
"""A quadratic through (0, 0) and (pi, 0)."""

SCALE = 0.4  # tune: scale 0.01..10
PI = 3.141592653589793


def basis(x):
    """x(pi - x), which is zero where sin is."""
    return x * (PI - x)


def correct(value):
    """What is done to the first guess."""
    return SCALE * value


def approximate(xs):
    """sin(x) for each x in [0, pi]."""
    return [correct(basis(x)) for x in xs]
'''

_EVALUATE = '''\
"""Scores a program: the largest error on a grid. Runs in a process that never runs the program itself."""

import math

import evolve_task


def evaluate(program_path, report):
    points = report.settings["points"]
    grid = [math.pi * i / points for i in range(points + 1)]
    values = evolve_task.call("approximate", grid)
    if not isinstance(values, list) or len(values) != len(grid):
        raise evolve_task.Invalid(f"approximate() must return a list of {len(grid)} numbers")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise evolve_task.Invalid(f"approximate() returned {value!r}, not a finite number")
    errors = [abs(value - math.sin(x)) for value, x in zip(values, grid)]
    return {"max_error": max(errors), "mean_error": sum(errors) / len(errors)}
'''

_PRIOR = """\
---
title: Bhaskara's rational shape, as a polynomial correction
tags: approximation
source: Bhaskara I, Mahabhaskariya (7th century); see any text on rational approximations of the sine
---

With u = x(pi - x), sin(x) is close to a u + b u^2: the second term bends the parabola where it is too flat.

```python recipe
A = 0.31  # tune: scale 0.05..2
B = 0.036  # tune: scale 0.001..1


def correct(value):
    return A * value + B * value * value
```
"""


_BRIEF_OF = """\
# Approximate sin(x)

Write {what}: for each x in [0, pi] the value comes as close to sin(x) as possible, with additions, multiplications and
constants only. The score is the largest absolute error over a grid; lower is better.
"""


def write_task(folder: Path, language: str = "python", several: bool = False) -> Path:
    """Write a working example into a new folder and return it.

    Args:
        folder: the new folder.
        language: what its programs are written in.
        several: whether they are folders of two files.

    Raises:
        UsageError: the folder exists, its name cannot name a task, or there is no such example.
        TaskError: it cannot be written.
    """
    name = folder.name
    if not is_name(name):
        raise UsageError(f"'{name}' cannot name a task", "Use letters, digits, '_' and '-'")
    files = {
        "task.toml": _TOML.replace("{name}", name),
        "brief.md": _BRIEF,
        "seed.py": _SEED,
        "evaluate.py": _EVALUATE,
        "priors/rational-shape.md": _PRIOR,
    }
    if language != "python" or several:
        files = _in_language(files, language, several)
    try:
        folder.mkdir(parents=True)
        for relative, text in files.items():
            path = folder / relative
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} exists already", "Choose another name") from None
    except OSError as exc:
        raise TaskError(f"{exc.filename or folder} cannot be written: {exc.strerror}") from None
    return folder


def _in_language(files: dict[str, str], language: str, several: bool) -> dict[str, str]:
    """Return the example's files in another language or as a folder."""
    starter = starter_of(language, several)
    if starter is None:
        known = [name for name in STARTERS if starter_of(name, several)]
        what = f"{language} as a folder" if several and language in STARTERS else language
        raise UsageError(f"there is no example in {what}: there are {', '.join(known)}", "docs/languages.md has more")
    kind = language_named(language)
    own = [f"correct{kind.suffix}", f"approximate{kind.suffix}"]
    program = f"[program]\nlanguage = {json.dumps(language)}\n" + (f"files = {json.dumps(own)}\n" if several else "")
    if starter.build:
        call, mounts = toolchain_of(starter.tool) or (starter.tool, [])
        mine = own if several else [f"program{kind.suffix}"]
        words: list[str] = []
        for word in starter.build:
            if word == "{files}":
                words += mine
            else:
                words.append(call if word == starter.tool else mine[-1] if word == "{main}" else word)
        program += f"\n[build]\ncommand = {json.dumps(words)}\n"
        if starter.beside and not several:
            program += f"files = {json.dumps(list(starter.beside))}\n"
        program += f"mounts = {json.dumps(mounts)}\n" if mounts else ""
        program += "limits = { seconds = 60 }\n"
    toml = files["task.toml"].replace("[interface]\n", f"{program}\n[interface]\n")
    if not kind.has_functions:
        start, end = toml.index("[interface]"), toml.index("[limits]")
        toml = toml[:start] + toml[end:]
    what = "coefficients of a polynomial" if not kind.has_functions else f"`approximate(x)` in {kind.title}"
    written = {
        "task.toml": toml,
        "brief.md": _BRIEF_OF.replace("{what}", what),
        "evaluate.py": files["evaluate.py"].replace('"approximate", grid', '"run.py:values", grid'),
        "run.py": starter.run,
        **starter.seed(kind.suffix, several),
    }
    if starter.recipe:
        prior = files["priors/rational-shape.md"]
        written["priors/rational-shape.md"] = (
            f"{prior[: prior.index('```')]}```{kind.fence} recipe\n{starter.head}{starter.recipe}```\n"
        )
    if starter.beside and not several:
        written |= starter.beside
    return written
