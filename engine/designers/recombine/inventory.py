"""What recombination has to work with in a program, and what it cannot make sense of: told by `evolve check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cognition.prior import Prior
from engine.designers.recombine.program import EditError, Program
from engine.designers.recombine.tune import tunables
from engine.task.spec import Seed

__all__ = ["Inventory", "check_tuning", "take_inventory"]


@dataclass(frozen=True)
class Inventory:
    """What can be tuned or exchanged in a program, counted."""

    constants: int
    """Values under a name of their own."""
    elements: int
    """In lists, dicts, tuples, arrays, dataclasses, keyword arguments and defaults."""
    others: int
    """Elsewhere in functions and expressions."""
    functions: int

    def told(self, recipes: int) -> str:
        """The counts in words."""
        others = [_count(self.others, "number") + " in functions"] if self.others else []
        return ", ".join([
            _count(self.constants, "constant"),
            _count(self.elements, "number") + " in lists",
            *others,
            _count(recipes, "recipe"),
            _count(self.functions, "function"),
        ])  # fmt: skip

    @property
    def values(self) -> int:
        """What can be tuned, all in all."""
        return self.constants + self.elements + self.others


def take_inventory(code: str, required: Sequence[str]) -> Inventory:
    """Count what recombination has in a program.

    Args:
        code: the program.
        required: functions and classes that the task requires: what they do not reach is not tuned.

    Raises:
        EditError: it cannot be read.
    """
    program = Program(code)
    places: Counter[str] = Counter()
    for tunable in tunables(program, required):
        places[program.literals[program.owners[tunable.owner].index][tunable.index].place] += 1
    named, elements = places.pop("named", 0), places.pop("element", 0)
    return Inventory(named, elements, places.total(), len(program.functions))


def check_tuning(seeds: Iterable[tuple[str, Seed]], priors: Iterable[Prior]) -> list[str]:
    """What is wrong with `# tune:` comments: one line each, by file and line; empty where all are understood.

    Args:
        seeds: the programs, each with the name of its file.
        priors: what holds recipes.
    """
    files = [(name, 1, seed.code) for name, seed in seeds]
    files += [(f"priors/{prior.id}.md", recipe.line, recipe.code) for prior in priors for recipe in prior.recipes]
    problems = []
    for name, first, code in files:
        try:
            found = Program(code).rules.problems
        except EditError:
            continue  # that it is no program is told by other checks
        problems += [f"{name}:{first + line - 1}: '# tune:' is not understood: {problem}" for line, problem in found]
    return problems


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
