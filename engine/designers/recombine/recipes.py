"""Check that the recipes of a task's priors fit its programs, for `evolve check` and without the child process."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from cognition.prior import Prior, Recipe
from engine.designers.recombine.languages.inventory import recipe_problems
from engine.programs.languages.base import Language
from engine.programs.languages.registry import PYTHON
from engine.task.spec import Seed

__all__ = ["check_recipes"]

_ALLOWED = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
)


def check_recipes(seeds: Sequence[Seed], priors: Iterable[Prior], language: Language = PYTHON) -> list[str]:
    """Return the errors in priors' recipes, one message each with prior and line; empty if all recipes fit.

    A recipe must be Python, have only functions, classes, imports and assignments at its top level (other statements
    would not be copied with its function), and define at least one function with the name and the number of positional
    parameters of a seed's top-level function. In another language the last of these counts alone.
    """
    if not language.is_python:
        return [
            f"priors/{prior.id}.md:{line}: {problem}"
            for prior in priors
            for recipe in prior.recipes
            for line, problem in _check_other(recipe, [seed.code for seed in seeds], language)
        ]
    known: dict[str, set[int]] = {}
    for seed in seeds:
        for name, count in _functions(ast.parse(seed.code)).items():
            known.setdefault(name, set()).add(count)
    return [
        f"priors/{prior.id}.md:{problem}"
        for prior in priors
        for recipe in prior.recipes
        for problem in _check(recipe, known)
    ]


def _check_other(recipe: Recipe, seeds: Sequence[str], language: Language) -> Iterable[tuple[int, str]]:
    if recipe.language not in language.fences:
        return [(recipe.line, _wrong_language(recipe, language))]
    return recipe_problems(recipe, seeds, language)


def _wrong_language(recipe: Recipe, language: Language) -> str:
    return f"the recipe is in {recipe.language}, and the task's programs are in {language.title or 'text'}"


def _check(recipe: Recipe, known: dict[str, set[int]]) -> Sequence[str]:
    if recipe.language not in PYTHON.fences:
        return [f"{recipe.line}: {_wrong_language(recipe, PYTHON)}"]
    try:
        tree = ast.parse(recipe.code)
    except (RecursionError, MemoryError):
        return [f"{recipe.line}: the recipe is nested too deeply to be read as Python"]
    except (SyntaxError, ValueError) as exc:
        line = recipe.line + (getattr(exc, "lineno", None) or 1) - 1
        return [f"{line}: the recipe is not valid Python: {getattr(exc, 'msg', exc)}"]
    problems = [
        f"{recipe.line + node.lineno - 1}: a recipe holds functions, imports and assignments only"
        for node in tree.body
        if not isinstance(node, _ALLOWED) and not _is_text(node)
    ]
    problems += [
        f"{recipe.line + node.lineno - 1}: a recipe cannot import everything from a module"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]
    found = _functions(tree)
    if not any(count in known.get(name, ()) for name, count in found.items()):
        defined = ", ".join(f"{name} with {count} positional parameters" for name, count in found.items())
        wanted = ", ".join(f"{name}({count})" for name, counts in sorted(known.items()) for count in sorted(counts))
        problems.append(
            f"{recipe.line}: the recipe matches no function of a seed: it defines {defined or 'no function'}; "
            f"the seeds have {wanted or 'none'}"
        )
    return problems


def _functions(tree: ast.Module) -> dict[str, int]:
    """Return the numbers of positional parameters of top-level functions."""
    return {
        node.name: len(node.args.posonlyargs) + len(node.args.args)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
