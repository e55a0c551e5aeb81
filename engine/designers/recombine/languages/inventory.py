"""What `evolve check` tells of programs and recipes in other languages than Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cognition.prior import Recipe
from engine.designers.recombine.languages.source import read_source
from engine.designers.recombine.program import EditError
from engine.programs.languages.base import Language

__all__ = ["count_places", "recipe_problems", "tuning_problems"]


def count_places(code: str, required: Sequence[str], language: Language) -> tuple[Counter[str], int]:
    """Count the tunable values of a program by their place, and its functions.

    Raises:
        EditError: it cannot be read.
    """
    source = read_source(code, language)
    places: Counter[str] = Counter()
    for tunable in source.tunables(required):
        places[source.owners[tunable.owner].numbers[tunable.index].place] += 1
    return places, len(source.functions)


def tuning_problems(code: str, language: Language) -> list[tuple[int, str]]:
    """Return line and message of each `tune:` comment that is invalid or fits no number."""
    try:
        return read_source(code, language).rules.problems
    except EditError:
        return []  # other checks report that it is not a program


def recipe_problems(recipe: Recipe, seeds: Iterable[str], language: Language) -> Iterator[tuple[int, str]]:
    """Yield line and message of what keeps a recipe from being spliced into a seed."""
    if not language.has_functions:
        yield recipe.line, "programs in text have no functions that a recipe could replace"
        return
    try:
        found = read_source(recipe.code, language)
    except EditError as exc:
        yield recipe.line, f"the recipe is {exc}"
        return
    known = {(name, item.parameters) for code in seeds for name, item in read_source(code, language).functions.items()}
    own = {(name, item.parameters) for name, item in found.functions.items()}
    if not own & known:
        defined, wanted = (
            ", ".join(f"{name}({count})" for name, count in sorted(some)) or "none" for some in (own, known)
        )
        yield (
            recipe.line,
            f"the recipe matches no function of a seed: it defines {defined}; the seeds have {wanted} "
            "(in brackets the number of parameters)",
        )
