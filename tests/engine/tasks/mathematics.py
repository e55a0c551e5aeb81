"""Shared set-up for tests of the open problems: exact measures, and seeds with recipes, in this process."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path
from typing import Any

from cognition.prior import Prior
from tests.engine.tasks.builtin import BuiltIn

__all__ = ["TASKS", "certified", "construct", "grafted", "improve", "real_folder", "small", "task", "together"]

TASKS = ("autocorrelation", "circle_packing", "distance_ratio", "heilbronn", "minimum_overlap", "sum_difference")


@functools.cache
def task(name: str) -> BuiltIn:
    """Return a task of the suite, loaded once."""
    return BuiltIn(name)


def certified(name: str, answer: Any, **settings: Any) -> Any:
    """Return the exact score of an answer; raise the task's own `Refused` if it breaks the rules."""
    with task(name).importable() as load:
        return load("exact").measure(answer, {**task(name).spec.settings, **settings})


def construct(name: str, code: str, **settings: Any) -> Any:
    """Run a program of a task in this process, as its evaluator calls it."""
    return _answer(name, code, [], settings)


def improve(name: str, code: str, best: Any, **settings: Any) -> Any:
    """The same with the best answer so far, as its evaluator calls it in the kind `improve`."""
    return _answer(name, code, [best], settings)


def _answer(name: str, code: str, first: list[Any], settings: dict[str, Any]) -> Any:
    interface = task(name).spec.interface
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(code, "candidate", "exec"), namespace)
    with task(name).importable() as load:
        arguments = load("exact").arguments({**task(name).spec.settings, **settings})
    return namespace[(interface.improving if first else interface.functions)[0]](*first, *arguments)


def small(code: str) -> str:
    """Reduce a program's effort: constants that are tuned as effort go to three."""
    return re.sub(r"^(\w+ = )\d+(  # tune: effort)", r"\g<1>3\2", code, flags=re.MULTILINE)


def grafted(name: str, *priors: Prior) -> str:
    """Return the seed with the recipes of some priors, one after the other."""
    code = task(name).seed
    for prior in priors:
        code = task(name).graft(prior, code)
    return code


def real_folder(name: str, target: Path) -> Path:
    """Return a copy of a task's folder with the files that it links to, as a run has it."""
    return Path(shutil.copytree(task(name).folder, target))


def together(name: str) -> list[list[Prior]]:
    """Return all priors with recipes in groups whose recipes replace different functions, so that few programs run."""
    groups: list[tuple[set[str], list[Prior]]] = []
    for prior in task(name).with_recipes:
        functions = set().union(*task(name).functions_of(prior))
        for taken, group in groups:
            if not taken & functions:
                taken.update(functions)
                group.append(prior)
                break
        else:
            groups.append((functions, [prior]))
    return [group for _, group in groups]
