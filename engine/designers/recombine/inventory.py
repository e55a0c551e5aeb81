"""Count what recombination can use in a program, and list invalid `# tune:` comments, for `evolve check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cognition.prior import Prior
from engine.designers.recombine.languages.inventory import count_places, tuning_problems
from engine.designers.recombine.program import EditError, Program
from engine.designers.recombine.tune import tunables
from engine.programs.languages.base import Language
from engine.programs.languages.registry import PYTHON
from engine.task.spec import Seed
from engine.text import counted

__all__ = ["Inventory", "check_tuning", "take_inventory"]


@dataclass(frozen=True)
class Inventory:
    """Counts of values and functions that can be tuned or exchanged in a program."""

    constants: int
    """Values with a name of their own."""
    elements: int
    """Values in lists, dicts, tuples, arrays, dataclasses, keyword arguments and defaults."""
    others: int
    """Values elsewhere in functions and expressions."""
    functions: int

    def describe(self, recipes: int) -> str:
        """Return the counts as text."""
        others = [counted(self.others, "number") + " in functions"] if self.others else []
        return ", ".join([
            counted(self.constants, "constant"),
            counted(self.elements, "number") + " in lists",
            *others,
            counted(recipes, "recipe"),
            counted(self.functions, "function"),
        ])  # fmt: skip

    @property
    def values(self) -> int:
        """Return the number of tunable values."""
        return self.constants + self.elements + self.others


def take_inventory(code: str, required: Sequence[str], language: Language = PYTHON) -> Inventory:
    """Count what recombination can use in a program.

    Args:
        code: the program.
        required: functions and classes that the task requires; values that they do not reach are not tuned.
        language: what it is written in.

    Raises:
        EditError: it cannot be read.
    """
    if language.is_python:
        program = Program(code)
        places: Counter[str] = Counter()
        for tunable in tunables(program, required):
            places[program.literals[program.owners[tunable.owner].index][tunable.index].place] += 1
        functions = len(program.functions)
    else:
        places, functions = count_places(code, required, language)
    named, elements = places.pop("named", 0), places.pop("element", 0)
    return Inventory(named, elements, places.total(), functions)


def check_tuning(seeds: Iterable[tuple[str, Seed]], priors: Iterable[Prior], language: Language = PYTHON) -> list[str]:
    """Return the errors in `# tune:` comments, one message each with file and line; empty if there are none.

    Args:
        seeds: the programs, each with the name of its file.
        priors: the priors whose recipes to check.
        language: what they are written in.
    """
    files = [(name, 1, seed.code) for name, seed in seeds]
    files += [
        (f"priors/{prior.id}.md", recipe.line, recipe.code)
        for prior in priors
        for recipe in prior.recipes
        if recipe.language in language.fences
    ]
    problems = []
    for name, first, code in files:
        try:
            found = Program(code).rules.problems if language.is_python else tuning_problems(code, language)
        except EditError:
            continue  # other checks report that it is not a program
        problems += [
            f"{name}:{first + line - 1}: '{language.comment or '#'} tune:' is not understood: {problem}"
            for line, problem in found
        ]
    return problems
